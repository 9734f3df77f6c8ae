"""What PyMongo leaves behind fails no test: an `AsyncMongoClient` that is closed while one of its tasks connects does
not close that task's socket, and the garbage collector would complain of it in whichever test it runs next."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


@pytest.fixture(scope="module", autouse=True)
def _no_socket_is_left_to_other_modules() -> Iterator[None]:
    yield
    gc.collect()
