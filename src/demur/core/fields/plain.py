"""Small things to write and read: structured fields (RFC 9651), lists, dates, seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Bare: TypeAlias = str | int | bool

_SF_TOKEN = re.compile(rb"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_SF_KEY = re.compile(rb" *([a-z*][a-z0-9_\-.*]*)")
_SF_STRING = re.compile(rb'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_SF_DISPLAY = re.compile(rb'%"((?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*)"')
_SF_INTEGER = re.compile(rb"-?[0-9]{1,15}(?![0-9.])")
_SF_BOOLEAN = re.compile(rb"\?([01])")
_ESCAPE = re.compile(rb'\\(["\\])')
_PERCENT = re.compile(rb"%([0-9a-f]{2})")

_CODING = re.compile(rb"[ \t]*([!#$%&'*+\-.^_`|~0-9a-z]+)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*")
_ETAG = re.compile(rb'("[\x21\x23-\x7e\x80-\xff]*")')

_NOT_QUOTABLE = re.compile(rb"[^\x20\x21\x23-\x5b\x5d-\x7e]")

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Item:
    """A structured field that is a token with parameters: strings and display strings as `str`, integers,
    booleans. Tokens as values of parameters are `str` too."""

    token: str
    params: dict[str, Bare]


def item(value: bytes) -> Item:
    """Read a structured field whose value is a token with parameters (RFC 9651, 4.2.3).

    Decimals, dates and byte sequences are of no use to the fields that we read, and are refused. Raises
    ValueError with the position of the fault.
    """
    value = value.strip(b" ")
    token = _SF_TOKEN.match(value)
    if token is None:
        raise ValueError("a token is expected at position 0")
    params: dict[str, Bare] = {}
    at = token.end()
    while at < len(value):
        key = _SF_KEY.match(value, at + 1)
        if value[at : at + 1] != b";" or key is None:
            raise ValueError(f"a parameter is expected at position {at}")
        at = key.end()
        bare: Bare = True
        if value[at : at + 1] == b"=":
            bare, at = _bare(value, at + 1)
        params[key[1].decode("ascii")] = bare
    return Item(token[0].decode("ascii"), params)


def _bare(value: bytes, at: int) -> tuple[Bare, int]:
    if found := _SF_STRING.match(value, at):
        return _ESCAPE.sub(rb"\1", found[1]).decode("ascii"), found.end()
    if found := _SF_DISPLAY.match(value, at):
        # Raises UnicodeDecodeError, a ValueError, if it is not UTF-8 (RFC 9651, 4.2.10).
        return _PERCENT.sub(lambda hexed: bytes.fromhex(hexed[1].decode("ascii")), found[1]).decode(), found.end()
    if found := _SF_INTEGER.match(value, at):
        return int(found[0]), found.end()
    if found := _SF_BOOLEAN.match(value, at):
        return found[1] == b"1", found.end()
    if found := _SF_TOKEN.match(value, at):
        return found[0].decode("ascii"), found.end()
    raise ValueError(f"a string, an integer, a boolean or a token is expected at position {at}")


def list_add(existing: bytes | None, *names: bytes) -> bytes:
    """A list such as `Vary` with these names in it, each once whatever its case. `*` says everything already."""
    elements = [element.strip(b" \t") for element in (existing or b"").split(b",")]
    elements = [element for element in elements if element]
    if b"*" in elements:
        return b"*"
    seen = {element.lower() for element in elements}
    for name in names:
        if name.lower() not in seen:
            seen.add(name.lower())
            elements.append(name)
    return b", ".join(elements)


def retry_after(seconds: int) -> bytes:
    """The value of `Retry-After`: whole seconds, and never "now", which would make clients turn in circles."""
    return b"%d" % max(1, seconds)


class Ending(Protocol):
    """When a session ends, like `core.model.Ends`."""

    @property
    def idle(self) -> int: ...
    @property
    def absolute(self) -> int: ...


def session_timing(ends: Ending, subject: str, now: int) -> bytes:
    """The value of `Server-Timing` by which a page learns whom it was made for, and when the session ends: `dur` is the
    seconds until then if nothing happens, `desc` those until it ends in any case."""
    return timing_of(ends, quotable(subject), now)


def timing_of(ends: Ending, name: bytes, now: int) -> bytes:
    """The same, of somebody whose id is `quotable` already."""
    ends_idle, absolute = ends.idle, ends.absolute - now
    idle = ends_idle - now if ends_idle else absolute
    absolute = 0 if absolute < 0 else absolute  # noqa: FURB136 - `max` would cost more than the rest of the sum
    idle = 0 if idle < 0 else idle if idle < absolute else absolute  # noqa: FURB136 - as above
    return b'session;dur=%d;desc="%d", subject;desc="%b"' % (idle, absolute, name)


def quotable(text: str) -> bytes:
    """What may stand in a quoted string (RFC 9110, 5.6.4). An id of ours is letters, digits and hyphens already."""
    raw = text.encode()
    return raw if raw.isascii() and raw.replace(b"-", b"").isalnum() else _NOT_QUOTABLE.sub(b"", raw)


def imf_fixdate(now: int) -> bytes:
    """A moment as HTTP writes it (RFC 9110, 5.6.7): in English, whatever the locale."""
    when = _EPOCH + timedelta(seconds=now)
    day, month = _DAYS[when.weekday()], _MONTHS[when.month - 1]
    return f"{day}, {when:%d} {month} {when.year:04} {when:%H:%M:%S} GMT".encode("ascii")


def accepts_gzip(values: Iterable[bytes]) -> bool:
    """Whether `Accept-Encoding` asks for gzip by name or by `*`, and not with the weight 0 (RFC 9110, 12.5.3)."""
    anything = False
    for each in b",".join(values).lower().split(b","):
        found = _CODING.fullmatch(each)
        wanted = found is not None and (found[2] or b"1").strip(b"0.") != b""
        if found is not None and found[1] in {b"gzip", b"x-gzip"}:
            return wanted
        anything = anything or (found is not None and found[1] == b"*" and wanted)
    return anything


def none_match(values: Iterable[bytes], etag: bytes) -> bool:
    """Whether `If-None-Match` is false, because it has the tag or is `*` (RFC 9110, 13.1.2: compared weakly)."""
    whole = b",".join(values).strip(b" \t")
    return whole == b"*" or etag in _ETAG.findall(whole)
