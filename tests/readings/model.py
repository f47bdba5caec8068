"""The readings of a path, and the rules for each of them, in the slowest and most obvious way.

Nothing is shared with the code: no tree, no short cut, no regular expression, one character after the other. Where the
two differ, one of them is wrong.
"""

from __future__ import annotations

import itertools
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from demur.core.rules import Rule

DIGITS = "0123456789abcdefABCDEF"
DEEPEST, MOST, WIDEST = 4, 32, 32768


class NoPath(Exception):  # noqa: N818 - a value, nearly
    """It is answered with 400."""


# --- what is done to a path -----------------------------------------------------------------------


def is_escape(text: str) -> bool:
    return len(text) == 3 and text[0] == "%" and text[1] in DIGITS and text[2] in DIGITS


def decode(text: str, kept: str = "") -> str:
    """Each escape becomes its octet, but for those that stand for a character in `kept`."""
    octets = bytearray()
    while text:
        if is_escape(text[:3]) and chr(int(text[1:3], 16)) not in kept:
            octets.append(int(text[1:3], 16))
            text = text[3:]
        else:
            octets += text[0].encode()
            text = text[1:]
    return text_of(bytes(octets))


def text_of(octets: bytes) -> str:
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise NoPath from None
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise NoPath
    return text


def without_parameters(text: str) -> str:
    return "/".join(segment.split(";")[0] for segment in text.split("/"))


def with_slashes_for_backslashes(text: str) -> str:
    return "".join("/" if char == "\\" else char for char in text)


def with_slashes_merged(text: str) -> str:
    return "".join(char for before, char in zip(" " + text, text, strict=False) if before + char != "//")


def without_authority(text: str) -> str:
    if text[:2] != "//":
        return text
    return "/" + "/".join(text.split("/")[3:])


def cut(text: str) -> str:
    return "".join(itertools.takewhile(lambda char: char not in "?#", text))


def resolved(text: str, one: Sequence[str], two: Sequence[str]) -> str:
    done: list[str] = []
    segments = text.split("/")[1:]
    for at, segment in enumerate(segments):
        dots = segment.lower() in one or segment.lower() in two
        if segment.lower() in two:
            done = done[:-1]
        if not dots:
            done.append(segment)
        elif at == len(segments) - 1:
            done.append("")
    return "/" + "/".join(done)


STEPS: list[Callable[[str], str]] = [
    without_parameters,
    with_slashes_for_backslashes,
    with_slashes_merged,
    without_authority,
    cut,
    lambda text: resolved(text, ["."], [".."]),
    lambda text: resolved(text, [".", "%2e"], ["..", ".%2e", "%2e.", "%2e%2e"]),
]
DECODINGS: list[Callable[[str], str]] = [decode, lambda text: decode(text, "/\\")]


def as_written(path: bytes) -> str:
    """Only what a plain path may have is decoded: spaces, and letters beyond ASCII."""
    if len(path) > 8192 or path[:1] != b"/" or any(octet <= 32 or octet == 127 for octet in path):
        raise NoPath
    octets = bytearray()
    while path:
        if path[0] != ord("%"):
            octets.append(path[0])
            path = path[1:]
        elif not is_escape(path[:3].decode("latin-1")):
            raise NoPath
        else:
            octet = int(path[1:3], 16)
            octets += bytes([octet]) if octet == 32 or octet > 127 else path[:3]
            path = path[3:]
    return text_of(bytes(octets))


def readings(path: bytes) -> dict[str, int]:
    """Every reading and how often it was decoded. Raises NoPath."""
    found: dict[str, int] = {}
    level = {as_written(path)}
    for depth in range(DEEPEST + 1):
        while level:
            for text in level:
                found[text] = depth
            if len(found) > MOST or sum(width(text) for text in found) > WIDEST:
                raise NoPath
            level = {step(text) for text in level for step in STEPS} - set(found)
        last = [text for text in found if found[text] == depth]
        level = {decoding(text) for text in last for decoding in DECODINGS} - set(found)
    if level:
        raise NoPath
    return found


def width(text: str) -> int:
    return sum(17 if char in "%;/" else 1 for char in text)


# --- which rules hold -----------------------------------------------------------------------------


def fits(patterns: Sequence[str], segments: Sequence[str]) -> bool:
    if patterns[-1] == "**":
        above = patterns[:-1]
        return len(segments) >= len(above) and all(map(fits_one, above, segments))
    return len(patterns) == len(segments) and all(map(fits_one, patterns, segments))


def fits_one(pattern: str, segment: str) -> bool:
    if pattern == "*" or pattern[:1] == "{":
        return segment != ""
    return pattern == segment


def host_rank(rule: Rule, host: str) -> int:
    """The greater, the more specific; -1 if it is another host."""
    name = host.partition(":")[0]
    if rule.host == "":
        return 0
    if rule.host.startswith("*."):
        return len(rule.host) if name.endswith(rule.host[1:]) and len(name) > len(rule.host) - 1 else -1
    return 1000 if name == rule.host else -1


def kind(pattern: str) -> int:
    if pattern == "**":
        return 0
    if pattern == "*":
        return 2
    return 3 if pattern[:1] == "{" else 4


def rank(rule: Rule, host: str) -> tuple[int, list[int], bool]:
    kinds = [kind(pattern) for pattern in rule.segments]
    return host_rank(rule, host), kinds if rule.segments[-1] == "**" else [*kinds, 1], rule.methods is not None


def covers(rule: Rule, method: str) -> bool:
    return rule.methods is None or method in rule.methods or (method == "HEAD" and "GET" in rule.methods)


def most_specific(
    rules: Sequence[Rule], patterns: Callable[[Rule], Sequence[str]], method: str, segments: Sequence[str], host: str
) -> list[Rule]:
    """All the rules that match and than which no other one is more specific."""
    matching = [
        rule for rule in rules if covers(rule, method) and host_rank(rule, host) >= 0 and fits(patterns(rule), segments)
    ]
    return [rule for rule in matching if rank(rule, host) == max(rank(each, host) for each in matching)]


def captures(rule: Rule, segments: Sequence[str], depth: int) -> list[str]:
    values = [segment for pattern, segment in zip(rule.segments, segments, strict=False) if pattern[:1] == "{"]
    return [decode(value) if depth == 0 else slashes_decoded(value) for value in values]


def slashes_decoded(text: str) -> str:
    if not text:
        return ""
    if is_escape(text[:3]) and text[:3].upper() in {"%2F", "%5C"}:
        return decode(text[:3]) + slashes_decoded(text[3:])
    return text[0] + slashes_decoded(text[1:])


# --- other names ----------------------------------------------------------------------------------


UNSEEN = [(0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E)]
UNSEEN += [(0x2060, 0x206F), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)]


def fold(segment: str) -> str:
    if len(segment) > 255:
        return segment
    if not segment.isascii():
        segment = unicodedata.normalize("NFKC", segment)
        segment = "".join(char for char in segment if not any(first <= ord(char) <= last for first, last in UNSEEN))
        segment = unicodedata.normalize("NFKC", segment.upper().casefold())
        segment = segment.replace("i" + chr(0x307), "i")
    segment = segment.lower()
    for at, char in enumerate(segment):
        if char == ":":
            if at > 0 and ":$" in segment:  # a stream is that of a file, and a file has a name
                segment = segment[:at]
            break
    kept = segment
    while kept and kept[-1] in ". ":
        kept = kept[:-1]
    return kept or segment


def is_literal(pattern: str) -> bool:
    return pattern != "" and kind(pattern) == 4


def folded_patterns(rule: Rule) -> list[str]:
    return [fold(pattern) if is_literal(pattern) else pattern for pattern in rule.segments]


def without_script(segments: list[str]) -> list[str]:
    for at, segment in enumerate(segments[:-1]):
        if fold(segment).endswith(".php"):
            return segments[:at] + segments[at + 1 :]
    return segments


def without_suffix(segments: list[str], names: set[str]) -> list[str]:
    at = len(segments) - 1
    if segments[at] == "" and at > 0:
        at -= 1
    stem, _, suffix = segments[at].rpartition(".")
    if stem and suffix and fold(segments[at]) not in names:
        return [*segments[:at], stem, *segments[at + 1 :]]
    return segments


def with_the_other_end(segments: list[str]) -> list[str]:
    if segments[-1] != "":
        return [*segments, ""]
    return segments[:-1] if len(segments) > 1 else segments


def other_names(segments: list[str], names: set[str]) -> Iterator[tuple[list[str], bool]]:
    """With and without each of the three changes, and whether the last one is among them."""
    for script, suffix, end in itertools.product((False, True), repeat=3):
        path = without_script(segments) if script else segments
        path = without_suffix(path, names) if suffix else path
        yield (with_the_other_end(path) if end else path), end


# --- all of it ------------------------------------------------------------------------------------


def judge(rules: Sequence[Rule], method: str, read: dict[str, int], host: str) -> set[int]:
    """The numbers of all rules that have to allow it, 0 for none. Raises NoPath."""
    bound: dict[int, list[str]] = {}
    also: set[int] = set()
    names = {fold(pattern) for rule in rules for pattern in rule.segments if is_literal(pattern)}
    for text, depth in read.items():
        segments = text.split("/")[1:]
        holding = most_specific(rules, lambda rule: rule.segments, method, segments, host)
        number = holding[0].number if holding else 0
        values = captures(holding[0], segments, depth) if holding else []
        if bound.setdefault(number, values) != values:
            raise NoPath
        for other, end in other_names(segments, names):
            folded = [fold(segment) for segment in other]
            alike = most_specific(rules, folded_patterns, method, folded, host)
            alike = [rule for rule in alike if not end or rule.segments[-1] != "**"]
            also |= {rule.number for rule in alike if any(is_literal(pattern) for pattern in rule.segments)}
    return set(bound) | also
