"""Forward-auth: another proxy asks us about each request before it passes it on.

It has a listener of its own, because here the fields of the proxy are believed: the listener is for the proxy alone.

- `/check` decides. 200, without a body, is a yes, with the fields that the app is to get instead of the client's own:
  the person's, and `Cookie` and `Authorization` without what was meant for us. Everything else is a no. By default a
  no is the whole refusal, for proxies that hand it on; `?for=envoy` and `?for=traefik` are such proxies with ways of
  their own. With `?answer=fields` it is 401 or 403 without a body, which is all that nginx understands of it, and the
  decision goes along on a slip.
- `/refusal` puts such a slip into words, for the same request, and decides nothing again. It takes in the content that
  comes along before it answers: some proxies would else break off a client that is still sending.
- `/health` says that this process runs, `/ready` that requests can be served.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demur.adapters import asgi
from demur.adapters.asgi import wire
from demur.core import credentials, fields, identity, respond
from demur.core.model import (
    Absent,
    Access,
    Allow,
    Details,
    Preflight,
    Refuse,
    Request,
    Requirement,
    Response,
    StoreUnavailable,
)
from demur.core.reasons import REASONS, Reason
from demur.core.site import COOKIES, find
from demur.gateway import slip
from demur.gateway.doctor import ticket
from demur.guard import Checked, new_reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from demur.adapters.asgi import Receive, Scope, Send
    from demur.core.model import Fields
    from demur.core.ports import Keys, Renderer, Store
    from demur.guard import Guard

SLIP = b"demur-refusal"
"""The field in which a slip travels."""

_FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_ONCE = (b"x-forwarded-method", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-uri")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NO_STORE = (b"cache-control", b"no-store")
_GIVEN = (*identity.NAMES, b"cookie", b"authorization")
_UNDECIDED = Requirement(Access.REQUIRED, "(no site)")
_COOKIES = tuple(name.encode("ascii") for name in COOKIES)


@dataclass(frozen=True, slots=True)
class _Way:
    """What a proxy makes of our answer.

    `whole`: it hands a refusal on; otherwise it gets a slip. `any_2xx`: it takes any 2xx for a yes, and not only 200.
    `empty`: a field without a value overwrites what the client sent. Where one does not, the proxy has taken the
    client's away before, or takes away what the field `removes` names.
    """

    whole: bool = True
    any_2xx: bool = True
    empty: bool = True
    removes: bytes = b""


_WAYS = {
    b"": _Way(),
    b"answer=fields": _Way(whole=False),
    b"for=envoy": _Way(any_2xx=False, empty=False, removes=b"x-envoy-auth-headers-to-remove"),
    b"for=traefik": _Way(empty=False),
}
"""How `/check` may be asked, by its query."""

# Only a proxy that lets our answer be the answer can leave a preflight to us; a proxy that takes any 2xx for a yes
# would pass it on.
_NO_PREFLIGHT = Refuse(
    Reason.CROSS_SITE_REFUSED,
    Details(detail="The proxy in front of this site has to send CORS preflights to demur's own listener."),
)

_log = logging.getLogger("demur")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the proxy asks about, and the guard of its site."""

    request: Request
    guard: Guard


class Check:
    """The ASGI app of the check listener.

    `guards` are those of all sites by their origin (at least one). `trusted` are the proxies before the proxy that
    asks: what they added to X-Forwarded-For is believed. `idle` is the inactivity limit in seconds, for pages to state.
    """

    def __init__(
        self,
        guards: Mapping[str, Guard],
        keys: Keys,
        store: Store,
        renderer: Renderer,
        *,
        trusted: Sequence[fields.Network] = (),
        idle: int = 0,
    ) -> None:
        self._guards = guards
        self._some_guard = next(iter(guards.values()))
        self._keys = keys
        self._store = store
        self._renderer = renderer
        self._trusted = trusted
        self._idle = idle
        self._draining = False

    def drain(self) -> None:
        """From now on `/ready` says no, so that nobody sends new requests here."""
        self._draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection. A WebSocket handshake that a proxy passes along with its question is a question."""
        if scope["type"] not in {"http", "websocket"}:
            return
        # What is sent here is the proxy's own request; what it asks about stands in its fields.
        sent = asgi.read(scope)
        response = await self._answer(sent)
        # With `Expect` nothing was sent yet, and nothing should be.
        read = sent.target == b"/refusal" and scope["type"] == "http" and sent.value(b"expect") is None
        if read:
            await wire.drop(receive)
        await asgi.answer(response, sent, scope, receive, send, drain=not read)

    async def _answer(self, sent: Request) -> Response:
        path, _, query = sent.target.partition(b"?")
        if path == b"/check" and query in _WAYS:
            return await self._check(sent, _WAYS[query])
        if path == b"/refusal":
            return self._refusal(sent)
        if path == b"/health":
            return _text(200, "This process runs.")
        if path == b"/ready":
            return await self._ready()
        return _text(404, "Here are /check (?answer=fields, ?for=envoy, ?for=traefik), /refusal, /health and /ready.")

    async def _ready(self) -> Response:
        if self._draining:
            return _text(503, "Not ready: this process is about to end.")
        try:
            self._keys.ring()
            await self._store.check()
        except StoreUnavailable as down:
            # The cause names files and errors; this listener is for operators and their proxies.
            return _text(503, f"Not ready: {down.cause}")
        return _text(200, "Ready.")

    # --- the question ---------------------------------------------------------------------------------

    async def _check(self, sent: Request, way: _Way) -> Response:
        try:
            asked = self._asked(sent)
        except ValueError as wrong:
            return _text(400, str(wrong))
        if asked is None:
            now = int(self._some_guard.clock())
            checked = Checked(Refuse(Reason.HOST_UNKNOWN), _UNDECIDED, Absent(), new_reference(), now)
            request = _request(sent, self._trusted)
            self._some_guard.note(checked, request)
            return self._no(_Asked(request, self._some_guard), checked, way)
        checked = ticket.refused(asked.guard, asked.request) or await asked.guard.acheck(asked.request)
        if isinstance(checked.decision, Allow):
            return _yes(checked.decision, checked.now, _left(asked, checked), way)
        if isinstance(checked.decision, Preflight) and checked.decision.forward:
            return _yes(Allow(), checked.now, (), way)
        return self._no(asked, checked, way)

    def _asked(self, sent: Request) -> _Asked | None:
        """What is asked about, or None if no site of ours is meant. Raises ValueError with what the proxy has to do."""
        request = _request(sent, self._trusted)
        guard = find(self._guards, f"{request.scheme}://{request.host}")
        return None if guard is None else _Asked(request, guard)

    # --- the answers ----------------------------------------------------------------------------------

    def _no(self, asked: _Asked, checked: Checked, way: _Way) -> Response:
        decision = checked.decision
        assert isinstance(decision, Refuse | Preflight)  # noqa: S101 - for the type checker
        said = slip.Slip(decision, checked.reference, checked.requirement.form, checked.presented)
        if not way.whole:
            return self._in_fields(asked, said, checked.now)
        if isinstance(decision, Preflight) and way.any_2xx:
            said = slip.Slip(_NO_PREFLIGHT, checked.reference)
        return self._in_words(asked, said)

    def _in_fields(self, asked: _Asked, said: slip.Slip, now: int) -> Response:
        """For nginx: of everything but 200, 401 and 403 it makes 500. No challenge either: nginx would keep it, and the
        client would read it twice."""
        refused = said.decision.reason if isinstance(said.decision, Refuse) else None
        status = 401 if refused and REASONS[refused].status == 401 else 403
        lines = [_NO_STORE, (b"content-length", b"0")]
        try:
            lines.append((SLIP, slip.write(said, asked.request, self._keys.ring().current, now)))
        except StoreUnavailable as down:
            # Without a slip the second step says 503, which is just what this is.
            _log.error("demur has no key to sign a refusal with: %s", down.cause)
        return Response(status, tuple(lines))

    def _in_words(self, asked: _Asked, said: slip.Slip) -> Response:
        site = asked.guard.site
        if isinstance(said.decision, Preflight):
            return respond.preflight(site, asked.request)
        refusal = respond.Refusal(
            site,
            asked.request,
            said.decision,
            said.reference,
            form=said.form,
            origins=tuple(self._guards) if said.decision.reason is Reason.HOST_UNKNOWN else (),
            idle=self._idle,
            presented=said.presented,
        )
        return respond.refuse(refusal, self._renderer)

    def _refusal(self, sent: Request) -> Response:
        """The second step. Whatever is wrong with it is ours to mend, so it is 503 and never "sign in"."""
        try:
            asked = self._asked(sent) or _Asked(_request(sent, self._trusted), self._some_guard)
        except ValueError as wrong:
            return _text(400, str(wrong))
        try:
            said = self._slip(sent, asked)
        except (ValueError, StoreUnavailable) as wrong:
            _log.error("demur cannot render a refusal: %s", wrong)
            said = slip.Slip(Refuse(Reason.UNAVAILABLE, Details(retry_after=5)), new_reference())
        return self._in_words(asked, said)

    def _slip(self, sent: Request, asked: _Asked) -> slip.Slip:
        slips = sent.values(SLIP)
        if len(slips) != 1:
            raise ValueError(f"{len(slips)} slips came with the request")
        return slip.read(slips[0], asked.request, self._keys.ring(), int(asked.guard.clock()))


def _yes(allow: Allow, now: int, left: Fields, way: _Way) -> Response:
    """200, who it is, and what is `left` of the client's credentials."""
    given = dict((*identity.identity_fields(allow.subject), *left))
    lines = [(name, given.get(name, b"")) for name in _GIVEN if way.empty or name in given]
    if way.removes and (gone := [name for name in _GIVEN if name not in given]):
        lines.append((way.removes, b",".join(gone)))
    lines += [_NO_STORE, (b"content-length", b"0")]
    if allow.ends is not None and allow.subject is not None:
        lines.append((b"server-timing", fields.session_timing(allow.ends, allow.subject.id, now)))
    return Response(200, tuple(lines))


def _left(asked: _Asked, checked: Checked) -> Fields:
    """What the site may see of the client's credentials: all but ours. No proxy can take one cookie out of many as we
    can, so each takes the whole field from here."""
    cookies = (fields.without_cookies(value, _COOKIES) for value in asked.request.values(b"cookie"))
    cookie = b"; ".join(cookie for cookie in cookies if cookie)
    said = asked.request.values(b"authorization")
    left = [(b"cookie", cookie)] if cookie else []
    if len(said) == 1 and not credentials.consumed(asked.request, checked.requirement.accepts):
        left.append((b"authorization", said[0]))
    return tuple(left)


def _request(sent: Request, trusted: Sequence[fields.Network]) -> Request:
    """The request that the proxy asks about. Raises ValueError with a sentence for the operator."""
    for name in _ONCE:
        values = sent.values(name)
        if len(values) != 1:
            raise ValueError(f"The proxy has to send {_title(name)} once, and sent it {len(values)} times.")
    method, uri = sent.values(b"x-forwarded-method")[0], sent.values(b"x-forwarded-uri")[0]
    if not _METHOD.fullmatch(method):
        raise ValueError("X-Forwarded-Method is not a method.")
    # Whoever may connect here is believed. `Forwarded` is not read: not every proxy takes a client's own away.
    vouched = tuple((name, value) for name, value in sent.fields if name in _FORWARDED)
    said = fields.client("", vouched, trusted, trust_local=True)
    host = said.host or ""
    return Request(method.decode("ascii"), uri, said.scheme or "", host, said.peer, _fields(sent, host))


def _fields(sent: Request, host: str) -> Fields:
    """The client's own fields, among those that the proxy sent."""
    kept = [(name, value) for name, value in sent.fields if name not in (b"host", SLIP)]
    kept = [(name, value) for name, value in kept if not name.startswith(b"x-forwarded-")]
    kept.append((b"host", host.encode("ascii")))
    # A proxy takes `Upgrade` away from what it passes on (RFC 9110, 7.6.1), and with it the mark of a WebSocket
    # handshake, which other sites must not be able to open. Only a handshake has this field (RFC 6455, 11.3.1).
    if sent.value(b"sec-websocket-key") is not None:
        kept = [(name, value) for name, value in kept if name != b"upgrade"]
        kept.append((b"upgrade", b"websocket"))
    return tuple(kept)


def _title(name: bytes) -> str:
    return name.decode("ascii").title()


def _text(status: int, text: str) -> Response:
    return respond.plain(status, f"{text}\n".encode())
