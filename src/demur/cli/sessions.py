"""`demur sessions`: who is signed in, and ending it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from demur.cli.terminal import DEFAULT, AsJson, ConfigFile, as_json, fail, table
from demur.core import sessions as lives
from demur.core.model import Actor, End, Ending

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from demur.accounts.people import Accounts
    from demur.core.model import Session
    from demur.core.ports import Account, People, Store

app = typer.Typer(help="See who is signed in, and end sessions.", no_args_is_help=True)


@app.command("list")
def list_(
    *,
    config: ConfigFile = DEFAULT,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Only this person's.")] = None,
    json: AsJson = False,
) -> None:
    """List the sessions that are alive, newest first."""
    found = asyncio.run(_living(config, user))
    if json:
        as_json([_plain(session, name) for session, name in found])
        return
    columns = ("Handle", "Person", "Signed in", "Last seen", "Ends", "Device", "Network")
    table(columns, (_row(session, name) for session, name in found), empty="Nobody is signed in.")


@app.command()
def end(
    *,
    user: Annotated[str, typer.Option(metavar="NAME", help="Whose sessions.")],
    handle: Annotated[
        str | None, typer.Option(metavar="HANDLE", help="Only this one, as `demur sessions list` names it.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All of them; so it is without --handle too.")] = False,
    config: ConfigFile = DEFAULT,
) -> None:
    """End a person's sessions, at once and everywhere. Their next request is refused with `session-revoked`."""
    if all_ and handle:
        fail("--all and --handle contradict each other.", "Use one of them.")
    count = asyncio.run(_end(config, user, handle))
    said = "session" if count == 1 else "sessions"
    typer.echo(f"Ended {count} {said} of {user}." if count else f"{user} has no session that is alive.")


@dataclass(frozen=True, slots=True)
class _Opened:
    """The two places that a configuration names."""

    people: Accounts
    store: Store

    async def aclose(self) -> None:
        """Let go of both."""
        await self.people.aclose()
        await self.store.aclose()


async def _living(config: Path, user: str | None) -> list[tuple[Session, str]]:
    opened = _open(config)
    try:
        now = int(time.time())
        person = await _person(opened.people, user) if user is not None else None
        kept = await opened.store.sessions(person.subject.id if person else None)
        living = [session for session in kept if lives.ended(session, now) is None]
        names = await _names(opened.people, (session.subject for session in living))
        return [(session, names[session.subject]) for session in living]
    finally:
        await opened.aclose()


async def _names(people: People, subjects: Iterable[str]) -> dict[str, str]:
    names = {}
    for subject in sorted(set(subjects)):
        account = await people.by_id(subject)
        names[subject] = account.subject.name if account else subject
    return names


async def _end(config: Path, user: str, handle: str | None) -> int:
    opened = _open(config)
    try:
        now = int(time.time())
        person = await _person(opened.people, user)
        kept = await opened.store.sessions(person.subject.id)
        living = [session for session in kept if lives.ended(session, now) is None]
        if handle is None:
            await opened.store.end_all(person.subject.id, Ending.REVOKED, Actor.ADMINISTRATOR, now)
            return len(living)
        one = _chosen(living, handle, user)
        took_effect = await opened.store.apply([End(one.id, Ending.REVOKED, Actor.ADMINISTRATOR, now)])
        return sum(took_effect)
    finally:
        await opened.aclose()


def _chosen(living: Sequence[Session], handle: str, user: str) -> Session:
    found = [session for session in living if session.handle.startswith(handle.lower())]
    if len(found) != 1:
        what = f"{handle} is the start of several." if found else f"{user} has no session with the handle {handle}."
        handles = ", ".join(session.handle for session in living)
        fail(what, f"Alive are: {handles}." if handles else "None of their sessions is alive.")
    return found[0]


async def _person(people: People, name: str) -> Account:
    account = await people.by_name(name)
    if account is None:
        fail(f'There is nobody called "{name}".', "`demur user list` shows who there is.")
    return account


def _open(config: Path) -> _Opened:
    from demur import accounts, stores  # noqa: PLC0415 - load what is used
    from demur.gateway.config import tables as configuration  # noqa: PLC0415 - load what is used

    read = configuration.read(config)
    if read.sessions.store == "memory:":
        fail(
            "These sessions are in the memory of the process that serves, where nobody else can look.",
            'Write store = "sqlite:sessions.db" in [sessions].',
        )
    return _Opened(accounts.open(read.accounts.database), stores.open(read.sessions.store))


def _row(session: Session, name: str) -> tuple[str, ...]:
    limits = lives.ends(session)
    ends = min(limits.idle or limits.absolute, limits.absolute)
    times = (_moment(second) for second in (session.issued_at, session.last_seen, ends))
    return (session.handle, name, *times, session.device or "-", session.network or "-")


def _plain(session: Session, name: str) -> dict[str, object]:
    limits = lives.ends(session)
    return {
        "handle": session.handle,
        "person": name,
        "subject": session.subject,
        "issued_at": _iso(session.issued_at),
        "authenticated_at": _iso(session.authenticated_at),
        "last_seen": _iso(session.last_seen),
        "idle_until": _iso(limits.idle) if limits.idle else None,
        "expires_at": _iso(limits.absolute),
        "device": session.device,
        "network": session.network,
    }


def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
