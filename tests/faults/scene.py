"""One fault as it is lived through: people before it, while it is there, and after it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tests.faults.app import eventually, running
from tests.faults.table import TABLE, Does, Row

from demur.core.model import Actor, End, Ending, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.faults.app import Answer, App, Person

    from demur.core.model import Subject
    from demur.core.ports import Store

LASTS = 3.0
"""For how many seconds a fault is there: longer than anybody may be let in by what was known before."""
KNOWN = 2.0
"""For how many seconds they may."""
WITHIN = 1.0
"""In how many seconds everybody has an answer."""
OFTEN = 0.12


class Ground(Protocol):
    """A store that faults can be made in. `url` is what the gateway is given, `database` that of its accounts."""

    url: str
    database: str

    async def open(self, fault: str) -> None:
        """What has to be there before anybody comes."""

    async def aclose(self) -> None:
        """Leave nothing behind."""

    def neighbour(self) -> Store:
        """The store as another process sees it, which the fault does not lie before."""

    def fault(self, name: str, app: App, other: Store) -> AbstractAsyncContextManager[None]:
        """The fault, for as long as the block lasts; `other` is a neighbour of the gateway."""


@dataclass
class Told:
    """What people were told, in the order of asking, by what they did; and what was wrong besides."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    struck: float = 0.0
    healed: float = 0.0

    def add(self, operation: str, answer: Answer) -> Answer:
        """Keep an answer."""
        self.answers.setdefault(operation, []).append(answer)
        return answer

    def blame(self, what: str) -> None:
        """Keep what should not have been."""
        self.wrong.append(what)


@dataclass
class _Cast:
    """Who is there."""

    cached: list[Person]
    uncached: list[Person]
    leaving: list[Person]
    bystanders: list[Person]
    ended: Person
    revoked: Person
    left: list[tuple[Person, Answer]] = field(default_factory=list)
    came: list[str] = field(default_factory=list)


async def play(ground: Ground, store: str, fault: str, folder: Path) -> Told:
    """All of it."""
    row = TABLE[store][fault]
    assert isinstance(row, Row)
    told = Told()
    await ground.open(fault)
    try:
        async with running(folder, ground.url, ground.database) as app, _neighbour(ground) as other:
            cast = await _gather(app, other)
            async with ground.fault(fault, app, other):
                told.struck = time.monotonic()
                await _live_through(app, other, cast, told, row)
            await _afterwards(app, other, cast, told, row)
    finally:
        await ground.aclose()
    return told


@contextlib.asynccontextmanager
async def _neighbour(ground: Ground) -> AsyncIterator[Store]:
    other = ground.neighbour()
    try:
        yield other
    finally:
        await other.aclose()


async def _gather(app: App, other: Store) -> _Cast:
    """Everybody is signed in, some were asked about just now, and one has signed out."""

    async def some(count: int) -> list[Person]:
        return [await _patiently(app, other) for _ in range(count)]

    ended, revoked = await some(2)
    cast = _Cast(await some(3), await some(12), await some(4), await some(5), ended, revoked)
    for person in (*cast.cached, *cast.bystanders, cast.revoked, cast.ended):
        for _ in range(2):
            await _see_to_it(partial(app.get, person), 200)
    await _see_to_it(lambda: app.sign_in(app.subjects[0]), 200)
    await _see_to_it(lambda: app.sign_out(cast.ended), 204)
    for person in (*cast.cached, cast.revoked):  # once more, now that nothing changes any more
        await _see_to_it(partial(app.get, person), 200)
    return cast


async def _patiently(app: App, other: Store) -> Person:
    while True:
        with contextlib.suppress(StoreUnavailable):
            return await app.somebody(other)


async def _see_to_it(what: Callable[[], Awaitable[Answer]], status: int) -> None:
    """On a machine with too much to do even a store that is well may be late."""

    async def happens() -> bool:
        return (await what()).status in {status, 401 if status == 204 else status}

    assert await eventually(happens, 20)


async def _live_through(app: App, other: Store, cast: _Cast, told: Told, row: Row) -> None:
    async with asyncio.TaskGroup() as all_of_them:
        for number, person in enumerate(cast.cached):
            all_of_them.create_task(_again_and_again(app, person, told, "cached", number * OFTEN / 3))
        for number, person in enumerate(cast.uncached):
            all_of_them.create_task(_once(app.get(person), told, "uncached", number * LASTS / 12))
        for number, person in enumerate(cast.leaving):
            all_of_them.create_task(_leave(app, person, cast, told, number * LASTS / 4))
        for number, subject in enumerate(app.subjects[1:5]):
            all_of_them.create_task(_come(app, subject, cast, told, number * LASTS / 4))
        for number in range(6):
            all_of_them.create_task(_once(app.get(cast.ended), told, "ended", number * LASTS / 6))
            all_of_them.create_task(_once(app.get(None), told, "nobody", number * LASTS / 6))
            all_of_them.create_task(_once(app.get(None, "/open"), told, "open", number * LASTS / 6))
        all_of_them.create_task(_be_revoked(app, other, cast.revoked, told, row))


async def _once(work: Awaitable[Answer], told: Told, what: str, after: float) -> None:
    await asyncio.sleep(after)
    told.add(what, await work)


async def _again_and_again(app: App, person: Person, told: Told, what: str, after: float) -> None:
    await asyncio.sleep(after)
    while time.monotonic() < told.struck + LASTS:
        told.add(what, await app.get(person))
        await asyncio.sleep(OFTEN)


async def _leave(app: App, person: Person, cast: _Cast, told: Told, after: float) -> None:
    await asyncio.sleep(after)
    answer = told.add("sign_out", await app.sign_out(person))
    cast.left.append((person, answer))


async def _come(app: App, subject: Subject, cast: _Cast, told: Told, after: float) -> None:
    await asyncio.sleep(after)
    answer = told.add("sign_in", await app.sign_in(subject))
    if answer.status == 200:
        cast.came.append(answer.token)


async def _be_revoked(app: App, other: Store, person: Person, told: Told, row: Row) -> None:
    """Ended elsewhere while the fault is there: let in for at most two seconds more."""
    over = float("inf")
    if row.told:
        await asyncio.sleep(0.3)
        end = End(person.session, Ending.REVOKED, Actor.ADMINISTRATOR, int(time.time()))
        assert await other.apply([end]) == [True]
        over = time.monotonic()
    while time.monotonic() < told.struck + LASTS:
        answer = await app.get(person)
        if answer.status == 200 and answer.began > over + KNOWN:
            told.blame(f"let in {answer.began - over:.1f} s after it was revoked elsewhere")
        if answer.status == 401 and not row.told:
            told.blame(f"told {answer.reason} while signed in")
        await asyncio.sleep(OFTEN)


# --- afterwards -----------------------------------------------------------------------------------


async def _afterwards(app: App, other: Store, cast: _Cast, told: Told, row: Row) -> None:
    mended = time.monotonic()

    async def works() -> bool:
        answers = [await app.get(cast.bystanders[0]), await app.get(cast.uncached[0])]
        return all(answer.status == 200 for answer in answers)

    if not await eventually(works, row.heals):
        told.blame(f"not itself again within {row.heals:g} s")
    told.healed = time.monotonic() - mended
    for person in (*cast.cached, *cast.uncached, *cast.bystanders):
        await _expect(app, person, told, {200: ""}, "somebody who stayed")
    for person, answer in cast.left:
        may = {401: "session-ended"} if answer.status == 204 else {200: "", 401: "session-ended"}
        await _expect(app, person, told, may, f"somebody whose signing out was answered {answer.status}")
    for token in cast.came:
        await _expect(app, _as(cast, token), told, {200: ""}, "somebody who signed in meanwhile")
    await _expect(app, cast.ended, told, {401: "session-ended"}, "somebody who had signed out before")
    if row.told:
        await _expect(app, cast.revoked, told, {401: "session-revoked"}, "somebody revoked meanwhile")
    answers: list[Answer] = []

    async def comes_in() -> bool:
        answers.append(await app.sign_in(app.subjects[6]))
        return answers[-1].status != 503

    await eventually(comes_in, row.heals)
    if answers[-1].status != 200:
        told.blame(f"signing in afterwards: {answers[-1].status} {answers[-1].reason}")
    elif not await eventually(partial(_goes, app, _as(cast, answers[-1].token)), row.heals):
        told.blame("signing out afterwards")


async def _goes(app: App, person: Person) -> bool:
    return (await app.sign_out(person)).status == 204


def _as(cast: _Cast, token: str) -> Person:
    return type(cast.ended)(cast.ended.subject, token)


async def _expect(app: App, person: Person, told: Told, may: dict[int, str], who: str) -> None:
    answer = await app.get(person)
    if answer.status not in may or answer.reason != may[answer.status]:
        told.blame(f"{who}: {answer.status} {answer.reason}")


# --- the verdict ----------------------------------------------------------------------------------

_RIGHT = {"cached": 200, "uncached": 200, "sign_in": 200, "sign_out": 204}


def faults(told: Told, operation: str, does: Does) -> list[str]:
    """What was not as it should have been for whoever did that."""
    answers = told.answers[operation]
    return [*_alike(answers), *_as_said(answers, _RIGHT[operation], does, told.struck)]


def besides(told: Told) -> list[str]:
    """What was wrong for anybody else, and afterwards."""
    said = list(told.wrong)
    for what, statuses in (("ended", {401, 503}), ("nobody", {401}), ("open", {200})):
        said += [f"{what}: {each.status}" for each in told.answers[what] if each.status not in statuses]
        said += _alike(told.answers[what])
    return said


def _alike(answers: list[Answer]) -> Iterator[str]:
    """What holds for every answer."""
    for answer in answers:
        if answer.seconds > WITHIN:
            yield f"answered {answer.status} after {answer.seconds:.2f} s"
        if answer.status != 503:
            continue
        if answer.reason != "unavailable" or not int(answer.value("retry-after") or 0) > 0:
            yield f"503 {answer.reason}, Retry-After: {answer.value('retry-after')}"
        if answer.value("set-cookie") or answer.value("www-authenticate"):
            yield "503 with a cookie or a challenge"


def _as_said(answers: list[Answer], right: int, does: Does, struck: float) -> Iterator[str]:
    for answer in answers:
        if answer.status not in {right, 503}:
            yield f"{answer.status} {answer.reason}"
    well = [answer.began - struck for answer in answers if answer.status == right]
    not_well = [answer.began - struck for answer in answers if answer.status == 503]
    if does is Does.GOES_ON and not_well:
        yield f"503 after {not_well[0]:.1f} s"
    if does is Does.WAITS and well:
        yield f"done after {well[0]:.1f} s"
    if does is Does.TWO_SECONDS:
        if well and well[-1] > KNOWN:
            yield f"let in after {well[-1]:.1f} s"
        if not not_well:
            yield "never 503"
