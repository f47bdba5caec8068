"""The short way of ASGI (see `demur.adapters.short`), for an app that is asked in one thread."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from demur.adapters.asgi import wire
from demur.adapters.asgi.no import No, NoNoted, Refusing
from demur.adapters.short import CHANGES, LONGEST, USUAL, LeftToTheView, Noted, ShortPassed, Ways, room
from demur.core import fields, respond, streams
from demur.core.model import Absent, Refuse
from demur.core.reasons import Reason
from demur.guard import new_reference

if TYPE_CHECKING:
    from demur.adapters.asgi.wire import Message, Scope
    from demur.adapters.surface import Surface
    from demur.core.marks import Mark
    from demur.core.model import Request, Response
    from demur.core.ports import Decided
    from demur.guard import Checked

_LONGEST_NO = 2048
_PRIVATE = (b"cache-control", b"private, no-cache")


class _Read:
    """What a request of ASGI says. `lines` are the fields that the app sees."""

    __slots__ = ()
    scope: Scope
    lines: list[Any]
    refusing: Refusing | None

    def inner(self) -> Scope:
        """The scope that the app sees."""
        inner = dict(self.scope)
        inner["headers"] = self.lines
        inner["demur"] = self
        return inner

    def _read(self) -> Request:
        return wire.read(self.scope)


class KnownPassed(_Read, ShortPassed):
    """A request that may go on."""

    __slots__ = ("lines",)


class LeftPassed(_Read, LeftToTheView):
    """A request that is left to the view."""

    __slots__ = ("lines",)

    @property
    def checked(self) -> Checked:
        """What was decided."""
        if self._checked is None and self.refusing is not None:
            self._checked = replace(self.refusing.no.checked, reference=self.reference, now=self._now)
        return super().checked

    @checked.setter
    def checked(self, checked: Checked) -> None:
        self._checked, self.given = checked, False

    @property
    def left(self) -> bool:
        """Whether it is still to be judged."""
        return self.refusing is None and super().left


class Short(Ways):
    """The short way of one surface."""

    def __init__(self, surface: Surface) -> None:
        super().__init__(surface)
        self._harmless = set(USUAL)
        self._untouched: set[bytes] = set()
        self._kinds: set[bytes | None] = {None}
        self._noes: dict[tuple[object, ...], No] = {}

    # --- in ---------------------------------------------------------------------------------------

    def enter(self, scope: Scope) -> KnownPassed | LeftPassed | None:
        """The way on, with the scope that the app sees; None if this has to go the long way."""
        guard, observer = self._guard, self._guard.observer
        began = time.perf_counter() if observer is not None else 0.0
        try:
            lines = scope["headers"]
            sent: dict[bytes, bytes] = dict(lines)
            cookie = sent.get(b"cookie")
            ours = cookie is not None and b"demur" in cookie
            way = self._ways.get((scope["method"], scope.get("raw_path"), sent.get(b"host"), scope["scheme"], ours))
        except (KeyError, TypeError, ValueError):  # no request, or of another make than a server's usual
            return None
        if way is None or len(sent) != len(lines) or not self._harmless.issuperset(sent):
            return None
        query = scope["query_string"]
        if (query and not fields.plain_query(query)) or "demur.target" in scope.get("extensions", ()):
            return None
        at = guard.clock()
        passed: KnownPassed | LeftPassed
        if way.open:
            passed = KnownPassed(self._surface, scope, way, None, int(at))
        else:
            key = self.key(cookie) if cookie is not None and ours else None
            if key is None and (ours or not way.left):
                return None
            if way.left:
                passed = LeftPassed(self._surface, scope, way, int(at), key=key, ways=self)
                observer = None  # it is decided at the view, and noted there
            else:
                known = self._recall(cast("bytes", key), way.requirement, int(at))
                if known is None:
                    return None
                passed = KnownPassed(self._surface, scope, way, known, int(at))
        passed.lines = lines if cookie is None else self._without_ours(lines, list(sent).index(b"cookie"), cookie)
        if observer is not None:
            observer.decided(cast("Decided", Noted(passed, at, time.perf_counter() - began)))
        return passed

    def _without_ours(self, lines: list[Any], index: int, cookie: bytes) -> list[Any]:
        kept, left = lines.copy(), self.without_ours(cookie)
        if left:
            kept[index] = (b"cookie", left)
        else:
            del kept[index]
        return kept

    def learn(self, scope: Scope, request: Request, checked: Checked) -> None:
        """What was decided on the long way, or left to the view."""
        path, host = scope.get("raw_path"), request.values(b"host")
        if scope["type"] != "http" or not path or len(path) > LONGEST or len(host) != 1 or len(host[0]) > LONGEST:
            return
        ours = self.names_us(request)
        way = self.learned(request, checked) or self.learned_of_nobody(request, checked)
        if way is None:
            return
        room(self._ways)[(request.method, bytes(path), host[0], scope["scheme"], ours)] = way
        for name, _ in request.fields:
            if self.harmless(name):
                room(self._harmless).add(name)

    # --- no -----------------------------------------------------------------------------------------

    def refuse(self, scope: Scope) -> Refusing | None:
        """What the very same request, without credentials, was answered a moment ago; None if that is not known."""
        if not self._noes:
            return None
        observer = self._guard.observer
        began = time.perf_counter() if observer is not None else 0.0
        try:
            no = self._noes.get(_all_of(scope))
        except (TypeError, KeyError):  # of another make than a server's usual
            return None
        if no is None:
            return None
        reference = new_reference()
        if observer is not None:
            seconds = time.perf_counter() - began
            observer.decided(cast("Decided", NoNoted(no, scope, self._guard.clock(), seconds, reference)))
        return Refusing(no, scope["method"], reference)

    def recall(self, passed: LeftToTheView, found: tuple[Mark, ...]) -> bool:
        """Whether a view may be opened because it could be before, or is refused because it was; then it is judged, and
        noted."""
        if passed.key is not None or not isinstance(passed, LeftPassed):
            return super().recall(passed, found)
        no = self._noes.get((*_all_of(passed.scope), id(found))) if self._noes else None
        if no is None:
            return super().recall(passed, found)
        passed.refused, reference = cast("Refuse", no.checked.decision), passed.reference
        passed.refusing = Refusing(no, passed.scope["method"], reference)
        if (observer := self._guard.observer) is not None:
            observer.decided(cast("Decided", NoNoted(no, passed.scope, self._guard.clock(), 0.0, reference)))
        return True

    def learn_no(
        self,
        scope: Scope,
        request: Request,
        checked: Checked,
        response: Response,
        found: tuple[Mark, ...] | None = None,
    ) -> None:
        """Somebody without credentials was told to sign in, at once or at the view that has those marks. Whoever sends
        the same, byte for byte, is told the same, but for the reference: which has to be all that differs when it is
        said twice."""
        plan, refuse = checked.plan, checked.decision
        if not self._works or plan is None or len(plan.matches) != 1 or plan.left or plan.pretends:
            return
        if (
            not isinstance(refuse, Refuse)
            or refuse.reason is not Reason.SIGN_IN_REQUIRED
            or checked.requirement.conceal
        ):
            return
        if request.method not in {"GET", "HEAD"} or "demur.target" in scope.get("extensions", ()):
            return
        if (
            not isinstance(checked.evidence, Absent)
            or checked.presented.scheme is not None
            or request.value(b"upgrade")
        ):
            return
        if request.value(b"transfer-encoding") or request.value(b"content-length") or request.value(b"expect"):
            return
        again = replace(checked, reference=new_reference())
        no = No.of(self._surface.site.origin, checked, response, found)
        if no is None or no != No.of(self._surface.site.origin, again, self._surface.refusal(again, request), found):
            return
        try:
            asked = _all_of(scope) if found is None else (*_all_of(scope), id(found))
            if sum(len(name) + len(value) for name, value in scope["headers"]) + len(request.target) <= _LONGEST_NO:
                room(self._noes)[asked] = no
        except (TypeError, KeyError):
            return

    # --- out --------------------------------------------------------------------------------------

    def leave(self, passed: ShortPassed, message: Message) -> Message | None:
        """The first message of an answer as it leaves; None if this has to go the long way."""
        status, lines = message["status"], message.get("headers", ())
        if not passed.given or not 200 <= status < 300 or not self._dresses or type(lines) is not list:
            return None
        try:
            said = dict(lines)
        except (TypeError, ValueError):
            return None
        if len(said) != len(lines) or not self._untouched.issuperset(said) or passed.refused or passed.answer:
            self._learn_names(lines)
            return None
        if said.get(b"content-type") not in self._kinds:
            self._learn_kind(lines)
            return None
        if not passed.somebody:
            return message
        control = said.get(b"cache-control")
        if control is None:
            left = [*lines, _PRIVATE, (b"server-timing", passed.timing())]
        else:
            kept = [line for line in lines if line[0] != b"cache-control"]
            left = [*kept, (b"cache-control", respond.private(control)), (b"server-timing", passed.timing())]
        return {**message, "headers": left}

    def _learn_names(self, lines: list[Any]) -> None:
        for name, _ in lines:
            if (
                type(name) is bytes
                and name == name.lower()
                and len(name) <= LONGEST
                and name not in CHANGES
                and (name == b"cache-control" or not name.endswith(b"-cache-control"))
            ):
                room(self._untouched).add(name)

    def _learn_kind(self, lines: list[Any]) -> None:
        (kind,) = [value for name, value in lines if name == b"content-type"]
        if type(kind) is bytes and len(kind) <= LONGEST and not streams.are_events(((b"content-type", kind),)):
            room(self._kinds).add(kind)


def _all_of(scope: Scope) -> tuple[object, ...]:
    """All that a request says."""
    return scope["method"], scope["raw_path"], scope["query_string"], scope["scheme"], *scope["headers"]
