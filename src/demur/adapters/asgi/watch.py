"""Who watches what stays open: one task for each guard and event loop, however much is open.

- What the store tells of changes says where to look again, and known limits say when; a look is one read for all.
- Nobody's word is taken for long: now and then everything is looked at, and at once after the store was away.
- While it cannot be seen, what is open goes on for a while, and then no longer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demur.core.model import Allow, Details, Refuse, StoreUnavailable
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.model import Request
    from demur.core.ports import Changed
    from demur.guard import Checked, Guard

BETWEEN = 0.05
"""Seconds between two looks at the least: many changes at once are looked at together."""
AT_ONCE = 100
"""How many are looked at without a pause for other work."""
AGAIN = 0.5
"""Seconds until the store is asked again that could not be asked."""
ALL = 30.0
"""Seconds until everything is looked at, changed or not."""
BLIND = 60.0
"""Seconds for which what is open may go on while nobody can see whether it may."""

_log = logging.getLogger("demur")


@dataclass(eq=False, slots=True)
class Watched:
    """Something open. `over` is called once, in the event loop, with why it may not go on. `until` is the second until
    which nothing ends it but a change; 0 says that it has not been looked at."""

    checked: Checked
    request: Request
    over: Callable[[Refuse], None]
    session: bytes
    subject: str
    until: float = 0.0
    home: _Here | None = None

    def remove(self) -> None:
        """It has ended."""
        if self.home is not None:
            self.home.remove(self)


class Watch:
    """Watches for one guard. Configuration until it is used, as the guard is."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._here: _Here | None = None

    def add(self, checked: Checked, request: Request, over: Callable[[Refuse], None]) -> Watched | None:
        """Watch something that was allowed; None if nobody in particular opened it, so that nothing can end it."""
        allowed = checked.decision
        if not isinstance(allowed, Allow) or allowed.session is None or allowed.session.kind == "app":
            return None
        watched = Watched(checked, request, over, allowed.session.id, allowed.session.subject)
        loop = asyncio.get_running_loop()
        if self._here is None or self._here.loop is not loop or self._here.done:
            self._here = _Here(self._guard, loop)
        self._here.add(watched)
        return watched


class _Here:
    """Watching in one event loop, for as long as anything is open."""

    def __init__(self, guard: Guard, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.open: set[Watched] = set()
        self.done = False
        self._guard = guard
        self._sessions: set[bytes] = set()
        self._subjects: set[str] = set()
        self._look_at_all = 0.0
        self._blind_since: float | None = None
        self._wake = asyncio.Event()
        # What has changed is told from here on, and everything that is added is looked at afterwards.
        self._tasks = [loop.create_task(self._listen()), loop.create_task(self._run())]

    def add(self, watched: Watched) -> None:
        watched.home = self
        self.open.add(watched)
        self._wake.set()

    def remove(self, watched: Watched) -> None:
        self.open.discard(watched)
        if not self.open:
            self.done = True
            for task in self._tasks:
                task.cancel()

    # --- what the store tells

    async def _listen(self) -> None:
        feed = self._guard.store.changes()
        while True:
            try:
                async for changed in feed:
                    self._mark(changed)
                feed = self._guard.store.changes()
            except StoreUnavailable:
                pass  # the same feed goes on where it was
            except Exception:  # noqa: BLE001 - to be deaf would be to let everything go on
                _log.exception("demur could not hear what changes")
                feed = self._guard.store.changes()
            # Whatever was not heard may be what matters.
            self._look_at_all = 0.0
            self._wake.set()
            await asyncio.sleep(AGAIN)

    def _mark(self, changed: Changed) -> None:
        if changed.session is not None:
            self._sessions.add(changed.session)
        elif changed.subject is not None:
            self._subjects.add(changed.subject)
        else:
            self._look_at_all = 0.0
        self._wake.set()

    # --- looking

    async def _run(self) -> None:
        while True:
            pause = await self._round()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
                self._wake.clear()
            except TimeoutError:
                pass

    async def _round(self) -> float:
        """Look at what there is reason to look at; for how many seconds there is no other."""
        due = self._due()
        for start in range(0, len(due), AT_ONCE):
            if not await self._look(due[start : start + AT_ONCE]):
                self._look_at_all = 0.0
                return AGAIN
        await asyncio.sleep(BETWEEN)
        return self._calm()

    def _due(self) -> list[Watched]:
        now, at = self._guard.clock(), time.monotonic()
        sessions, self._sessions = self._sessions, set()
        subjects, self._subjects = self._subjects, set()
        if at >= self._look_at_all:
            self._look_at_all = at + ALL
            return list(self.open)
        return [each for each in self.open if each.until <= now or each.session in sessions or each.subject in subjects]

    def _calm(self) -> float:
        """For how many seconds nothing ends by itself."""
        first = min((each.until for each in self.open), default=0.0) - self._guard.clock()
        return max(0.0, min(first, self._look_at_all - time.monotonic()))

    async def _look(self, due: list[Watched]) -> bool:
        """Look; whether anything could be seen."""
        try:
            standing = await self._guard.still([(each.checked, each.request) for each in due])
        except StoreUnavailable as down:
            self._cannot_see(due, down.retry_after)
            return False
        except Exception:  # noqa: BLE001 - whatever it is, nobody may go on for ever because of it
            _log.exception("demur could not see who may go on")
            self._cannot_see(due, 0)
            return False
        await asyncio.sleep(0)
        self._blind_since = None
        for each, (refuse, until) in zip(due, standing, strict=True):
            each.until = until
            if refuse is not None:
                self._end(each, refuse)
        return True

    def _cannot_see(self, due: list[Watched], retry_after: int) -> None:
        now = time.monotonic()
        if self._blind_since is None:
            self._blind_since = now
        if now - self._blind_since >= BLIND:
            for each in due:
                self._end(each, Refuse(Reason.UNAVAILABLE, Details(retry_after=retry_after or None)))

    def _end(self, watched: Watched, refuse: Refuse) -> None:
        if watched in self.open:
            self.open.discard(watched)
            watched.over(refuse)
