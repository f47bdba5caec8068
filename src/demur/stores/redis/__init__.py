"""Sessions in Redis or Valkey, for any number of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.core.model import ConfigError
from demur.stores.redis import where

if TYPE_CHECKING:
    from demur.core.ports import Store


def store(url: str) -> Store:
    """The store that a URL names: one server, a master that Sentinels know, or a Cluster. Raises ConfigError."""
    place = where.read(url)
    try:
        from demur.stores.redis.sessions import RedisStore  # noqa: PLC0415 - it needs hiredis
    except ModuleNotFoundError as error:
        if error.name != "hiredis":
            raise
        raise ConfigError("Redis needs a package that is not here.", fix='Run pip install "demur[redis]".') from None
    return RedisStore(place)
