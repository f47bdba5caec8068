"""Requests on the short way of WSGI: see `demur.adapters.asgi.short`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from demur.adapters.asgi import known
from demur.adapters.asgi.known import LeftToTheView, ShortPassed, Way
from demur.adapters.wsgi import wire

if TYPE_CHECKING:
    from demur.adapters.surface import Surface
    from demur.core.model import Request


class KnownPassed(ShortPassed):
    """`scope` is the environ as it came, `now_its` the one that the app sees."""

    __slots__ = ("now_its",)

    now_its: dict[str, Any]

    def inner(self) -> dict[str, Any]:
        """The environ that the app sees."""
        found: dict[str, Any] = self.now_its
        return found

    @property
    def request(self) -> Request:  # type: ignore[override]
        """The request that was judged."""
        if self._request is None:
            self._request = wire.read(cast("dict[str, Any]", self.scope))
        return self._request


class LeftPassed(LeftToTheView, KnownPassed):
    """What is left to the view."""

    __slots__ = ("key",)

    key: bytes

    def __init__(self, surface: Surface, scope: dict[str, Any], way: Way, now: int, key: bytes) -> None:
        super().__init__(surface, scope, way, None, now, [])
        self._allow = None
        self.key = key


class Noted(known.Noted):
    """A yes for the log."""

    __slots__ = ()

    @property
    def method(self) -> str:
        return self._passed.request.method

    @property
    def path(self) -> bytes:
        return self._passed.request.path
