"""Sessions in Redis or Valkey, for any number of machines.

- Each method is one script, which the server runs at one moment for everybody. In a Cluster that holds for each person:
  what concerns all of them (`sessions` and `end_all` of everybody, `sweep`) goes from one to the next everywhere.
- What is said to be done is in the server's memory, and with `replicas=N` in that of N others. What it keeps of that
  when it is switched off is for its own settings to say.
- That a session is unknown is only ever said by a master that holds the data that this process knows. One that was
  emptied is `StoreUnavailable`: nobody is signed out by it.
- Every question is answered within `stores.PATIENCE`, or is `StoreUnavailable`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
import struct
import time
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from demur.core.model import Actor, Ended, Live, Rotate, StoreUnavailable, Touch, Unknown
from demur.core.ports import Changed, Hits
from demur.stores import PATIENCE, heard
from demur.stores.loops import PerLoop
from demur.stores.redis import causes, codec, moving, saying, scripts
from demur.stores.redis.link import Link, Undone
from demur.stores.redis.map import tag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence

    from demur.core.model import Change, Ending, Kind, Session, Subject
    from demur.core.ports import Kept
    from demur.stores.feed import Feed
    from demur.stores.heard import Heard
    from demur.stores.redis.scripts import Script
    from demur.stores.redis.where import Place, Where
    from demur.stores.redis.wire import Word

_BATCH = 500
"""How many rows one script goes through where there may be many, so that nobody waits for it."""

_AT_ONCE = 16
"""How many buckets of a Cluster are gone through at once."""

_LAYOUT = b"1"
"""How a mark begins."""


P = ParamSpec("P")
T = TypeVar("T")


def _in_time(
    method: Callable[Concatenate[RedisStore, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[RedisStore, P], Coroutine[Any, Any, T]]:
    """However many questions it takes, there is an answer within the patience for one."""

    @functools.wraps(method)
    async def in_time(self: RedisStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        sent = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                return await method(self, *args, **kwargs)
        except TimeoutError:
            self._here.here().doubt(sent)
            raise StoreUnavailable(causes.silent(self._where.server)) from None

    return in_time


class RedisStore:
    """A `core.ports.Store` in Redis. Made by `stores.open("redis://…")`."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._clustered = where.way == "cluster"
        self._marks: dict[str, bytes] = {}
        self._all_heard: list[Heard] = []
        self._here: PerLoop[Link] = PerLoop(self._link, self._left)
        # See `Store.holds`. It is on the way of every check, and a call of its own is half of what it costs.
        self.holds = heard.holds

    @_in_time
    async def issue(self, session: Session, subject: Subject) -> None:
        """See `Store.issue`. Raises ValueError for an id that was used before, or another person's snapshot."""
        if session.subject != subject.id:
            raise ValueError("a session is issued with the snapshot of its own person")
        token = codec.person(subject.id)
        tag = self._tag(token)
        if await self._claim([session], tag):
            raise ValueError("a session id is used once")
        words = (session.id[: codec.HALF], codec.session(session), token, codec.snapshot(subject), subject.id)
        kept = await self._write(scripts.ISSUE, tag, words)
        if not kept:
            raise ValueError("a session id is used once")
        if kept == 2:
            self._tell([Changed(subject=subject.id)])

    @_in_time
    async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        """See `Store.load`. In a Cluster it takes two round trips: to find out who has them, and to them."""
        found: dict[bytes, Live | Ended | Unknown] = {}
        for tag, keys in (await self._by_tag([key for key in ids if len(key) == codec.LENGTH])).items():
            halves = [key[: codec.HALF] for key in keys]
            answer = await self._run(scripts.LOAD, tag, halves)
            with self._understood():
                found.update(saying.found(keys, answer))
        return [found.get(key, Unknown()) for key in ids]

    def moment(self) -> heard.Moment | None:
        """See `Store.moment`."""
        return self._here.here().heard.moment()

    @_in_time
    async def apply(self, changes: Sequence[Change]) -> list[bool]:
        """See `Store.apply`. Raises ValueError, and changes nothing, for a rotation to a used id or another person. In
        a Cluster the changes of one bucket are made at one moment, and those of another before or after."""
        if not changes:
            return []
        groups = await self._groups(changes)
        if len(groups) > 1 and any(isinstance(each, Rotate) for each in changes):
            for tag, numbers in groups.items():
                await self._rehearse(tag, [changes[number] for number in numbers])
        effects = [False] * len(changes)
        for tag, numbers in groups.items():
            done = await self._make(tag, [changes[number] for number in numbers])
            for number, effect in zip(numbers, done, strict=True):
                effects[number] = effect
        return effects

    async def _groups(self, changes: Sequence[Change]) -> dict[str, list[int]]:
        """Which changes are for which bucket; of a session that nobody knows there are none."""
        if not self._clustered:
            return {"": list(range(len(changes)))}
        tags = await self._tags([change.session for change in changes])
        groups: dict[str, list[int]] = {}
        for number, change in enumerate(changes):
            tag = tags.get(change.session)
            if tag is not None:
                groups.setdefault(tag, []).append(number)
                if isinstance(change, Rotate):
                    tags.setdefault(change.new.id, tag)
        return groups

    async def _rehearse(self, tag: str, changes: Sequence[Change]) -> None:
        used = await self._claim([change.new for change in changes if isinstance(change, Rotate)], tag)
        saying.effects(
            await self._run(scripts.APPLY, tag, ("1", *(word for each in changes for word in saying.words(each, used))))
        )

    async def _make(self, tag: str, changes: Sequence[Change]) -> list[bool]:
        rotations = [change.new for change in changes if isinstance(change, Rotate)]
        used = await self._claim(rotations, tag)
        script = scripts.APPLY if rotations else scripts.ENDS
        write = self._run if all(type(change) is Touch for change in changes) else self._write
        try:
            words = ("0", *(word for each in changes for word in saying.words(each, used)))
            done = saying.effects(await write(script, tag, words))
        except Undone:
            raise
        except (StoreUnavailable, asyncio.CancelledError):
            self._tell_ends(changes)  # nobody knows
            raise
        self._tell_ends(change for change, effect in zip(changes, done, strict=True) if effect)
        return done

    def _tell_ends(self, changes: Iterable[Change]) -> None:
        self._tell(Changed(session=change.session) for change in changes if type(change) is not Touch)

    async def sessions(self, subject: str | None = None, *, kind: Kind = "session") -> list[Session]:
        """See `Store.sessions`."""
        found: list[tuple[Session, int]] = []
        async for tag, tokens in self._persons(subject):
            answer = await self._run(scripts.LISTED, tag, (codec.state(kind), *tokens))
            with self._understood():
                said = iter(answer)
                found += [codec.read_session(half, row) for half, row in zip(said, said, strict=True)]
        found.sort(key=lambda each: (each[0].issued_at, each[1]), reverse=True)
        return [session for session, _ in found]

    async def end_all(
        self,
        subject: str | None,
        how: Ending,
        actor: Actor,
        now: int,
        *,
        keep: bytes | None = None,
        kind: Kind = "session",
    ) -> int:
        """See `Store.end_all`. Of everybody, it ends one group of persons after another."""
        told = "a" if subject is None else f"p{subject}"
        words: tuple[Word, ...] = (codec.state(kind), codec.head(how, actor, now), keep or b"", told)
        count = 0
        try:
            async for tag, tokens in self._persons(subject):
                count += await self._write(scripts.END_ALL, tag, (*words, *tokens))
        except Undone:
            raise
        except (StoreUnavailable, asyncio.CancelledError):
            self._tell([Changed(subject=subject)])
            raise
        if count:
            self._tell([Changed(subject=subject)])
        return count

    @_in_time
    async def publish(self, subject: Subject) -> None:
        """See `Store.publish`."""
        token = codec.person(subject.id)
        words = (token, codec.snapshot(subject), subject.id)
        try:
            kept = await self._write(scripts.PUBLISH, self._tag(token), words)
        except Undone:
            raise
        except (StoreUnavailable, asyncio.CancelledError):
            self._tell([Changed(subject=subject.id)])
            raise
        if kept:
            self._tell([Changed(subject=subject.id)])

    async def sweep(self, now: int) -> int:
        """See `Store.sweep`. In small steps, each of them whole: others come in between."""
        tags, total = self._here.here().map.tags, 0
        for start in range(0, len(tags), _AT_ONCE):
            total += sum(await asyncio.gather(*(self._sweep(tag, now) for tag in tags[start : start + _AT_ONCE])))
        return total

    async def _sweep(self, tag: str, now: int) -> int:
        total, minute, left = 0, b"-inf", -1
        while minute:
            count, minute, left = await self._run(scripts.FORGET, tag, (now, minute, left, _BATCH))
            total += count
        more = _BATCH
        while more == _BATCH:
            turned, more = await self._run(scripts.TURN, tag, (now, codec.actor(Actor.SYSTEM), _BATCH))
            self._tell([Changed(session=key) for key in turned])
            total += len(turned)
        return total

    @_in_time
    async def put(self, key: bytes, value: bytes, until: int) -> None:
        """See `Store.put`."""
        await self._run(scripts.PUT, self._tag(key), (key, codec.value(value, until), codec.double(until)))

    @_in_time
    async def take(self, key: bytes, now: int) -> bytes | None:
        """See `Store.take`."""
        row = await self._write(scripts.TAKE, self._tag(key), (key,))
        with self._understood():
            return saying.value(row, now)

    @_in_time
    async def peek(self, key: bytes, now: int) -> bytes | None:
        """See `Store.peek`."""
        row = await self._run(scripts.PEEK, self._tag(key), (b"v" + key,))
        with self._understood():
            return saying.value(row, now)

    @_in_time
    async def hit(self, key: bytes, window: int, now: int) -> Hits:
        """See `Store.hit`."""
        row = await self._run(scripts.HIT, self._tag(key), (key, now, window))
        with self._understood():
            return codec.read_counter(row)

    @_in_time
    async def hits(self, key: bytes, now: int) -> Hits:
        """See `Store.hits`. Without any: none, in a window that ends now."""
        row = await self._run(scripts.PEEK, self._tag(key), (b"h" + key,))
        with self._understood():
            hits = codec.read_counter(row) if row is not None else Hits(0, now)
        return hits if now < hits.until else Hits(0, now)

    def changes(self) -> _Changes:
        """See `Store.changes`. While the store is away it waits, and then tells "everything"."""
        return _Changes(self._here.here)

    async def each(self, after: bytes = b"", most: int = 500) -> tuple[list[Kept], bytes | None]:
        """See `Store.each`."""
        link = self._here.here()
        page = await moving.page(link, self._where.prefix, after, most)
        kept: list[Kept] = []
        for tag, names in page.names.items():
            answer = await self._run(scripts.DUMP, tag, names)
            with self._understood():
                rows = iter(answer)
                kept += moving.kept(zip(names, rows, rows, strict=True))
        return kept, page.after

    @_in_time
    async def adopt(self, kept: Sequence[Kept]) -> int:
        """See `Store.adopt`. In a Cluster in one transaction for each bucket."""
        groups: dict[str, list[Kept]] = {}
        places = await self._tags([key for each in kept if (key := moving.session_of(each)) is not None])
        for each in kept:
            key = moving.session_of(each)
            tag = places.get(key) if key is not None else None
            groups.setdefault(tag if tag is not None else self._tag(moving.key_of(each)), []).append(each)
        news = 0
        for tag, rows in groups.items():
            if self._clustered:
                await self._point([point for row in rows for point in moving.points(row)], tag, force=True)
            words = [word for row in rows for word in moving.words(row)]
            done = await self._write(scripts.ADOPT, tag, words)
            self._tell(
                changed for row, new in zip(rows, done, strict=True) if new == 2 for changed in moving.changed(row)
            )
            news += sum(map(bool, done))
        return news

    async def freeze(self, *, frozen: bool = True) -> None:
        """See `Store.freeze`."""
        for tag in self._here.here().map.tags:
            await self._write(scripts.FREEZE, tag, ("F" if frozen else "",))

    @_in_time
    async def check(self) -> None:
        """See `Store.check`. Also asks whether a full server would forget sessions, and whether it has its replicas."""
        link = self._here.here()
        places: dict[Place, str] = {}
        for place in await link.masters():
            facts = await link.inspect(place)
            found = int(facts.get("connected_slaves", "0"))
            if found < self._where.replicas:
                raise StoreUnavailable(causes.too_few(place, self._where.replicas, found))
        for tag in link.map.tags:
            places.setdefault(await link.map.of(tag), tag)
        for tag in places.values():
            await self._run(scripts.CHECK, tag, ())

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        link = self._here.pop()
        if link is not None:
            await link.aclose()
            self._all_heard = [each for each in self._all_heard if each is not link.heard]

    # --- what is open -----------------------------------------------------------------------------

    def _link(self) -> Link:
        link = Link(self._where)
        self._all_heard = [*self._all_heard, link.heard]
        return link

    def _left(self, link: Link) -> None:
        link.close()
        self._all_heard = [each for each in self._all_heard if each is not link.heard]

    def _tell(self, changes: Iterable[Changed]) -> None:
        """What this process was told is done does not hold in it from now on, whatever the channel says and when."""
        for changed in changes:
            for each in self._all_heard:
                each.change(changed)

    @contextlib.contextmanager
    def _understood(self) -> Iterator[None]:
        """What was answered has to make sense; if not, the connection is not believed any more, whatever comes next."""
        try:
            yield
        except (TypeError, ValueError, LookupError, AttributeError, struct.error) as error:
            cause = causes.nonsense(self._where.server, error)
            self._here.here().distrust(cause)
            raise StoreUnavailable(cause) from None

    # --- asking -----------------------------------------------------------------------------------

    async def _run(self, script: Script, tag: str, words: Sequence[Word], *, confirm: bool = False) -> Any:  # noqa: ANN401 - whatever it returns
        link = self._here.here()
        mark = self._marks.get(tag)
        if mark is None:
            mark = await self._open(link, tag)
        return await link.run(script, tag, mark, words, confirm=confirm)

    async def _write(self, script: Script, tag: str, words: Sequence[Word]) -> Any:  # noqa: ANN401 - whatever it returns
        """The same, for what must not be lost."""
        return await self._run(script, tag, words, confirm=True)

    async def _open(self, link: Link, tag: str) -> bytes:
        """The mark of the data that are there; a new one where there are none yet."""
        new = _LAYOUT + secrets.token_hex(16)[1:].encode()
        mark: bytes = (await link.run(scripts.OPEN, tag, new, (), confirm=True))[:32]
        if mark[:1] != _LAYOUT:
            raise StoreUnavailable(causes.newer(self._where.server))
        return self._marks.setdefault(tag, mark)

    # --- where what is ----------------------------------------------------------------------------

    def _tag(self, key: bytes) -> str:
        return tag_of(key) if self._clustered else ""

    async def _tags(self, ids: Sequence[bytes]) -> dict[bytes, str]:
        """The bucket of each session; in a Cluster, of those that there are."""
        if not self._clustered:
            return dict.fromkeys(ids, "")
        asked: dict[str, list[bytes]] = {}
        for key in dict.fromkeys(ids):
            asked.setdefault(tag_of(key), []).append(key)
        halves = ([key[: codec.HALF] for key in keys] for keys in asked.values())
        answers = await asyncio.gather(
            *(self._run(scripts.WHERE, tag, words) for tag, words in zip(asked, halves, strict=True))
        )
        found: dict[bytes, str] = {}
        for keys, tags in zip(asked.values(), answers, strict=True):
            found.update((key, tag.decode()) for key, tag in zip(keys, tags, strict=True) if tag is not None)
        return found

    async def _by_tag(self, ids: Sequence[bytes]) -> dict[str, list[bytes]]:
        groups: dict[str, list[bytes]] = {}
        for key, tag in (await self._tags(ids)).items():
            groups.setdefault(tag, []).append(key)
        return groups

    async def _claim(self, new: Sequence[Session], tag: str) -> set[bytes]:
        """Say in which bucket new sessions will be, in a Cluster; which of the ids are used elsewhere. One of which
        nothing comes is forgotten some day."""
        if not self._clustered or not new:
            return set()
        until = {session.id: session.expires_at for session in new}
        elsewhere = await self._point(list(until.items()), tag)
        if not elsewhere:
            return set()
        found = zip(elsewhere, await self.load(elsewhere), strict=True)
        used = {key for key, what in found if not isinstance(what, Unknown)}
        await self._point([(key, until[key]) for key in elsewhere if key not in used], tag, force=True)
        return used

    async def _point(self, new: Sequence[tuple[bytes, int]], tag: str, *, force: bool = False) -> list[bytes]:
        """Those that point elsewhere already, and still do."""
        groups: dict[str, list[tuple[bytes, int]]] = {}
        for key, until in new:
            groups.setdefault(tag_of(key), []).append((key, until))

        async def one(there: str, points: list[tuple[bytes, int]]) -> list[bytes]:
            words: list[Word] = ["1" if force else "0"]
            for key, until in points:
                words += [key[: codec.HALF], tag, codec.double(until)]
            others = await self._write(scripts.POINT, there, words)
            return [key for (key, _), other in zip(points, others, strict=True) if other is not None]

        found = await asyncio.gather(*(one(there, points) for there, points in groups.items()))
        return [key for keys in found for key in keys]

    async def _persons(self, subject: str | None) -> Any:  # noqa: ANN401 - an async iterator of a tag and tokens
        """A person's bucket and token; or everybody's, in groups."""
        if subject is not None:
            token = codec.person(subject)
            yield self._tag(token), [token]
            return
        async for tag, tokens in moving.persons(self._here.here(), self._where.prefix):
            yield tag, tokens


class _Changes:
    """One reader of changes, in whichever loop it is."""

    def __init__(self, here: Callable[[], Link]) -> None:
        self._find = here
        self._link: Link | None = None
        self._feed: Feed | None = None
        with contextlib.suppress(RuntimeError):  # without a loop yet, the first answer is "everything"
            self._begin(here())

    def __aiter__(self) -> _Changes:
        return self

    async def __anext__(self) -> Changed:
        link = self._find()
        feed = self._feed if link is self._link and self._feed is not None else self._begin(link)
        link.listen()
        return await feed.__anext__()

    def _begin(self, link: Link) -> Feed:
        again = self._feed is not None and link.heard.listening
        self._link, self._feed = link, link.feed()
        if again:
            self._feed.tell(Changed())
        return self._feed
