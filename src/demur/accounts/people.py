"""The accounts as sign-in, the pages and the command line use them.

A change is in force when it is in the database and the session store has been told. It is committed together with
a row in the outbox, then published, then the row goes. If the store cannot be reached in between, the change is kept
and `NotInForce` is raised; whoever calls `deliver` next (each change does, and the gateway, time and again) completes
it.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from demur.accounts import names, records
from demur.accounts.ids import uuid7
from demur.accounts.names import Rejected
from demur.accounts.records import By
from demur.core.model import Actor, StoreUnavailable, Subject
from demur.core.ports import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import Connection

    from demur.accounts.database import Database
    from demur.accounts.records import Entry, Pending, Person
    from demur.core.ports import Store

T = TypeVar("T")

_AT_ONCE = 100  # rows of the outbox


class NotInForce(StoreUnavailable):
    """The change is saved and nobody needs to repeat it, but the session store has not been told yet."""


@dataclass(frozen=True, slots=True)
class New:
    """Somebody to add. `encoded` is a password hash that the hasher knows; None: nobody can sign in yet."""

    name: str
    groups: frozenset[str] = frozenset()
    display_name: str = ""
    email: str = ""
    encoded: str | None = None

    def checked(self) -> New:
        """The same with every text as it is kept. Raises `Rejected`."""
        return New(
            names.spelled(self.name),
            frozenset(names.group(group) for group in self.groups),
            names.display(self.display_name),
            names.email(self.email),
            self.encoded,
        )


class Accounts:
    """A `People` and its administration. `by` says who does something, for the audit log.

    Every method raises `StoreUnavailable` if the database cannot be asked, and those that change a person
    `Rejected` if that cannot be, and `NotInForce` if it is saved and could not be published.
    """

    def __init__(
        self, database: Database, store: Store | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    # --- for sign-in: ports.People ----------------------------------------------------------------------------

    async def by_name(self, name: str) -> Account | None:
        """The account of that name, in whatever spelling; None if there is none."""
        found = await self.find(name)
        return None if found is None else _account(found)

    async def by_id(self, subject: str) -> Account | None:
        """The account of that id."""
        found = await self._database.read(lambda connection: records.by_id(connection, subject))
        return None if found is None else _account(found)

    async def set_password(self, subject: str, encoded: str, *, replacing: str | None = None) -> bool:
        """Store a new hash. With `replacing` it is the same password, hashed better, and is stored only if that hash
        is still there. Without, it is a new password, and all sessions end. Whether it was stored."""
        if replacing is not None:
            by = self._by("sign-in")
            return await self._database.write(
                lambda connection: records.upgrade_password(connection, subject, encoded, replacing, by)
            )
        return await self._own_password(subject, encoded, None) is not None

    async def change_own_password(self, subject: str, encoded: str, keep: bytes) -> None:
        """Give a signed-in person the new password that they have just chosen.

        `subject` is their id, `encoded` the hash of the new password, `keep` the id of the session that they sit in:
        every other session of theirs ends as revoked, by themselves, because whoever else knew the old password
        may be in one. The caller has checked the old password and what `passwords.problem` says of the new one, and
        gives the kept session a new id afterwards. Raises `Rejected` if there is no such person (any more).
        """
        if await self._own_password(subject, encoded, keep) is None:
            raise Rejected("This account does not exist any more.")

    async def _own_password(self, subject: str, encoded: str, keep: bytes | None) -> Person | None:
        by = self._by("self")
        values = {"password": encoded, "password_changed_at": by.at}

        def job(connection: Connection) -> Person | None:
            found = records.by_id(connection, subject)
            if found is None:
                return None
            return records.change(connection, found, "password", by, values, {}, ends=Actor.SELF, keep=keep)

        return await self._changed(job)

    # --- administration ---------------------------------------------------------------------------------------

    async def find(self, name: str) -> Person | None:
        """The person of that name, in whatever spelling; None if there is none."""
        key = names.key(name)
        if key is None:
            return None
        return await self._database.read(lambda connection: records.by_key(connection, key))

    async def get(self, name: str) -> Person:
        """The same, and `Rejected` if there is none."""
        found = await self.find(name)
        if found is None:
            raise _nobody(name)
        return found

    async def check_new(self, new: New) -> None:
        """Ask whether somebody could be added, without doing it. Raises `Rejected` if not."""
        if other := await self.find(new.checked().name):
            raise _taken(other)

    async def everybody(self) -> list[Person]:
        """All persons, by name."""
        return await self._database.read(records.everybody, long=True)

    async def hash_samples(self) -> list[str]:
        """One password hash of each kind that there is, for `Argon2Hasher.expect`."""
        return await self._database.read(records.hash_samples, long=True)

    async def audit(self, name: str | None = None, most: int = 100) -> list[Entry]:
        """The newest lines of the audit log, of one person or of all, newest first. Raises `Rejected` if nobody
        has that name."""
        subject = None if name is None else (await self.get(name)).subject.id
        return await self._database.read(lambda connection: records.entries(connection, subject, most), long=True)

    async def add(self, new: New, *, by: str) -> Person:
        """Make an account. Its name must be free, in every spelling."""
        (person,) = await self.add_all([new], by=by, action="add")
        return person

    async def add_all(self, people: Sequence[New], *, by: str, action: str = "import") -> list[Person]:
        """Make many accounts, all or none."""
        who = self._by(by)
        checked = [new.checked() for new in people]

        def job(connection: Connection) -> list[Person]:
            return [self._insert(connection, new, who, action) for new in checked]

        return await self._database.write(job, long=len(checked) > 1)

    def _insert(self, connection: Connection, new: New, by: By, action: str) -> Person:
        key = _key(new.name)
        if other := records.by_key(connection, key):
            raise _taken(other)
        subject = Subject(
            id=uuid7(int(self._clock() * 1000), secrets.token_bytes(10)),
            name=new.name,
            groups=new.groups,
            display_name=new.display_name,
            email=new.email,
        )
        records.add(connection, subject, key, new.encoded, by, action)
        return records.Person(
            subject,
            disabled=False,
            created_at=by.at,
            password=new.encoded,
            password_changed_at=None if new.encoded is None else by.at,
        )

    async def disable(self, name: str, *, by: str) -> Person:
        """Let somebody in no longer; all sessions end as revoked. Done twice is done."""
        return await self._set(name, "disable", {"disabled": True}, by, ends=True)

    async def enable(self, name: str, *, by: str) -> Person:
        """Let somebody in again."""
        return await self._set(name, "enable", {"disabled": False}, by)

    async def reset_password(self, name: str, encoded: str, *, by: str) -> Person:
        """Give somebody another password; all sessions end as revoked."""
        values = {"password": encoded, "password_changed_at": int(self._clock())}
        return await self._set(name, "password", values, by, ends=True)

    async def set_groups(
        self,
        name: str,
        *,
        by: str,
        add: Collection[str] = (),
        remove: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> Person:
        """Change the groups: to `only` if that is given, then those of `add` more and those of `remove` less."""
        added = {names.group(group) for group in (*add, *(only or ()))}
        removed = set(remove)

        def job(connection: Connection) -> Person:
            found = _found(connection, name)
            before = found.subject.groups
            after = ((before if only is None else frozenset()) | added) - removed
            detail = {"added": sorted(after - before), "removed": sorted(before - after)}
            if after == before:
                return found
            return records.change(connection, found, "groups", who, {}, detail, groups=after)

        who = self._by(by)
        return await self._changed(job)

    async def describe(
        self, name: str, *, by: str, display_name: str | None = None, email: str | None = None
    ) -> Person:
        """Change the texts beside the name; None leaves one as it is."""
        values: dict[str, Any] = {}
        if display_name is not None:
            values["display_name"] = names.display(display_name)
        if email is not None:
            values["email"] = names.email(email)
        return await self._set(name, "describe", values, by)

    async def rename(self, name: str, new: str, *, by: str) -> Person:
        """Give somebody another name, which must be free. The id stays, and so do the sessions."""
        kept = names.spelled(new)
        who = self._by(by)

        def job(connection: Connection) -> Person:
            found = _found(connection, name)
            other = records.by_key(connection, _key(kept))
            if other is not None and other.subject.id != found.subject.id:
                raise _taken(other)
            values = {"name": kept, "name_key": _key(kept)}
            return records.change(connection, found, "rename", who, values, {"from": found.name})

        return await self._changed(job)

    async def delete(self, name: str, *, by: str) -> None:
        """Forget somebody; all sessions end as revoked. The audit log stays, and nobody ever gets the id again."""
        who = self._by(by)
        await self._changed(lambda connection: records.remove(connection, _found(connection, name), who))

    # --- publishing -------------------------------------------------------------------------------------------

    async def deliver(self) -> int:
        """Tell the session store what it has not been told yet; how many things. Raises `StoreUnavailable` if it
        cannot be reached; what is left stays for the next time. Telling twice does no harm."""
        store = self._store
        done = 0
        while store is not None and (rows := await self._database.read(_rows)):
            for row in rows:
                await self._tell(store, row)
                done += 1
        return done

    async def pending(self) -> int:
        """How many things the session store has yet to be told."""
        return await self._database.read(records.count_pending)

    async def _tell(self, store: Store, row: Pending) -> None:
        # First the snapshot: a session that begins between the two is of somebody as they are now.
        await store.publish(row.subject)
        if row.ending is not None and row.actor is not None and await self._is_pending(row):
            await store.end_all(row.subject.id, row.ending, row.actor, row.at, keep=row.keep)
            if await self.by_id(row.subject.id) is None:
                # API tokens outlive a changed password, and rest while somebody is disabled; not so a person's end.
                await store.end_all(row.subject.id, row.ending, row.actor, row.at, kind="token")
        await self._database.write(lambda connection: records.delivered(connection, row.seq))

    async def _is_pending(self, row: Pending) -> bool:
        """Another node may have told it a while ago; who has signed in since is not to be signed out again."""
        return await self._database.read(lambda connection: records.is_pending(connection, row.seq))

    async def check(self) -> None:
        """Ask whether the database can be read and written, and make or move on its tables."""
        await self._database.write(lambda connection: None)

    async def aclose(self) -> None:
        """Let go of the database. The accounts can be used again. The store is its opener's to close."""
        await self._database.aclose()

    # --- inside -----------------------------------------------------------------------------------------------

    def _by(self, actor: str) -> By:
        return By(actor, int(self._clock()))

    async def _set(self, name: str, action: str, values: dict[str, Any], by: str, *, ends: bool = False) -> Person:
        who = self._by(by)
        detail = {key: value for key, value in values.items() if key in {"display_name", "email"}}
        actor = Actor.ADMINISTRATOR if ends else None

        def job(connection: Connection) -> Person:
            found = _found(connection, name)
            return records.change(connection, found, action, who, values, detail, ends=actor)

        return await self._changed(job)

    async def _changed(self, job: Callable[[Connection], T]) -> T:
        """Commit a change and see that it is in force."""
        result = await self._database.write(job)
        try:
            await self.deliver()
        except StoreUnavailable as error:
            raise NotInForce(error.cause, error.retry_after) from error
        return result


def _account(found: Person) -> Account:
    return Account(found.subject, found.password, found.disabled)


def _rows(connection: Connection) -> list[Pending]:
    return records.pending(connection, _AT_ONCE)


def _found(connection: Connection, name: str) -> Person:
    key = names.key(name)
    found = records.by_key(connection, key) if key is not None else None
    if found is None:
        raise _nobody(name)
    return found


def _nobody(name: str) -> Rejected:
    return Rejected(f'There is no person named "{names.shown(name)}". `demur user list` shows everybody.')


def _taken(other: Person) -> Rejected:
    return Rejected(f'There is already a person named "{other.name}".')


def _key(name: str) -> str:
    key = names.key(name)
    assert key is not None  # noqa: S101 - `spelled` let the name pass
    return key
