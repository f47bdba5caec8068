"""What stays open longer than an answer: WebSockets, and streams of events. It ends when its person may not go on."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from demur.core.model import StoreUnavailable

if TYPE_CHECKING:
    from demur.adapters.asgi.wire import Message
    from demur.core.model import Fields, Request
    from demur.core.reasons import Reason
    from demur.guard import Checked, Guard

LOOK_AGAIN = 2.0
"""Seconds after which, time and again, it is seen whether a WebSocket or a stream of events may go on."""
UNAUTHORIZED = 3000
"""The code with which a WebSocket is closed that may not (IANA, WebSocket Close Code Number Registry)."""


async def over(guard: Guard, checked: Checked, request: Request) -> Reason:
    """Wait until something that is open may not go on, and say why. While that cannot be seen, it goes on."""
    while True:
        await asyncio.sleep(LOOK_AGAIN)
        with contextlib.suppress(StoreUnavailable):
            if reason := await guard.still(checked, request):
                return reason


def last(kind: str, answered: Fields) -> Message | None:
    """What ends an answer that stays open: a WebSocket, or events (HTML, 9.2). None for any other."""
    if kind == "websocket.accept":
        return {"type": "websocket.close", "code": UNAUTHORIZED}
    types = [value for name, value in answered if name == b"content-type"]
    if any(value.strip().lower().startswith(b"text/event-stream") for value in types):
        return {"type": "http.response.body", "body": b"", "more_body": False}
    return None
