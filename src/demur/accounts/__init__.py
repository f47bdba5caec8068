"""People: names, groups, passwords, and the record of who changed what.

Accounts are the source of what a person may do. The session store only keeps a snapshot of it, and whatever changes
here is published there before it is reported as done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.core.model import ConfigError

if TYPE_CHECKING:
    from demur.accounts.database import Database
    from demur.accounts.people import Accounts
    from demur.core.ports import Store


def open(url: str, store: Store | None = None) -> Accounts:  # noqa: A001 - `accounts.open` is how it reads
    """The accounts in a database, `sqlite:PATH` or `postgresql://…`, and the session store that hears of changes.

    Nothing is opened yet. Without a store changes wait in the outbox for the next one who has it. Raises `ConfigError`
    if the URL does not name a database.
    """
    from demur.accounts.people import Accounts  # noqa: PLC0415 - SQLAlchemy only where it is used

    return Accounts(database_of(url), store)


def database_of(url: str) -> Database:
    """The database that a URL names, which is not opened yet. Raises `ConfigError`."""
    from demur.accounts.database import Database, file_of  # noqa: PLC0415

    if url.partition(":")[0] not in {"postgresql", "postgres"}:
        return Database(file_of(url))
    try:
        from demur.accounts.postgres import PostgresDatabase  # noqa: PLC0415 - psycopg only where it is used
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "psycopg":
            raise
        fix = 'Run: pip install "demur[accounts,postgresql]"'
        raise ConfigError("Accounts in PostgreSQL need psycopg.", place="accounts.database", fix=fix) from None
    return PostgresDatabase(url)


__all__ = ["open"]
