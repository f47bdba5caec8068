"""The way out: what the app answers leaves dressed, or is refused because the app says so (`Demur-Refuse`).

Such a refusal is the same as any other, without the promise that nothing was processed.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from demur.adapters.asgi import streams, wire
from demur.core import foreign
from demur.core.model import Refuse
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from demur.adapters.asgi.middleware import Demur
    from demur.adapters.asgi.wire import Message, Receive, Scope, Send
    from demur.core.model import Allow, Fields, Request
    from demur.guard import Checked


class Exit:
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
        reason = await streams.over(self._demur.guard, self._checked, self._request)
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
        lines = self._demur.leaving(answered, status, self.allow, self._checked.now, self._request)
        await self._send({**message, "headers": lines})
        last = streams.last(message["type"], answered)
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
        await wire.answer(response, self._request, self._scope, self._receive, self._send, drain=False)
