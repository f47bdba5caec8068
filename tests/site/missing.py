"""A site on which nothing is, in every manner in which sites say so: `/ZONE/MANNER/…` is answered in that manner."""

from __future__ import annotations

import gzip
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Fields = dict[str, str]
Said = tuple[int, list[tuple[bytes, bytes]], bytes]

PAGE = b"<!doctype html><title>Nothing here</title><p>There is no such page.</p>" * 20
HTML = (b"content-type", b"text/html; charset=utf-8")


def plain(asked: Fields) -> Said:
    """Always the same."""
    return 404, [HTML], PAGE


def greeting(asked: Fields) -> Said:
    """To the person who is known."""
    return 404, [HTML], PAGE + f"<p>Sorry, {asked.get('remote-name', 'stranger')}.</p>".encode()


def cookie(asked: Fields) -> Said:
    """With a session of the site's own for whoever has none."""
    if "sitesession=" in asked.get("cookie", ""):
        return 404, [HTML], PAGE
    return 404, [HTML, (b"set-cookie", b"sitesession=" + secrets.token_hex(8).encode() + b"; Path=/; HttpOnly")], PAGE


def kept(asked: Fields) -> Said:
    """As if everybody might keep it."""
    about = [(b"etag", b'"404"'), (b"last-modified", b"Sun, 01 Nov 2026 00:00:00 GMT"), (b"age", b"7")]
    return 404, [HTML, (b"cache-control", b"public, max-age=3600"), *about], PAGE


def packed(asked: Fields) -> Said:
    """Compressed where that may be."""
    if "gzip" not in asked.get("accept-encoding", ""):
        return 404, [HTML, (b"vary", b"Accept-Encoding")], PAGE
    packed_ = gzip.compress(PAGE, mtime=0)
    return 404, [HTML, (b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")], packed_


def numbered(asked: Fields) -> Said:
    """With a number for each request."""
    return 404, [HTML, (b"x-request-id", secrets.token_hex(16).encode())], PAGE


def negotiated(asked: Fields) -> Said:
    """For programs otherwise than for people, and in two languages."""
    words = b"Nichts da." if asked.get("accept-language", "").startswith("de") else b"Nothing here."
    vary = (b"vary", b"Accept, Accept-Language")
    if "html" in asked.get("accept", ""):
        return 404, [HTML, vary], words
    return 404, [(b"content-type", b"application/json"), vary], b'{"error": "' + words + b'"}'


def questioned(asked: Fields) -> Said:
    """In the form that the query asks for."""
    wanted = asked["query"].encode() or b"nothing"
    return 404, [(b"content-type", b"text/plain")], b"You asked for " + wanted


def everything(asked: Fields) -> Said:
    """As an app of one page does: whatever is asked for is there, and can be asked for again with its tag."""
    tag = (b"etag", b'"app"')
    if asked.get("if-none-match") == '"app"':
        return 304, [tag], b""
    if asked.get("range") == "bytes=0-9":
        return 206, [HTML, tag, (b"content-range", b"bytes 0-9/%d" % len(PAGE))], PAGE[:10]
    return 200, [HTML, tag], PAGE


def elsewhere(asked: Fields) -> Said:
    """By leading to the front page."""
    return 302, [(b"location", b"/")], b""


def broken(asked: Fields) -> Said:
    """With a failure of its own."""
    return 500, [(b"content-type", b"text/plain")], b"Internal Server Error"


def echoing(asked: Fields) -> Said:
    """By repeating the address."""
    return 404, [(b"content-type", b"text/plain")], f"Cannot {asked['method']} {asked['path']}".encode()


MANNERS: dict[str, Callable[[Fields], Said]] = {
    one.__name__: one
    for one in (
        *(plain, greeting, cookie, kept, packed, numbered, negotiated, questioned, everything, elsewhere, broken),
        echoing,
    )
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The site. An address of which a segment is `stream` is answered in pieces, without a length."""
    if scope["type"] != "http":
        return
    asked = {name.decode(): value.decode() for name, value in scope["headers"]}
    asked |= {"path": scope["path"], "query": scope["query_string"].decode(), "method": scope["method"]}
    segments = scope["path"].split("/")
    manner = MANNERS.get(segments[2] if len(segments) > 2 else "", plain)
    status, fields, body = manner(asked)
    pieces = [body]
    if "stream" in segments:
        pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
    elif status != 304:
        fields = [*fields, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
