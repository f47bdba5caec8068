"""The hot path against a real store."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import textwrap
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.core.support import NOW, SITE, make_request

from demur import stores
from demur.core.model import Actor, Allow, Change, End, Ending, Preflight, Refuse, Session, StoreUnavailable, Subject
from demur.core.reasons import Reason
from demur.core.sessions import identify, mint
from demur.guard import Guard, new_reference
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.ports import Decided

BO = Subject("0192-bo", "bo", frozenset(("staff",)))


class Counting(MemoryStore):
    """A memory store that counts what it is asked, and can be out of reach."""

    down = False
    loads = 0
    writes = 0

    async def load(self, ids: Sequence[bytes]):
        self.loads += 1
        if self.down:
            raise StoreUnavailable("it is down")
        return await super().load(ids)

    async def apply(self, changes: Sequence[Change]) -> list[bool]:
        if self.down:
            raise StoreUnavailable("it is down")
        self.writes += 1
        return await super().apply(changes)


class Clock:
    """A clock that is set by hand."""

    now = float(NOW)

    def __call__(self) -> float:
        return self.now


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.seen: list[Decided] = []

    def decided(self, decided: Decided) -> None:
        self.seen.append(decided)

    def signed_in(self, method: str, outcome: str) -> None:
        raise AssertionError


class Bench:
    """A guard with all that it needs."""

    def __init__(self) -> None:
        self.store, self.keys, self.clock, self.notes = Counting(), MemoryKeys(), Clock(), Notes()
        self.guard = Guard(SITE, self.store, self.keys, observer=self.notes, clock=self.clock)

    async def sign_in(self, subject: Subject = BO) -> dict[str, str]:
        token = mint(secrets.token_bytes(32), self.keys.ring().current)
        session = Session(identify(token), subject.id, NOW, NOW, NOW, NOW + 86400, idle=3600)
        await self.store.issue(session, subject)
        return {"cookie": f"__Host-demur={token}"}


@pytest.fixture
def bench() -> Bench:
    """A guard, nobody signed in."""
    return Bench()


async def test_one_read_and_no_write(bench: Bench) -> None:
    """A check of somebody who is signed in reads once and writes nothing."""
    cookie = await bench.sign_in()
    checked = await bench.guard.acheck(make_request(target="/members/", **cookie))
    assert isinstance(checked.decision, Allow)
    assert checked.decision.subject == BO
    assert (bench.store.loads, bench.store.writes) == (1, 0)


@pytest.mark.parametrize("target", ["/public/x", "/public//x", "/public/%zz"])
async def test_nothing_is_read_for_public_and_malformed(bench: Bench, target: str) -> None:
    """An open page and a target that is refused anyway never touch the store, whatever cookie comes along."""
    cookie = await bench.sign_in()
    bench.store.down = True
    await bench.guard.acheck(make_request(target=target, **cookie))
    assert bench.store.loads == 0


async def test_nothing_is_read_without_credentials(bench: Bench) -> None:
    """Whoever sends nothing, or what we never made, is refused without asking the store."""
    bench.store.down = True
    for fields in ({}, {"cookie": "__Host-demur=made-up"}):
        checked = await bench.guard.acheck(make_request(target="/members/", **fields))
        assert isinstance(checked.decision, Refuse)
        assert checked.decision.reason in {Reason.SIGN_IN_REQUIRED, Reason.CREDENTIALS_INVALID}
    assert bench.store.loads == 0


@pytest.mark.parametrize(
    ("target", "change", "reason"),
    [
        ("/members/", None, None),
        ("/members/", "sign out", Reason.SESSION_ENDED),
        ("/members/", "wait", Reason.SESSION_IDLE),
        ("/members/", "suspend", Reason.SESSION_REVOKED),
        ("/staff/", "take groups", Reason.NOT_PERMITTED),
        ("/members/", "take groups", None),
        ("/who", "sign out", Reason.SESSION_ENDED),
        ("/public/x", "sign out", None),
        ("/admin/", "wait a little", None),  # it was fresh when it was opened
    ],
)
async def test_what_is_open_may_go_on_or_not(
    bench: Bench, target: str, change: str | None, reason: Reason | None
) -> None:
    """What lasts longer than a request is judged again, by the same rules."""
    person = BO if target != "/admin/" else replace(BO, groups=frozenset(("admins",)))
    cookie = await bench.sign_in(person)
    request = make_request(target=target, **cookie)
    checked = await bench.guard.acheck(request)
    assert isinstance(checked.decision, Allow)
    if change == "sign out":
        token = cookie["cookie"].partition("=")[2]
        await bench.store.apply([End(identify(token), Ending.ENDED, Actor.SELF, NOW)])
    elif change in {"suspend", "take groups"}:
        more = {"suspended": True} if change == "suspend" else {"groups": frozenset[str]()}
        await bench.store.publish(replace(person, version=person.version + 1, **more))
    elif change is not None:
        bench.clock.now = NOW + {"wait": 3600, "wait a little": 1000}[change]
    ((refuse, _),) = await bench.guard.still([(checked, request)])
    assert (refuse.reason if refuse else None) is reason


async def test_our_failure_is_our_own(bench: Bench) -> None:
    """With the store down the answer is 503 with a time to wait; whoever need not be known is let in as nobody."""
    cookie = await bench.sign_in()
    bench.store.down = True
    checked = await bench.guard.acheck(make_request(target="/members/", **cookie))
    assert isinstance(checked.decision, Refuse)
    assert checked.decision.reason is Reason.UNAVAILABLE
    assert checked.decision.details.retry_after
    assert bench.notes.seen[-1].error == "it is down"
    optional = await bench.guard.acheck(make_request(target="/who", **cookie))
    assert optional.decision == Allow()
    bench.store.down = False
    again = await bench.guard.acheck(make_request(target="/members/", **cookie))
    assert isinstance(again.decision, Allow)


async def test_keys_out_of_reach(bench: Bench) -> None:
    """Keys that cannot be read are our failure too, and no reason to call a cookie forged."""
    cookie = await bench.sign_in()

    class NoKeys(MemoryKeys):
        def ring(self):
            raise StoreUnavailable("the keys cannot be read")

    guard = Guard(SITE, bench.store, NoKeys(), clock=bench.clock)
    checked = await guard.acheck(make_request(target="/members/", **cookie))
    assert isinstance(checked.decision, Refuse)
    assert checked.decision.reason is Reason.UNAVAILABLE
    assert isinstance((await guard.acheck(make_request(target="/public/x", **cookie))).decision, Allow)


async def test_being_seen_is_written_later_and_together(bench: Bench) -> None:
    """A touch is not on the path of the check: it waits, and is written when the guard closes at the latest."""
    cookie = await bench.sign_in()
    for later in (400, 401, 402):
        bench.clock.now = NOW + later
        await bench.guard.acheck(make_request(target="/members/", **cookie))
    assert bench.store.writes == 0
    await bench.guard.aclose()
    assert bench.store.writes == 1
    (session,) = await bench.store.sessions()
    assert session.last_seen == NOW + 402


async def test_a_touch_outlives_a_store_that_is_down(bench: Bench) -> None:
    """What could not be written is written the next time."""
    cookie = await bench.sign_in()
    bench.clock.now = NOW + 400
    await bench.guard.acheck(make_request(target="/members/", **cookie))
    seen = bench.guard._seen
    assert seen is not None
    bench.store.down = True
    await bench.guard._flush(seen)
    assert len(seen.at) == 1
    bench.store.down = False
    await bench.guard._flush(seen)
    (session,) = await bench.store.sessions()
    assert session.last_seen == NOW + 400
    await bench.guard.aclose()


def test_one_loop_after_another(bench: Bench) -> None:
    """A guard works in one event loop after another, with no word in between."""

    async def visit() -> bool:
        cookie = await bench.sign_in()
        bench.clock.now = NOW + 400
        checked = await bench.guard.acheck(make_request(target="/members/", **cookie))
        return isinstance(checked.decision, Allow)

    assert asyncio.run(visit())
    assert asyncio.run(visit())


async def test_every_decision_is_noted(bench: Bench) -> None:
    """Each decision reaches the observer once, with its reference, rule and reason."""
    cookie = await bench.sign_in()
    refused = await bench.guard.acheck(make_request(target="/members/"))
    allowed = await bench.guard.acheck(make_request(target="/staff/", **cookie))
    asked = {"origin": "https://x.example", "access_control_request_method": "PUT"}
    preflight = await bench.guard.acheck(make_request("OPTIONS", "/members/", **asked))
    assert isinstance(preflight.decision, Preflight)
    notes = bench.notes.seen
    assert [note.outcome for note in notes] == ["refuse", "allow", "preflight"]
    assert [note.reference for note in notes[:2]] == [refused.reference, allowed.reference]
    assert (notes[0].status, notes[0].reason, notes[0].rule, notes[0].subject) == (
        401,
        Reason.SIGN_IN_REQUIRED,
        "/members/**",
        None,
    )
    assert (notes[1].status, notes[1].rule, notes[1].subject) == (None, "/staff/**", BO.id)


async def test_a_fault_of_ours_is_503(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """If deciding itself fails, nobody gets in and nobody is sent to sign in; it is noted like any decision."""
    cookie = await bench.sign_in()

    class Broken(MemoryStore):
        async def load(self, ids: Sequence[bytes]):
            raise ZeroDivisionError

    guard = Guard(SITE, Broken(), bench.keys, observer=bench.notes, clock=bench.clock)
    checked = await guard.acheck(make_request(target="/members/", **cookie))
    assert isinstance(checked.decision, Refuse)
    assert checked.decision.reason is Reason.UNAVAILABLE
    assert checked.decision.details.retry_after == 5
    assert bench.notes.seen[-1].reason is Reason.UNAVAILABLE
    assert "ZeroDivisionError" in bench.notes.seen[-1].error
    assert "could not decide" in caplog.text


def test_references_are_uuids() -> None:
    """Random ones (RFC 9562, 5.4), all of them different."""
    made = [new_reference() for _ in range(1000)]
    assert {(uuid.UUID(each).version, str(uuid.UUID(each)) == each) for each in made} == {(4, True)}
    assert {uuid.UUID(each).variant for each in made} == {uuid.RFC_4122}
    assert len(set(made)) == 1000


def test_references_differ_after_a_fork() -> None:
    """Two processes that were one a moment ago name their decisions differently."""
    script = r"""
        import os
        from demur.guard import new_reference
        new_reference()
        child = os.fork()
        os.write(1, f"{new_reference()}\n".encode())
        if child:
            os.waitpid(child, 0)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, timeout=60, check=True, capture_output=True, text=True)
    assert len(set(done.stdout.split())) == 2


def test_a_store_is_configuration() -> None:
    """Making a guard opens nothing."""
    Guard(SITE, stores.open("sqlite:/nowhere/at/all.db"), MemoryKeys())
