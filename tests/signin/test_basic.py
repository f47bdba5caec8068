"""Names and passwords that come with each request: a real hasher, a real throttle, and how often each is asked."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

import pytest
from argon2 import Parameters, Type
from tests.core.support import NOW, make_request, make_site

from demur.authenticators.password import Argon2Hasher
from demur.authenticators.throttle import Throttle
from demur.core import rules
from demur.core.model import Allow, ConfigError, Live, StoreUnavailable, Subject, Throttled, Unknown
from demur.core.ports import Account, Verified
from demur.core.reasons import Reason
from demur.guard import Guard
from demur.signin import basic
from demur.signin.basic import AT_MOST, KEPT, BasicPasswords
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

CHEAP = Parameters(type=Type.ID, version=19, salt_len=16, hash_len=16, time_cost=1, memory_cost=8, parallelism=1)
OLDER = replace(CHEAP, memory_cost=16)
BO, ANNA, DORA = Subject("0192-bo", "bo"), Subject("0192-anna", "anna"), Subject("0192-dora", "dora")
HOME, ELSEWHERE = "192.0.2.7", "203.0.113.9"


class Counting(Argon2Hasher):
    """The real thing, which notes what it was asked."""

    def __init__(self, preset: Parameters) -> None:
        super().__init__(preset)
        self.verified: list[bool] = []
        self.hashed = 0

    async def verify(self, password: str, encoded: str | None) -> Verified:
        self.verified.append(encoded is not None)
        return await super().verify(password, encoded)

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return await super().hash(password)


class Folk:
    """An app's own user table, as a bridge would show it."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.read = 0
        self.down = False

    async def by_name(self, name: str) -> Account | None:
        self.read += 1
        if self.down:
            raise StoreUnavailable("people: gone")
        found = [one for one in self.accounts.values() if one.subject.name == name.strip().lower()]
        return found[0] if found else None

    async def by_id(self, subject: str) -> Account | None:
        return self.accounts.get(subject)

    async def set_password(self, subject: str, encoded: str, *, replacing: str | None = None) -> bool:
        account = self.accounts[subject]
        if replacing is not None and account.password != replacing:
            return False
        self.accounts[subject] = replace(account, password=encoded)
        return True


class Desk:
    """Everything that Basic takes."""

    def __init__(self) -> None:
        self.people, self.store, self.hasher = Folk(), MemoryStore(), Counting(CHEAP)
        self.tried: list[str] = []
        self.passwords = BasicPasswords(self.people, self.hasher, Throttle(self.store), self)

    def decided(self, decided: object) -> None:
        raise AssertionError

    def signed_in(self, method: str, outcome: str) -> None:
        self.tried.append(f"{method} {outcome}")

    async def furnish(self) -> None:
        older = Argon2Hasher(OLDER)
        for subject, hasher in ((BO, self.hasher), (ANNA, older), (DORA, self.hasher)):
            encoded = await hasher.hash(f"{subject.name}'s pässword")
            self.people.accounts[subject.id] = Account(subject, encoded, disabled=subject is DORA)
        older.close()

    async def ask(
        self, name: str = "bo", password: str | None = None, *, peer: str = HOME, now: int = NOW
    ) -> Live | Unknown | Throttled:
        said = f"{name}:{f'{name}{chr(39)}s pässword' if password is None else password}"
        found = await self.passwords.load(said.encode(), peer, now)
        assert isinstance(found, Live | Unknown | Throttled)
        return found

    @property
    def checks(self) -> int:
        """How often argon2 ran to check a password."""
        return len(self.hasher.verified)


@pytest.fixture
async def desk():
    """A furnished desk."""
    desk = Desk()
    await desk.furnish()
    yield desk
    desk.hasher.close()


async def test_the_right_password(desk: Desk) -> None:
    """A session for this request: of the person, as fresh as can be, and without anything to keep alive."""
    found = await desk.ask()
    assert isinstance(found, Live)
    assert found.subject == BO
    session = found.session
    assert (session.subject, session.kind, session.acr, session.idle) == (BO.id, "session", "pwd", 0)
    assert session.issued_at == session.authenticated_at == session.last_seen == NOW < session.expires_at
    assert await desk.store.sessions() == []
    assert desk.tried == ["basic success"]


async def test_argon2_runs_once(desk: Desk) -> None:
    """Of two hundred requests with the same password one is checked, and each reads the person once."""
    for _ in range(200):
        assert isinstance(await desk.ask(), Live)
    assert desk.checks == 1
    assert desk.people.read == 200
    assert desk.tried == ["basic success"]


async def test_many_at_once_are_checked_once(desk: Desk) -> None:
    """The first requests of a client often come together."""
    found = await asyncio.gather(*(desk.ask() for _ in range(50)))
    assert all(isinstance(one, Live) for one in found)
    assert desk.checks == 1


async def test_many_wrong_ones_at_once_are_one_try(desk: Desk) -> None:
    """The same guess fifty times over is one guess, and all fifty are wrong."""
    assert await asyncio.gather(*(desk.ask(password="x") for _ in range(50))) == [Unknown()] * 50
    assert desk.checks == 1
    assert desk.tried == ["basic failure"]


async def test_who_leaves_leaves_the_others(desk: Desk) -> None:
    """A client that hangs up takes nobody's answer along."""
    first, second = asyncio.ensure_future(desk.ask()), asyncio.ensure_future(desk.ask())
    while not desk.checks:
        await asyncio.sleep(0)
    first.cancel()
    assert isinstance(await second, Live)
    assert desk.checks == 1


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("bo", "wrong"), ("bo", ""), ("nobody", "x"), ("", ""), ("dora", "dora's pässword"),
        ("bo", "bo's pässword "), ("bo", "x" * 5000), ("b" * 5000, "x"),
    ],
)  # fmt: skip
async def test_no_is_one_answer_at_one_cost(desk: Desk, name: str, password: str) -> None:
    """Wrong, unknown and disabled are the same answer, one read and one run of argon2; each time anew."""
    for number in (1, 2):
        assert await desk.ask(name, password) == Unknown()
        assert (desk.checks, desk.people.read) == (number, number)
    assert desk.tried == ["basic failure"] * 2


async def test_a_colon_belongs_to_the_password(desk: Desk) -> None:
    """ "The user-id itself cannot contain a colon" (RFC 7617, 2)."""
    account = desk.people.accounts[BO.id]
    desk.people.accounts[BO.id] = replace(account, password=await desk.hasher.hash("a:b:"))
    assert isinstance(await desk.ask("bo", "a:b:"), Live)
    assert await desk.ask("bo", "a:b") == Unknown()


@pytest.mark.parametrize("change", ["new password", "no password", "disabled", "renamed", "deleted"])
async def test_a_change_counts_at_the_next_request(desk: Desk, change: str) -> None:
    """What was known to be right is worth nothing once the person or the hash is another."""
    assert isinstance(await desk.ask(), Live)
    account = desk.people.accounts.pop(BO.id)
    changed = {
        "new password": replace(account, password=await desk.hasher.hash("another")),
        "no password": replace(account, password=None),
        "disabled": replace(account, disabled=True),
        "renamed": replace(account, subject=replace(BO, name="bob")),
    }
    if change in changed:
        desk.people.accounts[BO.id] = changed[change]
    assert await desk.ask() == Unknown()
    assert desk.checks == 2


async def test_somebody_else_of_the_same_name_and_hash(desk: Desk) -> None:
    """Known is the person and not the name."""
    await desk.ask()
    account = desk.people.accounts.pop(BO.id)
    other = replace(BO, id="0192-other-bo")
    desk.people.accounts[other.id] = replace(account, subject=other)
    found = await desk.ask()
    assert isinstance(found, Live)
    assert found.subject == other
    assert desk.checks == 2


async def test_the_person_is_as_they_are_now(desk: Desk) -> None:
    """Groups that changed are those of the next request, without another check."""
    await desk.ask()
    changed = replace(BO, groups=frozenset(("staff",)), version=2)
    desk.people.accounts[BO.id] = replace(desk.people.accounts[BO.id], subject=changed)
    found = await desk.ask()
    assert isinstance(found, Live)
    assert found.subject == changed
    assert desk.checks == 1


@pytest.mark.parametrize(
    ("times", "checks"),
    [
        ([0, KEPT - 1], 1),
        ([0, KEPT], 2),
        ([0, KEPT - 1, 2 * KEPT - 2], 1),  # while it is used it stays
        ([0, -1], 2),  # a clock that was set back
        (list(range(0, AT_MOST, KEPT - 1)), 1),
        ([*range(0, AT_MOST, KEPT - 1), AT_MOST], 2),
    ],
)
async def test_how_long_it_is_known(desk: Desk, times: list[int], checks: int) -> None:
    """Five minutes after the last use, and an hour in all."""
    for at in times:
        assert isinstance(await desk.ask(now=NOW + at), Live)
    assert desk.checks == checks


async def test_how_many_are_known(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many, those that were used last."""
    monkeypatch.setattr(basic, "MOST", 2)
    encoded = desk.people.accounts[BO.id].password
    for name in ("one", "two"):
        desk.people.accounts[name] = Account(Subject(name, name), encoded)
    for name in ("bo", "one", "bo", "two", "bo"):
        await desk.ask(name, "bo's pässword")
    assert desk.checks == 3
    await desk.ask("one", "bo's pässword")
    assert desk.checks == 4


async def test_guessing_is_slowed_down(desk: Desk) -> None:
    """By the same counts as at the sign-in form: after a few wrong ones there is a time to wait, and no more work."""
    answers = [await desk.ask(password=f"guess {number}") for number in range(30)]
    held_up = [answer for answer in answers if isinstance(answer, Throttled)]
    assert answers[:5] == [Unknown()] * 5
    assert len(held_up) > 20
    assert all(answer.retry_after > 0 for answer in held_up)
    assert desk.checks == 30 - len(held_up)
    assert desk.tried[-1] == "basic throttled"


async def test_what_is_known_is_never_held_up(desk: Desk) -> None:
    """Whoever guesses, from the same network even, does not stop a client that has the password."""
    await desk.ask()
    for number in range(30):
        await desk.ask(password=f"guess {number}")
    assert isinstance(await desk.ask(password="guess"), Throttled)
    assert isinstance(await desk.ask(), Live)
    assert isinstance(await desk.ask(peer=ELSEWHERE), Live)


async def test_a_right_one_begins_the_counts_anew(desk: Desk) -> None:
    """As at the sign-in form: whoever has the password has the few free tries again, from there and for that name."""
    for turn in range(3):
        guesses = [await desk.ask(password=f"guess {turn} {number}") for number in range(4)]
        assert guesses == [Unknown()] * 4
        assert isinstance(await desk.ask(now=NOW + turn * KEPT), Live)


async def test_a_network_that_guesses_names(desk: Desk) -> None:
    """Failures count for the network, whatever name they were for."""
    found = [await desk.ask(f"name{number}", "x", peer=ELSEWHERE) for number in range(110)]
    assert found[:100] == [Unknown()] * 100
    assert isinstance(found[-1], Throttled)
    assert await desk.ask("another", "x", peer=HOME) == Unknown()


async def test_known_is_known_to_the_letter(desk: Desk) -> None:
    """What is almost the password is checked, and wrong."""
    await desk.ask()
    for almost in ("bo's pässword ", " bo's pässword", "bo's pa\u0308ssworD", "Bo's pässword"):
        assert await desk.ask(password=almost) == Unknown()
    assert isinstance(await desk.ask(" BO ", "bo's pässword"), Live)


async def test_a_network_answers_for_itself(desk: Desk) -> None:
    """Of two that send the same at the same time, one from where others guess, only that one is held up."""
    for number in range(30):
        await desk.ask(password=f"guess {number}", peer=ELSEWHERE)
    home, elsewhere = await asyncio.gather(desk.ask(peer=HOME), desk.ask(peer=ELSEWHERE))
    assert isinstance(elsewhere, Throttled)
    assert isinstance(home, Live)


async def test_an_outdated_hash_is_replaced(desk: Desk) -> None:
    """Once, and what is known is known under the new one."""
    before = desk.people.accounts[ANNA.id].password
    await desk.ask("anna")
    assert desk.people.accounts[ANNA.id].password != before
    await desk.ask("anna")
    assert desk.checks == 1


async def test_no_password_is_kept(desk: Desk) -> None:
    """Neither in what is known, nor in what is still being checked, nor under a hash that others could make."""
    asking = asyncio.ensure_future(desk.ask())
    while not desk.checks:
        await asyncio.sleep(0)
    kept = repr([desk.passwords._known, desk.passwords._checks.keys()])
    await asking
    assert desk.passwords._checks == {}
    assert "pässword" not in kept + repr(desk.passwords._known)
    other = Desk()
    other.people = desk.people
    other.passwords = BasicPasswords(desk.people, desk.hasher, Throttle(other.store))
    await other.ask()
    assert set(other.passwords._known).isdisjoint(desk.passwords._known)


async def test_people_that_cannot_be_asked(desk: Desk) -> None:
    """That is no wrong password, not even of somebody who is known."""
    await desk.ask()
    desk.people.down = True
    with pytest.raises(StoreUnavailable):
        await desk.ask()
    assert desk.tried == ["basic success"]


async def test_what_stays_open(desk: Desk) -> None:
    """A stream that was begun with Basic goes on without another check, and no longer once the password is another."""
    loaded = rules.load([{"path": "/**", "allow": "signed-in", "accepts": ["basic"]}])
    guard = Guard(make_site(rules=loaded), desk.store, MemoryKeys(), passwords=desk.passwords, clock=lambda: NOW)
    said = base64.b64encode("bo:bo's pässword".encode()).decode()
    request = make_request(authorization=f"Basic {said}")
    checked = await guard.acheck(request)
    assert isinstance(checked.decision, Allow)
    ((over, until),) = await guard.still([(checked, request)])
    assert over is None
    assert NOW < until <= NOW + AT_MOST
    assert desk.checks == 1
    account = desk.people.accounts[BO.id]
    desk.people.accounts[BO.id] = replace(account, password=await desk.hasher.hash("another"))
    ((over, _),) = await guard.still([(checked, request)])
    assert over is not None
    assert over.reason is Reason.CREDENTIALS_INVALID


def test_nobody_knows_passwords() -> None:
    """A guard whose rules accept Basic says at once that it has nobody to ask."""
    loaded = rules.load([{"path": "/**", "allow": "signed-in", "accepts": ["basic"]}])
    with pytest.raises(ConfigError, match="nobody knows any passwords"):
        Guard(make_site(rules=loaded), MemoryStore(), MemoryKeys())


def test_one_loop_after_another() -> None:
    """A source that was used in one event loop is used in the next."""
    desk = Desk()

    async def cut_off() -> None:
        await desk.furnish()
        asking = asyncio.ensure_future(desk.ask())
        while not desk.checks:
            await asyncio.sleep(0)
        asking.cancel()

    asyncio.run(cut_off())
    assert isinstance(asyncio.run(desk.ask()), Live)
    desk.hasher.close()


def test_two_loops_at_once() -> None:
    """What is being checked in one event loop is nothing to wait for in another."""
    desk = Desk()
    one = asyncio.new_event_loop()
    one.run_until_complete(desk.furnish())
    asking = one.create_task(desk.ask())
    while not desk.checks:
        one.run_until_complete(asyncio.sleep(0))
    assert isinstance(asyncio.run(desk.ask()), Live)
    assert isinstance(one.run_until_complete(asking), Live)
    one.close()
    desk.hasher.close()
