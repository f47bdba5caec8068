"""`demur sessions`: who is signed in, and ending it. Moving to another store is in `move`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from demur.cli.move import move
from demur.cli.opened import chosen, find, iso, moment, names_of, open_
from demur.cli.terminal import DEFAULT, AsJson, ConfigFile, as_json, fail, table
from demur.core import sessions as lives
from demur.core.model import Actor, End, Ending

if TYPE_CHECKING:
    from pathlib import Path

    from demur.core.model import Session
    from demur.gateway.config.tables import Config

app = typer.Typer(help="See who is signed in, and end sessions.", no_args_is_help=True)
app.command("move")(move)


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


async def _living(config: Path, user: str | None) -> list[tuple[Session, str]]:
    opened = open_(_settings(config))
    try:
        now = int(time.time())
        person = await find(opened.people, user) if user is not None else None
        kept = await opened.store.sessions(person.subject.id if person else None)
        living = [session for session in kept if lives.ended(session, now) is None]
        names = await names_of(opened.people, (session.subject for session in living))
        return [(session, names[session.subject]) for session in living]
    finally:
        await opened.aclose()


async def _end(config: Path, user: str, handle: str | None) -> int:
    opened = open_(_settings(config))
    try:
        now = int(time.time())
        person = await find(opened.people, user)
        kept = await opened.store.sessions(person.subject.id)
        living = [session for session in kept if lives.ended(session, now) is None]
        if handle is None:
            await opened.store.end_all(person.subject.id, Ending.REVOKED, Actor.ADMINISTRATOR, now)
            return len(living)
        one = chosen(living, handle, f"{user} has no session with the handle {handle}.")
        took_effect = await opened.store.apply([End(one.id, Ending.REVOKED, Actor.ADMINISTRATOR, now)])
        return sum(took_effect)
    finally:
        await opened.aclose()


def _settings(config: Path) -> Config:
    from demur.gateway.config import tables as configuration  # noqa: PLC0415 - load what is used

    return configuration.read(config, serves=False)


def _row(session: Session, name: str) -> tuple[str, ...]:
    limits = lives.ends(session)
    ends = min(limits.idle or limits.absolute, limits.absolute)
    times = (moment(second) for second in (session.issued_at, session.last_seen, ends))
    return (session.handle, name, *times, session.device or "-", session.network or "-")


def _plain(session: Session, name: str) -> dict[str, object]:
    limits = lives.ends(session)
    return {
        "handle": session.handle,
        "person": name,
        "subject": session.subject,
        "issued_at": iso(session.issued_at),
        "authenticated_at": iso(session.authenticated_at),
        "last_seen": iso(session.last_seen),
        "idle_until": iso(limits.idle) if limits.idle else None,
        "expires_at": iso(limits.absolute),
        "device": session.device,
        "network": session.network,
    }
