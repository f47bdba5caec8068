"""What a breach is: told from what reached the site and what came back, and from nothing that demur says.

The readings here are written for this purpose and share nothing with the ones that demur judges: slow, obvious, and
every combination of what some program is known to do to a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from tests.hostile.recorder import ANSWERS

from demur.core import identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.hostile.recorder import Record
    from tests.hostile.sender import Answer

RULES: Final = """
[[site.rule]]
path = "/**"
allow = "anyone"

[[site.rule]]
path = "/members/**"
allow = "signed-in"

[[site.rule]]
path = "/api/private/**"
allow = "signed-in"
accepts = ["bearer"]

[[site.rule]]
path = "/shop/**"
allow = "signed-in"

[[site.rule]]
path = "/shop/catalogue/**"
allow = "anyone"

[[site.rule]]
path = "/health"
allow = "anyone"

[[site.rule]]
path = "/health/**"
allow = { groups = ["admins"] }

[[site.rule]]
path = "/admin/**"
allow = { groups = ["admins"] }

[[site.rule]]
path = "/nobody/**"
allow = "nobody"

[[site.rule]]
path = "/posts/**"
methods = ["GET", "POST", "OPTIONS"]
allow = "anyone"

[[site.rule]]
path = "/posts/**"
allow = { groups = ["admins"] }
"""
"""The site is open but for some islands, which is the hardest to guard: what is read as something else is let in."""

OPEN, PERSON, ADMIN, NOBODY = range(4)
_ISLANDS: Final = (
    (b"/shop/catalogue", OPEN),
    (b"/members", PERSON),
    (b"/api/private", PERSON),
    (b"/shop", PERSON),
    (b"/admin", ADMIN),
    (b"/nobody", NOBODY),
)
_POSTS_OPEN: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS"})

# Words that only forged values have. Where a site believes a field, none of them may arrive in it.
FORGED: Final = (b"mallory", b"evil.example", b"203.0.113.66", b"/admin/forged")
_OWN_WORDS: Final = frozenset({b"cookie", b"referer", b"origin", b"user-agent", b"authorization", b"x-custom"})
_MARKS = re.compile(rb"[^a-z0-9]")
OVERRIDES: Final = (b"x-http-method-override", b"x-http-method", b"x-method-override")


# Overlong forms of a dot and a slash, which RFC 3629, 3, forbids to decode.
_LONG_FORM = re.compile(rb"(?:\xc0|\xe0\x80|\xf0\x80\x80)[\xae\xaf]")
_OVERLONG: Final = {0xAE: b".", 0xAF: b"/"}


# --- readings -------------------------------------------------------------------------------------


def _dots(path: bytes) -> bytes:
    """Without dot segments (RFC 3986, 5.2.4)."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for at, segment in enumerate(segments):
        if segment in {b".", b".."}:
            if segment == b".." and kept:
                kept.pop()
            if at == len(segments) - 1:
                kept.append(b"")
        else:
            kept.append(segment)
    return b"/" + b"/".join(kept)


def _steps(path: bytes) -> Iterator[bytes]:
    """What one more program could make of a path."""
    yield unquote_to_bytes(path)
    yield re.sub(rb"%u00([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), path)
    yield _dots(path)
    yield re.sub(rb";[^/]*", b"", path)
    yield path.replace(b"\\", b"/")
    yield re.sub(rb"/{2,}", b"/", path)
    yield re.sub(rb"^//[^/]*", b"", path) or b"/"
    yield re.split(rb"[#?\0]", path, maxsplit=1)[0]
    yield re.sub(rb"[\t\r\n]+", b"", path)
    yield path.lower()
    yield path.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")
    yield re.sub(
        rb"\xc0[\xae\xaf]|\xe0\x80[\xae\xaf]|\xf0\x80\x80[\xae\xaf]", lambda found: _OVERLONG[found[0][-1]], path
    )
    yield b"/".join(segment.rstrip(b". ") if segment.strip(b".") else segment for segment in path.split(b"/"))
    if (absolute := re.match(rb"[a-zA-Z][a-zA-Z0-9+.\-]*://[^/?#]*", path)) is not None:
        yield path[absolute.end() :] or b"/"
    elif not path.startswith(b"/"):
        yield b"/" + path


def readings(target: bytes, depth: int = 7) -> set[bytes]:
    """Every path that a request target could be taken for."""
    known = {target.partition(b"?")[0]}
    fresh = known
    for _ in range(depth):
        fresh = {step for path in fresh for step in _steps(path)} - known
        if not fresh:
            break
        known |= fresh
        if len(known) > 20000:
            raise ValueError(f"too many readings of {target!r}")
    return known


def _asks(path: bytes, method: str) -> int:
    for prefix, level in _ISLANDS:
        if path == prefix or path.startswith(prefix + b"/"):
            return level
    if path.startswith(b"/health/"):
        return ADMIN
    if path == b"/posts" or path.startswith(b"/posts/"):
        return OPEN if method in _POSTS_OPEN else ADMIN
    return OPEN


def asks(target: bytes, methods: Iterable[str]) -> int:
    """The most that any reading of a request asks for."""
    return max(_asks(path, method) for path in readings(target) for method in methods)


# --- breaches -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: what the site may be told about them (nothing about nobody), and how much they may."""

    told: Mapping[bytes, bytes] = field(default_factory=dict)
    may: int = OPEN


@dataclass(frozen=True, slots=True)
class Sight:
    """What a case was to the outside: what arrived at the site, what came back, and what has to stay secret."""

    asker: Asker
    origin: str
    secrets: tuple[bytes, ...]
    records: tuple[Record, ...]
    answers: tuple[Answer, ...]
    restricted: bool = True
    """Whether the site that saw it is the one with restricted pages."""
    strict: bool = True
    """Whether only demur stands before it. It takes every field away that begins like its own, and lets no refusal
    be kept; other programs know the fields by name, and refuse in words of their own."""


def breaches(sight: Sight) -> list[str]:
    """Everything that must not have happened."""
    found = [fault for record in sight.records for fault in _arrived(record, sight)]
    found += [fault for answer in sight.answers for fault in _came_back(answer, sight.origin, strict=sight.strict)]
    return found


def _arrived(record: Record, sight: Sight) -> Iterator[str]:
    name = f"{record.method} {record.target.decode('latin-1')[:60]}"
    if record.fault:
        yield f"the site was sent {record.raw[:80]!r}, which has {record.fault}"
        return
    yield from (f"{name} {fault}" for fault in _may_not(record, sight))
    yield from (f"{name} {fault}" for fault in _believed(record, sight))
    if any(secret in record.raw for secret in sight.secrets):
        yield f"{name} brought a credential of ours to the site"


def _may_not(record: Record, sight: Sight) -> Iterator[str]:
    """What is wrong with whom a restricted page was shown to."""
    if not sight.restricted:
        return
    methods = [record.method.upper(), *(value.decode("latin-1").upper() for value in _overrides(record))]
    asked = asks(record.target, methods)
    if asked > sight.asker.may:
        yield "reached the site, and asks for more than this person may"
    elif asked > OPEN and any(record.values(key) != [value] for key, value in sight.asker.told.items()):
        yield "did not tell the site who asks"


def _believed(record: Record, sight: Sight) -> Iterator[str]:
    """What a site would believe, and we did not say."""
    for key, value in record.fields:
        look = _MARKS.sub(b"-", key)
        if look.startswith(b"remote-"):
            ours = sight.strict or look in identity.NAMES
            if ours and value and sight.asker.told.get(key) != value:
                yield f"told the site {key!r}: {value!r}"
        elif look.startswith(b"demur-"):
            yield f"brought {key!r} to the site"
        elif key not in _OWN_WORDS and any(word in value.lower() for word in FORGED):
            yield f"brought a forged {key!r}: {value!r}"


def _overrides(record: Record) -> Iterator[bytes]:
    for key, value in record.fields:
        if _MARKS.sub(b"-", key) in OVERRIDES:
            yield value


def _is_not_kept(said: str, *, strict: bool) -> bool:
    # 401 and 403 are not among the statuses that may be kept unless somebody says so (RFC 9110, 15.1).
    return "no-store" in said or (not strict and not re.search("public|max-age", said))


def _came_back(answer: Answer, origin: str, *, strict: bool) -> Iterator[str]:
    # as browsers read it (URL standard, 4.4): tabs and line breaks go, and a backslash is a slash
    for value in answer.values("location"):
        read = re.sub(r"[\t\r\n]", "", value.strip()).replace("\\", "/")
        there = urlsplit(urljoin(origin + "/", read))
        if f"{there.scheme}://{there.netloc}".lower() != origin.lower():
            yield f"an answer leads to {value!r}"
    if answer.status >= 400 and answer.values(ANSWERS.decode()):
        return
    if answer.status in {401, 403} and not _is_not_kept(",".join(answer.values("cache-control")), strict=strict):
        yield f"an answer {answer.status} may be kept by caches"
    if 200 <= answer.status < 300 and any("mallory" in value for _, value in answer.fields):
        yield "an answer repeats a forged word"


def answered(answers: Sequence[Answer]) -> list[str]:
    """The digests of the targets that the site's own answers are answers to."""
    return [value for answer in answers for value in answer.values(ANSWERS.decode())]
