"""One request at the app: what was decided about it, and what is left to decide.

An app finds it at `scope["demur"]`, `environ["demur.passed"]`, or where its framework keeps such things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from demur.core.marks import require as mark
from demur.core.model import Allow, Left, Refuse, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demur.adapters.surface import Surface
    from demur.core.marks import Mark
    from demur.core.model import Request, Response, Session, Subject
    from demur.core.site import Site
    from demur.guard import Checked


class Asked(TypedDict, total=False):
    """What else can be asked for: see `demur.require`."""

    groups: Iterable[str]
    all_groups: Iterable[str]
    fresh: int | str | None
    strength: str | Sequence[str] | None
    form: str | None


class Passed:
    """What the app behind us may know of a request. `request` is the one that was judged, `reference` names it in the
    log, and `refused` says why it may not go on, once somebody has said so."""

    __slots__ = ("_allow", "answer", "checked", "native", "overdue", "refused", "request", "surface")

    given = False
    """Whether it is known by heart: see `adapters.short`."""

    def __init__(self, surface: Surface, checked: Checked, request: Request, *, allow: Allow | None = None) -> None:
        self.surface = surface
        self.checked = checked
        self.request = request
        self.refused: Refuse | None = None
        self.answer: Response | None = None
        self.native: Any = None
        self.overdue = False
        self._allow = allow

    @property
    def allow(self) -> Allow:
        """The yes, with the person; nobody in particular as long as it is left open."""
        if self._allow is not None:
            return self._allow
        decision = self.checked.decision
        return decision if isinstance(decision, Allow) else Allow()

    @property
    def subject(self) -> Subject | None:
        """Who it is; None for nobody in particular."""
        return self.allow.subject

    @property
    def session(self) -> Session | None:
        """Their session."""
        return self.allow.session

    @property
    def assertion(self) -> str:
        """Who it is, signed, to be sent along to further services; "" for nobody in particular, and where the site has
        no assertions."""
        allow, request = self.allow, self.request
        if self.site.assertions is None or allow.subject is None:
            return ""
        origin, now = self.site.origin_of(request), int(self.surface.guard.clock())
        return self.site.assertions.of(allow.subject, allow.session, origin, now).decode("ascii")

    @property
    def reference(self) -> str:
        """The UUID that names this request in the log."""
        return self.checked.reference

    @property
    def site(self) -> Site:
        """The site that it is for."""
        return self.surface.site

    @property
    def left(self) -> bool:
        """Whether it is still to be judged, by the marks of its view or by who the app says it is."""
        return isinstance(self.checked.decision, Left)

    def judged(self, checked: Checked) -> None:
        """Note what was decided before the view has run."""
        self.checked = checked
        if isinstance(checked.decision, Refuse):
            self.refused = checked.decision

    def settled(self, found: Sequence[Mark]) -> bool:
        """Whether nothing is left to judge at a view with these marks: it has none and a rule has said yes, or it was
        judged before. Then `refused` says what becomes of it."""
        return self.recalled(found) or (not found and self.given)

    def recalled(self, found: Sequence[Mark]) -> bool:
        """Whether the view was judged before, in a way that lets it be opened now: see `adapters.asgi.short`."""
        return False

    def remember(self, found: Sequence[Mark]) -> None:
        """The view has been judged, and may be opened."""

    async def arequire(self, permission: str | None = None, **more: Unpack[Asked]) -> Subject:
        """Ask for this here, in the middle of a view, as `demur.require` does beside one. Raises Refused, which the
        surface answers."""
        asked = self.surface.asked((mark(permission, **more),))
        who = self.surface.who(self.native)
        return self._go_on(await self.surface.guard.ajudge(self.checked, self.request, asked, who=who))

    def require(self, permission: str | None = None, **more: Unpack[Asked]) -> Subject:
        """The same in a surface without an event loop."""
        asked = self.surface.asked((mark(permission, **more),))
        who = self.surface.who(self.native)
        return self._go_on(self.surface.guard.judge(self.checked, self.request, asked, who=who))

    def _go_on(self, checked: Checked) -> Subject:
        if isinstance(checked.decision, Refuse):
            raise Refused(checked.decision.reason, decision=checked.decision)
        self.checked = checked
        subject = self.subject
        assert subject is not None  # noqa: S101 - a mark of `require` lets nobody in who is nobody
        return subject
