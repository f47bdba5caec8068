"""One event loop for all, and one app for each adapter and world."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.adapters.contract.stands import Stands

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """An event loop, as a server would have one."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="session")
def stands(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Stands:
    """The apps that were made."""
    return Stands(runner, tmp_path_factory.mktemp("worlds"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make check` asks the two that all others stand on; `make test` asks all."""
    here = Path(__file__).parent
    for item in items:
        name = getattr(item, "callspec", None)
        if item.path.is_relative_to(here) and name is not None and not name.id.endswith(("-asgi", "-wsgi")):
            item.add_marker(pytest.mark.slow)
