"""A guard that knows somebody already: what it asks, what it does not, and from which thread."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.core.support import NOW, make_request
from tests.test_guard import BO, Bench

from demur.core import rules
from demur.core.model import Actor, Allow, End, Ending, Refuse
from demur.core.reasons import Reason
from demur.core.sessions import identify
from demur.guard import FLUSH_AFTER, Guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.guard import Checked


@pytest.fixture
def bench() -> Bench:
    """A guard, nobody signed in."""
    return Bench()


def reason(checked: Checked) -> Reason | None:
    return checked.decision.reason if isinstance(checked.decision, Refuse) else None


@pytest.mark.parametrize("sync", [False, True])
async def test_whoever_is_known_is_not_asked_for(bench: Bench, sync: bool) -> None:
    """One read for any number of checks, whichever pages they are for; even while the store is away."""
    cookie = await bench.sign_in()
    first = await bench.guard.acheck(make_request(target="/members/", **cookie))
    bench.store.down = True
    for target in ("/members/", "/staff/", "/who"):
        request = make_request(target=target, **cookie)
        checked = bench.guard.check(request) if sync else await bench.guard.acheck(request)
        assert isinstance(checked.decision, Allow)
        assert checked.decision.subject == BO
        assert checked.evidence is first.evidence
    assert bench.store.loads == 1


async def test_a_no_is_never_made_of_what_is_kept(bench: Bench) -> None:
    """The store is asked before anybody is refused; if it is away, that is our failure and not theirs."""
    cookie = await bench.sign_in()
    await bench.guard.acheck(make_request(target="/members/", **cookie))
    refused = await bench.guard.acheck(make_request(target="/admin/", **cookie))
    assert reason(refused) is Reason.NOT_PERMITTED
    assert bench.store.loads == 2
    bench.store.down = True
    assert reason(await bench.guard.acheck(make_request(target="/admin/", **cookie))) is Reason.UNAVAILABLE
    assert isinstance((await bench.guard.acheck(make_request(target="/members/", **cookie))).decision, Allow)


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("beside", ["/members", "/open"])
async def test_what_is_concealed_costs_what_is_beside_it(bench: Bench, beside: str, sync: bool) -> None:
    """The store is asked for both, or for neither: a clock would else tell them apart."""
    table: list[dict[str, Any]] = [
        {"path": "/open/**", "allow": "anyone"},
        {"path": "/open/vault/**", "allow": {"groups": ["keepers"]}, "conceal": True},
        {"path": "/members/**", "allow": "signed-in"},
        {"path": "/members/vault/**", "allow": {"groups": ["keepers"]}, "conceal": True},
    ]
    site = replace(bench.guard.site, rules=rules.load(table))
    guard = Guard(site, bench.store, bench.keys, clock=bench.clock)
    cookie, loads = await bench.sign_in(), []
    for name in ("thing", "vault", "thing", "vault"):
        before, request = bench.store.loads, make_request(target=f"{beside}/{name}/gold", **cookie)
        checked = await asyncio.to_thread(guard.check, request) if sync else await guard.acheck(request)
        assert (reason(checked) is Reason.NOT_FOUND) == (name == "vault")
        loads.append(bench.store.loads - before)
    assert len(set(loads)) == 1


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("change", ["end", "suspend", "take groups"])
async def test_a_change_counts_at_once(bench: Bench, change: str, sync: bool) -> None:
    """Whatever was known before."""
    cookie = await bench.sign_in()
    request = make_request(target="/staff/", **cookie)
    assert isinstance((await bench.guard.acheck(request)).decision, Allow)
    if change == "end":
        await bench.store.apply([End(identify(cookie["cookie"].partition("=")[2]), Ending.ENDED, Actor.SELF, NOW)])
    else:
        more = {"suspended": True} if change == "suspend" else {"groups": frozenset[str]()}
        await bench.store.publish(replace(BO, version=2, **more))
    checked = await asyncio.to_thread(bench.guard.check, request) if sync else await bench.guard.acheck(request)
    assert (
        reason(checked)
        is {
            "end": Reason.SESSION_ENDED,
            "suspend": Reason.SESSION_REVOKED,
            "take groups": Reason.NOT_PERMITTED,
        }[change]
    )


async def test_whoever_was_seen_stays(bench: Bench) -> None:
    """What is kept learns when somebody was seen as soon as the store has; so nobody is thought to have been away."""
    cookie = await bench.sign_in()
    for later in range(0, 3600 * 3, 350):
        bench.clock.now = NOW + later
        checked = await bench.guard.acheck(make_request(target="/members/", **cookie))
        assert isinstance(checked.decision, Allow)
        if bench.guard._seen is not None and bench.guard._seen.at:
            await bench.guard._flush(bench.guard._seen)
    assert bench.store.loads == 1
    assert bench.store.writes == 3600 * 3 // 700
    await bench.guard.aclose()


def test_who_is_known_is_decided_in_the_thread_that_asks(bench: Bench) -> None:
    """The portal is for what has to be asked: the first question, and being seen."""
    cookie = asyncio.run(bench.sign_in())
    asked: list[str] = []
    load = bench.store.load

    async def told(ids):
        asked.append(threading.current_thread().name)
        return await load(ids)

    bench.store.load = told  # type: ignore[method-assign]
    for _ in range(3):
        assert isinstance(bench.guard.check(make_request(target="/members/", **cookie)).decision, Allow)
    assert asked == ["demur-portal"]


def test_many_threads_at_once(bench: Bench) -> None:
    """Each is told what is true of whom it asks for."""
    cookies = asyncio.run(sign_in_many(bench, 8))
    wrong: list[object] = []

    def work(number: int) -> None:
        for _ in range(50):
            checked = bench.guard.check(make_request(target="/members/", **cookies[number]))
            if not isinstance(checked.decision, Allow) or checked.decision.subject != person(number):
                wrong.append(checked)

    in_threads(8, work)
    assert wrong == []
    assert bench.store.loads <= 8


def person(number: int):
    return replace(BO, id=f"bo-{number}")


async def sign_in_many(bench: Bench, count: int) -> list[dict[str, str]]:
    return [await bench.sign_in(person(number)) for number in range(count)]


def in_threads(count: int, work: Callable[[int], object]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_being_seen_is_gathered_from_all_threads(bench: Bench) -> None:
    """What several threads saw is written together, in the portal."""
    cookies = asyncio.run(sign_in_many(bench, 4))
    bench.clock.now = NOW + 400
    written = threading.Event()
    apply = bench.store.apply

    async def told(changes):
        done = await apply(changes)
        written.set()
        return done

    bench.store.apply = told  # type: ignore[method-assign]
    in_threads(4, lambda number: bench.guard.check(make_request(target="/members/", **cookies[number])))
    assert written.wait(FLUSH_AFTER + 10)
    sessions = asyncio.run(bench.store.sessions())
    assert [session.last_seen for session in sessions] == [NOW + 400] * 4
    assert bench.store.writes == 1
