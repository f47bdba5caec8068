"""How one process and event loop hears what others change: a connection of its own that listens.

- Every half second it asks that very connection whether it still listens. PostgreSQL hands out what was notified
  before it says that it is ready for the next statement, and it notifies before it acknowledges a commit: so the
  answer says that everything that was acknowledged before the question has been heard. No other node is woken by it.
- Behind a pooler such an answer says nothing: it may come from the server's connection that listens, which is ours only
  while we ask. So another connection notifies us, and we have to hear that while we ask for nothing. A pooler that
  keeps a connection for each client passes; one that does not leaves us deaf, and is noticed.
- A connection that is lost, silent for two seconds, or does not listen any more ends what was known (`stores.heard`),
  and another one is made, again and again.
- What this process changes itself it knows before it says that it is done; the notification of that is no news.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demur.core.ports import Changed
from demur.stores.feed import Feed
from demur.stores.heard import SILENCE, Heard
from demur.stores.postgres import rows
from demur.stores.postgres.line import Lost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from demur.stores.postgres.line import Line

_BEAT = 0.5
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
_MOST = 7000
"""Bytes of one notification; PostgreSQL takes less than 8000."""

_IDS = 100
_KNOWN = 1000


@dataclass(frozen=True, slots=True)
class Note:
    """One notification: its number here, its text, and what it tells."""

    number: int
    text: str
    told: Sequence[Changed]


class Channel:
    """The listening connection, what was heard through it (`heard`), and who wants to be told (`feed`). `beat` is
    called with every beat."""

    def __init__(self, connect: Callable[[], Awaitable[Line]], node: str, beat: Callable[[], None]) -> None:
        self._connect = connect
        self._node = node
        self._beat = beat
        self._number = 0
        self._ours: set[int] = set()
        self._early: set[int] = set()
        self._proof, self._proven = 0, asyncio.Event()
        self._feeds: weakref.WeakSet[Feed] = weakref.WeakSet()
        self._listening = asyncio.Event()
        self.heard = Heard()
        # Held here, and by the loop as long as it waits for the socket: it cannot be collected while it listens.
        self._task = asyncio.get_running_loop().create_task(self._listen(), name="demur: listening")

    def feed(self) -> Feed:
        """One more who is told of every change from now on; of everything, if this is not listening."""
        feed = Feed()
        if not self.heard.listening:
            feed.tell(Changed())
        self._feeds.add(feed)
        return feed

    async def listening(self) -> None:
        """Wait until it does."""
        await self._listening.wait()

    def notes(self, told: Sequence[Changed]) -> list[Note]:
        """What to notify others of in the transaction, and to say here when it is done (`made`)."""
        sessions = [changed for changed in told if changed.session is not None]
        parts = [sessions[start : start + _IDS] for start in range(0, len(sessions), _IDS)]
        parts += [[changed] for changed in told if changed.session is None]
        return [self._note(part) for part in parts]

    def made(self, notes: Iterable[Note], *, surely: bool = True) -> None:
        """It was done here, and is known here from now on. If not even that is certain, the notification is news."""
        for note in notes:
            if note.number in self._early:
                self._early.discard(note.number)
                continue
            if surely:
                self._remember(self._ours, note.number)
            self._tell(note.told)

    async def aclose(self) -> None:
        """Listen no more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.leave()

    def leave(self) -> None:
        """Its loop has gone: what was heard does not hold."""
        self.heard.lost()

    def _tell(self, told: Sequence[Changed]) -> None:
        for changed in told:
            self.heard.change(changed)
            for feed in self._feeds:
                feed.tell(changed)

    def _notified(self, payload: str) -> None:
        node, _, rest = payload.partition(":")
        number, _, text = rest.partition(":")
        if node == self._node:
            if int(number) == self._proof:
                self._proven.set()
                return
            if int(number) in self._ours:
                self._ours.discard(int(number))
                return
            self._remember(self._early, int(number))
        self._tell(_changed(text))

    def _note(self, told: Sequence[Changed]) -> Note:
        self._number += 1
        return Note(self._number, f"{self._node}:{self._number}:{_text(told)}", told)

    @staticmethod
    def _remember(numbers: set[int], number: int) -> None:
        if len(numbers) > _KNOWN:
            numbers.clear()
        numbers.add(number)

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                await self._once()
            except Exception:  # noqa: BLE001 - whatever it was: to hear nothing from then on would be worse
                failures = 0 if self._listening.is_set() else failures + 1
            finally:
                self._lose()
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])

    async def _once(self) -> None:
        line = await self._connect()
        line.notified = self._notified
        other: Line | None = None
        try:
            await line.command(f"LISTEN {rows.CHANNEL}")
            if line.pooled:
                other = await self._connect()
            while True:
                asked = time.monotonic()
                async with asyncio.timeout(SILENCE):
                    await (self._heard_from(other) if other is not None else self._listens(line))
                if self._listening.is_set():
                    self.heard.beat(asked)
                else:
                    self.heard.start(asked)
                    self._listening.set()
                self._beat()
                await _pause_or_lost(line)
        finally:
            line.close()
            if other is not None:
                other.close()

    async def _listens(self, line: Line) -> None:
        if not await line.ask(rows.LISTENING, rows.CHANNEL):
            raise Lost("this connection does not listen any more")

    async def _heard_from(self, other: Line) -> None:
        """Notify ourselves; it waits for as long as that is not heard. To others it says nothing: there is no session
        without a name."""
        self._number += 1
        self._proof = self._number
        self._proven.clear()
        await other.ask(rows.TELL, f"{self._node}:{self._proof}:s")
        await self._proven.wait()

    def _lose(self) -> None:
        if not self._listening.is_set():
            return
        self._listening.clear()
        self.heard.lost()
        for feed in self._feeds:
            feed.tell(Changed())


async def _pause_or_lost(line: Line) -> None:
    """Wait for the next beat, or until the connection has ended."""
    ended = asyncio.get_running_loop().create_future()
    line.lost = lambda: None if ended.done() else ended.set_result(None)
    try:
        async with asyncio.timeout(_BEAT):
            await ended
    except TimeoutError:
        return
    finally:
        line.lost = None
    raise Lost("the connection has ended")


def _text(told: Sequence[Changed]) -> str:
    """Either sessions, or one person, or everything."""
    keys = [changed.session.hex() for changed in told if changed.session is not None]
    if keys:
        return "s" + ",".join(keys)
    subject = told[0].subject
    return "*" if subject is None or len(subject.encode()) > _MOST else "p" + subject


def _changed(text: str) -> list[Changed]:
    kind, rest = text[:1], text[1:]
    if kind == "s":
        try:
            return [Changed(session=bytes.fromhex(key)) for key in rest.split(",")]
        except ValueError:
            return [Changed()]
    return [Changed(subject=rest)] if kind == "p" else [Changed()]
