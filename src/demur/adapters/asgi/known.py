"""Requests on the short way: see `demur.adapters.asgi.short`. Whatever somebody may ask about one is made when they
ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from demur.adapters.asgi import wire
from demur.adapters.passed import Passed
from demur.core import fields
from demur.core.model import Absent, Allow, Left
from demur.guard import Checked, new_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.adapters.asgi.short import Short
    from demur.adapters.asgi.wire import Scope
    from demur.adapters.surface import Surface
    from demur.core.decide import Plan
    from demur.core.marks import Mark
    from demur.core.model import Evidence, Request, Requirement
    from demur.guard import Known

T = TypeVar("T", dict[Any, Any], set[Any])

TOKEN = 56
"""Characters of a session's token."""
_MOST = 1024
"""Ways, and names, that are remembered."""
LONGEST = 256
"""Bytes of a path, or of a name, that is remembered."""

NOBODY = Allow()
_NOT_YET = {"_checked": None, "_request": None, "_native": None, "_reference": "", "overdue": False}


def room(kept: T) -> T:
    """What is remembered begins anew when it is full."""
    if len(kept) >= _MOST:
        kept.clear()
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A target, and what is asked for there."""

    plan: Plan
    requirement: Requirement
    open: bool


class ShortPassed(Passed):
    """`Passed`, of which everything is made when somebody asks for it."""

    __slots__ = ("_checked", "_known", "_native", "_now", "_reference", "_request", "lines", "scope", "way")

    _checked: Checked | None
    _request: Request | None
    _native: object
    _reference: str

    def __init__(
        self, surface: Surface, scope: Scope, way: Way, known: Known | None, now: int, lines: list[Any]
    ) -> None:
        self.surface = surface
        self.refused = None
        self.answer = None
        self.scope = scope
        self.lines = lines
        self.way = way
        self._known = known
        self._now = now
        self._allow = NOBODY if known is None else known.allow

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what is not made yet
        try:
            return _NOT_YET[name]
        except KeyError:
            raise AttributeError(name) from None

    def inner(self) -> Scope:
        """The scope that the app sees."""
        inner = dict(self.scope)
        inner["headers"] = self.lines
        inner["demur"] = self
        return inner

    @property
    def reference(self) -> str:
        """The UUID that names this request in the log."""
        if not self._reference:
            self._reference = new_reference()
        return self._reference

    @property
    def native(self) -> Any:  # noqa: ANN401 - each framework has its own
        """The scope that the app sees, if nobody has said anything else. It is made anew: that it held us and we held
        it would be work for the collector."""
        if self._native is not None:
            return self._native
        return self.inner()

    @native.setter
    def native(self, native: object) -> None:
        self._native = native

    @property
    def checked(self) -> Checked:
        """What was decided."""
        if self._checked is None:
            way, known = self.way, self._known
            evidence: Evidence = Absent() if known is None else known.live
            self._checked = Checked(
                self._allow or NOBODY,
                way.requirement,
                evidence,
                self.reference,
                self._now,
                way.plan.presented,
                way.plan,
            )
        return self._checked

    @checked.setter
    def checked(self, checked: Checked) -> None:
        self._checked, self._allow = checked, None

    @property
    def given(self) -> Allow | None:
        """The yes with which it came; None once something else was decided at the view."""
        return self._allow

    def timing(self) -> tuple[bytes, bytes]:
        """The field that says when the session ends: the same for a second."""
        known = self._known
        assert known is not None  # noqa: S101 - nobody in particular has no session
        at, line = known.timing
        if at != self._now:
            allow = known.allow
            assert allow is not None  # noqa: S101 - as above
            assert allow.ends is not None  # noqa: S101 - as above
            line = (b"server-timing", fields.session_timing(allow.ends, known.live.subject.id, self._now))
            known.timing = (self._now, line)
        return line

    @property
    def request(self) -> Request:  # type: ignore[override]
        """The request that was judged."""
        if self._request is None:
            self._request = wire.read(self.scope)
        return self._request


class LeftToTheView:
    """What such a request has beside the others, in ASGI and in WSGI: no more is known than whose cookie it is, until
    the view has been judged. `key` is that cookie's mark."""

    _allow: Allow | None
    _checked: Checked | None
    _known: Known | None
    _now: int
    way: Way
    surface: Surface
    reference: str

    @property
    def checked(self) -> Checked:
        """What was decided."""
        if self._checked is None and self._allow is None:
            way, presented = self.way, self.way.plan.presented
            self._checked = Checked(Left(), way.requirement, Absent(), self.reference, self._now, presented, way.plan)
        found: Checked = super().checked  # type: ignore[misc]
        return found

    @checked.setter
    def checked(self, checked: Checked) -> None:
        self._checked, self._allow = checked, None

    @property
    def left(self) -> bool:
        """Whether it is still to be judged."""
        return self._allow is None and (self._checked is None or isinstance(self._checked.decision, Left))

    def judged_as(self, way: Way, known: Known | None) -> None:
        """The view has been judged, as it was before."""
        self.way, self._known, self._checked = way, known, None
        self._allow = NOBODY if known is None else known.allow


class LeftPassed(LeftToTheView, ShortPassed):
    """A request that is left to the view, in ASGI."""

    __slots__ = ("key", "short")

    key: bytes
    short: Short

    def __init__(
        self, surface: Surface, scope: Scope, way: Way, now: int, lines: list[Any], *, key: bytes, short: Short
    ) -> None:
        super().__init__(surface, scope, way, None, now, lines)
        self._allow = None
        self.key, self.short = key, short

    def recalled(self, found: Sequence[Mark]) -> bool:
        """Whether the view was judged before and what was decided still holds: then it is decided."""
        # What is said without a mark depends on whether there is a view at all.
        return bool(found) and self.left and self.short.recall(self, found)

    def remember(self, found: Sequence[Mark]) -> None:
        """The view has been judged, on the long way."""
        if found:
            self.short.remember(self, found)


class Noted:
    """A yes for the log, of which the rest is made when somebody asks for it: see `core.ports.Decided`."""

    __slots__ = ("_passed", "at", "seconds")
    outcome = "allow"
    status = None
    reason = None
    error = ""

    def __init__(self, passed: ShortPassed, at: float, seconds: float) -> None:
        self._passed = passed
        self.at = at
        self.seconds = seconds

    @property
    def reference(self) -> str:
        return self._passed.reference

    @property
    def origin(self) -> str:
        return self._passed.site.origin

    @property
    def request(self) -> Request:
        return self._passed.request

    @property
    def method(self) -> str:
        return str(self._passed.scope["method"])

    @property
    def path(self) -> bytes:
        return bytes(self._passed.scope["raw_path"])

    @property
    def rule(self) -> str:
        return self._passed.way.requirement.rule

    @property
    def subject(self) -> str | None:
        found = self._passed.subject
        return None if found is None else found.id
