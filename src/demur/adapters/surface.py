"""What all adapters share: the way of one request, in the words of no protocol and no framework.

    enter   ->  the app's own routing  ->  judge  ->  the view  ->  leave
    rules       finds the view             marks      answers       dressed, or refused

- An adapter translates; what is decided is decided by the guard.
- What a rule leaves to the view is judged where the framework has found the view and has not read the body.
- What an app answers without having been judged, though it should have been, does not get out.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from demur.adapters.passed import Passed
from demur.core import credentials, decide, fields, foreign, identity, marks, respond
from demur.core.model import (
    Absent,
    Access,
    Allow,
    ConfigError,
    Details,
    Left,
    Preflight,
    Refuse,
    Refused,
    Requirement,
    Response,
)
from demur.core.reasons import Reason
from demur.core.site import COOKIES, covers
from demur.guard import Checked, new_reference

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from demur.core.marks import Mark
    from demur.core.model import Evidence, Fields, Request
    from demur.core.ports import People, Renderer
    from demur.core.site import Permits, Site
    from demur.guard import Guard, Who
    from demur.pages.router import Pages
    from demur.signin.kept import KeptForms

_OVERRIDES = frozenset({b"x-http-method", b"x-http-method-override", b"x-method-override"})
_THEIR_LENGTHS = frozenset(map(len, _OVERRIDES))
RETRY_AFTER = 5
"""Seconds after which it is worth asking again."""
_log = logging.getLogger("demur")


class Surface:
    """One site before one app. `guard` decides, `pages` answers below the prefix, `renderer` gives refusals a look,
    `idle` is the inactivity limit in seconds, for them to state. `bridge` reads from the app's own login who somebody
    is. With `translates`, what the app refuses in its own way is turned right. `kept` keeps what somebody
    sends when their session is over, where the adapter can."""

    def __init__(
        self,
        guard: Guard,
        pages: Pages,
        renderer: Renderer,
        *,
        idle: int = 0,
        bridge: Callable[..., Evidence | Awaitable[Evidence]] | None = None,
        translates: bool = False,
        kept: KeptForms | None = None,
        people: People | None = None,
    ) -> None:
        self.guard = guard
        self.site: Site = guard.site
        self.pages = pages
        self.renderer = renderer
        self.idle = idle
        self.bridge = bridge
        self.kept = kept
        self._people = people
        self._translates = translates
        self.names = tuple(name.encode("ascii") for name in {*COOKIES, guard.site.cookie.name}) if not bridge else ()
        self.by_method = guard.site.by_method
        self._asked: dict[tuple[Mark, ...], tuple[Requirement, ...]] = {}

    # --- in -------------------------------------------------------------------------------------------

    async def aenter(self, request: Request, read: Callable[[int], Awaitable[bytes | None]]) -> Response | Passed:
        """What becomes of a request before the app sees it: a whole answer, or the way on. `read` gives the whole body,
        or None if it is longer than the bytes it is asked for; it is called for pages of ours only."""
        if (elsewhere := self.misplaced(request)) is not None:
            return elsewhere
        if self.pages.serves(request):
            return await self.pages.answer(request, read)
        return self.entered(await self.guard.acheck(request), request)

    def enter(self, request: Request, read: Callable[[int], bytes | None]) -> Response | Passed:
        """The same for a surface without an event loop, in whichever thread."""
        if (answered := self.before(request, read)) is not None:
            return answered
        return self.entered(self.guard.check(request), request)

    def before(self, request: Request, read: Callable[[int], bytes | None]) -> Response | None:
        """The answer to what is for no site of ours, or for a page of ours; None if it is for the app."""
        if (elsewhere := self.misplaced(request)) is not None:
            return elsewhere
        if self.pages.serves(request):
            return self.guard.portal.run(self.pages.answer(request, lambda most: asyncio.to_thread(read, most)))
        return None

    def entered(self, checked: Checked, request: Request) -> Response | Passed:
        """What was decided, as an answer or as the way on. What goes on may be asked for in place of what is concealed:
        the app gets the request of `Passed`, target and method."""
        decision = checked.decision
        if isinstance(decision, Refuse):
            if decision.reason is Reason.NOT_FOUND and checked.requirement.conceal:
                return self._concealed(checked, decision, request)
            return self.refusal(checked, request)
        if isinstance(decision, Preflight) and not decision.forward:
            return respond.preflight(self.site, request)
        return Passed(self, checked, request)

    def misplaced(self, request: Request) -> Response | None:
        """The answer to a request that is for no site of ours; None if it is for this one."""
        # The scheme is that of the connection, which may end at a proxy before us.
        if request.host and covers(self.site.origin, f"{self.site.origin.partition('://')[0]}://{request.host}"):
            return None
        return self.turned_away(unplaced(request), request, (self.site.origin,))

    def turned_away(self, refuse: Refuse, request: Request, origins: tuple[str, ...]) -> Response:
        """The refusal of what is for no site of ours, in the words of this one. `origins` are addresses to offer."""
        nowhere = Requirement(Access.REQUIRED, "(no site)")
        checked = Checked(refuse, nowhere, Absent(), new_reference(), int(self.guard.clock()))
        self.guard.note(checked, request)
        known = tuple(each for each in origins if each != "*")
        return respond.refuse(
            respond.Refusal(self.site, request, refuse, checked.reference, origins=known), self.renderer
        )

    def _concealed(self, checked: Checked, refuse: Refuse, request: Request) -> Passed:
        conceal = checked.requirement.conceal
        assert conceal is not None  # noqa: S101 - for the type checker
        ask = respond.ask_site(self.site.rules, request, conceal, refuse.details.beside or Allow(), unused())
        self.guard.seen(ask.allowed)
        # What would change something is not sent to a page that nobody asked for.
        method = request.method if request.method in {"GET", "HEAD"} else "GET"
        return self.beside(checked, ask.allowed, replace(request, target=ask.target, method=method))

    def beside(self, checked: Checked, allowed: Allow, there: Request) -> Passed:
        """What goes on in place of something concealed: judged as what is asked for there is."""
        plan = decide.plan(self.site, there)
        if not isinstance(plan, decide.Plan):
            return Passed(self, checked, there, allow=allowed)
        asked, left = plan.matches[0].requirement, plan.left or (self.bridge is not None and plan.looks)
        known = replace(checked, plan=plan, requirement=asked, decision=Left() if left else allowed)
        return Passed(self, known, there, allow=None if left else allowed)

    def incoming(self, lines: Fields, checked: Checked, request: Request) -> Fields:
        """The fields that the app sees: without our cookie, without an `Authorization` that was for us, and without a
        field that could pass for identity."""
        return tuple(
            (name, value)
            for name, value in (
                (name, fields.without_cookies(value, self.names) if name == b"cookie" else value)
                for name, value in lines
                if not self.keeps_out(name) and not (name == b"authorization" and self.consumed(checked, request))
            )
            if value or name != b"cookie"
        )

    def keeps_out(self, name: bytes) -> bool:
        """Whether a field of that name, in lower case, is not for the app: it could pass for identity, or by it some
        apps take another method than the one that was judged."""
        if identity.is_identity_field(name):
            return True
        return self.by_method and len(name) in _THEIR_LENGTHS and identity.plain(name) in _OVERRIDES

    def consumed(self, checked: Checked, request: Request) -> bool:
        """Whether `Authorization` was for us, so that the app must not get it. With a bridge it is the app's."""
        return self.bridge is None and credentials.consumed(request, checked.requirement.accepts)

    # --- at the view ----------------------------------------------------------------------------------

    async def ajudge(
        self,
        passed: Passed,
        found: Iterable[Mark],
        *,
        native: object = None,
        permits: Permits | None = None,
        closed: bool = True,
    ) -> bool:
        """Judge what is left, and the marks of the view, where the framework has found it and has not read the body.
        `native` is the framework's own request, for the bridge. False: answer anything, it does not get out."""
        found = tuple(found)
        if permits is None and passed.settled(found):
            return passed.refused is None
        asked = self.asked(found)
        if self._preflight(passed, asked):
            return passed.answer is None
        passed.judged(
            await self.guard.ajudge(
                passed.checked, passed.request, asked, who=self.who(native), permits=permits, closed=closed
            )
        )
        if passed.refused is not None:
            return False
        if permits is None:
            passed.remember(found)
        return True

    def judge(
        self,
        passed: Passed,
        found: Iterable[Mark],
        *,
        native: object = None,
        permits: Permits | None = None,
        closed: bool = True,
    ) -> bool:
        """The same for a surface without an event loop, in whichever thread."""
        asked = self.asked(found)
        if self._preflight(passed, asked):
            return passed.answer is None
        passed.judged(
            self.guard.judge(
                passed.checked, passed.request, asked, who=self.who(native), permits=permits, closed=closed
            )
        )
        return passed.refused is None

    def who(self, native: object) -> Who | None:
        """How the app is asked who somebody is, by the framework's own request; None if it keeps no login."""
        bridge = self.bridge
        return None if bridge is None else lambda: bridge(native)

    def asked(self, found: Iterable[Mark]) -> tuple[Requirement, ...]:
        """What marks ask for on this site. Raises ConfigError for a permission that nobody can hold."""
        key = tuple(found)
        asked = self._asked.get(key)
        if asked is None:
            asked = marks.resolve(key, self.site.rules, asked=self.site.permits is not None)
            if len(self._asked) < 10_000:
                self._asked[key] = asked
        return asked

    def _preflight(self, passed: Passed, asked: tuple[Requirement, ...]) -> bool:
        """Whether this is a preflight. One that gets as far as a view that is not open is answered by us: nobody is
        asked who they are, and nobody gets in."""
        if not isinstance(passed.checked.decision, Preflight):
            return False
        if not asked or any(each.access is not Access.OPEN for each in asked):
            passed.answer = respond.preflight(self.site, passed.request)
        return True

    def unmarked(self, routes: Mapping[str, Iterable[Mark]]) -> list[str]:
        """For a check at start: every route, by its path, with its marks; one line for each that nobody opened or
        marked. A path is judged by the rule that its first reading falls under, captures written as `x`."""
        return [path for path, found in routes.items() if not tuple(found) and self.requirement(path) == Access.MARKED]

    def requirement(self, path: str, found: Iterable[Mark] = ()) -> str:
        """What is asked for at a path and its view, in words, for a list of routes; "marked" if nobody said. A path may
        have its method before it."""
        method, _, path = path.rpartition(" ")
        rule = self.site.rules.match(method.partition(",")[0] or "GET", path.encode("ascii", "replace"))
        names = [mark.name.removeprefix("mark: ") for mark in found]
        if rule.requirement.access in {Access.MARKED, Access.APP}:
            return ", ".join(names) or rule.requirement.access.value
        return ", ".join((f"rule {rule.requirement.rule}", *names))

    # --- out ------------------------------------------------------------------------------------------

    def leave(self, passed: Passed, status: int, answered: Fields) -> Response | Fields:
        """What the app answered: the fields as they leave, or a whole answer in place of its own. Names in lower
        case."""
        if self._overdue(passed, status):
            self.judge(passed, (), native=passed.native, closed=_gives(status))
        if passed.answer is not None:
            return passed.answer
        refuse, error = self.refused(passed, status, answered)
        if refuse is not None:
            return self.late(passed, refuse, error)
        return self.leaving(answered, status, passed.allow, passed.checked.now, passed.request)

    async def aleave(self, passed: Passed, status: int, answered: Fields) -> Response | Fields:
        """The same for a surface with an event loop."""
        if self._overdue(passed, status):
            await self.ajudge(passed, (), native=passed.native, closed=_gives(status))
        return self.leave(passed, status, answered)

    def _overdue(self, passed: Passed, status: int) -> bool:
        """Whether something gives an answer, or says that there is none, that should have been judged before. There may
        be no view where a rule says who may come; but what is given without being judged is a fault."""
        if not passed.left or not (_gives(status) or status in (404, 405)):
            return False
        plan = passed.checked.plan
        asked = {match.requirement.access for match in plan.matches} if plan is not None else {Access.REQUIRED}
        if _gives(status) and asked & {Access.MARKED, Access.REQUIRED}:
            rule = passed.checked.requirement.rule
            _log.error("demur: what rule %s is about was answered and never judged. Is the adapter in its place?", rule)
            passed.overdue = True
            return True
        return Access.REQUIRED in asked

    def refused(self, passed: Passed, status: int, answered: Fields) -> tuple[Refuse | None, str]:
        """Whether an answer of the app is a refusal, by whomever, with what is for the log."""
        if passed.refused is not None:
            return passed.refused, ""
        said = [value for name, value in answered if name == b"demur-refuse"]
        if said:
            try:
                refuse = foreign.read_refuse(said)
            except ValueError as wrong:
                return Refuse(Reason.UPSTREAM_UNREACHABLE), str(wrong)
            return replace(refuse, details=replace(refuse.details, subject=passed.allow.subject)), ""
        if self._translates and not isinstance(passed.checked.decision, Preflight):
            return self._meant(passed, status, answered)
        return None, ""

    def _meant(self, passed: Passed, status: int, answered: Fields) -> tuple[Refuse | None, str]:
        checked = passed.checked
        if checked.requirement.access is Access.OPEN:
            return None, ""  # a login that is no page says 401, too, and what it says is its own affair
        evidence = None if passed.left or checked.blind else checked.evidence
        refuse = foreign.read_answer(
            self.site, passed.request, status, answered, evidence, checked.presented, checked.now
        )
        if refuse is not None and checked.blind:
            return Refuse(Reason.UNAVAILABLE, Details(retry_after=RETRY_AFTER)), "nobody could be asked who it is"
        return refuse, ""

    def late(self, passed: Passed, refuse: Refuse, error: str = "") -> Response:
        """A refusal after the request was passed on. What was decided before the view ran says so."""
        before = refuse is passed.refused and not passed.overdue
        if refuse is not passed.refused:
            self.guard.note(replace(passed.checked, decision=refuse), passed.request, error=error)
        return self.refusal(passed.checked, passed.request, refuse, before=before)

    def raised(self, passed: Passed, error: BaseException) -> Response | None:
        """The answer to what the app raised before it had answered; None if that is none of our affair."""
        if not isinstance(error, Refused):
            return None
        if passed.answer is not None:
            return passed.answer
        said = error.decision or Refuse(error.reason, Details(subject=passed.allow.subject, detail=error.detail))
        return self.late(passed, said)

    def refusal(
        self, checked: Checked, request: Request, refuse: Refuse | None = None, *, before: bool | None = None
    ) -> Response:
        """A refusal in words."""
        return respond.refuse(self.said(checked, request, refuse, before=before), self.renderer)

    def said(
        self, checked: Checked, request: Request, refuse: Refuse | None = None, *, before: bool | None = None
    ) -> respond.Refusal:
        """A refusal with all that its words depend on. Only what the guard itself decided came before the app."""
        said = refuse or checked.decision
        assert isinstance(said, Refuse)  # noqa: S101 - for the type checker
        return respond.Refusal(
            self.site,
            request,
            said,
            checked.reference,
            before=refuse is None if before is None else before,
            form=checked.requirement.form,
            idle=self.idle,
            presented=checked.presented,
        )

    def leaving(self, answered: Fields, status: int, allow: Allow, now: int, request: Request) -> Fields:
        """The fields of the app's answer as they leave: none of them sets our cookie, and a page that is not there
        looks like one that is concealed, caches included."""
        kept = tuple(
            (name, value)
            for name, value in answered
            if name != b"set-cookie" or not fields.sets_cookie(value, self.names)
        )
        if status == 101:
            return kept
        lines = respond.cross_origin(respond.dress(kept, allow, now), self.site.cors, request)
        if status == 404 and self.site.rules.conceals:
            # "404 is heuristically cacheable" (RFC 9110, 15.1), and what is concealed from one is there for another.
            uncached = (line for line in lines if line[0] != b"cache-control")
            return (*uncached, (b"cache-control", b"no-store"))
        return lines

    async def aclose(self) -> None:
        """Write what is still to be written, and let go of the store and of demur's own people."""
        await self.guard.aclose()
        if (aclose := getattr(self._people, "aclose", None)) is not None:
            await aclose()
        await self.guard.store.aclose()


def _gives(status: int) -> bool:
    """Whether an answer gives what was asked for: a WebSocket too."""
    return 200 <= status < 300 or status == 101


def unplaced(request: Request) -> Refuse:
    """Why a request is for no site. "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request
    message that lacks a Host header field and to any request message that contains more than one Host header field line
    or a Host header field with an invalid field value" (RFC 9112, 3.2)."""
    if request.host:
        return Refuse(Reason.HOST_UNKNOWN)
    return Refuse(Reason.REQUEST_MALFORMED, Details(detail="A request names exactly one host, and this one does not."))


def unused() -> str:
    """A name that no page has. It has to be different each time and is no secret (see `guard.new_reference`)."""
    return f"{random.getrandbits(64):016x}"


def check_routes(surface: Surface, routes: Mapping[str, Iterable[Mark]]) -> None:
    """Raises ConfigError that names every route which nobody opened or marked, and each permission that nobody can
    hold."""
    for found in routes.values():
        surface.asked(found)
    if missing := surface.unmarked(routes):
        message = f"Nobody says who may open {', '.join(missing)}."
        fix = "Mark each view, @demur.public or @demur.require(), or open its path by a rule."
        raise ConfigError(message, place="routes", fix=fix)
