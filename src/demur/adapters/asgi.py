"""ASGI middleware: every request is checked before the app sees it, and every answer leaves as it should.

- The app sees what was judged, byte for byte, without our cookie and without a field that could pass for identity.
- A refusal is answered before the body is read; then a bounded amount of it is read and dropped, so that a client that
  is still sending, perhaps through a proxy, reads the answer and not a broken pipe.
- What the app says of its own accord (`Demur-Refuse`) becomes the same refusal, without the promise that nothing
  was processed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from demur.core import fields, foreign, identity, respond
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
    StoreUnavailable,
    UpstreamFailure,
)
from demur.core.reasons import Reason
from demur.guard import Checked, new_reference

if TYPE_CHECKING:
    from demur.core.model import AskSite, Fields, Response
    from demur.core.ports import Renderer
    from demur.core.site import Site
    from demur.guard import Guard
    from demur.pages.router import Pages

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_DROPPED = 64 * 1024 * 1024
"""Bytes of a refused request's body that are read and dropped."""
LONGEST_DROP = 30.0
"""Seconds for which that goes on."""
LOOK_AGAIN = 2.0
"""Seconds after which, time and again, it is seen whether a WebSocket or a stream of events may go on."""
UNAUTHORIZED = 3000
"""The code with which a WebSocket is closed that may not (IANA, WebSocket Close Code Number Registry)."""

_CREDENTIALS = frozenset((b"cookie", b"authorization"))
_ABOUT_A_COPY = frozenset(
    (b"range", b"if-range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since")
)
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
    and `idle` is the inactivity limit in seconds, for them to state."""

    def __init__(self, app: App, guard: Guard, pages: Pages, renderer: Renderer, *, idle: int = 0) -> None:
        self._app = app
        self._guard = guard
        self._pages = pages
        self._renderer = renderer
        self._idle = idle
        self.site = guard.site
        self._names = (guard.site.cookie.name.encode("ascii"),)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection of type http or websocket; anything else is the app's own."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request = read(scope)
        if request.host == self.site.origin.partition("://")[2]:
            await self.handle(request, scope, receive, send)
            return
        await self.turn_away(unplaced(request), request, scope, receive, send, origins=(self.site.origin,))

    async def turn_away(
        self, refuse: Refuse, request: Request, scope: Scope, receive: Receive, send: Send, *, origins: tuple[str, ...]
    ) -> None:
        """Refuse what is for no site of ours, in the words of this one. `origins` are the addresses to offer."""
        nowhere = Requirement(Access.REQUIRED, "(no site)")
        checked = Checked(refuse, nowhere, Absent(), new_reference(), int(self._guard.clock()))
        self._guard.note(checked, request)
        said = respond.Refusal(self.site, request, refuse, checked.reference, origins=origins)
        await answer(respond.refuse(said, self._renderer), request, scope, receive, send)

    async def handle(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request that is known to be for this site."""
        if self._pages.serves(request) and fields.plain_target(request.target):
            await self._own(request, scope, receive, send)
            return
        checked = await self._guard.acheck(request)
        decision = checked.decision
        if isinstance(decision, Allow):
            await self._pass(checked, decision, request, scope, receive, send)
        elif isinstance(decision, Preflight):
            await self._preflight(checked, decision, request, scope, receive, send)
        elif decision.reason is Reason.NOT_FOUND and checked.requirement.conceal:
            await self._conceal(checked, request, scope, receive, send)
        else:
            await answer(self._refusal(checked, request), request, scope, receive, send)

    async def _own(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """One of our own pages, which may have read the body or left it."""
        ended = False

        async def watched() -> Message:
            nonlocal ended
            message = await receive()
            ended = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        response = await self._pages.answer(request, lambda most: _body(watched, most))
        # After the last of a body there is nothing to receive until the client leaves, and waiting for that would
        # keep the next request on this connection waiting too.
        await answer(response, request, scope, receive, send, drain=not ended)

    def _refusal(self, checked: Checked, request: Request, refuse: Refuse | None = None) -> Response:
        """The refusal in words. Only what the guard itself decided came before the app."""
        said = refuse or checked.decision
        assert isinstance(said, Refuse)  # noqa: S101 - for the type checker
        form = checked.requirement.form
        refusal = respond.Refusal(
            self.site, request, said, checked.reference, before=refuse is None, form=form, idle=self._idle
        )
        return respond.refuse(refusal, self._renderer)

    # --- a yes ----------------------------------------------------------------------------------------

    async def _pass(
        self, checked: Checked, allow: Allow, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        inner = self._inner(scope, allow, request, checked)
        await self._through(inner, receive, _Exit(self, checked, allow, request, scope, receive, send))

    async def _through(self, inner: Scope, receive: Receive, exit_: _Exit) -> None:
        """Let the app answer; what it raises before it has begun is answered in its place."""
        try:
            await self._app(inner, receive, exit_.send)
        except UpstreamFailure as failure:
            if exit_.started:
                raise
            await exit_.refuse(Refuse(failure.reason), failure.cause)
        except Refused as refused:
            if exit_.started:
                raise
            details = Details(subject=exit_.allow.subject, detail=refused.detail)
            await exit_.refuse(Refuse(refused.reason, details), "")
        finally:
            exit_.leave()

    async def over(self, checked: Checked, request: Request) -> Reason:
        """Wait until something that is open may not go on, and say why. While that cannot be seen, it goes on."""
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            with contextlib.suppress(StoreUnavailable):
                if reason := await self._guard.still(checked, request):
                    return reason

    def _inner(self, scope: Scope, allow: Allow, request: Request, checked: Checked) -> Scope:
        """The scope that the app sees."""
        kept = [
            (name, fields.without_cookies(value, self._names) if name == b"cookie" else value)
            for name, value in scope["headers"]
            if not identity.is_identity_field(name)
        ]
        headers = [(name, value) for name, value in kept if value or name != b"cookie"]
        return {**scope, "headers": headers, "demur": Passed(allow, request, checked.reference, self.site)}

    def leaving(self, answer_: Fields, status: int, allow: Allow, now: int) -> list[tuple[bytes, bytes]]:
        """The fields of the app's answer as they leave: none of them sets our cookie, and a page that is not there
        looks like one that is concealed, caches included."""
        kept = tuple(
            (name, value)
            for name, value in answer_
            if name != b"set-cookie" or not fields.sets_cookie(value, self._names)
        )
        if status == 101:
            return list(kept)
        lines = list(respond.dress(kept, allow, now))
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
            await answer(respond.preflight(self.site, request), request, scope, receive, send)
            return
        bare = _without(scope, _CREDENTIALS | _ABOUT_A_BODY)
        await self._pass(checked, Allow(), request, bare, _nothing, send)

    async def _conceal(self, checked: Checked, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """The site's own answer to a page that is not there."""
        letters = secrets.token_hex(8)
        ask: AskSite = respond.ask_site(request, checked.requirement, checked.evidence, letters)
        method = "HEAD" if request.method == "HEAD" else "GET"
        asked = replace(request, method=method, target=ask.target)
        bare = _without(scope, _CREDENTIALS | _ABOUT_A_BODY | _ABOUT_A_COPY)
        path = ask.target.decode("ascii")
        bare |= {"method": method, "raw_path": ask.target, "path": path, "query_string": b""}
        bare["extensions"] = {**scope.get("extensions", {}), "demur.target": {"raw": ask.target}}
        inner = self._inner(bare, Allow(), asked, checked)
        # A handshake is asked as a handshake: there is no body, and the site's no to it is what is wanted.
        incoming = receive if scope["type"] == "websocket" else _nothing
        await self._through(inner, incoming, _Exit(self, checked, ask.allowed, request, scope, receive, send))

    def note(self, checked: Checked, request: Request, refuse: Refuse, error: str) -> None:
        """Tell of what became of a request that had been allowed."""
        self._guard.note(replace(checked, decision=refuse), request, error=error)

    def refusal(self, checked: Checked, request: Request, refuse: Refuse) -> Response:
        """A refusal that came after the request was passed on."""
        return self._refusal(checked, request, refuse)


class _Exit:
    """The way out for one answer of the app: its first message decides whether it leaves, dressed, or is refused."""

    def __init__(
        self, demur: Demur, checked: Checked, allow: Allow, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._demur = demur
        self._checked = checked
        self.allow = allow
        self._request = request
        self._scope = scope
        self._receive = receive
        self._send = send
        self.started = False
        self._swallow = False
        self._watch: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """The app is done."""
        if self._watch is not None:
            self._watch.cancel()

    async def _end_in_time(self, last: Message) -> None:
        """End what stays open once its person is signed out, suspended, or may not have it any more."""
        reason = await self._demur.over(self._checked, self._request)
        self._swallow = True
        self._demur.note(self._checked, self._request, Refuse(reason), "")
        with contextlib.suppress(OSError):  # the client has gone by itself
            await self._send({**last, "reason": reason.value} if last["type"] == "websocket.close" else last)

    async def send(self, message: Message) -> None:
        """Pass on a message of the app."""
        if self._swallow:
            return
        if message["type"] in {"http.response.start", "websocket.http.response.start", "websocket.accept"}:
            await self._start(message)
            return
        await self._send(message)

    async def _start(self, message: Message) -> None:
        answered: Fields = tuple((bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ()))
        asked = [value for name, value in answered if name == b"demur-refuse"]
        if asked:
            self._swallow = True
            await self._refused_by_app(asked)
            return
        self.started = True
        status = message.get("status", 101)
        lines = self._demur.leaving(answered, status, self.allow, self._checked.now)
        await self._send({**message, "headers": lines})
        last = _last(message["type"], answered)
        if last is not None and self.allow.session is not None:
            self._watch = asyncio.create_task(self._end_in_time(last))

    async def _refused_by_app(self, asked: list[bytes]) -> None:
        try:
            refuse = foreign.read_refuse(asked)
        except ValueError as wrong:
            await self.refuse(Refuse(Reason.UPSTREAM_UNREACHABLE), str(wrong))
            return
        details = replace(refuse.details, subject=self.allow.subject)
        await self.refuse(replace(refuse, details=details), "")

    async def refuse(self, refuse: Refuse, error: str) -> None:
        """Answer in the app's place."""
        self._swallow = True
        self._demur.note(self._checked, self._request, refuse, error)
        response = self._demur.refusal(self._checked, self._request, refuse)
        await answer(response, self._request, self._scope, self._receive, self._send, drain=False)


def _last(kind: str, answered: Fields) -> Message | None:
    """What ends an answer that stays open: a WebSocket, or events (HTML, 9.2). None for any other."""
    if kind == "websocket.accept":
        return {"type": "websocket.close", "code": UNAUTHORIZED}
    types = [value for name, value in answered if name == b"content-type"]
    if any(value.strip().lower().startswith(b"text/event-stream") for value in types):
        return {"type": "http.response.body", "body": b"", "more_body": False}
    return None


# --- the wire -------------------------------------------------------------------------------------


def read(scope: Scope) -> Request:
    """The facts of a request in an ASGI scope. The host is "" unless there is exactly one, and it is valid."""
    given = str(scope["scheme"])
    scheme = {"ws": "http", "wss": "https"}.get(given, given)
    lines: Fields = tuple((bytes(name), bytes(value)) for name, value in scope["headers"])
    hosts = [value for name, value in lines if name == b"host"]
    client = scope.get("client")
    return Request(
        method=scope.get("method", "GET"),
        target=target(scope),
        scheme=scheme,
        host=_host(hosts, scheme),
        peer=client[0] if client else "",
        fields=lines,
    )


def unplaced(request: Request) -> Refuse:
    """Why a request is for no site. "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request
    message that lacks a Host header field and to any request message that contains more than one Host header field line
    or a Host header field with an invalid field value" (RFC 9112, 3.2)."""
    if request.host:
        return Refuse(Reason.HOST_UNKNOWN)
    return Refuse(Reason.REQUEST_MALFORMED, Details(detail="A request names exactly one host, and this one does not."))


def target(scope: Scope) -> bytes:
    """The request target: the bytes of the wire where the server gives them, else put together again."""
    raw = scope.get("extensions", {}).get("demur.target")
    if raw is not None:
        return bytes(raw["raw"])
    path = bytes(scope.get("raw_path") or scope["path"].encode("utf-8"))
    query = bytes(scope["query_string"])
    return path + b"?" + query if query else path


def _host(hosts: list[bytes], scheme: str) -> str:
    if len(hosts) != 1:
        return ""
    try:
        return fields.host(hosts[0], scheme)
    except ValueError:
        return ""


async def answer(
    response: Response, request: Request, scope: Scope, receive: Receive, send: Send, *, drain: bool = True
) -> None:
    """Send a whole response of ours, and read what the client still sends. To a WebSocket handshake it is a denial
    response; a server without that extension can only close (403)."""
    websocket = scope["type"] == "websocket"
    if websocket and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    kind = "websocket.http.response" if websocket else "http.response"
    unread = drain and not websocket and _has_body(request)
    lines = list(response.fields)
    waits = unread and request.value(b"expect") is not None
    if waits or (unread and _length(request) > MOST_DROPPED):
        # With `Expect: 100-continue` the client has not sent the body and must not be asked to (RFC 9110, 10.1.1).
        lines.append((b"connection", b"close"))
    await send({"type": f"{kind}.start", "status": response.status, "headers": lines})
    body = b"" if request.method == "HEAD" else response.body
    await send({"type": f"{kind}.body", "body": body, "more_body": unread and not waits})
    if unread and not waits:
        await _drop(receive)
        await send({"type": f"{kind}.body", "body": b"", "more_body": False})


def _has_body(request: Request) -> bool:
    return request.value(b"transfer-encoding") is not None or _length(request) > 0


def _length(request: Request) -> int:
    length = request.value(b"content-length") or b"0"
    return int(length) if length.isdigit() else 0


async def _drop(receive: Receive) -> None:
    dropped = 0
    try:
        async with asyncio.timeout(LONGEST_DROP):
            while dropped < MOST_DROPPED:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                dropped += len(message.get("body", b""))
    except TimeoutError:
        return


async def _body(receive: Receive, most: int) -> bytes | None:
    """The whole body, or None if it is longer than `most` bytes or breaks off."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _without(scope: Scope, names: frozenset[bytes]) -> dict[str, Any]:
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name not in names]}
