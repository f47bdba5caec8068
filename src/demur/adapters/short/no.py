"""A refusal that is said again.

Who sends the same without credentials is told the same, but for the reference, so all the rest is made once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from demur.adapters.short.passed import LeftToTheView
from demur.adapters.short.ways import Ways, bare, room
from demur.core.model import Absent, Refuse
from demur.core.ports import Decided
from demur.core.reasons import REASONS, Reason
from demur.guard import new_reference
from demur.observe.reference import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.adapters.surface import Surface
    from demur.core.marks import Mark
    from demur.core.model import Fields, Request
    from demur.guard import Checked

_LONGEST = 2048
"""Bytes of a request that is remembered."""
_NEVER = (b"upgrade", b"transfer-encoding", b"content-length", b"expect")


@dataclass(frozen=True, slots=True)
class No:
    """What is the same each time (for the log: `core.ports.Common`). `parts` are those of the body, with the reference
    between them."""

    origin: str
    request: Request
    rule: str
    reason: Reason
    status: int
    fields: Fields
    parts: tuple[bytes, ...]
    checked: Checked = field(compare=False)
    found: tuple[Mark, ...] | None
    """The marks of the view at which it was said. They are kept, so that no other ones can have their place."""

    outcome: ClassVar[str] = "refuse"

    # In the log's table two of them are the same only if they are one: there is one for each request that is known.
    __hash__ = object.__hash__

    def decided(self, at: float, number: int, subject: str | None, seconds: float) -> Decided:
        """One of them."""
        said = self.outcome, self.status, self.reason, self.rule
        return Decided(at, named(number), self.origin, self.request, *said, subject, seconds)

    def body(self, reference: str) -> bytes:
        """The body, with a reference."""
        return reference.encode().join(self.parts)


class Noes(Ways):
    """The ways of one surface, with what was refused there."""

    def __init__(self, surface: Surface) -> None:
        super().__init__(surface)
        self._noes: dict[tuple[object, ...], No] = {}
        self._refused: set[int] = set()

    def said(self, came: Any) -> tuple[object, ...]:  # noqa: ANN401 - each protocol has its own
        """All that a request says. A server of an unusual make may be met with `TypeError` or `KeyError`."""
        raise NotImplementedError

    def known_no(self, came: Any, found: tuple[Mark, ...] | None = None) -> No | None:  # noqa: ANN401 - as above
        """What the same request was told a moment ago, at once or at the view of these marks."""
        try:
            return self._noes.get((self.said(came), id(found))) if self._noes else None
        except (TypeError, KeyError):
            return None

    def say_no(self, no: No, read: Callable[[], Request], at: float, seconds: float, number: int) -> None:
        """It is said again; for the log and the metrics."""
        if self._gathered is not None:
            self._gathered.note((no, at, number, None, seconds))
        if self._others is not None:
            checked = replace(no.checked, reference=named(number), now=int(at))
            self._others.decided(self._guard.told(checked, read(), at=at, seconds=seconds))

    def refuse_again(self, passed: LeftToTheView, found: tuple[Mark, ...]) -> bool:
        """Whether somebody without credentials is refused at a view because they were before; then it is judged, and
        noted."""
        no = self.known_no(passed.came(), found)
        if no is None:
            return False
        passed.refused, passed.refusing = cast("Refuse", no.checked.decision), no
        self.say_no(no, passed._read, self._guard.clock(), 0.0, passed.number)  # noqa: SLF001 - one family
        return True

    def learn_no_at_view(self, passed: object) -> No | None:
        """Somebody was refused where the framework had found the view."""
        if not isinstance(passed, LeftToTheView) or passed.key is not None or passed.refusing is not None:
            return None
        if not passed.found:
            return None
        if passed.refused is not passed.checked.decision or passed.overdue:
            return None
        return self.learn_no(passed.came(), passed.request, passed.checked, passed.found)

    def learn_no(
        self,
        came: Any,  # noqa: ANN401 - as above
        request: Request,
        checked: Checked,
        found: tuple[Mark, ...] | None = None,
    ) -> No | None:
        """Somebody without credentials was told to sign in, at once or at the view that has those marks. The reference
        has to be all that differs when that is said twice."""
        plan, refuse = checked.plan, checked.decision
        if not self._works or plan is None or len(plan.matches) != 1 or plan.left or plan.pretends:
            return None
        if not isinstance(refuse, Refuse) or refuse.reason is not Reason.SIGN_IN_REQUIRED:
            return None
        if checked.requirement.conceal or checked.presented.scheme is not None:
            return None
        if not isinstance(checked.evidence, Absent) or request.method not in {"GET", "HEAD"}:
            return None
        if any(request.value(name) for name in _NEVER) or len(request.target) + _size(request) > _LONGEST:
            return None
        try:
            asked = self.said(came), id(found)
            hash(asked)
        except (TypeError, KeyError):
            return None
        if hash(asked) not in self._refused:
            # Most come once: it is not worth more than this until one comes again.
            room(self._refused).add(hash(asked))
            return None
        no = self._no(checked, request, found)
        if no is None or no != self._no(replace(checked, reference=new_reference()), request, found):
            return None
        room(self._noes)[asked] = no
        return no

    def _no(self, checked: Checked, request: Request, found: tuple[Mark, ...] | None) -> No | None:
        """A refusal without its reference; None if that is not in its body alone."""
        response, reference = self.surface.refusal(checked, request), checked.reference.encode()
        parts = tuple(response.body.split(reference))
        if len(parts) < 2 or any(reference in value or name == b"set-cookie" for name, value in response.fields):
            return None
        rule, reason = checked.requirement.rule, cast("Refuse", checked.decision).reason
        status, origin = REASONS[reason].status, self.surface.site.origin
        return No(origin, bare(request), rule, reason, status, response.fields, parts, checked, found)


def _size(request: Request) -> int:
    return sum(len(name) + len(value) for name, value in request.fields)
