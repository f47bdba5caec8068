"""People and their administration."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, event, text

from demur import accounts as accounts_
from demur import stores
from demur.accounts import database_of
from demur.accounts.names import Rejected
from demur.accounts.people import Accounts, New, NotInForce
from demur.core.model import Actor, ConfigError, Ended, Ending, Live, Session, StoreUnavailable
from demur.core.ports import Account

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sqlalchemy import Connection

    from demur.core.model import Subject
    from demur.core.ports import Store

NOW = 1_800_000_000
ALICE = New("Alice", frozenset({"staff", "admins"}), "Alice Smith", "alice@example.com", "$2y$10$old")
BOB = New("bob")


def session(subject: Subject, number: int = 1) -> Session:
    """A session of somebody."""
    return Session(
        bytes([number]) * 32, subject.id, issued_at=NOW, authenticated_at=NOW, last_seen=NOW, expires_at=NOW + 86400,
        idle=3600,
    )  # fmt: skip


async def test_somebody_new_can_be_found(accounts: Accounts) -> None:
    """By name in every spelling, and by id; with groups, texts and password."""
    person = await accounts.add(ALICE, by="test")
    account = Account(person.subject, "$2y$10$old")
    assert await accounts.by_name("alice") == account
    assert await accounts.by_name(" ALICE ") == account
    assert await accounts.by_id(person.subject.id) == account
    assert account.subject.name == "Alice"
    assert account.subject.groups == {"staff", "admins"}
    assert (account.subject.display_name, account.subject.email) == ("Alice Smith", "alice@example.com")
    assert account.subject.version == 1
    assert not account.disabled
    assert not account.subject.suspended


async def test_somebody_is_found_with_one_statement(accounts: Accounts) -> None:
    """Their groups come along: each statement is time for which nobody else has the interpreter."""
    person = await accounts.add(ALICE, by="test")
    asked: list[str] = []

    def note(*arguments: Any) -> None:
        asked.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        for find, key in ((accounts.by_name, "alice"), (accounts.by_id, person.subject.id)):
            asked.clear()
            assert await find(key) is not None
            assert len([one for one in asked if one.startswith("SELECT")]) == 1, asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("name", ["bob", "", "no such name", "\u00e5sa", "a\x00b", "x" * 100])
async def test_nobody_is_found_under_other_names(accounts: Accounts, name: str) -> None:
    """A name that nobody has, or can have, is nobody's, without an error."""
    await accounts.add(ALICE, by="test")
    assert await accounts.by_name(name) is None
    assert await accounts.by_id(name) is None


@pytest.mark.parametrize("name", ["alice", "ALICE", "\uff21lice"])
async def test_names_are_unique_in_every_spelling(accounts: Accounts, name: str) -> None:
    """A second person of one name is rejected, and told by whom it is taken."""
    await accounts.add(ALICE, by="test")
    with pytest.raises(Rejected, match='already a person named "Alice"'):
        await accounts.check_new(New(name))
    with pytest.raises(Rejected, match='already a person named "Alice"'):
        await accounts.add(New(name), by="test")
    assert len(await accounts.everybody()) == 1


@pytest.mark.parametrize(
    "new",
    [New("a b"), New("bob", frozenset({"x,y"})), New("bob", email="bob"), New("bob", display_name="\x00")],
)
async def test_what_cannot_be_is_rejected_whole(accounts: Accounts, new: New) -> None:
    """With one bad text nothing is kept, of one person or of many."""
    with pytest.raises(Rejected):
        await accounts.add_all([ALICE, new], by="test")
    assert await accounts.everybody() == []
    assert await accounts.audit() == []


CHANGES: dict[str, Callable[[Accounts], Awaitable[object]]] = {
    "disable": lambda accounts: accounts.disable("alice", by="test"),
    "enable": lambda accounts: accounts.enable("alice", by="test"),
    "password": lambda accounts: accounts.reset_password("alice", "new", by="test"),
    "groups": lambda accounts: accounts.set_groups("alice", add=["more"], by="test"),
    "describe": lambda accounts: accounts.describe("alice", email="", by="test"),
    "rename": lambda accounts: accounts.rename("alice", "Lisa", by="test"),
    "delete": lambda accounts: accounts.delete("alice", by="test"),
}


@pytest.mark.parametrize("action", CHANGES)
async def test_every_change_is_counted_noted_and_published(accounts: Accounts, store: Store, action: str) -> None:
    """The version rises, the audit log says who did it, the store knows, and nothing is left in the outbox."""
    person = await accounts.add(ALICE, by="test")
    await store.issue(session(person.subject), person.subject)
    await CHANGES[action](accounts)
    account = await accounts.by_id(person.subject.id)
    if account is not None:
        assert account.subject.version == 2
    (newest, *_) = await accounts.audit()
    assert (newest.action, newest.actor, newest.at, newest.person) == (action, "test", NOW, person.subject.id)
    assert await accounts.pending() == 0
    (evidence,) = await store.load([session(person.subject).id])
    if action in {"disable", "password", "delete"}:
        assert evidence == Ended(Ending.REVOKED, NOW, Actor.ADMINISTRATOR, person.subject.id)
    else:
        assert isinstance(evidence, Live)
        assert account is not None
        assert evidence.subject == account.subject


@pytest.mark.parametrize("action", CHANGES)
async def test_changes_of_nobody_are_rejected(accounts: Accounts, action: str) -> None:
    """A name that nobody has is an error that leads to those who are there."""
    with pytest.raises(Rejected, match=r'no person named "alice".*user list'):
        await CHANGES[action](accounts)
    assert await accounts.audit() == []


@pytest.mark.parametrize(
    ("add", "remove", "only", "expected"),
    [
        (["c"], [], None, {"admins", "staff", "c"}),
        ([], ["admins", "never"], None, {"staff"}),
        (["c"], ["staff"], None, {"admins", "c"}),
        ([], [], ["x", "y"], {"x", "y"}),
        ([], [], [], set()),
        (["c"], ["x"], ["x", "y"], {"y", "c"}),
    ],
)
async def test_groups(
    accounts: Accounts, add: list[str], remove: list[str], only: list[str] | None, expected: set[str]
) -> None:
    """Groups are set, then added to, then taken from."""
    await accounts.add(ALICE, by="test")
    person = await accounts.set_groups("alice", add=add, remove=remove, only=only, by="test")
    assert person.subject.groups == expected
    assert (await accounts.get("alice")).subject.groups == expected


async def test_groups_that_stay_change_nothing(accounts: Accounts) -> None:
    """Adding to a group somebody who is in it is no change."""
    await accounts.add(ALICE, by="test")
    person = await accounts.set_groups("alice", add=["staff"], by="test")
    assert person.subject.version == 1


async def test_disabled_is_suspended_everywhere(accounts: Accounts) -> None:
    """Sign-in sees that the account is disabled, and so does a session that begins at the same moment."""
    person = await accounts.add(ALICE, by="test")
    await accounts.disable("alice", by="test")
    account = await accounts.by_id(person.subject.id)
    assert account is not None
    assert account.disabled
    assert account.subject.suspended
    await accounts.enable("alice", by="test")
    account = await accounts.by_id(person.subject.id)
    assert account is not None
    assert not account.disabled
    assert not account.subject.suspended


async def test_a_new_name_keeps_the_id(accounts: Accounts) -> None:
    """Somebody renamed is the same person; the old name is free, the new one must be."""
    person = await accounts.add(ALICE, by="test")
    await accounts.add(BOB, by="test")
    with pytest.raises(Rejected, match="already"):
        await accounts.rename("alice", "BOB", by="test")
    renamed = await accounts.rename("alice", "ALICE", by="test")
    assert (renamed.name, renamed.subject.id) == ("ALICE", person.subject.id)
    await accounts.rename("alice", "carol", by="test")
    assert await accounts.by_name("alice") is None


async def test_a_deleted_persons_id_is_not_used_again(accounts: Accounts, store: Store) -> None:
    """Somebody new of the same name is somebody else, and what is left of the old one is suspended."""
    old = await accounts.add(ALICE, by="test")
    await accounts.delete("alice", by="test")
    new = await accounts.add(ALICE, by="test")
    assert new.subject.id != old.subject.id
    late = session(old.subject, 2)
    await store.issue(late, old.subject)
    (evidence,) = await store.load([late.id])
    assert isinstance(evidence, Live)
    assert evidence.subject.suspended


@pytest.mark.parametrize(
    ("change", "session_lives", "token_lives"),
    [
        ("groups", True, True),
        ("password", False, True),
        ("own password", False, True),
        ("disable", False, True),  # refused all the same, by the snapshot, until somebody enables them again
        ("delete", False, False),
    ],
)
async def test_what_ends_with_a_change(
    accounts: Accounts, store: Store, change: str, session_lives: bool, token_lives: bool
) -> None:
    """Sessions end whenever somebody else may be in them; API tokens only with their person."""
    person = await accounts.add(ALICE, by="test")
    kept = session(person.subject, 2)
    token = replace(kept, kind="token", idle=0)
    await store.issue(session(person.subject, 1), person.subject)
    await store.issue(token, person.subject)
    if change == "groups":
        await accounts.set_groups("alice", add=["new"], by="test")
    elif change == "password":
        await accounts.reset_password("alice", "new", by="test")
    elif change == "own password":
        await accounts.change_own_password(person.subject.id, "new", b"")
    else:
        await getattr(accounts, change)("alice", by="test")
    one, other = await store.load([bytes([1]) * 32, token.id])
    assert (isinstance(one, Live), isinstance(other, Live)) == (session_lives, token_lives)
    if change == "disable":
        assert isinstance(other, Live)
        assert other.subject.suspended


async def test_an_upgrade_does_not_undo_a_change(accounts: Accounts) -> None:
    """A better hash is stored only in place of the one that was checked; the person stays as they are."""
    person = await accounts.add(ALICE, by="test")
    assert not await accounts.set_password(person.subject.id, "better", replacing="another")
    assert await accounts.set_password(person.subject.id, "better", replacing="$2y$10$old")
    account = await accounts.by_id(person.subject.id)
    assert account == Account(person.subject, "better")
    assert not await accounts.set_password("nobody", "better", replacing="$2y$10$old")


async def test_changing_ones_own_password_ends_the_other_sessions(accounts: Accounts, store: Store) -> None:
    """Every session but the one that it is done in ends as revoked, by the person."""
    person = await accounts.add(ALICE, by="test")
    other = await accounts.add(BOB, by="test")
    for number in (1, 2):
        await store.issue(session(person.subject, number), person.subject)
    await store.issue(session(other.subject, 3), other.subject)
    await accounts.change_own_password(person.subject.id, "new", keep=session(person.subject, 1).id)
    kept, ended, others = await store.load([bytes([number]) * 32 for number in (1, 2, 3)])
    assert isinstance(kept, Live)
    assert ended == Ended(Ending.REVOKED, NOW, Actor.SELF, person.subject.id)
    assert isinstance(others, Live)
    account = await accounts.by_name("alice")
    assert account is not None
    assert account.password == "new"
    with pytest.raises(Rejected, match="does not exist"):
        await accounts.change_own_password("nobody", "new", keep=b"")


async def test_a_new_password_without_a_session_ends_them_all(accounts: Accounts, store: Store) -> None:
    """As a `People`, a password that replaces no certain hash is a new one."""
    person = await accounts.add(ALICE, by="test")
    await store.issue(session(person.subject), person.subject)
    assert await accounts.set_password(person.subject.id, "new")
    assert not await accounts.set_password("nobody", "new")
    (evidence,) = await store.load([session(person.subject).id])
    assert evidence == Ended(Ending.REVOKED, NOW, Actor.SELF, person.subject.id)


async def test_a_change_outlives_a_store_that_is_away(database: str, tmp_path: Path) -> None:
    """It is saved and says that it is not in force; whoever comes next and reaches the store completes it."""
    folder = tmp_path / "store"
    folder.mkdir()
    store = stores.open(f"sqlite:{folder / 'sessions.db'}")
    away = stores.open(f"sqlite:{tmp_path / 'away' / 'sessions.db'}")
    one = Accounts(database_of(database), away, clock=lambda: NOW)
    person = await one.add(ALICE, by="test")
    await store.issue(session(person.subject), person.subject)
    with pytest.raises(NotInForce):
        await one.set_groups("alice", only=["few"], by="test")
    with pytest.raises(NotInForce):
        await one.disable("alice", by="test")
    assert await one.pending() == 2
    assert (await one.get("alice")).disabled
    await one.aclose()

    other = Accounts(database_of(database), store, clock=lambda: NOW + 60)
    assert await other.deliver() == 2
    assert await other.deliver() == 0
    assert await other.pending() == 0
    (evidence,) = await store.load([session(person.subject).id])
    assert evidence == Ended(Ending.REVOKED, NOW, Actor.ADMINISTRATOR, person.subject.id)
    await other.aclose()
    await store.aclose()
    await away.aclose()


async def test_without_a_store_changes_wait(database: str, store: Store) -> None:
    """Accounts that were opened without a store leave word for those that have one."""
    alone = accounts_.open(database)
    person = await alone.add(ALICE, by="test")
    await alone.set_groups("alice", only=["few"], by="test")
    assert await alone.pending() == 1
    await alone.aclose()
    await store.issue(session(person.subject), person.subject)
    other = accounts_.open(database, store)
    assert await other.deliver() == 1
    await other.aclose()
    (evidence,) = await store.load([session(person.subject).id])
    assert isinstance(evidence, Live)
    assert evidence.subject.groups == {"few"}


async def test_hash_samples_are_one_of_each_kind(accounts: Accounts) -> None:
    """Of the hashes that take equally long one is enough."""
    hashes = [
        "$2y$10$aaa", "$2y$10$bbb", "$2y$12$ccc", "pbkdf2_sha256$1000$s$h", "pbkdf2_sha256$1000$t$i",
        "pbkdf2_sha256$2000$s$h", "$argon2id$v=19$m=64,t=1,p=1$s$h", "$argon2id$v=19$m=64,t=1,p=1$t$i", None,
    ]  # fmt: skip
    people = [New(f"p{number}", encoded=encoded) for number, encoded in enumerate(hashes)]
    await accounts.add_all(people, by="test")
    samples = await accounts.hash_samples()
    assert len(samples) == 5
    assert set(samples) <= set(hashes)


async def test_the_audit_log_is_only_added_to(accounts: Accounts) -> None:
    """Nothing that was written there can be changed or removed, and it never holds a password."""
    await accounts.add(ALICE, by="test")
    await accounts.reset_password("alice", "$2y$10$new", by="boss")

    def forge(connection: Connection) -> None:
        connection.execute(text("UPDATE audit SET actor = 'nobody'"))

    def forget(connection: Connection) -> None:
        connection.execute(text("DELETE FROM audit"))

    for job in (forge, forget):
        with pytest.raises(StoreUnavailable, match="only added to"):
            await accounts._database.write(job)
    entries = await accounts.audit("alice")
    assert [(entry.action, entry.actor) for entry in entries] == [("password", "boss"), ("add", "test")]
    assert "$2y$" not in repr(entries)


async def test_many_at_once_are_all_done(accounts: Accounts) -> None:
    """Changes of many tasks wait for each other and none is lost."""
    await accounts.add(replace(ALICE, groups=frozenset()), by="test")
    await asyncio.gather(*(accounts.set_groups("alice", add=[f"g{n}"], by="test") for n in range(30)))
    person = await accounts.get("alice")
    assert person.subject.groups == {f"g{n}" for n in range(30)}
    assert person.subject.version == 31
    assert await accounts.pending() == 0


def test_event_loops_and_forks(database: str) -> None:
    """Accounts are opened anew in each process and serve one event loop after the other."""
    script = f"""
        import asyncio, os, warnings
        from demur import accounts
        from demur.accounts.people import New
        warnings.simplefilter("ignore", DeprecationWarning)
        people = accounts.open({database!r})
        asyncio.run(people.add(New("alice"), by="test"))
        child = os.fork()
        asyncio.run(people.add(New("bob" if child else "carol"), by="test"))
        asyncio.run(people.aclose())
        if child:
            assert os.waitpid(child, 0)[1] == 0
            names = [person.name for person in asyncio.run(people.everybody())]
            assert names == ["alice", "bob", "carol"], names
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], timeout=60, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "url", ["mysql://x", "postgresql+psycopg://x", "accounts.db", "sqlite:", "sqlite::memory:", ""]
)
def test_other_databases_are_refused(url: str) -> None:
    """A URL of anything else is an error of the configuration with a way out."""
    with pytest.raises(ConfigError, match=r"accounts\.database: .*sqlite:accounts\.db"):
        accounts_.open(url)
