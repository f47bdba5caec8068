"""All that is kept in Redis, in pages; and how what another store kept is said to a script."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from demur.core.model import Live, Subject
from demur.core.ports import Changed, Counter, Tombstone, Value
from demur.stores.redis import codec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from demur.core.ports import Kept
    from demur.stores.redis.link import Link
    from demur.stores.redis.wire import Word

_KINDS = (b"p", b"s", b"v", b"h")
_AT_ONCE = 200
"""Persons whose sessions one script goes through."""


@dataclass(slots=True)
class Page:
    """Names of keys without what all have in common, by bucket; and after what to ask for the next."""

    names: dict[str, list[bytes]] = field(default_factory=dict)
    after: bytes | None = None


async def page(link: Link, prefix: bytes, after: bytes, most: int) -> Page:
    """One page. A server that was started anew goes through its keys in another order, so then it begins again."""
    masters = sorted(await link.masters(), key=str)
    for place in masters:
        await link.wire(place)
    runs = b",".join(link.facts(place).get("run_id", "").encode() for place in masters)
    number, cursor = 0, b"0"
    if after:
        before, which, where = after.split(b" ")
        if before == runs:
            number, cursor = int(which), where
    pattern = _escaped(prefix) + b"*"
    cursor, keys = await link.ask(masters[number], "SCAN", cursor, "MATCH", pattern, "COUNT", most)
    found = Page()
    for key in keys:
        tag, name = _parted(key[len(prefix) :])
        if name[:1] in _KINDS:
            found.names.setdefault(tag, []).append(name)
    if cursor != b"0":
        found.after = b"%s %d %s" % (runs, number, cursor)
    elif number + 1 < len(masters):
        found.after = b"%s %d 0" % (runs, number + 1)
    return found


async def persons(link: Link, prefix: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """The tokens of all persons, by bucket, some at a time."""
    after: bytes | None = b""
    while after is not None:
        found = await page(link, prefix, after, 5 * _AT_ONCE)
        for tag, names in found.names.items():
            tokens = [name[1:] for name in names if name[:1] == b"p"]
            for start in range(0, len(tokens), _AT_ONCE):
                yield tag, tokens[start : start + _AT_ONCE]
        after = found.after


def _parted(name: bytes) -> tuple[str, bytes]:
    if name[:1] == b"{":
        tag, _, rest = name.partition(b"}")
        return f"{tag.decode(errors='replace')}}}", rest
    return "", name


def _escaped(prefix: bytes) -> bytes:
    return b"".join(b"\\" + bytes((byte,)) if byte in b"*?[]^\\" else bytes((byte,)) for byte in prefix)


def kept(rows: Iterable[tuple[bytes, bytes | None, bytes | None]]) -> list[Kept]:
    """What these rows say: each with its name and, of a live session, its person's snapshot."""
    return [said for name, row, who in rows if row is not None and (said := _kept(name, row, who)) is not None]


def _kept(name: bytes, row: bytes, who: bytes | None) -> Kept | None:
    kind, key = name[:1], name[1:]
    if kind == b"p":
        return codec.read_snapshot(row)
    if kind == b"v":
        return Value(key, *codec.read_value(row))
    if kind == b"h":
        return Counter(key, codec.read_counter(row))
    if not codec.is_live(row):
        return Tombstone(key + codec.rest_of_id(row), codec.read_tombstone(row))
    return Live(codec.read_session(key, row)[0], codec.read_snapshot(who)) if who is not None else None


def session_of(row: Kept) -> bytes | None:
    """Which session it is about."""
    match row:
        case Live(session=session):
            return session.id
        case Tombstone(id=key):
            return key
        case _:
            return None


def key_of(row: Kept) -> bytes:
    """What says in which bucket it belongs, unless it is there already."""
    match row:
        case Subject(id=subject) | Live(subject=Subject(id=subject)):
            return codec.person(subject)
        case Tombstone(ended=ended):
            return codec.person(ended.subject)
        case Value(key=key) | Counter(key=key):
            return key
        case _:
            assert_never(row)


def points(row: Kept) -> list[tuple[bytes, int]]:
    """The ids by which it must be found, and until when."""
    match row:
        case Live(session=session):
            return [(session.id, session.expires_at)]
        case Tombstone(id=key, ended=ended):
            return [(key, ended.when)]
        case _:
            return []


def words(row: Kept) -> tuple[Word, ...]:
    """How it is said to the script."""
    match row:
        case Subject():
            return "p", codec.person(row.id), codec.snapshot(row), row.id, "", ""
        case Live(session=session, subject=subject):
            person = codec.person(subject.id), codec.snapshot(subject), subject.id
            return "s", *person, session.id[: codec.HALF], codec.session(session)
        case Tombstone(id=key, ended=ended):
            return "t", key[: codec.HALF], codec.tombstone(key, ended), "", "", ""
        case Value(key=key, value=value, until=until):
            return "v", key, codec.value(value, until), codec.double(until), "", ""
        case Counter(key=key, hits=hits):
            return "h", key, codec.counter(hits), codec.double(hits.until), "", ""
        case _:
            assert_never(row)


def changed(row: Kept) -> list[Changed]:
    """Whose evidence it may have changed."""
    match row:
        case Subject(id=subject) | Live(subject=Subject(id=subject)):
            return [Changed(subject=subject)]
        case Tombstone(id=key):
            return [Changed(session=key)]
        case _:
            return []
