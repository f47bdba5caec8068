"""What a proxy is told: the one place that makes a response of its question.

It has a listener of its own, because here the fields of the proxy are believed: the listener is for the proxy alone.

- `/check` decides. 200, without a body, is a yes, with the fields that the app is to get instead of the client's own:
  the person's, and `Cookie` and `Authorization` without what was meant for us. Everything else is a no. By default a
  no is the whole refusal, for proxies that hand it on; `?for=envoy` and `?for=traefik` are such proxies with ways of
  their own. With `?answer=fields` it is 401 or 403 without a body, and the decision goes along on a slip; so it is with
  `?for=nginx`, which understands no more, and to which a field that is not there is an empty one.
- `/refusal` puts such a slip into words, for the same request, and decides nothing again. It takes in the content that
  comes along before it answers: some proxies would else break off a client that is still sending.
- `/health` says that this process runs, `/ready` that requests can be served.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from demur.core import respond
from demur.core.model import (
    Absent,
    Access,
    Allow,
    Details,
    Preflight,
    Refuse,
    Requirement,
    Response,
    StoreUnavailable,
)
from demur.core.reasons import REASONS, Reason
from demur.core.site import find
from demur.gateway import slip
from demur.gateway.check import question
from demur.gateway.check.listening import Listening
from demur.gateway.check.question import SLIP, WAYS, Asked, Way
from demur.gateway.check.short import Short
from demur.gateway.check.words import Words
from demur.gateway.check.yes import NO_STORE, left, yes
from demur.gateway.doctor import ticket
from demur.guard import Checked, new_reference

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from demur.core import fields
    from demur.core.model import Request
    from demur.core.ports import Keys, Renderer, Store
    from demur.guard import Guard

_UNDECIDED = Requirement(Access.REQUIRED, "(no site)")

# Only a proxy that lets our answer be the answer can leave a preflight to us; a proxy that takes any 2xx for a yes
# would pass it on.
_NO_PREFLIGHT = Refuse(
    Reason.CROSS_SITE_REFUSED,
    Details(detail="The proxy in front of this site has to send CORS preflights to demur's own listener."),
)

_log = logging.getLogger("demur")


class Check:
    """What is answered on the check listener.

    `guards` are those of all sites by their origin (at least one). `trusted` are the proxies that may ask from other
    machines, and those before the proxy that asks: what they added to X-Forwarded-For is believed. `idle` is the
    inactivity limit in seconds, for pages to state.
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
        self._words = Words(keys, self._in_words)
        self.short = Short(keys, self._some_guard.observer, self._in_words, self._words)

    def listener(self, sock: socket.socket) -> Listening:
        """This check at a socket, for `server.serve`."""
        return Listening(sock, self, self._trusted)

    def drain(self) -> None:
        """From now on `/ready` says no, so that nobody sends new requests here."""
        self._draining = True

    async def answer(self, sent: Request) -> Response:
        """The response to what a proxy sends: `sent` is its own request; what it asks about stands in its fields."""
        path, _, query = sent.target.partition(b"?")
        if path == b"/ready":
            return await self._ready()
        found = self.at_once(sent)
        if found is not None:
            return found
        asked, way = question.read(sent, self._trusted), WAYS[query]
        guard = find(self._guards, f"{asked.scheme}://{asked.host}")
        assert guard is not None  # noqa: S101 - for the type checker: at_once has answered the others
        return self._said(Asked(asked, guard), await guard.acheck(asked), way)

    def at_once(self, sent: Request, raw: bytes = b"") -> Response | None:
        """The same, where it can be told without waiting; else None. `raw` is the whole request as it was sent, if it
        came in one piece and the next one may be like it."""
        path, _, query = sent.target.partition(b"?")
        if path == b"/check" and query in WAYS:
            return self._check(sent, WAYS[query], raw)
        if path == b"/refusal":
            return self._refusal(sent, raw)
        if path == b"/health":
            return _text(200, "This process runs.")
        if path == b"/ready":
            return None
        ways = "?answer=fields, ?for=nginx, ?for=envoy, ?for=traefik"
        return _text(404, f"Here are /check ({ways}), /refusal, /health and /ready.")

    async def _ready(self) -> Response:
        if self._draining:
            return _text(503, "Not ready: this process is about to end.")
        try:
            self._keys.ring()
            await self._store.check()
            await self._keys.agree(int(self._some_guard.clock()))
        except StoreUnavailable as down:
            # The cause names files and errors; this listener is for operators and their proxies.
            return _text(503, f"Not ready: {down.cause}")
        return _text(200, "Ready.")

    # --- the question ---------------------------------------------------------------------------------

    def _check(self, sent: Request, way: Way, raw: bytes) -> Response | None:
        try:
            asked = self._asked(sent)
        except ValueError as wrong:
            return _text(400, str(wrong))
        if asked is None:
            return self._nowhere(sent, way)
        checked = ticket.refused(asked.guard, asked.request) or asked.guard.at_once(asked.request)
        if checked is None:
            return None
        if raw:
            self.short.learn(raw, sent, asked, checked, way)
        return self._said(asked, checked, way)

    def _nowhere(self, sent: Request, way: Way) -> Response:
        now = int(self._some_guard.clock())
        checked = Checked(Refuse(Reason.HOST_UNKNOWN), _UNDECIDED, Absent(), new_reference(), now)
        request = question.read(sent, self._trusted)
        self._some_guard.note(checked, request)
        return self._no(Asked(request, self._some_guard), checked, way)

    def _asked(self, sent: Request) -> Asked | None:
        """What is asked about, or None if no site of ours is meant. Raises ValueError with what the proxy has to do."""
        request = question.read(sent, self._trusted)
        guard = find(self._guards, f"{request.scheme}://{request.host}")
        return None if guard is None else Asked(request, guard)

    # --- the answers ----------------------------------------------------------------------------------

    def _said(self, asked: Asked, checked: Checked, way: Way) -> Response:
        """What was decided, in words that the proxy understands."""
        decision = checked.decision
        if isinstance(decision, Allow):
            rest = left(asked.request, checked.requirement.accepts)
            try:
                return Response(200, yes(asked, decision, checked.now, rest, way))
            except StoreUnavailable as down:
                _log.error("demur has no key to sign with who asks: %s", down.cause)
                decision = Refuse(Reason.UNAVAILABLE, Details(retry_after=down.retry_after))
                return self._no(asked, replace(checked, decision=decision), way)
        if isinstance(decision, Preflight) and decision.forward:
            return Response(200, yes(asked, Allow(), checked.now, (), way))
        return self._no(asked, checked, way)

    def _no(self, asked: Asked, checked: Checked, way: Way) -> Response:
        decision = checked.decision
        assert isinstance(decision, Refuse | Preflight)  # noqa: S101 - for the type checker
        said = slip.Slip(decision, checked.reference, checked.requirement.form, checked.presented)
        if not way.whole:
            return self._in_fields(asked, said, checked.now)
        if isinstance(decision, Preflight) and way.any_2xx:
            said = slip.Slip(_NO_PREFLIGHT, checked.reference)
        return self._in_words(asked, said)

    def _in_fields(self, asked: Asked, said: slip.Slip, now: int) -> Response:
        """For nginx: of everything but 200, 401 and 403 it makes 500. No challenge either: nginx would keep it, and the
        client would read it twice."""
        refused = said.decision.reason if isinstance(said.decision, Refuse) else None
        status = 401 if refused and REASONS[refused].status == 401 else 403
        lines = [NO_STORE, (b"content-length", b"0")]
        try:
            lines.append((SLIP, slip.write(said, asked.request, self._keys.ring().current, now)))
        except StoreUnavailable as down:
            # Without a slip the second step says 503, which is just what this is.
            _log.error("demur has no key to sign a refusal with: %s", down.cause)
        return Response(status, tuple(lines))

    def _in_words(self, asked: Asked, said: slip.Slip) -> Response:
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

    def _refusal(self, sent: Request, raw: bytes) -> Response:
        """The second step. Whatever is wrong with it is ours to mend, so it is 503 and never "sign in"."""
        try:
            asked = self._asked(sent) or Asked(question.read(sent, self._trusted), self._some_guard)
        except ValueError as wrong:
            return _text(400, str(wrong))
        try:
            said = self._slip(sent, asked)
        except (ValueError, StoreUnavailable) as wrong:
            _log.error("demur cannot render a refusal: %s", wrong)
            said = slip.Slip(Refuse(Reason.UNAVAILABLE, Details(retry_after=5)), new_reference())
        else:
            if raw:
                self._words.learn(raw, sent, asked, said)
        return self._in_words(asked, said)

    def _slip(self, sent: Request, asked: Asked) -> slip.Slip:
        slips = sent.values(SLIP)
        if len(slips) != 1:
            raise ValueError(f"{len(slips)} slips came with the request")
        return slip.read(slips[0], asked.request, self._keys.ring(), int(asked.guard.clock()))


def _text(status: int, text: str) -> Response:
    return respond.plain(status, f"{text}\n".encode())
