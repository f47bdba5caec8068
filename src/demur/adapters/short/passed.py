"""Requests on the short way. Whatever somebody may ask about one is made when they ask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from demur.adapters.passed import Passed
from demur.core.model import Absent, Allow, Left
from demur.guard import Checked, new_number
from demur.observe import reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.adapters.short.no import No, Noes
    from demur.adapters.short.ways import Way
    from demur.core.marks import Mark
    from demur.core.model import Evidence, Request
    from demur.guard import Brief, Known

NOBODY = Allow()


class ShortPassed(Passed):
    """`Passed`, of which everything is made when somebody asks for it. A protocol says how: `inner` is what its app
    sees, and `_read` the request that was judged, out of `scope`, what the server gave."""

    __slots__ = (
        "_checked",
        "_known",
        "_native",
        "_request",
        "brief",
        "given",
        "now",
        "number",
        "scope",
        "way",
        "ways",
    )

    now: int
    brief: Brief | None
    """What the answer says of the session; None if the yes is to nobody in particular."""
    given: bool
    """Whether it came with a yes, and nothing else was decided at the view."""

    def __init__(self, ways: Noes, scope: Any, way: Way, known: Known | None, now: int) -> None:  # noqa: ANN401
        self.ways = ways
        self.surface = ways.surface
        self.refused = None
        self.answer = None
        self.overdue = False
        self.scope = scope
        self.way = way
        self._known = known
        self.now = now
        self.brief = None if known is None else known.brief()
        self._allow = None
        self.given = True
        self._checked: Checked | None = None
        self._request: Request | None = None
        self._native: object = None
        self.number = new_number()

    def inner(self) -> Any:  # noqa: ANN401 - each protocol has its own
        """What the app sees."""
        raise NotImplementedError

    def _read(self) -> Request:
        raise NotImplementedError

    @property
    def reference(self) -> str:
        """The UUID that names this request in the log."""
        return reference.named(self.number)

    @property
    def native(self) -> Any:  # noqa: ANN401 - each framework has its own
        """What the app sees, if nobody has said anything else. It is made anew: that it held us and we held it would be
        work for the collector."""
        return self.inner() if self._native is None else self._native

    @native.setter
    def native(self, native: object) -> None:
        self._native = native

    @property
    def checked(self) -> Checked:
        """What was decided."""
        if self._checked is None:
            way, known = self.way, self._known
            evidence: Evidence = Absent() if known is None else known.live
            allow = NOBODY if known is None else known.open()[1]
            presented, plan = way.plan.presented, way.plan
            self._checked = Checked(allow, way.requirement, evidence, self.reference, self.now, presented, plan)
        return self._checked

    @checked.setter
    def checked(self, checked: Checked) -> None:
        self._checked, self.given = checked, False

    @property
    def allow(self) -> Allow:
        """The yes, with the person; nobody in particular as long as it is left open."""
        if not self.given:
            return super().allow
        return NOBODY if self._known is None else self._known.allow

    @property
    def request(self) -> Request:  # type: ignore[override]
        """The request that was judged."""
        if self._request is None:
            self._request = self._read()
        return self._request

    def judged_as(self, way: Way, known: Known | None) -> None:
        """The view has been judged, as it was before."""
        self.way, self._known, self._checked, self.given = way, known, None, True
        self.brief = None if known is None else known.brief()

    def recalled(self, found: Sequence[Mark]) -> bool:
        """Whether a view asked for more than the rule that said yes, was judged before, and what was decided still
        holds: then it is decided."""
        known = self._known
        if not found or known is None or not self.given:
            return False
        return self.ways.recall(self, known.key, tuple(found))

    def remember(self, found: Sequence[Mark]) -> None:
        """The view has been judged, on the long way."""
        if found and self._known is not None:
            self.ways.remember(self, tuple(found))


class LeftToTheView(ShortPassed):
    """A request that is left to the view: no more is known than whose cookie it is, until that has been judged. `key`
    is that of their session, None for nobody, `found` are the marks of the view, and `refusing` says how it is refused
    there as it was before."""

    __slots__ = ("found", "key", "refusing")
    refusing: No | None

    def __init__(self, ways: Noes, scope: Any, way: Way, now: int, key: bytes | None) -> None:  # noqa: ANN401
        # Made for every request: by name, and not by `super()` or with keywords, for each of which an object is made.
        ShortPassed.__init__(self, ways, scope, way, None, now)
        self.given = False
        self.key = key
        self.found: tuple[Mark, ...] = ()
        self.refusing = None

    def came(self) -> Any:  # noqa: ANN401 - each protocol has its own
        """What the server said of it, before anything was taken from that."""
        raise NotImplementedError

    @property
    def checked(self) -> Checked:
        """What was decided."""
        if self._checked is None and self.refusing is not None:
            self._checked = replace(self.refusing.checked, reference=self.reference, now=self.now)
        elif self._checked is None and not self.given:
            way, presented = self.way, self.way.plan.presented
            self._checked = Checked(Left(), way.requirement, Absent(), self.reference, self.now, presented, way.plan)
        return super().checked

    @checked.setter
    def checked(self, checked: Checked) -> None:
        self._checked, self.given = checked, False

    @property
    def left(self) -> bool:
        """Whether it is still to be judged."""
        if self.given or self.refusing is not None:
            return False
        return self._checked is None or isinstance(self._checked.decision, Left)

    def recalled(self, found: Sequence[Mark]) -> bool:
        """Whether the view was judged before and what was decided still holds: then it is decided."""
        self.found = tuple(found)
        # What is said without a mark depends on whether there is a view at all.
        if not found or not self.left:
            return False
        if self.key is None and self.ways.refuse_again(self, self.found):
            return True
        return self.ways.recall(self, self.key, self.found)

    def remember(self, found: Sequence[Mark]) -> None:
        """The view has been judged, on the long way."""
        if found:
            self.ways.remember(self, tuple(found))
