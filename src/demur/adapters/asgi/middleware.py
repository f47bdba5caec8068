"""Every request is checked before the app sees it; what the app sees was judged, byte for byte.

Without our cookie, that is, and without a field that could pass for identity.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Unpack
from urllib.parse import unquote

from demur.adapters.asgi import streams, wire
from demur.adapters.asgi.keeping import Again, Keeping
from demur.adapters.asgi.leaving import Exit
from demur.adapters.asgi.short import LeftPassed, Short, say
from demur.adapters.asgi.watch import Watch
from demur.adapters.options import assemble
from demur.adapters.passed import Passed
from demur.adapters.surface import unused
from demur.core import respond
from demur.core.model import (
    Allow,
    Details,
    Left,
    Preflight,
    Refuse,
    Refused,
    Request,
    Response,
    StoreUnavailable,
    UpstreamFailure,
)
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from demur.adapters.asgi.wire import App, Message, Receive, Scope, Send
    from demur.adapters.options import Options
    from demur.adapters.surface import Surface
    from demur.core.model import AskSite
    from demur.guard import Checked
    from demur.signin.kept import KeptForms

_CREDENTIALS = frozenset((b"cookie", b"authorization"))
_ABOUT_A_BODY = frozenset((b"content-length", b"transfer-encoding", b"content-type", b"expect"))


class Demur:
    """Stands before an ASGI app, with the `options` of all adapters, or with a `surface` that is made already. `kept`
    keeps what somebody sends when their session is over, for `pages.kept` to offer. `hooked` says that the framework's
    own hook calls `judge`; without it the bridge is asked at once, and there are no views to mark."""

    def __init__(
        self,
        app: App,
        surface: Surface | None = None,
        *,
        kept: KeptForms | None = None,
        hooked: bool = False,
        **options: Unpack[Options],
    ) -> None:
        self._app = app
        self.surface = surface if surface is not None else assemble(can_ask=True, can_keep=True, **options)
        self.guard = self.surface.guard
        self.site = self.surface.site
        self.watch = Watch(self.guard)
        self._hooked = hooked
        self._short = Short(self.surface)
        kept = kept if kept is not None else self.surface.kept
        self._keeping = Keeping(self.site, kept) if kept is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: C901 - in one piece, for every request
        """Handle a connection of type http or websocket; anything else is the app's own."""
        passed = self._short.enter(scope)
        if passed is None:
            await self._otherwise(scope, receive, send)
            return
        # The short way: only what the app answers out of the ordinary takes the long way out.
        exit_: Exit | None = None
        after: Send | None = None  # where what comes after the first message goes

        def out(message: Message) -> Awaitable[None]:
            nonlocal exit_, after
            if after is not None:
                return after(message)
            if exit_ is None and message["type"] == "http.response.start":
                if passed.refused is not None and isinstance(passed, LeftPassed) and passed.refusing is not None:
                    after = wire.nowhere
                    return say(passed.refusing, scope, passed.reference, send)
                leaves = self._short.leave(passed, message)
                if leaves is not None:
                    after = send
                    return send(leaves)
                exit_ = Exit(self, passed, passed.request, scope, receive, send)
            return send(message) if exit_ is None else exit_.send(message)

        try:
            await self._app(passed.inner(), receive, out)
        except Exception as fault:
            if after is None and exit_ is None:
                exit_ = Exit(self, passed, passed.request, scope, receive, send)
            if exit_ is None or not await self._caught(fault, exit_):
                raise
        finally:
            if exit_ is not None:
                await exit_.leave()

    async def _otherwise(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is no yes that is known: a no that is, or anything else."""
        answer = self._short.refuse(scope, send) if scope["type"] == "http" else None
        await (self._at_length(scope, receive, send) if answer is None else answer)

    async def _at_length(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request = wire.read(scope)
        elsewhere = self.surface.misplaced(request)
        if elsewhere is None:
            await self.handle(request, scope, receive, send)
            return
        await wire.answer(elsewhere, request, scope, receive, send)

    def refused_at_view(self, passed: Passed) -> None:
        """Somebody was refused where the framework had found the view."""
        self._short.learn_no_at_view(passed)

    async def turn_away(
        self, refuse: Refuse, request: Request, scope: Scope, receive: Receive, send: Send, *, origins: tuple[str, ...]
    ) -> None:
        """Refuse what is for no site of ours, in the words of this one. `origins` are the addresses to offer."""
        await wire.answer(self.surface.turned_away(refuse, request, origins), request, scope, receive, send)

    async def handle(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request that is known to be for this site."""
        if self.surface.pages.serves(request):
            await self._own(request, scope, receive, send)
            return
        checked = await self.guard.acheck(request)
        self._short.learn(scope, request, checked)
        await self.answer(checked, request, scope, receive, send)

    async def answer(self, checked: Checked, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Do what was decided about a request of this site."""
        decision = checked.decision
        if isinstance(decision, Left) and self.surface.bridge is not None and not self._hooked:
            checked = await self.guard.ajudge(checked, request, (), who=self.surface.who(scope))
            decision = checked.decision
        if isinstance(decision, Allow):
            if self._keeping is not None and self._keeping.may_be_sending(request):
                await self._send_kept(self._keeping, checked, decision, request, scope, receive, send)
            else:
                await self._pass(checked, request, scope, receive, send)
        elif isinstance(decision, Left):
            await self._pass(checked, request, scope, receive, send)
        elif isinstance(decision, Preflight):
            await self._preflight(checked, decision, request, scope, receive, send)
        elif decision.reason is Reason.NOT_FOUND and checked.requirement.conceal:
            await self._conceal(checked, decision, request, scope, receive, send)
        else:
            await self._refuse(checked, request, scope, receive, send)

    async def _own(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """One of our own pages, which may have read the body or left it."""
        upload = wire.Upload(receive)
        response = await self.surface.pages.answer(request, lambda most: wire.body(upload.receive, most))
        await wire.answer(response, request, scope, receive, send, drain=not upload.ended)

    async def _refuse(self, checked: Checked, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Say no, and, if what came along is kept, that too."""
        upload = wire.Upload(receive)
        kept = await self._keeping.keep(checked, request, upload) if self._keeping else None
        said = replace(self.surface.said(checked, request), next=kept, kept=bool(kept))
        response = respond.refuse(said, self.surface.renderer)
        if kept is None:
            self._short.learn_no(scope, request, checked)
        await wire.answer(response, request, scope, receive, send, drain=not upload.ended)

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
            self.guard.note(replace(checked, decision=refuse), request, error=down.cause)
            response = self.surface.refusal(replace(checked, decision=refuse), request)
            await wire.answer(response, request, scope, receive, send, drain=False)
            return
        if isinstance(again, Response):
            await wire.answer(again, request, scope, receive, send, drain=False)
        elif isinstance(again, Again):
            lost = partial(keeping.give_back, again, checked.now)
            await self._pass(checked, again.request, again.scope, again.receive, send, lost=lost)
        elif again is not None:
            await self._pass(checked, request, scope, again, send)

    async def _pass(
        self,
        checked: Checked,
        request: Request,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        allow: Allow | None = None,
        lost: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Let the app have it. `lost` is for when nobody knows whether it got there."""
        if beside := checked.requirement.beside:
            # What is done for a page beside this one, if that is concealed, is done for this one too.
            respond.ask_site(self.site.rules, request, beside, Allow(), unused())
            self.surface.beside(checked, Allow(), request)
            scope, request = _at(request.target, scope), replace(request, target=request.target)
        passed = Passed(self.surface, checked, request, allow=allow)
        passed.native = scope
        exit_ = Exit(self, passed, request, scope, receive, send)
        await self._through(self._inner(scope, passed), receive, exit_, lost)

    async def _through(
        self, inner: Scope, receive: Receive, exit_: Exit, lost: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Let the app answer; what it raises before it has begun is answered in its place."""
        try:
            await self._app(inner, exit_.receiving(receive), exit_.send)
        except Exception as fault:
            if not await self._caught(fault, exit_, lost):
                raise
        finally:
            await exit_.leave()

    async def _caught(self, fault: Exception, exit_: Exit, lost: Callable[[], Awaitable[None]] | None = None) -> bool:
        """Whether what the app raised has been dealt with."""
        if isinstance(fault, UpstreamFailure) and not exit_.started:
            if lost is not None:
                await lost()
            await exit_.refuse(self.surface.late(exit_.passed, Refuse(fault.reason), fault.cause))
            return True
        if isinstance(fault, Refused):
            if exit_.refused:
                return True  # the app said it, and raised it all the same
            response = None if exit_.started else self.surface.raised(exit_.passed, fault)
            if response is not None:
                await exit_.refuse(response)
            return response is not None
        return not isinstance(fault, UpstreamFailure) and streams.is_over(fault)

    def _inner(self, scope: Scope, passed: Passed) -> Scope:
        """The scope that the app sees."""
        headers = self.surface.incoming(tuple(scope["headers"]), passed.checked, passed.request)
        inner = passed.native = {**scope, "headers": list(headers), "demur": passed}
        return inner

    # --- neither yes nor no ---------------------------------------------------------------------------

    async def _preflight(
        self, checked: Checked, decision: Preflight, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not decision.forward:
            await wire.answer(respond.preflight(self.site, request), request, scope, receive, send)
            return
        bare = wire.without(scope, _CREDENTIALS | _ABOUT_A_BODY)
        await self._pass(checked, request, bare, wire.bodiless(receive), send, allow=Allow())

    async def _conceal(
        self, checked: Checked, refuse: Refuse, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """The site's own answer to a page that is not there, asked for as the person would have asked for that."""
        conceal, allowed = checked.requirement.conceal, refuse.details.beside
        assert conceal is not None  # noqa: S101 - for the type checker
        ask: AskSite = respond.ask_site(self.site.rules, request, conceal, allowed or Allow(), unused())
        self.guard.seen(ask.allowed)
        there = _at(ask.target, scope)
        asked = replace(request, target=ask.target)
        if request.method not in {"GET", "HEAD"}:
            # What would change something is not sent to a page that nobody asked for.
            asked = replace(asked, method="GET")
            there = {**wire.without(there, _ABOUT_A_BODY), "method": "GET"}
            receive = wire.bodiless(receive)
        passed = self.surface.beside(checked, ask.allowed, asked)
        exit_ = Exit(self, passed, request, scope, receive, send)
        await self._through(self._inner(there, passed), receive, exit_)


def _at(target: bytes, scope: Scope) -> Scope:
    """A scope with another target."""
    path, _, query = target.partition(b"?")
    told = {"raw_path": path, "path": unquote(path.decode("ascii", "replace")), "query_string": query}
    extensions = {**scope.get("extensions", {}), "demur.target": {"raw": target}}
    return {**scope, **told, "extensions": extensions}
