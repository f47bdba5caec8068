"""Opening a WebSocket without a server: the handshake as a server hands it over, and what becomes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping


async def handshake(app: Any, path: str, fields: Iterable[tuple[str, str]] = (), *, denies: bool = True) -> list[Any]:
    """What an app says to a handshake; the client leaves as soon as it is let in. `denies` says whether the server can
    send a response in place of a connection."""
    said: list[MutableMapping[str, Any]] = []
    waiting = [{"type": "websocket.connect"}]
    sent = [("host", "localhost"), ("upgrade", "websocket"), ("connection", "upgrade"), *fields]
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent],
        "client": ("127.0.0.1", 40000),
        "server": ("localhost", 80),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if denies else {},
        "state": {},
    }
    answered = asyncio.Event()

    async def receive() -> MutableMapping[str, Any]:
        if waiting:
            return waiting.pop()
        await answered.wait()
        return {"type": "websocket.disconnect", "code": 1001}

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)
        answered.set()

    await app(scope, receive, send)
    return said
