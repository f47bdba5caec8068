"""Where sessions are kept. All stores keep `core.ports.Store`, and one contract suite holds them to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.core.model import ConfigError

if TYPE_CHECKING:
    from demur.core.ports import Store

__all__ = ["PATIENCE", "open", "shared"]

PATIENCE = 0.8
"""Seconds after which a store has answered, or is `StoreUnavailable`, so that everybody has an answer within one."""

_POSTGRES = ("postgresql", "postgres")
_WAYS = ("", "s", "+sentinel", "s+sentinel", "+cluster", "s+cluster")
_REDIS = tuple(f"{name}{way}" for name in ("redis", "valkey") for way in _WAYS)
_SUPPORTED = (
    'Use "memory:" (one process, forgotten when it ends), "sqlite:PATH" (a file on this machine), '
    '"postgresql://…", "redis://…" or "valkey://…" (any number of machines).'
)


def open(url: str) -> Store:  # noqa: A001 - read as stores.open
    """The store that a URL names: "memory:"; "sqlite:" and a path, absolute or relative to where the process runs;
    "postgresql://" as libpq reads it; "redis://", "rediss://" (TLS), "redis+sentinel://", "redis+cluster://", and all
    of these with "valkey".

    Nothing is opened yet: a store is configuration until it is used. Raises `ConfigError` for anything else.
    """
    scheme, colon, rest = url.partition(":")
    if scheme == "memory" and colon and not rest:
        from demur.stores.memory import MemoryStore  # noqa: PLC0415 - load what is used

        return MemoryStore()
    if scheme == "sqlite" and colon:
        from demur.stores.sqlite import SQLiteStore  # noqa: PLC0415 - load what is used

        return SQLiteStore(_path(rest, url))
    if scheme in _POSTGRES:
        from demur.stores import postgres  # noqa: PLC0415 - load what is used

        return postgres.store(url)
    if scheme in _REDIS:
        from demur.stores import redis  # noqa: PLC0415 - load what is used

        return redis.store(url)
    raise ConfigError(f'"{_shown(url)}" is not a store for sessions.', fix=_SUPPORTED)


def shared(url: str) -> bool:
    """Whether the store that a URL names is one that other machines can use, too."""
    return url.partition(":")[0] in (*_POSTGRES, *_REDIS)


def _path(path: str, url: str) -> str:
    # Some read "sqlite:///x" as relative, others as absolute. We do not guess.
    if not path or path.startswith("//") or path.endswith("/") or path == ":memory:" or "\0" in path:
        fix = 'Write "sqlite:sessions.db" or "sqlite:/var/lib/demur/sessions.db".'
        raise ConfigError(f'"{_shown(url)}" does not name a file.', fix=fix)
    return path


def _shown(url: str) -> str:
    """A URL without the password that it may hold."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}…@{rest.rpartition('@')[2]}" if mark and "@" in rest else url
