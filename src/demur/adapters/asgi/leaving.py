"""The way out: what the app answers leaves dressed, or is refused because the app says so (`Demur-Refuse`).

Such a refusal is the same as any other, without the promise that nothing was processed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from demur.adapters.asgi import streams, wire
from demur.core import respond
from demur.core.model import Response

if TYPE_CHECKING:
    from demur.adapters.asgi.middleware import Demur
    from demur.adapters.asgi.watch import Watched
    from demur.adapters.asgi.wire import Message, Receive, Scope, Send
    from demur.adapters.passed import Passed
    from demur.core.model import Fields, Refuse, Request


class Exit:
    """The way out for one answer of the app: its first message decides whether it leaves, dressed, or is refused.
    `request` is what the client asked for; the app may have been asked something else (`passed`)."""

    def __init__(
        self,
        demur: Demur,
        passed: Passed,
        request: Request,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._demur = demur
        self.passed = passed
        self._request = request
        self._scope = scope
        self._upload = wire.Upload(receive)
        self._send = send
        self.started = False
        self.refused = False
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
        surface, checked = self._demur.surface, self.passed.checked
        surface.guard.note(replace(checked, decision=refuse), self._request)
        problem = respond.problem_text(surface.said(checked, self._request, refuse))
        self._ending = asyncio.create_task(self._open.end(refuse.reason, problem))

    def receiving(self, receive: Receive) -> Receive:
        """How the app receives: once a WebSocket is over, what the client still sends is not for it."""
        if self._scope["type"] != "websocket":
            return self._upload.receive

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
        if self.refused:
            return
        if message["type"] in {"http.response.start", "websocket.http.response.start", "websocket.accept"}:
            await self._start(message)
        elif message["type"] == "websocket.close" and not self.started:
            await self._close(message)
        elif self._open is not None:
            await self._open.send(message)
        else:
            await self._send(message)

    async def _start(self, message: Message) -> None:
        answered: Fields = tuple((bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ()))
        passed, surface = self.passed, self._demur.surface
        status = message.get("status", 101)
        leaves = await surface.aleave(passed, status, answered)
        if isinstance(leaves, Response):
            self._demur.refused_at_view(passed)
            await self.refuse(leaves)
            return
        self.started = True
        await self._send({**message, "headers": list(leaves)})
        if streams.stays_open(message["type"], answered, self._request):
            allowed = replace(passed.checked, decision=passed.allow)
            self._watched = self._demur.watch.add(allowed, passed.request, self._over)
        if self._watched is not None:
            abort = self._scope.get("extensions", {}).get("demur.abort", {}).get("call")
            self._open = streams.Open(message["type"], answered, self._send, abort)

    async def _close(self, message: Message) -> None:
        """A WebSocket that is closed before it is open is a 403 (ASGI, Close - send event), and may mean a refusal."""
        leaves = await self._demur.surface.aleave(self.passed, 403, ())
        if isinstance(leaves, Response):
            await self.refuse(leaves)
        else:
            await self._send(message)

    async def refuse(self, response: Response) -> None:
        """Answer in the app's place."""
        self.refused = True
        upload = self._upload
        await wire.answer(response, self._request, self._scope, upload.receive, self._send, drain=not upload.ended)
