"""One event loop for all, and one app for each adapter and world."""

from __future__ import annotations

import asyncio
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
