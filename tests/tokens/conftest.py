"""What every refusal promises."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from support.forgery import NAME, SECRET, Refuse, Untouchable, manager_with

from aiohttp_lionrock import TokenError


@pytest.fixture
def refused(caplog: pytest.LogCaptureFixture) -> Iterator[Refuse]:
    """Presents tokens and checks all that a refusal promises; gives back the fault."""
    caplog.set_level(logging.DEBUG)

    async def check(tokens: str | Sequence[str], *, cookie: str = NAME, **settings_: Any) -> TokenError:
        storage = Untouchable()
        manager = manager_with(storage, **settings_)
        session = await manager.load({cookie: tokens})
        fault = session.rejected
        assert isinstance(fault, TokenError), "the token was not refused"
        assert session.is_new
        assert not session
        assert session.sid != "sid-1"
        assert await manager.save(session) == [], "the cookies of a refused request were touched"
        assert session.rejected is fault
        assert storage.calls == []
        said = f"{fault!r} {fault} {caplog.text}"
        for token in [tokens] if isinstance(tokens, str) else tokens:
            assert not [part for part in token.split(".") if len(part) > 8 and part in said]
        assert SECRET not in said
        return fault

    return check
