"""Requests out of WSGI environs, and whole answers of ours for WSGI servers (PEP 3333).

- What is judged is what the app reads: `SCRIPT_NAME`, `PATH_INFO` and `QUERY_STRING`, not the line that came over the
  wire, of which a server passes on no more than it likes.
- A refusal is answered first, and what the client still sends is read and dropped after it, within bounds.
"""

from __future__ import annotations

import time
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from demur.core import fields
from demur.core.model import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import TypeAlias
    from wsgiref.types import InputStream, StartResponse

    from demur.adapters.short import No
    from demur.core.model import Response

    ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

MOST_DROPPED = 64 * 1024 * 1024
"""Bytes of a refused request's content that are read and dropped."""
LONGEST_DROP = 30.0
"""Seconds for which that goes on."""
_PIECE = 64 * 1024


def read(environ: dict[str, Any]) -> Request:
    """The facts of a request in a WSGI environ. The host is "" unless it is valid."""
    scheme = environ["wsgi.url_scheme"]
    return Request(
        method=environ["REQUEST_METHOD"],
        target=target(environ),
        scheme=scheme,
        host=_host(environ.get("HTTP_HOST", ""), scheme),
        peer=environ.get("REMOTE_ADDR") or "",
        fields=tuple(_fields(environ)),
    )


def target(environ: dict[str, Any]) -> bytes:
    """The request target, put together from what the app reads; b"" if that could be read in two ways."""
    root, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    if path and not path.startswith("/"):
        # Some frameworks put the missing slash there (Werkzeug), and others take it for a part of the segment before.
        return b""
    try:
        # What was decoded is encoded again, or a "?" out of a path would begin a query.
        whole = quote((root + path).encode("latin-1"), safe="/:@!$&'()*+,;=~").encode("ascii") or b"/"
        query = environ.get("QUERY_STRING", "").encode("latin-1")
    except UnicodeEncodeError:  # no "native string" (PEP 3333, Unicode Issues)
        return b""
    return whole + b"?" + query if query else whole


def _fields(environ: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    """The fields, as far as a server lets one know them: in no order, and with one spelling for all marks."""
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if value := environ.get(key):
            yield name_of(key), value.encode("latin-1", "replace")
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield name_of(key[5:]), value.encode("latin-1", "replace")


@lru_cache(maxsize=1024)
def name_of(key: str) -> bytes:
    """The name of a field out of what a server made of it."""
    return key.replace("_", "-").lower().encode("latin-1", "replace")


def _host(value: str, scheme: str) -> str:
    if "," in value:  # more than one, joined by the server
        return ""
    try:
        return fields.host(value.encode("latin-1", "replace"), scheme)
    except ValueError:
        return ""


class Upload:
    """What a client sends. A server need not say where it ends, so it is read up to its length and no further, unless
    the server promises an end (`wsgi.input_terminated`). Without either there is nothing (PEP 3333, Input Stream)."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._input: InputStream = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH") or ""
        endless = MOST_DROPPED if environ.get("wsgi.input_terminated") else 0
        self._length = int(length) if length.isdecimal() and length.isascii() else None
        self._left = endless if self._length is None else self._length

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to read."""
        return not self._left

    def body(self, most: int) -> bytes | None:
        """All of it, or None if it is longer than `most` bytes or breaks off."""
        if self._length is not None and self._length > most:
            return None
        parts: list[bytes] = []
        size = 0
        while size <= most and (part := self._read(most + 1 - size)):
            parts.append(part)
            size += len(part)
        whole = size <= most and (self._length is None or not self._left)
        return b"".join(parts) if whole else None

    def drop(self) -> None:
        """Read what is still sent, within bounds, and keep nothing of it."""
        until, dropped = time.monotonic() + LONGEST_DROP, 0
        while dropped < MOST_DROPPED and time.monotonic() < until:
            try:
                part = self._read(_PIECE)
            except Exception:  # noqa: BLE001 - the answer is out; what is wrong with the rest matters to nobody
                return
            if not part:
                return
            dropped += len(part)

    def _read(self, most: int) -> bytes:
        part = self._input.read(min(self._left, most, _PIECE)) if self._left else b""
        self._left = self._left - len(part) if part else self._left
        return part


def answer(
    response: Response,
    environ: dict[str, Any],
    start_response: StartResponse,
    upload: Upload | None,
    exc_info: ExcInfo | None = None,
) -> Iterable[bytes]:
    """Send a whole answer of ours."""
    lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.fields]
    status = f"{response.status} {HTTPStatus(response.status).phrase}"
    start_response(status, lines, *((exc_info,) if exc_info else ()))
    content = [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]
    return content if upload is None or upload.ended else _and_drop(content, upload)


def again(
    no: No,
    reference: str,
    environ: dict[str, Any],
    start_response: StartResponse,
    exc_info: ExcInfo | None = None,
) -> Iterable[bytes]:
    """Say a refusal again, to a request that has no content."""
    status, lines = _texts(no)
    start_response(status, lines.copy(), *((exc_info,) if exc_info else ()))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [no.body(reference)]


@lru_cache(maxsize=1024)
def _texts(no: No) -> tuple[str, list[tuple[str, str]]]:
    """The status and the fields of a refusal as WSGI has them."""
    lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in no.fields]
    return f"{no.status} {HTTPStatus(no.status).phrase}", lines


def _and_drop(content: list[bytes], upload: Upload) -> Iterator[bytes]:
    yield from content
    upload.drop()


def move(environ: dict[str, Any], target: bytes) -> None:
    """Ask the app for another page."""
    path, _, query = target.partition(b"?")
    root, whole = environ.get("SCRIPT_NAME", ""), unquote_to_bytes(path).decode("latin-1")
    inside = whole.startswith(root)
    environ["PATH_INFO"] = whole[len(root) :] if inside else whole
    environ["SCRIPT_NAME"] = root if inside else ""
    environ["QUERY_STRING"] = query.decode("latin-1")
    # What some servers tell of the line of the request, and some frameworks read.
    environ.update(dict.fromkeys({"RAW_URI", "REQUEST_URI"} & environ.keys(), target.decode("latin-1")))
