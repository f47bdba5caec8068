"""Every plausible reading of a path, and what the rules ask for under each of them.

- A path is read by more than one program, and each of them decodes, cuts, merges and resolves in its own order. A
  reading is whatever these steps make of the path, in any order, and decoding at most four times.
- All readings are judged. A reading opens nothing; it can only add to what is asked for.
- What nobody sends in good faith is no path: control characters, what is not UTF-8, an escape that is none, a fifth
  layer of encoding, more readings than anybody needs. Readings and their characters are bounded, and so is the cost.
- A plain path (`fields.plain_path`) has one reading, and no others are looked for.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from demur.core import fields
from demur.core.rules import Match, bind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from demur.core.rules import Rule, Rules

LONGEST = fields.LONGEST_TARGET
"""Bytes of a path."""
DEEPEST = 4
"""How often a path may be decoded: a proxy and an application, each of them twice."""
MOST = 32
"""Readings of a path."""
WIDEST = 4 * LONGEST
"""Characters in all readings of a path together, where each mark counts as much as `MARK` others."""
MARK = 16
MARKS = "%;/"
"""What costs most to read."""

# "No whitespace is allowed in the request-target" (RFC 9112, 3.2); control characters and a lone `%` are in no URI
# (RFC 3986, 2).
_NOWHERE = bytes((*range(0x21), 0x7F))
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
_BEYOND_ASCII = re.compile(rb"%[89A-Fa-f]")
# Almost every path, known at a glance to be plain and to have hardly another name.
_simple = re.compile(rb"(?=/)(?:/[A-Za-z0-9_~-]++(?:\.[A-Za-z0-9_~-]++)*)*/?\Z").match
_PARAMETERS = re.compile(r";[^/]*")
_CUT = re.compile(r"[?#]")
_KEPT = re.compile(r"%(?:2[Ff]|5[Cc])")
_SLASHES = re.compile(r"//+")
_DOTS = {".": 1, "..": 2}
# "A single-dot URL path segment is a URL path segment that is "." or an ASCII case-insensitive match for "%2e"", and
# the like for two (URL Standard, 4.1): parsers of URLs resolve them and decode nothing.
_ENCODED_DOTS = {**_DOTS, "%2e": 1, ".%2e": 2, "%2e.": 2, "%2e%2e": 2}
_ENCODED_DOT = re.compile(r"/\.?%2[Ee]")
_LONGEST_DOTS = len("%2e%2e")

# Most requests are for few paths. What was found about those is found again, in a few hundred kilobytes at most.
_REMEMBERED = 1024
_SHORT = 256

_HEX = "0123456789ABCDEFabcdef"
_OCTETS = {f"{high}{low}".encode(): bytes.fromhex(high + low) for high in _HEX for low in _HEX}
_OCTETS_BEYOND_ASCII = {escape: octet for escape, octet in _OCTETS.items() if octet > b"\x7f"}
_OCTETS_BUT_SLASHES = _OCTETS | {escape: b"%" + escape for escape in (b"2F", b"2f", b"5C", b"5c")}


class _Malformed(Exception):  # noqa: N818 - never leaves this module
    """Not a path."""


def readings(path: bytes) -> tuple[str, ...] | None:
    """Every text as which a program may take `path`, the target up to its first "?". The first is the path as it is
    written, with only those escapes decoded that mean the same to everybody.

    None if it is no path: the answer is 400.
    """
    try:
        return tuple(_all(_written(path)))
    except _Malformed:
        return None


def judge(rules: Rules, method: str, path: bytes, host: str = "") -> tuple[Match, ...] | None:
    """What has to be allowed so that `path` may be: the match of each of its readings, and of each rule that it falls
    under by a name that some programs take for the rule's own. The first is that of the path as it is written.

    None if it is no path, or if two readings bind a capture of one rule differently: the answer is 400.
    """
    asked = (method, path, host)
    known = rules.judged.get(asked)
    if known is not None:
        return known
    simple = _simple(path) is not None and len(path) <= LONGEST
    if simple or fields.plain_path(path):
        text = path.decode() if simple else unquote(path.decode(), errors="strict")
        segments = rules.beginning(text)
        match = rules.match_segments(method, segments, host)
        found: tuple[Match, ...] = (match,)
        if rules.kin.may_differ(text, segments, simple):
            found = (match, *_kin(rules, method, [segments], host, {match.rule}))
        if len(path) <= _SHORT:
            if len(rules.judged) >= _REMEMBERED:
                rules.judged.clear()
            rules.judged[asked] = found
        return found
    try:
        return _judge(rules, method, _all(_written(path)), host)
    except _Malformed:
        return None


def _judge(rules: Rules, method: str, texts: Mapping[str, int], host: str) -> tuple[Match, ...]:
    found: dict[Rule | None, Match] = {}
    asked: dict[tuple[str, ...], None] = {}
    for text, depth in texts.items():
        segments = rules.beginning(text)
        match = rules.match_segments(method, segments, host)
        captures = tuple((name, _meant(value, depth)) for name, value in match.captures)
        if found.setdefault(match.rule, replace(match, captures=captures)).captures != captures:
            raise _Malformed
        if rules.kin.may_differ(text, segments):
            asked[tuple(segments)] = None
    return (*found.values(), *_kin(rules, method, asked, host, set(found)))


def _meant(value: str, depth: int) -> str:
    """What a capture binds, so that readings can be compared: an escape in what was never decoded, and the slash that
    some decoders leave, are no differences."""
    if "%" not in value:
        return value
    return _decoded(value, _OCTETS) if depth == 0 else _KEPT.sub(lambda kept: unquote(kept[0]), value)


def _kin(
    rules: Rules, method: str, paths: Iterable[Sequence[str]], host: str, known: set[Rule | None]
) -> Iterator[Match]:
    """The rules that no reading falls under, but another name of one."""
    for segments in paths:
        for rule, other in rules.kin.find(method, segments, host):
            if rule not in known:
                known.add(rule)
                yield Match(rule.requirement, rule, bind(rule, other))


# --- every reading --------------------------------------------------------------------------------


def _written(path: bytes) -> str:
    """The path as it is written, but for the escapes of spaces and of what is beyond ASCII: they mean the same to
    everybody, and a rule is written with what they stand for."""
    if len(path) > LONGEST or not path.startswith(b"/") or path.translate(None, _NOWHERE) != path:
        raise _Malformed
    if _NO_ESCAPE.search(path):
        raise _Malformed
    path = path.replace(b"%20", b" ")
    if _BEYOND_ASCII.search(path):
        path = _unescaped(path, _OCTETS_BEYOND_ASCII)
    return _text(path)


def _unescaped(path: bytes, octets: Mapping[bytes, bytes]) -> bytes:
    first, *others = path.split(b"%")
    return first + b"".join([octets.get(other[:2], b"%" + other[:2]) + other[2:] for other in others])


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise _Malformed from None


def _all(written: str) -> dict[str, int]:
    """Every reading, with the number of times that it was decoded."""
    found: dict[str, int] = {}
    level = [written]
    for depth in range(DEEPEST + 1):
        new = _stepped(level, depth, found)
        level = [decoded for text in new if "%" in text for decoded in _decodings(text) if decoded not in found]
    if level:
        # Some decode until nothing changes, and so would read on where this ends.
        raise _Malformed
    return found


def _stepped(texts: list[str], depth: int, found: dict[str, int]) -> list[str]:
    """Whatever all steps but decoding make of the texts, in any order. Adds to `found`, and returns what was added."""
    new = []
    waiting = texts
    width = sum(map(_width, found))
    while waiting:
        text = waiting.pop()
        if text in found:
            continue
        width += _width(text)
        if len(found) == MOST or width > WIDEST:
            raise _Malformed
        found[text] = depth
        new.append(text)
        waiting.extend(_steps(text))
    return new


def _width(text: str) -> int:
    return len(text) + MARK * sum(map(text.count, MARKS))


def _steps(text: str) -> Iterator[str]:
    """Each step that changes a text, applied to it."""
    if "\\" in text:
        yield text.replace("\\", "/")
    if ";" in text:
        yield _PARAMETERS.sub("", text)
    if cut := _CUT.search(text):
        yield text[: cut.start()]
    if "//" in text:
        yield _SLASHES.sub("/", text)
        if text.startswith("//"):
            yield "/" + text[2:].partition("/")[2]
    if "/." in text:
        yield _resolved(text, _DOTS)
    if "%2" in text and _ENCODED_DOT.search(text):
        yield _resolved(text, _ENCODED_DOTS)


def _resolved(text: str, dots: Mapping[str, int]) -> str:
    """The path without dot segments (RFC 3986, 5.2.4)."""
    segments: list[str] = []
    dot = 0
    for segment in text.split("/")[1:]:
        dot = dots.get(segment.lower(), 0) if len(segment) <= _LONGEST_DOTS else 0
        if not dot:
            segments.append(segment)
        elif dot == 2 and segments:
            segments.pop()
    if dot:
        segments.append("")
    return "/" + "/".join(segments)


def _decodings(text: str) -> Iterator[str]:
    """A text decoded once: all of it, and all but slashes and backslashes, as those decode who keep a segment whole
    (Apache's `AllowEncodedSlashes NoDecode`, Go, Envoy)."""
    whole = _decoded(text, _OCTETS)
    yield whole
    if _KEPT.search(text):
        yield _decoded(text, _OCTETS_BUT_SLASHES)


def _decoded(text: str, octets: Mapping[bytes, bytes]) -> str:
    """What is no escape stays as it is: so it does for those who decode twice."""
    if _CONTROL.search(text):
        raise _Malformed
    return _text(_unescaped(text.encode(), octets))
