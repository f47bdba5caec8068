"""What the commands about sessions and tokens share: the two places that a configuration names, opened, and the words
for a person who is not there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from demur.cli.terminal import fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demur.accounts.people import Accounts
    from demur.core.model import Session
    from demur.core.ports import Account, People, Store
    from demur.gateway.config.tables import Config


@dataclass(frozen=True, slots=True)
class Opened:
    """People and sessions of one configuration."""

    people: Accounts
    store: Store

    async def aclose(self) -> None:
        """Let go of both."""
        await self.people.aclose()
        await self.store.aclose()


def open_(config: Config) -> Opened:
    """The places that a configuration names. Ends the command if no other process can look there."""
    from demur import accounts, stores  # noqa: PLC0415 - load what is used

    if config.sessions.store == "memory:":
        fail(
            "These sessions are in the memory of the process that serves, where nobody else can look.",
            'Write store = "sqlite:sessions.db" in [sessions].',
        )
    return Opened(accounts.open(config.accounts.database), stores.open(config.sessions.store))


async def find(people: People, name: str) -> Account:
    """The person of that name. Ends the command if there is none."""
    account = await people.by_name(name)
    if account is None:
        fail(f'There is nobody called "{name}".', "`demur user list` shows who there is.")
    return account


async def names_of(people: People, subjects: Iterable[str]) -> dict[str, str]:
    """The name of each person by id; of whoever is gone, the id."""
    found = {}
    for subject in sorted(set(subjects)):
        account = await people.by_id(subject)
        found[subject] = account.subject.name if account else subject
    return found


def chosen(living: Sequence[Session], handle: str, none: str) -> Session:
    """The one whose handle begins like that. Ends the command otherwise; `none` says that there is none."""
    if not handle:
        # A variable of a shell that is not set must not mean the only one that there is.
        fail("A handle is empty.", "Give at least the beginning of one.")
    found = [session for session in living if session.handle.startswith(handle.lower())]
    if len(found) != 1:
        what = f"{handle} is the start of several." if found else none
        handles = ", ".join(session.handle for session in living)
        fail(what, f"Alive are: {handles}." if handles else "None of them is alive.")
    return found[0]


def iso(second: int) -> str:
    """A time for programs."""
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


def moment(second: int) -> str:
    """A time for people."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
