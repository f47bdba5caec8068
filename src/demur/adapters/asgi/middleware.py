"""Every request is checked before the app sees it; what the app sees was judged, byte for byte.

Without our cookie, that is, and without a field that could pass for identity.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from demur.adapters.asgi import streams, wire
from demur.adapters.asgi.keeping import Again, Keeping
from demur.adapters.asgi.leaving import Exit
from demur.adapters.asgi.watch import Watch
from demur.core import credentials, fields, identity, respond
from demur.core.model import (
    Absent,
    Access,
    Allow,
    Details,
    Preflight,
    Refuse,
    Refused,
    Request,
    Requirement,
    Response,
    StoreUnavailable,
    UpstreamFailure,
)
from demur.core.reasons import Reason
from demur.core.site import COOKIES, covers
from demur.guard import Checked, new_reference

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from demur.adapters.asgi.wire import App, Receive, Scope, Send
    from demur.core.model import AskSite, Fields
    from demur.core.ports import Renderer
    from demur.core.site import Site
    from demur.guard import Guard
    from demur.pages.router import Pages
    from demur.signin.kept import KeptForms

_CREDENTIALS = frozenset((b"cookie", b"authorization"))
_ABOUT_A_BODY = frozenset((b"content-length", b"transfer-encoding", b"content-type", b"expect"))


@dataclass(frozen=True, slots=True)
class Passed:
    """What the app behind us may know of a request, at `scope["demur"]`."""

    allow: Allow
    request: Request
    reference: str
    site: Site


class Demur:
    """Stands before an ASGI app. `guard` decides, `pages` answers below the prefix, `renderer` gives refusals a look,
    and `idle` is the inactivity limit in seconds, for them to state. `kept` keeps what somebody sends when their
    session is over, for `pages.kept` to offer."""

    def __init__(
        self,
        app: App,
        guard: Guard,
        pages: Pages,
        renderer: Renderer,
        *,
        idle: int = 0,
        kept: KeptForms | None = None,
    ) -> None:
        self._app = app
        self.guard = guard
        self._pages = pages
        self._renderer = renderer
        self._idle = idle
        self.site = guard.site
        self.watch = Watch(guard)
        self._keeping = Keeping(guard.site, kept) if kept is not None else None
        self._names = tuple(name.encode("ascii") for name in {*COOKIES, guard.site.cookie.name})
        self._by_method = guard.site.by_method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection of type http or websocket; anything else is the app's own."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request = wire.read(scope)
        # The scheme is that of the connection, which may end at a proxy before us.
        if covers(self.site.origin, f"{self.site.origin.partition('://')[0]}://{request.host}"):
            await self.handle(request, scope, receive, send)
            return
        await self.turn_away(wire.unplaced(request), request, scope, receive, send, origins=(self.site.origin,))

    async def turn_away(
        self, refuse: Refuse, request: Request, scope: Scope, receive: Receive, send: Send, *, origins: tuple[str, ...]
    ) -> None:
        """Refuse what is for no site of ours, in the words of this one. `origins` are the addresses to offer."""
        nowhere = Requirement(Access.REQUIRED, "(no site)")
        checked = Checked(refuse, nowhere, Absent(), new_reference(), int(self.guard.clock()))
        self.guard.note(checked, request)
        said = respond.Refusal(self.site, request, refuse, checked.reference, origins=origins)
        await wire.answer(respond.refuse(said, self._renderer), request, scope, receive, send)

    async def handle(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request that is known to be for this site."""
        if self._pages.serves(request):
            await self._own(request, scope, receive, send)
            return
        await self.answer(await self.guard.acheck(request), request, scope, receive, send)

    async def answer(self, checked: Checked, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Do what was decided about a request of this site."""
        decision = checked.decision
        if isinstance(decision, Allow):
            if self._keeping is not None and self._keeping.may_be_sending(request):
                await self._send_kept(self._keeping, checked, decision, request, scope, receive, send)
            else:
                await self._pass(checked, decision, request, scope, receive, send)
        elif isinstance(decision, Preflight):
            await self._preflight(checked, decision, request, scope, receive, send)
        elif decision.reason is Reason.NOT_FOUND and checked.requirement.conceal:
            await self._conceal(checked, decision, request, scope, receive, send)
        else:
            await self._refuse(checked, request, scope, receive, send)

    async def _own(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """One of our own pages, which may have read the body or left it."""
        upload = wire.Upload(receive)
        response = await self._pages.answer(request, lambda most: wire.body(upload.receive, most))
        await wire.answer(response, request, scope, receive, send, drain=not upload.ended)

    async def _refuse(self, checked: Checked, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Say no, and, if what came along is kept, that too."""
        upload = wire.Upload(receive)
        kept = await self._keeping.keep(checked, request, upload) if self._keeping else None
        response = respond.refuse(
            replace(self._said(checked, request, None), next=kept, kept=bool(kept)), self._renderer
        )
        await wire.answer(response, request, scope, receive, send, drain=not upload.ended)

    def _refusal(self, checked: Checked, request: Request, refuse: Refuse | None = None) -> Response:
        """The refusal in words."""
        return respond.refuse(self._said(checked, request, refuse), self._renderer)

    def _said(self, checked: Checked, request: Request, refuse: Refuse | None) -> respond.Refusal:
        """The refusal with all that its words depend on. Only what the guard itself decided came before the app."""
        said = refuse or checked.decision
        assert isinstance(said, Refuse)  # noqa: S101 - for the type checker
        return respond.Refusal(
            self.site,
            request,
            said,
            checked.reference,
            before=refuse is None,
            form=checked.requirement.form,
            idle=self._idle,
            presented=checked.presented,
        )

    # --- a yes ----------------------------------------------------------------------------------------

    async def _send_kept(
        self,
        keeping: Keeping,
        checked: Checked,
        allow: Allow,
        request: Request,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Its person may have said to send what is kept: then that goes on in the place of what they said."""
        try:
            again = await keeping.again(checked, request, scope, receive)
        except StoreUnavailable as down:
            refuse = Refuse(Reason.UNAVAILABLE, Details(retry_after=down.retry_after))
            self.note(checked, request, refuse, down.cause)
            response = self._refusal(replace(checked, decision=refuse), request)
            await wire.answer(response, request, scope, receive, send, drain=False)
            return
        if isinstance(again, Response):
            await wire.answer(again, request, scope, receive, send, drain=False)
        elif isinstance(again, Again):
            lost = partial(keeping.give_back, again, checked.now)
            await self._pass(checked, allow, again.request, again.scope, again.receive, send, lost)
        elif again is not None:
            await self._pass(checked, allow, request, scope, again, send)

    async def _pass(
        self,
        checked: Checked,
        allow: Allow,
        request: Request,
        scope: Scope,
        receive: Receive,
        send: Send,
        lost: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Let the app have it. `lost` is for when nobody knows whether it got there."""
        if beside := checked.requirement.beside:
            # What is done for a page beside this one, if that is concealed, is done for this one too.
            respond.ask_site(self.site.rules, request, beside, allow, _unused())
            scope, request = _at(request.target, scope), replace(request, target=request.target)
        inner = self._inner(scope, allow, request, checked)
        await self._through(inner, receive, Exit(self, checked, allow, request, scope, receive, send), lost)

    async def _through(
        self, inner: Scope, receive: Receive, exit_: Exit, lost: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Let the app answer; what it raises before it has begun is answered in its place."""
        try:
            await self._app(inner, exit_.receiving(receive), exit_.send)
        except UpstreamFailure as failure:
            if exit_.started:
                raise
            if lost is not None:
                await lost()
            await exit_.refuse(Refuse(failure.reason), failure.cause)
        except Refused as refused:
            if exit_.started:
                raise
            details = Details(subject=exit_.allow.subject, detail=refused.detail)
            await exit_.refuse(Refuse(refused.reason, details), "")
        except Exception as fault:
            if not streams.is_over(fault):
                raise
        finally:
            await exit_.leave()

    def _inner(self, scope: Scope, allow: Allow, request: Request, checked: Checked) -> Scope:
        """The scope that the app sees."""
        kept = [
            (name, fields.without_cookies(value, self._names) if name == b"cookie" else value)
            for name, value in scope["headers"]
            if not identity.is_identity_field(name) and not (self._by_method and wire.asks_for_another_method(name))
        ]
        if credentials.consumed(request, checked.requirement.accepts):
            kept = [(name, value) for name, value in kept if name != b"authorization"]
        headers = [(name, value) for name, value in kept if value or name != b"cookie"]
        return {**scope, "headers": headers, "demur": Passed(allow, request, checked.reference, self.site)}

    def leaving(
        self, answer_: Fields, status: int, allow: Allow, now: int, request: Request
    ) -> list[tuple[bytes, bytes]]:
        """The fields of the app's answer as they leave: none of them sets our cookie, and a page that is not there
        looks like one that is concealed, caches included."""
        kept = tuple(
            (name, value)
            for name, value in answer_
            if name != b"set-cookie" or not fields.sets_cookie(value, self._names)
        )
        if status == 101:
            return list(kept)
        lines = list(respond.cross_origin(respond.dress(kept, allow, now), self.site.cors, request))
        if status == 404 and self.site.rules.conceals:
            # "404 is heuristically cacheable" (RFC 9110, 15.1), and what is concealed from one is there for another.
            lines = [(name, value) for name, value in lines if name != b"cache-control"]
            lines.append((b"cache-control", b"no-store"))
        return lines

    # --- neither yes nor no ---------------------------------------------------------------------------

    async def _preflight(
        self, checked: Checked, decision: Preflight, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not decision.forward:
            await wire.answer(respond.preflight(self.site, request), request, scope, receive, send)
            return
        bare = wire.without(scope, _CREDENTIALS | _ABOUT_A_BODY)
        await self._pass(checked, Allow(), request, bare, wire.nothing, send)

    async def _conceal(
        self, checked: Checked, refuse: Refuse, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """The site's own answer to a page that is not there, asked for as the person would have asked for that."""
        conceal, allowed = checked.requirement.conceal, refuse.details.beside
        assert conceal is not None  # noqa: S101 - for the type checker
        ask: AskSite = respond.ask_site(self.site.rules, request, conceal, allowed or Allow(), _unused())
        self.guard.seen(ask.allowed)
        there = _at(ask.target, scope)
        asked = replace(request, target=ask.target)
        if request.method not in {"GET", "HEAD"}:
            # What would change something is not sent to a page that nobody asked for.
            asked = replace(asked, method="GET")
            there = {**wire.without(there, _ABOUT_A_BODY), "method": "GET"}
            receive = wire.nothing
        exit_ = Exit(self, checked, ask.allowed, request, scope, receive, send, asked)
        await self._through(self._inner(there, ask.allowed, asked, checked), receive, exit_)

    def note(self, checked: Checked, request: Request, refuse: Refuse, error: str) -> None:
        """Tell of what became of a request that had been allowed."""
        self.guard.note(replace(checked, decision=refuse), request, error=error)

    def refusal(self, checked: Checked, request: Request, refuse: Refuse) -> Response:
        """A refusal that came after the request was passed on."""
        return self._refusal(checked, request, refuse)

    def problem(self, checked: Checked, request: Request, refuse: Refuse) -> str:
        """The problem document of a refusal that came after the request was passed on."""
        return respond.problem_text(self._said(checked, request, refuse))


def _unused() -> str:
    """A name that no page has. It has to be different each time and is no secret (see `guard.new_reference`)."""
    return f"{random.getrandbits(64):016x}"


def _at(target: bytes, scope: Scope) -> Scope:
    """A scope with another target."""
    path, _, query = target.partition(b"?")
    told = {"raw_path": path, "path": unquote(path.decode("ascii", "replace")), "query_string": query}
    extensions = {**scope.get("extensions", {}), "demur.target": {"raw": target}}
    return {**scope, **told, "extensions": extensions}
