"""Ways to be wrong. Each of them is something that somebody could write, and the simulation has to notice it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.simulation.network import Remote
from tests.simulation.world import Parts

from demur.core.model import Allow, Live, StoreUnavailable, Unknown
from demur.guard import Guard
from demur.guard.cache import Cache
from demur.stores.heard import Heard, Moment, _Life

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.model import Ended, Request, Requirement
    from demur.core.ports import Changed
    from demur.guard import Checked
    from demur.guard.known import Known
    from demur.stores.heard import Stamp


# --- what was heard -------------------------------------------------------------------------------


class AlwaysHolds(Remote):
    """What was loaded once holds for ever."""

    def holds(self, stamp: Stamp) -> bool:
        return True


class ForgetsPersons(Remote):
    """Only changes of the session count."""

    def holds(self, stamp: Stamp) -> bool:
        life, last, session, _ = stamp
        return life.clock() < life.until and life.sessions[session] <= last


class ForgetsSessions(Remote):
    """Only changes of the person count."""

    def holds(self, stamp: Stamp) -> bool:
        life, last, _, person = stamp
        return life.clock() < life.until and life.persons[person] <= last


class ForgetsSilence(Remote):
    """A channel that is silent is taken for one that has nothing to say."""

    def holds(self, stamp: Stamp) -> bool:
        life, last, session, person = stamp
        return life.until > 0 and life.sessions[session] <= last and life.persons[person] <= last


class DeafToAll(Heard):
    """That everything has changed is not understood."""

    def change(self, changed: Changed) -> None:
        if changed.session or changed.subject:
            super().change(changed)


class NeverLost(Heard):
    """A closed channel is not noticed, and the next one goes on with what was known before."""

    def lost(self) -> None:
        pass

    def start(self, at: float) -> None:
        if self._life is None:
            super().start(at)
        else:
            self._life.until = max(self._life.until, at + 2)


class BelievesTheAnswer(Heard):
    """A beat counts from when its answer came, not from when it was sent."""

    def beat(self, at: float) -> None:
        super().beat(self._clock())


class Patient(Heard):
    """Silence is loss after ten seconds."""

    def start(self, at: float) -> None:
        super().start(at + 8)

    def beat(self, at: float) -> None:
        super().beat(at + 8)


class OneCounter(Heard):
    """The moment is the beginning of the life: whatever was heard before the load is taken for a change after it."""

    def moment(self) -> Moment | None:
        moment = super().moment()
        return None if moment is None else Moment(moment.life, 0)


class TellsOnlyOthers(Remote):
    """What a process has changed itself it learns through its channel, some time later."""

    tells_itself = False


class LivesOn(Heard):
    """Believes for a while that a channel that is closed will open again."""

    def lost(self) -> None:
        self._life = _Life(self._clock() + 5, self._clock) if self._life is not None else None


# --- the cache ------------------------------------------------------------------------------------


class LooksAfterTheLoad(Cache):
    """Takes the moment after the store has answered."""

    async def _ask(self, keys: Sequence[bytes], now: int) -> list[Live | Ended | Unknown]:
        found = await self._store.load(keys)
        moment = self._store.moment()
        for each in found:
            if moment is not None and isinstance(each, Live):
                self._keep(each, moment.stamp(each), now)
        return found


class JoinsTheQuestion(Cache):
    """Who asks while the same was being asked for gets that answer."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._under_way: dict[bytes, asyncio.Future[Any]] = {}

    async def load(self, key: bytes, now: int) -> Live | Ended | Unknown:
        if key in self._under_way:
            return await asyncio.shield(self._under_way[key])
        self._under_way[key] = asyncio.ensure_future(super().load(key, now))
        try:
            return await self._under_way[key]  # type: ignore[no-any-return]
        finally:
            del self._under_way[key]


class RecallsForEver(Cache):
    """Whoever is recognized the short way is not looked at again."""

    def recall(self, key: bytes, requirement: Requirement, now: int) -> Known | None:
        holds, self.holds = self.holds, lambda stamp: True
        try:
            return super().recall(key, requirement, now)
        finally:
            self.holds = holds


class RecallsForAll(Cache):
    """Who may see one page may see them all, the short way."""

    def learn(self, allow: Allow, live: Live, requirement: Requirement, mark: bytes, now: int) -> None:
        super().learn(allow, live, requirement, mark, now)
        self.met = [*getattr(self, "met", []), requirement]

    def recall(self, key: bytes, requirement: Requirement, now: int) -> Known | None:
        found = (super(RecallsForAll, self).recall(key, each, now) for each in getattr(self, "met", []))
        return next((known for known in found if known is not None), None)


class NeverKeeps(Cache):
    """Asks every time."""

    def _keep(self, live: Live, stamp: object, now: int) -> None:
        pass


class TellsTheWrongOnes(Cache):
    """Gives the answers of a batch to whoever comes first."""

    async def _ask(self, keys: Sequence[bytes], now: int) -> list[Live | Ended | Unknown]:
        return sorted(await super()._ask(keys, now), key=lambda found: isinstance(found, Live))


class Impatient(Cache):
    """Asks again while the store does not answer."""

    async def _ask(self, keys: Sequence[bytes], now: int) -> list[Live | Ended | Unknown]:
        for _ in range(3):
            try:
                return await super()._ask(keys, now)
            except StoreUnavailable:
                continue
        return await super()._ask(keys, now)


# --- the guard ------------------------------------------------------------------------------------


class SaysNoByHeart(Guard):
    """Makes a no of what is kept."""

    def _may_be_old(self, checked: Checked) -> bool:
        return False


class WritesAtOnce(Guard):
    """Writes that somebody was seen before it answers."""

    async def acheck(self, request: Request) -> Checked:
        checked = await super().acheck(request)
        if isinstance(checked.decision, Allow) and checked.decision.changes:
            await self.store.apply(checked.decision.changes)
        return checked


class TakesAwayForUnknown(Remote):
    """Who cannot be asked for is nobody."""

    async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        try:
            return await super().load(ids)
        except StoreUnavailable:
            return [Unknown() for _ in ids]


class GivesUp(Remote):
    """Fails now and then, with nothing wrong."""

    async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        found = await super().load(ids)
        if self.server.chance.random() < 0.01:
            raise StoreUnavailable("not in the mood")
        return found


class NeverListensAgain(Remote):
    """A channel that was lost stays lost."""

    async def _listen(self) -> None:
        await self._connected()
        self._lost()


def _hears(kind: type[Heard]) -> Parts:
    return Parts(remote=type(f"With{kind.__name__}", (Remote,), {"heard_type": kind}))


BROKEN: dict[str, Parts] = {
    **{
        kind.__name__: Parts(remote=kind)
        for kind in (
            AlwaysHolds,
            ForgetsPersons,
            ForgetsSessions,
            ForgetsSilence,
            TellsOnlyOthers,
            TakesAwayForUnknown,
            GivesUp,
            NeverListensAgain,
        )
    },
    **{kind.__name__: _hears(kind) for kind in (DeafToAll, NeverLost, LivesOn, BelievesTheAnswer, Patient, OneCounter)},
    **{
        kind.__name__: Parts(cache=kind)
        for kind in (
            LooksAfterTheLoad,
            JoinsTheQuestion,
            RecallsForEver,
            RecallsForAll,
            NeverKeeps,
            TellsTheWrongOnes,
            Impatient,
        )
    },
    **{kind.__name__: Parts(guard=kind) for kind in (SaysNoByHeart, WritesAtOnce)},
}
"""What has to be noticed."""
