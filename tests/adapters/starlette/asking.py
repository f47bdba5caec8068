"""Asking an ASGI app without a server, and without anything that its framework brings for that."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, MutableMapping

HOST = "app.example.com"


@dataclass(slots=True)
class Answer:
    """What came back: the first message (an answer, or what became of a WebSocket), and what followed."""

    messages: list[MutableMapping[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The status; 101 for a WebSocket that was accepted, 403 for one that was only closed."""
        first = self.messages[0]
        return int(first.get("status", 101 if first["type"] == "websocket.accept" else 403))

    @property
    def fields(self) -> dict[str, str]:
        """The fields; of several lines of one name, the last."""
        lines = self.messages[0].get("headers", ())
        return {bytes(name).decode().lower(): bytes(value).decode("latin-1") for name, value in lines}

    @property
    def text(self) -> str:
        """The content, or what was sent over the WebSocket."""
        return b"".join(each.get("body") or str(each.get("text") or "").encode() for each in self.messages[1:]).decode()

    @property
    def problem(self) -> Any:
        """The problem document."""
        assert self.fields["content-type"] == "application/problem+json", self.fields
        return json.loads(self.text)

    @property
    def reason(self) -> str:
        """Why it was refused."""
        return str(self.problem["reason"])


async def ask(
    app: Any,
    target: str = "/",
    fields: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    body: bytes = b"",
    scheme: str = "https",
    state: Mapping[str, Any] | None = None,
) -> Answer:
    """Send a request, or with the scheme "ws" or "wss" open a WebSocket, say `body`, and leave. `state` is what the app
    has kept for its requests when it was started."""
    path, _, query = target.partition("?")
    answer, over, websocket = Answer(), asyncio.Event(), scheme.startswith("ws")
    lines = {"host": HOST, **({"content-length": str(len(body))} if body and not websocket else {}), **(fields or {})}
    upgrade = {"upgrade": "websocket", "connection": "upgrade"} if websocket else {}
    scope: dict[str, Any] = {
        "type": "websocket" if websocket else "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        **({} if websocket else {"method": method}),
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in {**lines, **upgrade}.items()],
        "client": ("192.0.2.7", 40000),
        "server": (HOST, 443),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if websocket else {},
        "state": dict(state or {}),
    }
    waiting: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    if websocket:
        waiting = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": body.decode()}]

    async def receive() -> MutableMapping[str, Any]:
        if waiting:
            return waiting.pop(0)
        if not websocket:
            await over.wait()
        return {"type": "websocket.disconnect", "code": 1001} if websocket else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        answer.messages.append(message)
        if message["type"].endswith("response.body") and not message.get("more_body", False):
            over.set()

    await app(scope, receive, send)
    return answer


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[dict[str, Any]]:
    """An app that was started, and is stopped; what it keeps for its requests."""
    state: dict[str, Any] = {}
    stopping, heard = asyncio.Event(), asyncio.Queue[str]()
    waiting = ["lifespan.startup"]

    async def receive() -> MutableMapping[str, Any]:
        if waiting:
            return {"type": waiting.pop()}
        await stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: MutableMapping[str, Any]) -> None:
        heard.put_nowait(message["type"])

    task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}, receive, send))
    assert await heard.get() == "lifespan.startup.complete"
    yield state
    stopping.set()
    await task
