"""Sign-in, step-up and their sessions, against a real store and a real hasher."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from argon2 import Parameters, Type
from tests.core.support import NOW, SITE, make_request, make_site

from demur.authenticators.password import Argon2Hasher
from demur.authenticators.throttle import Throttle
from demur.core.model import Absent, Ended, Ending, Evidence, Live, Malformed, Refuse, Subject, Unknown
from demur.core.ports import Account
from demur.core.reasons import Reason
from demur.core.sessions import NIST_AAL2, TOMBSTONES_LAST, identify
from demur.signin.password import PasswordSignIn
from demur.signin.sessions import Issued, Sessions, clear, cookie, forget
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from demur.core.site import Site

CHEAP = Parameters(type=Type.ID, version=19, salt_len=16, hash_len=16, time_cost=1, memory_cost=8, parallelism=1)
OLDER = replace(CHEAP, memory_cost=16, time_cost=1)
BO, ANNA = Subject("0192-bo", "bo"), Subject("0192-anna", "anna")
NOBODY = Absent()
REQUEST = make_request("POST", "/.demur/sign-in", user_agent="curl/8")


class Folk:
    """Two people and somebody who is disabled: an app's own user table, as a bridge would show it."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}

    async def by_name(self, name: str) -> Account | None:
        return next((one for one in self.accounts.values() if one.subject.name == name), None)

    async def by_id(self, subject: str) -> Account | None:
        return self.accounts.get(subject)

    async def set_password(self, subject: str, encoded: str, *, replacing: str | None = None) -> bool:
        account = self.accounts[subject]
        if replacing is not None and account.password != replacing:
            return False
        self.accounts[subject] = replace(account, password=encoded)
        return True


class Desk:
    """Everything that a sign-in takes."""

    def __init__(self) -> None:
        self.people, self.store, self.hasher = Folk(), MemoryStore(), Argon2Hasher(CHEAP)
        self.sessions = Sessions(self.store, MemoryKeys(), NIST_AAL2)
        self.tried: list[str] = []
        self.sign_in = PasswordSignIn(self.people, self.hasher, Throttle(self.store), self.sessions, self)

    def decided(self, decided: object) -> None:
        raise AssertionError

    def signed_in(self, method: str, outcome: str) -> None:
        self.tried.append(f"{method} {outcome}")

    async def furnish(self) -> None:
        older = Argon2Hasher(OLDER)
        for subject, password, hasher in ((BO, "bo's password", self.hasher), (ANNA, "anna's password", older)):
            self.people.accounts[subject.id] = Account(subject, await hasher.hash(password))
        gone = Subject("0192-dora", "dora")
        self.people.accounts[gone.id] = Account(gone, await self.hasher.hash("dora's password"), disabled=True)
        older.close()

    async def enter(self, name: str, password: str, *, before: Evidence = NOBODY, now: int = NOW) -> Issued | Refuse:
        return await self.sign_in.sign_in(name, password, REQUEST, before=before, persistent=False, now=now)

    async def live(self, issued: Issued | Refuse) -> Live:
        assert isinstance(issued, Issued)
        (evidence,) = await self.store.load([issued.session.id])
        assert isinstance(evidence, Live)
        return evidence


@pytest.fixture
async def desk():
    """A furnished desk."""
    desk = Desk()
    await desk.furnish()
    yield desk
    desk.hasher.close()


async def test_the_right_password(desk: Desk) -> None:
    """A sign-in makes a session of the person, with both limits, under the hash of a new token."""
    issued = await desk.enter("bo", "bo's password")
    live = await desk.live(issued)
    assert isinstance(issued, Issued)
    assert live.subject == BO
    assert live.session.id == identify(issued.token)
    assert (live.session.idle, live.session.expires_at) == (3600, NOW + 86400)
    assert (live.session.device, live.session.network) == ("curl", "192.0.2.7")
    assert desk.tried == ["password success"]


@pytest.mark.parametrize(
    ("name", "password"), [("bo", "wrong"), ("dora", "dora's password"), ("nobody", "x"), ("", "")]
)
async def test_no_is_one_answer(desk: Desk, name: str, password: str) -> None:
    """Wrong, disabled and unknown are the same refusal."""
    assert await desk.enter(name, password) == Refuse(Reason.CREDENTIALS_INVALID)
    assert desk.tried == ["password failure"]


async def test_every_sign_in_has_its_own_id(desk: Desk) -> None:
    """Signing in again goes on under a new id, and the old one is replaced."""
    first = await desk.live(await desk.enter("bo", "bo's password"))
    again = await desk.enter("bo", "bo's password", before=first)
    assert isinstance(again, Issued)
    assert not again.switched
    (old,) = await desk.store.load([first.session.id])
    assert isinstance(old, Ended)
    assert old.how is Ending.REPLACED


async def test_another_person_ends_the_first_ones_session(desk: Desk) -> None:
    """Where somebody else signs in, the session before is over, and the browser is told to clear."""
    first = await desk.live(await desk.enter("bo", "bo's password"))
    other = await desk.enter("anna", "anna's password", before=first)
    assert isinstance(other, Issued)
    assert other.switched
    (old,) = await desk.store.load([first.session.id])
    assert isinstance(old, Ended)
    assert old.how is Ending.ENDED


async def test_another_person_after_the_first_ones_session_ended(desk: Desk) -> None:
    """A tombstone, too, tells whose browser it was: somebody else gets it cleared, the same person does not."""
    first = await desk.live(await desk.enter("bo", "bo's password"))
    await desk.sessions.end(first, NOW)
    (tombstone,) = await desk.store.load([first.session.id])
    assert isinstance(tombstone, Ended)
    other = await desk.enter("anna", "anna's password", before=tombstone)
    same = await desk.enter("bo", "bo's password", before=tombstone)
    assert isinstance(other, Issued)
    assert isinstance(same, Issued)
    assert (other.switched, same.switched) == (True, False)


@pytest.mark.parametrize(("before", "switched"), [(Absent(), False), (Unknown(), True), (Malformed(), True)])
async def test_a_cookie_that_leads_to_nobody(desk: Desk, before: Evidence, switched: bool) -> None:
    """Whose browser it was is not known: if it was anybody's, it is cleared for the one who signs in."""
    issued = await desk.enter("bo", "bo's password", before=before)
    assert isinstance(issued, Issued)
    assert issued.switched is switched


async def test_an_ended_session_does_not_hinder(desk: Desk) -> None:
    """A session that was ended meanwhile cannot be rotated; the sign-in makes a fresh one."""
    first = await desk.live(await desk.enter("bo", "bo's password"))
    await desk.sessions.end(first, NOW)
    again = await desk.live(await desk.enter("bo", "bo's password", before=first))
    assert again.session.id != first.session.id


async def test_confirming(desk: Desk) -> None:
    """Confirming makes the session fresh under a new id, and both limits begin anew."""
    first = await desk.live(await desk.enter("bo", "bo's password"))
    later = NOW + 3000
    confirmed = await desk.sign_in.confirm("bo's password", first, later)
    live = await desk.live(confirmed)
    assert live.session.authenticated_at == later
    assert live.session.expires_at == later + 86400
    assert (live.session.device, live.session.network) == (first.session.device, first.session.network)


async def test_confirming_twice_at_once(desk: Desk) -> None:
    """Of two at once, one wins; the other is told to repeat with the new cookie, and nobody is signed out."""
    first = await desk.live(await desk.enter("bo", "bo's password"))
    won = await desk.sign_in.confirm("bo's password", first, NOW + 1)
    lost = await desk.sign_in.confirm("bo's password", first, NOW + 1)
    assert isinstance(won, Issued)
    assert lost == Refuse(Reason.SESSION_REPLACED)
    assert [one.id for one in await desk.store.sessions(BO.id)] == [won.session.id]


async def test_a_wrong_confirmation_keeps_the_session(desk: Desk) -> None:
    """A wrong password at a step-up is refused, and the session is as it was."""
    first = await desk.live(await desk.enter("bo", "bo's password"))
    refused = await desk.sign_in.confirm("wrong", first, NOW + 1)
    assert isinstance(refused, Refuse)
    assert (refused.reason, refused.details.subject) == (Reason.CREDENTIALS_INVALID, BO)
    assert isinstance((await desk.store.load([first.session.id]))[0], Live)


async def test_guessing_is_slowed_down_and_locks_nobody_out(desk: Desk) -> None:
    """After too many tries there is a time to wait; whoever is signed in is not held up, not even at a step-up."""
    first = await desk.live(await desk.enter("bo", "bo's password"))
    answers = [await desk.enter("bo", "wrong", now=NOW + 1) for _ in range(30)]
    last = answers[-1]
    assert isinstance(last, Refuse)
    assert last.reason is Reason.TOO_MANY_ATTEMPTS
    assert last.details.retry_after
    assert desk.tried[-1] == "password throttled"
    assert isinstance((await desk.store.load([first.session.id]))[0], Live)
    assert isinstance(await desk.sign_in.confirm("bo's password", first, NOW + 2), Issued)


async def test_an_outdated_hash_is_replaced(desk: Desk) -> None:
    """A hash of another strength than the preset's is replaced at the first sign-in, and the password stays."""
    before = desk.people.accounts[ANNA.id].password
    await desk.live(await desk.enter("anna", "anna's password"))
    after = desk.people.accounts[ANNA.id].password
    assert after != before
    await desk.live(await desk.enter("anna", "anna's password"))
    assert desk.people.accounts[ANNA.id].password == after


@pytest.mark.parametrize("meanwhile", ["disabled", "new password", "deleted"])
async def test_what_changed_while_the_password_was_checked(desk: Desk, meanwhile: str) -> None:
    """A sign-in that was checked against what no longer holds leaves no session behind."""
    account = desk.people.accounts[BO.id]

    class Slow(Argon2Hasher):
        async def verify(self, password: str, encoded: str | None):
            verified = await super().verify(password, encoded)
            if meanwhile == "deleted":
                del desk.people.accounts[BO.id]
            else:
                change = {"disabled": True} if meanwhile == "disabled" else {"password": "another hash"}
                desk.people.accounts[BO.id] = replace(account, **change)
            return verified

    slow = Slow(CHEAP)
    sign_in = PasswordSignIn(desk.people, slow, Throttle(desk.store), desk.sessions)
    refused = await sign_in.sign_in("bo", "bo's password", REQUEST, before=Absent(), persistent=False, now=NOW)
    slow.close()
    assert refused == Refuse(Reason.CREDENTIALS_INVALID)
    assert await desk.store.sessions() == []


@pytest.mark.parametrize("persistent", [True, False])
async def test_the_cookie(desk: Desk, persistent: bool) -> None:
    """The cookie outlives the session by the time for which its end can be told, or ends with the browser."""
    issued = await desk.sign_in.sign_in("bo", "bo's password", REQUEST, before=Absent(), persistent=persistent, now=NOW)
    assert isinstance(issued, Issued)
    value = cookie(SITE, issued).decode()
    assert value.startswith(f"__Host-demur={issued.token}; Path=/;")
    assert (f"Max-Age={86400 + TOMBSTONES_LAST}" in value) is persistent
    assert "Secure; HttpOnly; SameSite=Lax" in value


PLAIN = make_site(origin="http://localhost:8000")


@pytest.mark.parametrize(
    ("site", "keep_ours", "expected"),
    [
        (SITE, False, b'"cookies", "storage"'),
        (SITE, True, b'"storage"'),  # "cookies" would take the one that this very answer sets
        (PLAIN, False, None),  # works on https only
        (make_site(clear_site_data=()), False, None),
    ],
)
def test_what_is_cleared(site: Site, keep_ours: bool, expected: bytes | None) -> None:
    """What the site kept for the one who leaves goes: its cookies by name, its storage where the browser does that."""
    request = make_request("POST", "/", cookie=f"PHPSESSID=1; {site.cookie.name}=x; __Secure-b=2; bad name=3; =4")
    lines = clear(site, request, keep_ours=keep_ours)
    cookies = [value for name, value in lines if name == b"set-cookie"]
    if site.clear_site_data:
        assert cookies == [b"PHPSESSID=; Path=/; Max-Age=0", b"__Secure-b=; Path=/; Max-Age=0; Secure"]
    assert dict(lines).get(b"clear-site-data") == expected


def test_forgetting_repeats_what_it_was_set_with() -> None:
    """A `__Host-` cookie is only deleted with Secure and the path."""
    assert forget(SITE) == b"__Host-demur=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"


async def test_an_app_says_how_strong_its_own_sign_in_was(desk: Desk) -> None:
    """A session is as strong as whoever begins it says; confirming the password keeps that, a new sign-in does not."""
    begun = await desk.sessions.begin(BO, REQUEST, "192.0.2.7", before=NOBODY, persistent=False, now=NOW, acr="mfa")
    live = await desk.live(begun)
    assert live.session.acr == "mfa"
    confirmed = await desk.live(await desk.sign_in.confirm("bo's password", live, NOW + 60))
    assert (confirmed.session.acr, confirmed.session.authenticated_at) == ("mfa", NOW + 60)
    again = await desk.live(await desk.enter("bo", "bo's password", before=confirmed, now=NOW + 90))
    assert again.session.acr == "pwd"
