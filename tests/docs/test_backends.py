"""The backend pages: each program on a real database, the table of options, and a backend written from the page."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from aiohttp_lionrock_mongodb.settings import DEFAULT_COLLECTION, DEFAULT_TIMEOUT
from aiohttp_lionrock_sqlite.settings import OPTIONS
from support.pages import Serve, ask, assert_unavailable, blocks_of, cookies_of, examples, program, rows, shell, text

from aiohttp_lionrock import ConfigError, MemoryStorage, open_storage
from aiohttp_lionrock.storage import MAX_METADATA_BYTES, MAX_TEXT, Faults, JtiRecord, Option, UrlOptions, whole


@pytest.mark.parametrize("url", [None, "memory://", "sqlite:///sessions.db"])
async def test_a_url_chooses_the_backend(
    place: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    if url is not None:
        monkeypatch.setenv("SESSION_STORAGE", url)
    app = program("backends/index")["make_app"]()
    app.router.add_get("/", program("index")["visits"])
    client = await serve(app)
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    assert (place / "sessions.db").exists() == (url == "sqlite:///sessions.db")


def test_every_url_of_the_table_opens_its_backend() -> None:
    for name, url, *_ in rows("backends/index"):
        if url:
            package = name.strip("[").partition("]")[0].lower()
            assert package in type(open_storage(url.strip("`"))).__module__


@pytest.mark.parametrize("page", ["memory", "sqlite"])
async def test_a_page_of_a_backend_counts_visits(serve: Serve, page: str) -> None:
    names = {"memory": program("backends/memory"), "sqlite": program("backends/sqlite")}[page]
    client = await serve(names["make_app"]())
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]


async def test_one_memory_is_not_another(serve: Serve) -> None:
    make_app = program("backends/memory")["make_app"]
    client = await serve(make_app())
    await ask(client, "/")
    other = await serve(make_app(), cookies_of(client))
    assert await ask(other, "/") == {"visits": 1}


async def test_the_mongodb_program_and_the_copy_from_sqlite(
    serve: Serve, standalone_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite = await serve(program("backends/sqlite")["make_app"]())
    assert await ask(sqlite, "/") == {"visits": 1}
    cookies = cookies_of(sqlite)
    await sqlite.close()
    [lines] = [block for block in examples("backends/mongodb", "sh") if "copy" in block]
    lines = re.sub(r'COPY_TO=".*?"', f'COPY_TO="{standalone_database}"', lines)
    assert shell(lines).startswith("copied 1 records; 0 were there already")
    assert shell(lines).startswith("copied 0 records; 1 were there already")
    monkeypatch.setenv("MONGODB_URL", standalone_database)
    client = await serve(program("backends/mongodb")["make_app"](), cookies)
    assert await ask(client, "/") == {"visits": 2}


def test_the_options_of_sqlite_are_those_of_the_page() -> None:
    listed = {row[0].strip("`"): row[1].strip("`") for row in rows("backends/sqlite") if len(row) == 3}
    expected = {name: option.default for name, option in OPTIONS.items()}
    assert listed == {name: written(value) for name, value in expected.items()}


def written(value: object) -> str:
    """An option's value as it stands in a URL."""
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def test_the_options_of_mongodb_are_those_of_the_page() -> None:
    listed = {row[0].strip("`"): row[1].strip("`") for row in rows("backends/mongodb")}
    assert listed == {"collection": DEFAULT_COLLECTION, "timeout": f"{DEFAULT_TIMEOUT:g}"}
    for option in listed:
        with pytest.raises(ConfigError, match=option):
            open_storage(f"mongodb://127.0.0.1/app?{option}=")


async def test_a_backend_written_from_the_page_passes_the_suite_and_serves_an_app(
    place: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = blocks_of("backends/write")[0]
    suite = blocks_of("backends/write")[2]
    assert len(suite.partition("\n\nclass ")[2].splitlines()) < 25
    (place / "jsonfile_sessions.py").write_text(backend)
    (place / "test_jsonfile_sessions.py").write_text(suite)
    for runner in ("pytest -q -o asyncio_default_fixture_loop_scope=function", "unittest -q"):
        command = [sys.executable, "-W", "error", "-m", *runner.split()]
        subprocess.run(command, check=True, cwd=place)  # what it says is shown where it fails

    [entry_points] = examples("backends/write", "toml")
    [(group, points)] = tomllib.loads(entry_points)["project"]["entry-points"].items()
    info = place / "jsonfile-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jsonfile\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("SESSION_STORAGE", "jsonfile:///sessions.json")
    app = program("backends/index")["make_app"]()
    monkeypatch.delitem(sys.modules, "jsonfile_sessions")
    app.router.add_get("/", program("index")["visits"])
    client = await serve(app)
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    (place / "sessions.json").write_text("garbage")
    assert_unavailable(await client.get("/"))


def test_options_are_read_as_the_page_says() -> None:
    names = program("backends/write", 1)
    expected = {"timeout": 1.5, "rows": 100, "tls": False, "level": "majority", "table": "sessions", "region": None}
    assert names["options"] == {**expected, "level": "all"}
    faults = Faults()
    names["OPTIONS"].read("region=hush&timeout=0&tabel=x", faults)
    assert faults.found == [
        "the Shelf option region must be a region, as in eu-1",
        "the Shelf option timeout must be a number of seconds above 0 and at most 60",
        "unknown Shelf option tabel; did you mean table?",
    ]
    others = UrlOptions("Shelf", {"size": Option(whole(1, 9))}, others=True)
    assert others.read("pool=a%20b", Faults()) == ({"size": None}, [("pool", "a%20b")])


def test_the_limits_of_the_page_are_those_of_a_record() -> None:
    page = text("backends/write")
    assert f"at most {MAX_TEXT:,} characters, metadata has {MAX_METADATA_BYTES:,} bytes" in page
    assert {row[0] for row in rows("backends/write")} >= {"`sid`", "`version`", "`expires_at`"}
    assert set(JtiRecord.__slots__) >= {"sid", "version", "expires_at", "created_at", "subject"}
    assert isinstance(open_storage("memory://"), MemoryStorage)
