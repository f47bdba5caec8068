"""A site for the examples: their files, the libraries they use, and an API that keeps notes. No login code is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

HERE = Path(__file__).resolve().parent
MODULES = HERE.parents[1] / "client" / "node_modules"
KINDS: Final = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
EXAMPLES: Final = sorted(page.parent.name for page in HERE.glob("*/index.html"))


def find(path: str, built: Path = HERE / "built") -> tuple[str, bytes] | None:
    """The type and the content of what is at a path, if anything is. `built` has what build.mjs made."""
    first, _, rest = path.lstrip("/").partition("/")
    folder = {"modules": MODULES, "built": built, **{name: HERE / name for name in EXAMPLES}}.get(first)
    file = folder / (rest or "index.html") if folder else HERE / first
    if not file.suffix:
        file = file.with_suffix(".js")
    inside = file.resolve().is_relative_to(folder or HERE)
    if file.suffix not in KINDS or not inside or not file.is_file():
        return None
    return KINDS[file.suffix], file.read_bytes()


def start() -> bytes:
    """The page with the list of the examples."""
    links = "".join(f'<li><a href="/{name}/">{name}</a></li>' for name in EXAMPLES)
    return f"<!doctype html><html lang=en><title>Examples</title><h1>Examples</h1><ul>{links}</ul></html>".encode()


def said(method: str, person: str, length: int) -> bytes:
    """What the API answers."""
    words = f"{method} by {person}, {length} bytes" if length else f"{method} by {person}"
    return json.dumps({"said": words}).encode()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """ASGI."""
    path, fields = scope["path"], dict(scope["headers"])
    length = 0
    while True:
        message = await receive()
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    status, kind, body = 200, KINDS[".html"], start()
    if path.startswith("/api/"):
        person = fields.get(b"remote-user", b"nobody").decode("latin-1")
        # htmx wants HTML, everybody else JSON.
        kind, body = "application/json", said(scope["method"], person, length)
        if b"hx-request" in fields:
            kind, body = KINDS[".html"], json.loads(body)["said"].encode()
    elif path != "/":
        status, (kind, body) = (200, found) if (found := find(path)) else (404, ("text/plain", b"Nothing is here.\n"))
    head = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
