"""Who somebody is, asked of an app with a login of its own.

What such a bridge raises means that the app's login cannot be asked now, as `StoreUnavailable` means it of a store: a
fault of ours, and never a reason to sign in.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from demur.core.model import Absent, Ended, Evidence, Live, Malformed, StoreUnavailable, Throttled, Unknown, Unreadable

Who: TypeAlias = Callable[[], Evidence | Awaitable[Evidence]]
"""Asks the app who it is."""

_log = logging.getLogger("demur")


def ask(who: Who) -> Evidence | Coroutine[Any, Any, Evidence]:
    """Who it is, perhaps to be awaited. Raises StoreUnavailable."""
    try:
        found = who()
        return _awaited(found) if inspect.isawaitable(found) else _evidence(found)
    except Exception as fault:
        raise _unavailable(fault) from fault


async def _awaited(found: Awaitable[Evidence]) -> Evidence:
    try:
        return _evidence(await found)
    except Exception as fault:
        raise _unavailable(fault) from fault


def _unavailable(fault: Exception) -> StoreUnavailable:
    if isinstance(fault, StoreUnavailable):
        return fault
    _log.error("demur could not ask the app's own login who somebody is", exc_info=fault)
    return StoreUnavailable(f"the app's own login: {fault!r}")


def _evidence(found: object) -> Evidence:
    if isinstance(found, (Absent, Malformed, Unreadable, Throttled, Unknown, Live, Ended)):
        return found
    message = f"a bridge returned {found!r}; it returns demur.person(…), demur.ended(…), demur.unknown or demur.nobody"
    raise TypeError(message)
