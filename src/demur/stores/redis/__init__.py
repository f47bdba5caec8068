"""Sessions in Redis or Valkey, for any number of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.core.model import ConfigError

if TYPE_CHECKING:
    from demur.core.ports import Store


def store(url: str) -> Store:
    """The store that a URL names. Raises ConfigError."""
    scheme = url.partition(":")[0]
    raise ConfigError(f"This version cannot keep sessions at {scheme}: yet.", fix='Use "sqlite:PATH".')
