"""The reverse proxy: an ASGI app that passes on what was allowed, and nothing else.

- The target is passed on byte for byte as it was judged, the method and the content unchanged, in both directions
  piece by piece: a slow reader slows the writer down.
- What belongs to one connection stays there (RFC 9110, 7.6.1). Who is asking, and from where, is said by us alone:
  whatever could be read as one of our fields is dropped, and ours are added afterwards, so that no token of
  `Connection` can remove them.
- An answer that was cut off behind us is cut off before us, too. It never ends as if it were whole.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from demur.core.identity import identity_fields, is_identity_field, plain
from demur.core.model import UpstreamFailure
from demur.gateway.proxy import tunnel
from demur.gateway.proxy.upstream import IDLE_SECONDS, ClientGone, Upstream, unreachable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence

    from demur.core.model import Allow, Fields, Request
    from demur.gateway.proxy.upstream import Connection, Head

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
List: TypeAlias = list[tuple[bytes, bytes]]

log = logging.getLogger("demur.gateway")

# RFC 9110, 7.6.1; `Proxy`, which no standard knows, becomes HTTP_PROXY in a CGI program.
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"proxy"})
# Said by us, or naming another path than the one that was judged (old IIS and Symfony believe X-Original-URL and
# X-Rewrite-URL).
_OURS = frozenset({b"forwarded", b"x-real-ip", b"x-rewrite-url"})
# As many bytes of a name as tell whether it is one of those: more than the longest of them has.
_TELLING: Final = 64
_NONE: Final[frozenset[bytes]] = frozenset()
_HANDSHAKE = b"sec-websocket-"
# "Intermediaries ... MUST NOT" be talked out of these: they are not the sender's to take away.
_ALWAYS = frozenset({b"host", b"content-length", b"via"})
# "A proxy MUST NOT automatically retry a request with a non-idempotent method" (RFC 9112, 9.3.1)
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
# A request that must not be repeated goes over a connection that was alive a moment ago.
_CALM: Final = 1.0
_INVITATION: Final = 1.0


def is_dropped(name: bytes) -> bool:
    """Whether a request's field of that name is never passed on, in any spelling."""
    # Clients make names up, and may make them long; what tells ours from others stands at the beginning.
    return _is_dropped(name[:_TELLING])


@lru_cache(maxsize=2048)
def _is_dropped(name: bytes) -> bool:
    look = plain(name)
    return (
        look in _HOP_BY_HOP
        or look in _OURS
        or look.startswith((b"proxy-", b"x-forwarded-", b"x-original-", b"demur-"))
        or look == b"http2-settings"
        or is_identity_field(name)
    )


def named_by_connection(fields: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The fields that `Connection` declares to be for this connection only."""
    values = [value for name, value in fields if name == b"connection"]
    if not values:
        return _NONE
    return frozenset([token.strip() for token in b",".join(values).lower().split(b",")]) - _ALWAYS


def request_fields(incoming: Sequence[tuple[bytes, bytes]], request: Request, who: Fields, version: str) -> List:
    """What the site is sent: what came, without what is not for it, and what we say about who is asking."""
    hop = named_by_connection(incoming)
    host = request.host.encode("latin-1")
    fields: List = []
    for name, value in incoming:
        if _is_dropped(name[:_TELLING]) or name in hop or name == b"expect":
            continue
        if name == b"host":
            # Behind a trusted proxy, what the browser asked for is not what that proxy asks for.
            fields.append((name, value if value.strip().lower() == host or not host else host))
        else:
            fields.append((name, value))
    fields.append((b"via", version.encode("ascii") + b" demur"))
    fields.extend(forwarding_fields(request.host, request.peer, request.scheme))
    fields.extend(who)
    return fields


@lru_cache(maxsize=1024)
def forwarding_fields(host_: str, peer_: str, scheme: str) -> Fields:
    """Who is asking, and what for, as far as we know (RFC 7239, and the older names)."""
    host, peer, proto = host_.encode("latin-1"), peer_.encode("latin-1"), scheme.encode("latin-1")
    fields: List = [(b"x-forwarded-proto", proto)]
    if peer:
        fields.append((b"x-forwarded-for", peer))
    forwarded = b"for=" + _node(peer)
    if host:
        fields.append((b"x-forwarded-host", host))
        forwarded += b';host="' + host.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    fields.append((b"forwarded", forwarded + b";proto=" + proto))
    return tuple(fields)


@lru_cache(maxsize=256)
def _node(peer: bytes) -> bytes:
    # "IPv6 addresses are always enclosed in square brackets ... an IPv6 address is always quoted" (RFC 7239, 6)
    try:
        address = ipaddress.ip_address(peer.decode("ascii"))
    except ValueError:
        return b"unknown"
    return b'"[' + peer + b']"' if address.version == 6 else peer


def answer_fields(head: Head, method: str) -> List:
    """What the client is sent of an answer's fields: duplicates, order and values as they came."""
    hop = named_by_connection(head.fields) - {b"set-cookie"}
    if head.status in {204, 304} and method != "HEAD":
        # A length that does not count content which follows is only known to be right for HEAD.
        hop |= {b"content-length"}
    return [line for line in head.fields if not _is_kept(line[0][:_TELLING]) and line[0] not in hop]


@lru_cache(maxsize=2048)
def _is_kept(name: bytes) -> bool:
    """Whether an answer's field of that name is for this connection only."""
    return name in _HOP_BY_HOP or name.startswith(b"proxy-")


class Proxy:
    """Passes requests and WebSockets on to `upstream` ("http://host:port", "https://host:port", "unix:path").

    The middleware before it has to have put `scope["demur"]` there: who may ask (`allow`) and what was judged
    (`request`). `connect` and `answer` are seconds: until a connection stands, and from the moment
    when the site has the request (or stops reading it) until its answer begins. What streams may take for ever. `told`
    are the fields by which the site learns who asks.

    Raises `UpstreamFailure` as long as nothing was answered.
    """

    def __init__(
        self,
        upstream: str,
        *,
        connect: float = 5.0,
        answer: float = 60.0,
        tls: ssl.SSLContext | None = None,
        told: Callable[[Request, Allow], Fields] | None = None,
    ) -> None:
        self._upstream = Upstream(upstream, connect_timeout=connect, tls=tls)
        self._timeout = answer
        self._told = told or _told

    async def aclose(self) -> None:
        """Close the connections that are idle."""
        self._upstream.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        target, fields = self._judged(scope)
        if scope["type"] == "websocket":
            fields = [
                field for field in fields if not field[0].startswith(_HANDSHAKE) or field[0].endswith(b"-protocol")
            ]
            gone = scope.get("extensions", {}).get("demur.gone", {}).get("wait")
            await tunnel.run(self._upstream, target, fields, receive, send, self._timeout, gone)
            return
        exchange = _Exchange(self._upstream, self._timeout, scope, target, fields)
        await exchange.run(receive, send)

    def _judged(self, scope: Scope) -> tuple[bytes, List]:
        passed = scope["demur"]
        target: bytes = passed.request.target
        given = scope.get("extensions", {}).get("demur.target", {}).get("raw", target)
        if given != target:
            # Two targets in one request: whichever we passed on, it might not be the one that was allowed.
            raise RuntimeError("the target that was judged is not the target of this request")
        who = self._told(passed.request, passed.allow)
        fields = request_fields(scope["headers"], passed.request, who, scope.get("http_version", "1.1"))
        if b"host" not in dict(fields):
            fields.insert(0, (b"host", passed.request.host.encode("latin-1") or self._upstream.authority))
        return target, fields


def _told(_: Request, allow: Allow) -> Fields:
    return identity_fields(allow.subject)


class _Exchange:
    """One request, passed on over one connection (or over a second one, where the first was stale)."""

    def __init__(self, upstream: Upstream, timeout: float, scope: Scope, target: bytes, fields: List) -> None:
        self._upstream = upstream
        self._timeout = timeout
        self._scope = scope
        self._method: str = scope["method"]
        self._target = target
        self._fields = fields
        given = dict(scope["headers"])
        self._chunked = b"transfer-encoding" in given
        self._has_content = self._chunked or given.get(b"content-length", b"0").strip(b"0 ") != b""
        self._expects = self._has_content and given.get(b"expect", b"").lower() == b"100-continue"
        if self._chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        if self._expects:
            fields.append((b"expect", b"100-continue"))
        self._repeatable = self._method in _IDEMPOTENT and not self._has_content
        self._connection: Connection | None = None
        self._reader: asyncio.Task[None] | None = None
        # With nothing to pass on, a server that tells who has gone away spares us a task that waits for it.
        gone = None if self._has_content else scope.get("extensions", {}).get("demur.gone")
        self._when_gone: Callable[[Callable[[], None] | None], None] | None = gone and gone["then"]

    async def run(self, receive: Receive, send: Send) -> None:
        """Ask, and pass the answer on as it comes."""
        try:
            head = await self._answer(receive)
            await self._pass(head, send)
        except ClientGone:
            return
        finally:
            self._end()

    async def _answer(self, receive: Receive) -> Head:
        try:
            return await self._ask(receive, fresh=False)
        except UpstreamFailure:
            if not self._repeatable or self._connection is None or not self._connection.was_stale:
                raise
        self._end()
        return await self._ask(receive, fresh=True)

    async def _ask(self, receive: Receive, *, fresh: bool) -> Head:
        calm = IDLE_SECONDS if self._repeatable else _CALM
        connection = self._connection = await self._upstream.connection(fresh=fresh, calm=calm)
        connection.begin(self._method.encode("ascii"), self._target, self._fields)
        if not self._has_content:
            connection.sent = True
            connection.allow(self._timeout)
        if self._when_gone is not None:
            self._when_gone(connection.abandon)
        else:
            self._reader = asyncio.create_task(self._feed(connection, receive))
        head = await connection.head
        if head.status == 101:
            raise unreachable("the site changed the protocol, unasked")
        return head

    def _listen_no_more(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        if self._when_gone is not None:
            self._when_gone(None)

    def _end(self) -> None:
        self._listen_no_more()
        if self._connection is not None:
            self._connection.release()
        self._reader = self._connection = None

    async def _feed(self, connection: Connection, receive: Receive) -> None:
        """Pass the content on, then wait for the client to go away."""
        if self._expects:
            connection.allow(self._timeout)
            # Until then nothing is read, so nobody is told to go on. Sites that never say 100 get the content after
            # a moment, as RFC 9110, 10.1.1 wants it.
            if not await connection.invited(_INVITATION):
                return
        told = self._has_content
        while True:
            if not connection.sent:
                connection.allow(None)  # it is the client's turn
            message = await receive()
            if message["type"] == "http.disconnect":
                connection.abandon()
                return
            if connection.sent:
                if told:
                    return  # this client never goes away: the request was made up by somebody before us
                told = True
                continue
            more = message.get("more_body", False)
            connection.write(self._framed(message.get("body", b""), more=more))
            connection.allow(self._timeout)
            await connection.drain()
            connection.sent = not more

    def _framed(self, data: bytes, *, more: bool) -> bytes:
        if not self._chunked:
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk if more else chunk + b"0\r\n\r\n"

    async def _pass(self, head: Head, send: Send) -> None:
        connection = self._connection
        if connection is None:  # there is no head without it
            raise ClientGone
        fields = answer_fields(head, self._method)
        if self._expects and not connection.sent:
            # Nobody has read the content, and nobody knows whether the client will send it.
            fields.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": head.status, "headers": fields})
        try:
            while (data := await connection.chunk()) is not None and not connection.at_end:
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except UpstreamFailure as failure:
            self._break(failure)
            return
        # From here on, the end of the exchange would look like a client that has gone away.
        self._listen_no_more()
        await send({"type": "http.response.body", "body": data or b"", "more_body": False})

    def _break(self, failure: UpstreamFailure) -> None:
        log.warning("an answer of %s was cut off: %s", self._upstream.url, failure.cause)
        abort = self._scope.get("extensions", {}).get("demur.abort", {}).get("call")
        if abort is None:
            raise failure
        abort()
