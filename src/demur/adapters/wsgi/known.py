"""Requests on the short way of WSGI: see `demur.adapters.asgi.short`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from demur.adapters.asgi import short
from demur.adapters.asgi.short import NOBODY, ShortPassed, Way
from demur.adapters.wsgi import wire
from demur.core.model import Absent, Left
from demur.guard import Checked

if TYPE_CHECKING:
    from demur.adapters.surface import Surface
    from demur.core.model import Request
    from demur.core.ports import Decided
    from demur.guard import Known


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


class LeftPassed(KnownPassed):
    """What is left to the view: no more than whose cookie it is, until the view has been judged. `key` is that
    cookie's."""

    __slots__ = ("key",)

    key: bytes

    def __init__(self, surface: Surface, scope: dict[str, Any], way: Way, now: int, key: bytes) -> None:
        super().__init__(surface, scope, way, None, now, [])
        self._allow = None
        self.key = key

    @property
    def checked(self) -> Checked:
        """What was decided."""
        if self._checked is None and self._allow is None:
            way = self.way
            presented = way.plan.presented
            self._checked = Checked(Left(), way.requirement, Absent(), self.reference, self._now, presented, way.plan)
        return super().checked

    @checked.setter
    def checked(self, checked: Checked) -> None:
        self._checked, self._allow = checked, None

    @property
    def left(self) -> bool:
        """Whether it is still to be judged."""
        return self._allow is None and (self._checked is None or isinstance(self._checked.decision, Left))

    def judged_as(self, way: Way, known: Known | None, at: float) -> None:
        """The view has been judged, as it was before."""
        self.way, self._known, self._checked = way, known, None
        self._allow = NOBODY if known is None else known.allow
        if (observer := self.surface.guard.observer) is not None:
            observer.decided(cast("Decided", Noted(self, at, 0.0)))


class Noted(short.Noted):
    """A yes for the log."""

    __slots__ = ()

    @property
    def method(self) -> str:
        return self._passed.request.method

    @property
    def path(self) -> bytes:
        return self._passed.request.path
