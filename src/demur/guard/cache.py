"""What the store said of sessions that live, for as long as that still holds.

- It may only say yes: nothing is kept of whoever is unknown, ended, suspended or past a limit, and a refusal that comes
  of what is kept is decided again from the store.
- What is kept counts only while the store says that nothing has changed since before it was asked, and not beyond the
  second at which time alone would change it.
- It is bounded in bytes. What was not asked for since the half of it was full goes first.
- While the store is being asked, whoever else asks waits, and all of them are asked for together.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from demur.core import sessions
from demur.core.model import Live, StoreUnavailable
from demur.guard.known import Known, same_second
from demur.stores import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.model import Allow, Ended, Requirement, Unknown
    from demur.core.ports import Store

MOST = 64 * 1024 * 1024
"""Bytes that are kept, about; some 100,000 sessions."""

_Found: TypeAlias = "Live | Ended | Unknown"

_MOST_MET = 16
_MOST_ALONE = 1024


@dataclass(slots=True)
class _Asking:
    """One question to the store that is under way, in one event loop, and who waits for the next."""

    loop: asyncio.AbstractEventLoop
    waiting: dict[bytes, asyncio.Future[_Found]] = field(default_factory=dict)


class Cache:
    """For one store, in one process: any number of threads and event loops."""

    def __init__(self, store: Store, most: int = MOST) -> None:
        self._store = store
        self.holds = store.holds
        self._half = most // 2
        self._young: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}
        self._by_mark: dict[bytes, Known] = {}
        self._alone: dict[int, tuple[Requirement]] = {}
        self._size = 0
        self._changing = threading.Lock()
        self._asking: dict[int, _Asking] = {}

    @property
    def size(self) -> int:
        """Bytes that are kept, about, of what was asked for lately."""
        return self._size

    def get(self, key: bytes, now: int) -> Live | None:
        """Whose session that is, if it is kept and still holds. Never waits; from any thread."""
        known = self.known(key, now)
        return known.live if known is not None else None

    def known(self, key: bytes, now: int) -> Known | None:
        """The same, with what else is known of them."""
        kept = self._young.get(key)
        if kept is None:
            kept = self._old.get(key)
            if kept is None:
                return None
            self._put(key, kept)
        if now < kept.until and self.holds(kept.stamp):
            return kept
        self.drop(key)
        return None

    async def load(self, key: bytes, now: int) -> _Found:
        """What the store says. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        asking = self._asking.get(id(loop))
        if asking is None or asking.loop is not loop:
            return await self._first(loop, key, now)
        waiting = asking.waiting.get(key)
        if waiting is None:
            waiting = asking.waiting[key] = loop.create_future()
        try:
            async with asyncio.timeout(PATIENCE):  # not for the sum of what goes before them and what is asked for them
                return await asyncio.shield(waiting)
        except TimeoutError:
            raise StoreUnavailable("sessions: too many questions before this one are not answered yet") from None

    async def _first(self, loop: asyncio.AbstractEventLoop, key: bytes, now: int) -> _Found:
        """Ask at once: a store that does not have to wait is not waited for. Who comes in between is asked for next."""
        asking = self._asking[id(loop)] = _Asking(loop)
        failed: Exception | None = None
        try:
            (found,) = await self._ask([key], now)
        except Exception as error:
            failed = error
            raise
        finally:
            self._next(asking, failed, now)
        return found

    def _next(self, asking: _Asking, failed: Exception | None, now: int) -> None:
        waiting, asking.waiting = asking.waiting, {}
        if not waiting:
            del self._asking[id(asking.loop)]
        elif isinstance(failed, StoreUnavailable):
            # They would wait as long as the one before them did, for the same answer.
            del self._asking[id(asking.loop)]
            _tell(waiting, failed)
        else:
            task = asking.loop.create_task(self._rest(asking, waiting, now))
            task.add_done_callback(lambda done: None)

    async def _rest(self, asking: _Asking, waiting: dict[bytes, asyncio.Future[_Found]], now: int) -> None:
        failed: Exception | None = None
        try:
            for future, found in zip(waiting.values(), await self._ask(list(waiting), now), strict=True):
                if not future.done():
                    future.set_result(found)
        except asyncio.CancelledError:
            # Nobody but the end of the loop does that, and nothing is begun there any more.
            failed = StoreUnavailable("sessions: the process ends")
            _tell(waiting, failed)
            raise
        except Exception as error:  # noqa: BLE001 - it is told to whoever waits
            failed = error
            _tell(waiting, error)
        finally:
            self._next(asking, failed, now)

    async def _ask(self, keys: Sequence[bytes], now: int) -> list[_Found]:
        moment = self._store.moment()
        found = await self._store.load(keys)
        if moment is not None:
            for each in found:
                if isinstance(each, Live) and not each.subject.suspended:
                    self._keep(each, moment.stamp(each), now)
        return found

    def recall(self, key: bytes, requirement: Requirement, now: int) -> Known | None:
        """Whose session that is, or who left this mark (`learn`), if they are known to meet a requirement, with nothing
        to be written. On the way of every request: in one piece, and no question too many."""
        known = self._young.get(key) or self._by_mark.get(key)
        if known is None or now >= known.quiet or not self.holds(known.stamp):
            return None
        met = known.met
        return known if met[0] is requirement or known.meets(requirement, now) else None

    def learn(self, allow: Allow, live: Live, requirement: Requirement, mark: bytes, now: int) -> None:
        """A requirement was met, and nothing of the request was needed for it but the session."""
        session = live.session
        known = self._young.get(session.id)
        if known is None or allow.session is not session or known.open()[:2] != (live, allow):
            return
        until = min(known.until, sessions.quiet_until(session))
        if requirement.max_age is not None:
            until = min(until, session.authenticated_at + requirement.max_age + 1)
        if now >= known.quiet or len(known.met) >= _MOST_MET:
            known.met, known.quiet = self._met_alone(requirement), same_second(until)
        elif not known.meets(requirement, now):
            known.met, known.quiet = (*known.met, requirement), same_second(min(known.quiet, until))
        if mark and mark != session.id:
            self._by_mark[mark] = known

    def _met_alone(self, requirement: Requirement) -> tuple[Requirement]:
        """A requirement by itself: the same object for everybody."""
        alone = self._alone.get(id(requirement))
        if alone is None:
            if len(self._alone) >= _MOST_ALONE:
                self._alone = {}
            alone = self._alone[id(requirement)] = (requirement,)
        return alone

    # --- what is kept -----------------------------------------------------------------------------

    def _keep(self, live: Live, stamp: Any, now: int) -> None:  # noqa: ANN401 - the store's own
        until = sessions.certain_until(live, now)
        if stamp is not None and now < until:
            known = Known(live, until, stamp)
            known.open(live)
            self._put(live.session.id, known)

    def seen(self, key: bytes, at: int, *, moved: bool) -> None:
        """The store was told that somebody was seen. Unless it `moved` anything by that, somebody else had told it
        before, or there is nobody any more: ask again."""
        kept = self._young.get(key)
        live = kept.live if kept is not None else None
        if kept is None or live is None or at <= live.session.last_seen:
            return
        if not moved:
            self.drop(key)
            return
        live = replace(live, session=replace(live.session, last_seen=at))
        self._put(live.session.id, Known(live, sessions.certain_until(live, at), kept.stamp))

    def _put(self, key: bytes, kept: Known) -> None:
        size = kept.size
        if size > self._half:
            return
        with self._changing:
            before = self._young.get(key)
            self._size += size - (before.size if before is not None else 0)
            self._young[key] = kept
            if self._size > self._half:
                self._old, self._young, self._size = self._young, {}, 0
                self._by_mark = {}

    def drop(self, key: bytes) -> None:
        """Forget one."""
        with self._changing:
            self._old.pop(key, None)
            kept = self._young.pop(key, None)
            if kept is not None:
                self._size -= kept.size


def _tell(waiting: dict[bytes, asyncio.Future[_Found]], error: Exception) -> None:
    for future in waiting.values():
        if not future.done():
            future.set_exception(error)
            future.exception()  # whoever waited may have left
