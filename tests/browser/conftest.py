"""Headless Chromium: one process for all tests of this folder, a new profile for each."""

import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import BrowserContext, async_playwright, expect
from support.programs import find_program

PATIENCE = 30  # seconds
expect.set_options(timeout=PATIENCE * 1000)
Profiles = Callable[..., Awaitable[BrowserContext]]
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]


@pytest.fixture(autouse=True)
def _no_secret_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    monkeypatch.delenv("SESSION_SECRET_PREVIOUS", raising=False)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where Chromium is told what to do."""
    program = find_program("chromium", "chromium", "chromium-browser", "google-chrome")
    profile = tmp_path_factory.mktemp("chromium")
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        told = profile / "DevToolsActivePort"
        until = time.monotonic() + PATIENCE
        while not told.exists() or not (lines := told.read_text().split()):
            assert process.poll() is None, "Chromium ended at its start"
            assert time.monotonic() < until, "Chromium did not start in time"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{lines[0]}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture
async def profiles(chromium: str) -> AsyncIterator[Profiles]:
    """Makes profiles without cookies and cache; options are playwright's of a context."""
    async with async_playwright() as playwright, AsyncExitStack() as stack:
        process = await playwright.chromium.connect_over_cdp(chromium)
        stack.push_async_callback(process.close)

        async def profile(**options: Any) -> BrowserContext:
            context = await process.new_context(**options)
            stack.push_async_callback(context.close)
            context.set_default_timeout(PATIENCE * 1000)
            return context

        yield profile


@pytest.fixture
async def browser(profiles: Profiles) -> BrowserContext:
    """One profile."""
    return await profiles()
