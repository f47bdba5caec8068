"""What stays open longer than an answer: WebSockets, and streams of events. It ends when its person may not go on.

- The app's messages and our last one leave one after another, and after ours nothing does.
- The last one comes where a message ends. The rest of an event that has begun is waited for, for a moment.
- A client that does not read is waited for a moment longer, then its connection is broken off.
- What the client still sends does not reach the app: for it, the connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from demur.core import streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.adapters.asgi.wire import Message, Send
    from demur.core.model import Fields, Request
    from demur.core.reasons import Reason

REST = 0.4
"""Seconds for which the rest of an event is waited for that the app has begun."""
UNREAD = 5.0
"""Seconds for which a client that does not read may keep our last message waiting."""


class Over(OSError):  # noqa: N818 - not an error
    """The app sends to somebody who may not go on. It is an OSError because that is what servers raise where the client
    has gone (ASGI, HTTP and WebSocket 2.4, disconnected client), so that apps take it for the same."""


def is_over(fault: BaseException | None) -> bool:
    """Whether that is what an app has failed at, itself or deep inside."""
    waiting, seen = [fault], set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, Over):
            return True
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            waiting += [each.__cause__, each.__context__]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
    return False


def stays_open(kind: str, answered: Fields, request: Request) -> bool:
    """Whether what the app has begun is to be watched. Other long answers, such as downloads, run to their end."""
    if kind == "websocket.accept":
        return True
    return kind == "http.response.start" and request.method != "HEAD" and streams.are_events(answered)


class Open:
    """Something open to one client. `kind` and `answered` are what the app began it with, `send` leads to the client,
    and `abort` breaks its connection off, where the server can do that."""

    def __init__(self, kind: str, answered: Fields, send: Send, abort: Callable[[], None] | None) -> None:
        self._is_websocket = kind == "websocket.accept"
        self._promised = not self._is_websocket and any(name == b"content-length" for name, _ in answered)
        self._events = streams.Events() if not self._is_websocket and streams.are_plain(answered) else None
        self._send = send
        self._abort = abort
        self._turn = asyncio.Lock()
        self._done = asyncio.Event()
        self._last = b""
        self._over = False
        self.goodbye: Message | None = None
        """What the app hears of a WebSocket once it is over."""

    async def send(self, message: Message) -> None:
        """Pass on a message of the app. Raises Over once there is nobody for it."""
        async with self._turn:
            if self._over:
                raise Over
            if message["type"] == "http.response.body" and self._events is not None:
                await self._pass_events(message, self._events)
            else:
                await self._send(message)
            if message["type"] == "websocket.close" or (
                message["type"] == "http.response.body" and not message.get("more_body", False)
            ):
                self._done.set()

    async def _pass_events(self, message: Message, events: streams.Events) -> None:
        data = bytes(message.get("body", b""))
        if not self._last:
            events.feed(data)
        elif (end := events.end_in(data)) is not None:
            await self._finish(data[:end] + self._last)
            return
        await self._send(message)

    async def end(self, reason: Reason, problem: str) -> None:
        """Say the last word: a close code, or `problem`, the problem document in one line, as an event."""
        try:
            async with asyncio.timeout(UNREAD):
                if self._is_websocket:
                    await self._close(streams.close_code(reason), reason.value)
                else:
                    await self._end_events(streams.last_event(problem))
        except TimeoutError:
            self._break_off()
        except OSError:  # the client has gone by itself
            self._stop()

    async def _close(self, code: int, reason: str) -> None:
        if self._done.is_set():
            return
        # Neither way does anything pass any more, even while the last message waits for its turn.
        self._over = True
        self.goodbye = {"type": "websocket.disconnect", "code": code, "reason": reason}
        async with self._turn:
            self._stop()
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _end_events(self, last: bytes) -> None:
        async with self._turn:
            if self._done.is_set():
                return
            if self._events is None or self._events.whole:
                await self._finish(last if self._events is not None else b"")
                return
            self._last = last
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REST):
                await self._done.wait()
        async with self._turn:
            if not self._done.is_set():
                await self._finish(b"")

    async def _finish(self, data: bytes) -> None:
        """The end of the content, or of the connection where more of it was promised."""
        if self._promised:
            self._break_off()
            return
        self._stop()
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    def _stop(self) -> None:
        self._over = True
        self._done.set()

    def _break_off(self) -> None:
        self._stop()
        if self._abort is not None:
            self._abort()
