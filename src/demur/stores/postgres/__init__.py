"""Sessions in PostgreSQL, for any number of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.core.model import ConfigError

if TYPE_CHECKING:
    from demur.core.ports import Store


def store(url: str) -> Store:
    """The store that a URL names, as libpq reads it. Raises ConfigError."""
    try:
        from demur.stores.postgres.sessions import PostgresStore  # noqa: PLC0415 - psycopg only where it is used
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "psycopg":
            raise
        raise ConfigError("Sessions in PostgreSQL need psycopg.", fix='Run: pip install "demur[postgresql]"') from None

    return PostgresStore(url)
