"""What a browser sends of a form, read strictly: which fields there are, and where in the content their values stand.

- Only what browsers write is read (WHATWG URL, 5.2, and HTML, 4.10.21.8); anything else is a ValueError, for what could
  be read in two ways may hide a field from whoever reads it.
- Nothing is copied or changed: a field is a name and a place, so that the content can go on byte for byte.
- The cost is linear in the length of the content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote_plus, unquote_to_bytes

MOST_FIELDS = 1000
"""Fields of a form that are read."""
URLENCODED = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data"

# "The application/x-www-form-urlencoded percent-encode set contains all code points, except the ASCII alphanumeric,
# U+002A (*), U+002D (-), U+002E (.), and U+005F (_)" (WHATWG URL, 1.3); a space is a plus.
_ENCODED = re.compile(rb"(?:[A-Za-z0-9*\-._+]|%[0-9A-Fa-f]{2})*")
# RFC 2046, 5.1.1: at most 70 characters; in quotes where there is one that no token has.
_BOUNDARY = re.compile(rb'multipart/form-data[ \t]*;[ \t]*boundary=(?:([A-Za-z0-9\'+_\-.]{1,70})|"([^"\\\r\n]{1,70})")')
_PART = re.compile(
    rb'Content-Disposition: form-data; name="([^"\r\n]{0,1000})"(?:; filename="([^"\r\n]{0,1000})")?\r\n'
    rb"(?:Content-Type: [^\r\n]{0,200}\r\n)?\r\n",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"%(22|0D|0A)")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form: its value is the content from `start` to `end`. `file` is what the file is called that was
    chosen ("": none was), None for a field that is no file."""

    name: str
    start: int
    end: int
    file: str | None = None


def is_form(kind: bytes) -> bool:
    """Whether a `Content-Type` is that of a form as browsers send it."""
    return _essence(kind) in {URLENCODED, MULTIPART}


def read(kind: bytes, content: bytes) -> tuple[Field, ...]:
    """The fields of a form, in order. `kind` is its `Content-Type`. Raises ValueError."""
    essence = _essence(kind)
    if essence == URLENCODED:
        return _urlencoded(content)
    if essence == MULTIPART:
        match = _BOUNDARY.fullmatch(kind.strip(b" \t"))
        if match is None:
            raise ValueError("a multipart form names its boundary, and nothing else")
        return _multipart(b"--" + (match[1] or match[2]), content)
    raise ValueError("this is no form")


def text(kind: bytes, value: bytes) -> str:
    """The value of a field, for people."""
    if _essence(kind) == URLENCODED:
        value = unquote_to_bytes(value.replace(b"+", b" "))
    return value.decode("utf-8", "replace")


def encode(kind: bytes, value: str) -> bytes:
    """A value as a form of this kind writes it."""
    if _essence(kind) != URLENCODED:
        return value.encode()
    return quote_plus(value, safe="*").replace("~", "%7E").encode("ascii")


def _essence(kind: bytes) -> bytes:
    return kind.partition(b";")[0].strip(b" \t").lower()


def _urlencoded(content: bytes) -> tuple[Field, ...]:
    if content.count(b"&") >= MOST_FIELDS:
        raise ValueError("too many fields")
    fields = []
    start = 0
    for pair in content.split(b"&"):
        name, equals, value = pair.partition(b"=")
        if not equals or not _ENCODED.fullmatch(name) or not _ENCODED.fullmatch(value):
            raise ValueError("not as a browser writes a form")
        end = start + len(pair)
        fields.append(Field(text(URLENCODED, name), end - len(value), end))
        start = end + 1
    return tuple(fields)


def _multipart(delimiter: bytes, content: bytes) -> tuple[Field, ...]:
    fields: list[Field] = []
    at = len(delimiter)
    if not content.startswith(delimiter):
        raise ValueError("the form does not begin with its boundary")
    while content[at : at + 2] == b"\r\n":
        head = _PART.match(content, at + 2)
        if head is None or len(fields) == MOST_FIELDS:
            raise ValueError("not as a browser writes a form")
        # A value may be empty, but the line break before the next delimiter is never that which ended the head.
        end = content.find(b"\r\n" + delimiter, head.end())
        if end < 0:
            raise ValueError("the form breaks off")
        fields.append(Field(_name(head[1]), head.end(), end, None if head[2] is None else _name(head[2])))
        at = end + 2 + len(delimiter)
    if content[at:] not in (b"--\r\n", b"--"):
        raise ValueError("the form does not end with its boundary")
    return tuple(fields)


def _name(escaped: bytes) -> str:
    """A name. Line feeds, carriage returns and quotes in it are escaped, and nothing else is (HTML, 4.10.21.8)."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), escaped.decode("utf-8", "replace"))
