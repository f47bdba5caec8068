"""Which handler answers at one of demur's own addresses, and what is checked before it runs.

- A request that changes something has to come from the site itself; that is checked first.
- A page about a person asks for the person, by the same decision as anything else.
- Nothing here is interpreted before that: the body is read last.
- The files of the browser client are the same for everybody: nobody is looked up for those.
- Every refusal is noted under the reference that it shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from demur.core import decide, embedded, fields, respond, sessions
from demur.core.model import Absent, Access, Details, Live, Refuse, Requirement, Response, StoreUnavailable
from demur.core.reasons import Reason
from demur.core.site import Cors
from demur.guard import Checked, new_reference
from demur.pages import client, forms, published, resource
from demur.pages.visit import Visit
from demur.signin.patience import Clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from demur.core.model import Evidence, Request
    from demur.core.ports import Renderer
    from demur.core.site import Site
    from demur.guard import Guard
    from demur.pages.visit import Handler

LONGEST_BODY = 64 * 1024
"""Bytes that a page reads; nobody's name and password are longer."""
_SENT = ("content-type", "demur-background", "demur-subject")


@dataclass(frozen=True, slots=True)
class Route:
    """An address and who answers there. `access` says whether somebody has to be signed in; for an open one nobody is
    looked up. A `background` one is asked by scripts and says nothing of the person's activity. What it answers is
    `readable` for origins that the site lists (a refusal always is). `shared` is for the site's relatives: their forms
    and scripts may send here, and read.
    """

    get: Handler | None = None
    post: Handler | None = None
    access: Access = Access.OPTIONAL
    background: bool = False
    readable: bool = False
    shared: bool = False


CLIENT: Final = {name: Route(client.show, access=Access.OPEN) for name in client.ADDRESSES}
"""The routes of the browser client, which every site has."""


class Pages:
    """The pages of one site: those of `routes`, and the browser client."""

    def __init__(self, guard: Guard, renderer: Renderer, routes: Mapping[str, Route], *, idle: int = 0) -> None:
        self._guard = guard
        self._renderer = renderer
        self._routes = {**CLIENT, **routes}
        self._prefix = guard.site.prefix.encode("ascii") + b"/"
        self._idle = idle

    def serves(self, request: Request) -> bool:
        """Whether a request is for one of these pages and not for the site. Its target has to be plain."""
        site = self._guard.site
        own = request.target.startswith(self._prefix)
        return own or resource.serves(site, request) or published.serves(site, request)

    async def answer(self, request: Request, read: Callable[[int], Awaitable[bytes | None]]) -> Response:
        """The answer. `read` gives the whole body, or None if it is longer than the bytes it is asked for."""
        if resource.serves(self._guard.site, request):
            return resource.answer(self._guard.site, request)
        if published.serves(self._guard.site, request):
            return published.answer(self._guard.site, request)
        now, reference = int(self._guard.clock()), new_reference()
        route = self._routes.get(self._name(request))
        if route is None:
            return self._note(self._guard.site, request, Refuse(Reason.NOT_FOUND), Absent(), reference, now)
        site = _as_read_by(self._guard.site, route, request)
        if decide.is_preflight(request):
            return respond.preflight(site, request)
        answer = await self._answer(site, route, request, read, reference, now)
        if not route.readable and not _is_shared(site, route):
            return answer
        return replace(answer, fields=respond.cross_origin(answer.fields, site.cors, request))

    async def _answer(
        self,
        site: Site,
        route: Route,
        request: Request,
        read: Callable[[int], Awaitable[bytes | None]],
        reference: str,
        now: int,
    ) -> Response:
        handler = route.post if request.method == "POST" else route.get if request.method in {"GET", "HEAD"} else None
        if handler is None:
            return _not_allowed(route)
        if request.method == "POST" and _is_foreign(site, route, request):
            return self._note(site, request, Refuse(Reason.CROSS_SITE_REFUSED), Absent(), reference, now)
        begun, body = False, None
        patience = Clock()
        try:
            evidence = Absent() if route.access is Access.OPEN else await self._guard.identify(request)
            refused = self._decide(route, request, evidence, now)
            if refused is not None:
                return self._note(site, request, refused, evidence, reference, now)
            with patience.stopped():
                body = await read(LONGEST_BODY) if request.method == "POST" else b""
            if body is None:
                refused = Refuse(Reason.REQUEST_MALFORMED, Details(detail="This form takes at most 64 kB."))
                return self._note(site, request, refused, evidence, reference, now)

            def refuse(said: respond.Refusal) -> Response:
                return self._say(said, evidence, now)

            alive, begun = _alive(evidence, now), True
            return await patience.spend(handler(Visit(request, site, evidence, alive, body, now, reference, refuse)))
        except StoreUnavailable as down:
            name = site.cookie.name.encode("ascii")
            # The usual words are for somebody with a session, which is kept.
            detail = None if fields.cookie_values(request.values(b"cookie"), name) else "We cannot do this right now."
            refused = Refuse(Reason.UNAVAILABLE, Details(retry_after=down.retry_after, detail=detail))
            # What a handler had begun may be half done, so nobody is told that nothing was processed.
            said = respond.Refusal(site, request, refused, reference, before=not begun, idle=self._idle)
            if request.method == "POST" and embedded.asked(site, request) is not None:
                typed = forms.typed(request, await read(LONGEST_BODY) if body is None else body)
                said = replace(said, username=typed)
            return self._say(said, Absent(), now, down.cause)

    def _name(self, request: Request) -> str:
        name = request.path[len(self._prefix) :].decode("latin-1")
        head, slash, _ = name.rpartition("/")
        return f"{head}/*" if slash and f"{head}/*" in self._routes else name

    def _decide(self, route: Route, request: Request, evidence: Evidence, now: int) -> Refuse | None:
        if route.access is Access.OPEN:
            return None
        asked = Requirement(route.access, "demur's own page", keeps_alive=not route.background)
        decision = decide.decide(self._guard.site, request, asked, evidence, now)
        if isinstance(decision, Refuse):
            return decision
        if route.access is Access.REQUIRED:
            self._guard.seen(decision)
        return None

    def _note(
        self, site: Site, request: Request, refuse: Refuse, evidence: Evidence, reference: str, now: int
    ) -> Response:
        """A refusal that came before any handler."""
        said = respond.Refusal(site, request, refuse, reference, idle=self._idle)
        return self._say(said, evidence, now)

    def _say(self, said: respond.Refusal, evidence: Evidence, now: int, error: str = "") -> Response:
        rule = Requirement(Access.REQUIRED, "demur's own page")
        self._guard.note(Checked(said.refuse, rule, evidence, said.reference, now), said.request, error=error)
        return respond.refuse(said, self._renderer)


def _alive(evidence: Evidence, now: int) -> Live | None:
    if not isinstance(evidence, Live) or evidence.subject.suspended or sessions.ended(evidence.session, now):
        return None
    return evidence


def _as_read_by(site: Site, route: Route, request: Request) -> Site:
    """The site with the origins that may read an answer of this route, and with what they may send."""
    origin = _origin(request)
    friends = set(site.cors.origins)
    if _is_shared(site, route):
        friends.update(site.relatives)
        if site.is_related(origin):
            friends.add(origin)
    if not friends:
        return site
    methods = (*(("GET", "HEAD") if route.get else ()), *(("POST",) if route.post else ()))
    headers = tuple(dict.fromkeys((*(name.lower() for name in site.cors.headers), *_SENT)))
    credentials = site.cors.credentials or site.is_related(origin)
    return replace(site, cors=Cors(frozenset(friends), methods, headers, credentials, site.cors.max_age))


def _is_foreign(site: Site, route: Route, request: Request) -> bool:
    """Whether a request that changes something may come from elsewhere than the site itself, or, where people of many
    sites sign in, than one of those. Who may only read the site's answers may not change anything here."""
    if not fields.cross_site(request, site.origin_of(request)):
        return False
    return not (_is_shared(site, route) and site.is_related(_origin(request)))


def _is_shared(site: Site, route: Route) -> bool:
    """Whether this is where the pages of several sites send people."""
    return route.shared and bool(site.relatives) and not site.sign_in_origin


def _origin(request: Request) -> str:
    """The one `Origin` of a request; "" if there is none or several."""
    values = request.values(b"origin")
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _not_allowed(route: Route) -> Response:
    """ "The origin server MUST generate an Allow header field in a 405 response" (RFC 9110, 15.5.6)."""
    allowed = ", ".join((*(("GET", "HEAD") if route.get else ()), *(("POST",) if route.post else ())))
    body = f"Only {allowed} can be used here.\n".encode("ascii")
    return respond.plain(405, body, (b"allow", allowed.encode("ascii")))
