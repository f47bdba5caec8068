"""An app that real servers serve: see `test_wsgi_servers.py`. It was loaded before the workers were forked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demur.adapters.wsgi import Demur

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER = Path(os.environ["SERVED"])
LOADED = os.getpid()


def inner(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The app."""
    path, subject = environ["PATH_INFO"], environ["demur.passed"].subject
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/public/stream":
        return _stream()
    if path == "/members/upload":
        return [str(len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))).encode()]
    forged = sorted(name for name in environ if "REMOTE" in name.upper() and name.startswith("HTTP_"))
    return [f"{subject.name if subject else 'nobody'} {os.getpid()} {LOADED} {forged}".encode()]


def _stream() -> Iterator[bytes]:
    yield b"one"
    # The client says in the file system that it has read that.
    with (FOLDER / "read").open() as told:
        told.read()
    yield b"two"


app = Demur(
    inner,
    origin="http://localhost",
    store=f"sqlite:{FOLDER / 'sessions.db'}",
    keys=str(FOLDER / "keys"),
    rules=[{"path": "/public/**", "allow": "anyone"}, {"path": "/members/**", "allow": "signed-in"}],
)
