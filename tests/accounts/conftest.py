"""People in a file, and the store that hears of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demur import stores
from demur.accounts import database_of
from demur.accounts.people import Accounts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from demur.core.ports import Store

NOW = 1_800_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the accounts are kept."""
    return tmp_path / "accounts.db"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of each kind of database, empty."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:{request.getfixturevalue('file')}"


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """A session store that forgets."""
    made = stores.open("memory:")
    yield made
    await made.aclose()


@pytest.fixture
async def accounts(database: str, store: Store) -> AsyncIterator[Accounts]:
    """Accounts in each kind of database, whose clock stands still."""
    made = Accounts(database_of(database), store, clock=lambda: NOW)
    yield made
    await made.aclose()
