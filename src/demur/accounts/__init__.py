"""People: names, groups, passwords, and the record of who changed what.

Accounts are the source of what a person may do. The session store only keeps a snapshot of it, and whatever changes
here is published there before it is reported as done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demur.accounts.people import Accounts
    from demur.core.ports import Store


def open(url: str, store: Store | None = None) -> Accounts:  # noqa: A001 - `accounts.open` is how it reads
    """The accounts in a database, `sqlite:PATH`, and the session store that changes are published to.

    Nothing is opened yet. Without a store changes wait in the outbox for the next one who has it. Raises `ConfigError`
    if the URL does not name a database.
    """
    from demur.accounts.database import Database, file_of  # noqa: PLC0415 - SQLAlchemy only where it is used
    from demur.accounts.people import Accounts  # noqa: PLC0415

    return Accounts(Database(file_of(url)), store)


__all__ = ["open"]
