"""People in a file, and the store that hears of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demur import stores
from demur.accounts.database import Database
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


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """A session store that forgets."""
    made = stores.open("memory:")
    yield made
    await made.aclose()


@pytest.fixture
async def accounts(file: Path, store: Store) -> AsyncIterator[Accounts]:
    """Accounts whose clock stands still."""
    made = Accounts(Database(file), store, clock=lambda: NOW)
    yield made
    await made.aclose()
