"""What came in the body of a request to one of demur's own pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demur.core.model import Request

_MOST_FIELDS = 32


class UnreadableError(ValueError):
    """The body is not what its type says, or of a type that is not read here. The text is for the person."""


def read(request: Request, body: bytes) -> Mapping[str, str]:
    """The members of a form or a JSON object, as texts; `true` reads as "on", as a ticked box does.
    Raises UnreadableError."""
    kind = (request.value(b"content-type") or b"").partition(b";")[0].strip().lower()
    if not body:
        return {}
    if kind == b"application/x-www-form-urlencoded":
        return _form(body)
    if kind == b"application/json":
        return _json(body)
    raise UnreadableError("Send application/x-www-form-urlencoded or application/json.")


def typed(request: Request, body: bytes | None) -> str:
    """The name that somebody typed into a form that could not be dealt with; "" if it cannot be read."""
    try:
        return read(request, body or b"").get("username", "")
    except UnreadableError:
        return ""


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError as wrong:
        raise UnreadableError("The form is not well-formed.") from wrong
    members = dict(pairs)
    if len(members) != len(pairs):
        raise UnreadableError("A field of the form was sent twice.")
    return members


def _json(body: bytes) -> dict[str, str]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as wrong:
        raise UnreadableError("The body is not JSON.") from wrong
    if not isinstance(value, dict):
        raise UnreadableError("The body is not a JSON object.")
    members: dict[str, str] = {}
    for name, member in value.items():
        if _is_half(name) or (isinstance(member, str) and _is_half(member)):
            raise UnreadableError("The body has half a character.")
        if isinstance(member, str):
            members[name] = member
        elif isinstance(member, bool):
            members[name] = "on" if member else ""
        else:
            raise UnreadableError(f"{name!r} is neither a text nor true or false.")
    return members


def _is_half(text: str) -> bool:
    """Whether there is a surrogate without its other half, which JSON can write and UTF-8 cannot (RFC 7493, 2.1)."""
    return not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text)
