"""The way out: what the app answers leaves dressed, or is refused because the app says so (`Demur-Refuse`).

Such a refusal is the same as any other, without the promise that nothing was processed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from demur.adapters.asgi import streams, wire
from demur.core import foreign
from demur.core.model import Refuse
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from demur.adapters.asgi.middleware import Demur
    from demur.adapters.asgi.watch import Watched
    from demur.adapters.asgi.wire import Message, Receive, Scope, Send
    from demur.core.model import Allow, Fields, Request
    from demur.guard import Checked


class Exit:
    """The way out for one answer of the app: its first message decides whether it leaves, dressed, or is refused.
    `asked` is what the app was asked in place of the request, if that is something else."""

    def __init__(
        self,
        demur: Demur,
        checked: Checked,
        allow: Allow,
        request: Request,
        scope: Scope,
        receive: Receive,
        send: Send,
        asked: Request | None = None,
    ) -> None:
        self._demur = demur
        self._asked = asked
        self._checked = checked
        self.allow = allow
        self._request = request
        self._scope = scope
        self._receive = receive
        self._send = send
        self.started = False
        self._swallow = False
        self._open: streams.Open | None = None
        self._watched: Watched | None = None
        self._ending: asyncio.Task[None] | None = None

    async def leave(self) -> None:
        """The app is done. What we have to say last is said before the server hears of it."""
        if self._watched is not None:
            self._watched.remove()
        if self._ending is not None:
            await self._ending

    def _over(self, refuse: Refuse) -> None:
        """What stays open ends: its person is signed out, suspended, or may not have it any more."""
        if self._open is None:
            return
        self._demur.note(self._checked, self._request, refuse, "")
        problem = self._demur.problem(self._checked, self._request, refuse)
        self._ending = asyncio.create_task(self._open.end(refuse.reason, problem))

    def receiving(self, receive: Receive) -> Receive:
        """How the app receives: once a WebSocket is over, what the client still sends is not for it."""
        if self._scope["type"] != "websocket":
            return receive

        async def until_over() -> Message:
            if self._open is not None and self._open.goodbye is not None:
                return self._open.goodbye
            message = await receive()
            if self._open is None or self._open.goodbye is None:
                return message
            return self._open.goodbye

        return until_over

    async def send(self, message: Message) -> None:
        """Pass on a message of the app."""
        if self._swallow:
            return
        if message["type"] in {"http.response.start", "websocket.http.response.start", "websocket.accept"}:
            await self._start(message)
        elif self._open is not None:
            await self._open.send(message)
        else:
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
        lines = self._demur.leaving(answered, status, self.allow, self._checked.now, self._request)
        await self._send({**message, "headers": lines})
        if streams.stays_open(message["type"], answered, self._request):
            allowed = replace(self._checked, decision=self.allow)
            self._watched = self._demur.watch.add(allowed, self._asked or self._request, self._over)
        if self._watched is not None:
            abort = self._scope.get("extensions", {}).get("demur.abort", {}).get("call")
            self._open = streams.Open(message["type"], answered, self._send, abort)

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
        await wire.answer(response, self._request, self._scope, self._receive, self._send, drain=False)
