"""`demur token`: what programs sign in with.

A token's text is on standard output once, alone, when it is made; demur keeps a hash of it and cannot show it again.
"""

from __future__ import annotations

import asyncio
import re
import time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from demur.cli.opened import chosen, find, iso, moment, names_of, open_
from demur.cli.terminal import DEFAULT, AsJson, ConfigFile, as_json, fail, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from demur.cli.opened import Opened
    from demur.core.model import Session
    from demur.gateway.config.tables import Config
    from demur.signin.tokens import Made, Tokens

ANY = "(everything)"
"""What a list says of a token that is good for whatever its person may."""

# "scope-token = 1*( %x21 / %x23-5B / %x5D-7E )" (RFC 6749, 3.3): a list of scopes is separated by spaces.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

User: TypeAlias = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only this person's.")]

app = typer.Typer(help="Make, list and revoke API tokens.", no_args_is_help=True)


@app.command()
def create(
    *,
    user: Annotated[str, typer.Option(metavar="NAME", help="Whose token: it can do nothing that they may not.")],
    label: Annotated[str, typer.Option(metavar="TEXT", help="What it is for, so that somebody knows next year.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="PERMISSION", help="A permission it is good for; give it once for each."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Good for whatever the person may, now and later.")
    ] = False,
    expires: Annotated[
        str,
        typer.Option("--expires", metavar="TIME", help='How long it lasts, such as "12h" or "30d"; "366d" at most.'),
    ] = "90d",
    json: AsJson = False,
    config: ConfigFile = DEFAULT,
) -> None:
    """Make a token and write it on standard output, once. It cannot be shown again."""
    settings = _settings(config)
    scopes = _scopes(settings, scope or [], everything=everything)
    made, name = asyncio.run(_create(settings, user, label, scopes, _seconds(expires)))
    _advise(settings)
    if json:
        as_json({"token": made.text, **_plain(made.session, name)})
        return
    said = f"Made a token of {name}, {_good_for(made.session)}, until {moment(made.session.expires_at)}."
    typer.echo(f"{said} This is the only time that it is shown:", err=True)
    typer.echo(made.text)


@app.command("list")
def list_(*, user: User = None, json: AsJson = False, config: ConfigFile = DEFAULT) -> None:
    """List the tokens that are alive, newest first."""
    found = asyncio.run(_living(_settings(config), user))
    if json:
        as_json([_plain(token, name) for token, name in found])
        return
    columns = ("Handle", "Person", "Label", "Scopes", "Made", "Last use", "Ends")
    table(columns, (_row(token, name) for token, name in found), empty="There are no tokens.")


@app.command()
def revoke(
    handles: Annotated[
        list[str] | None, typer.Argument(metavar="HANDLE", help="As `demur token list` names it.")
    ] = None,
    *,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="All of this person's.")] = None,
    config: ConfigFile = DEFAULT,
) -> None:
    """Revoke tokens, at once and everywhere. Their next request is refused with `token-revoked`."""
    if handles and user is not None:
        fail("HANDLE and --user contradict each other.", "Use one of them.")
    if not handles and user is None:
        fail("Which?", "Give the handles that `demur token list` shows, or --user NAME for all of a person's.")
    count = asyncio.run(_revoke(_settings(config), handles or (), user))
    whose = "" if user is None else f" of {user}"
    if not count:
        typer.echo(f"{user} has no token that is alive.")
        return
    typer.echo(f"Revoked {count} {'token' if count == 1 else 'tokens'}{whose}.")


# --- what is asked for ------------------------------------------------------------------------------


def _settings(config: Path) -> Config:
    from demur.gateway.config import tables as configuration  # noqa: PLC0415 - pydantic is loaded where a file is read

    return configuration.read(config, serves=False)


def _seconds(text: str) -> int:
    from demur.core import rules  # noqa: PLC0415 - load what is used

    return rules.duration(int(text) if text.isdecimal() else text, place="--expires")


def _scopes(settings: Config, asked: Sequence[str], *, everything: bool) -> tuple[str, ...] | None:
    """The permissions to write into the token; None for all. Ends the command for what no site knows."""
    if everything and asked:
        fail("--scope and --everything contradict each other.", "Use one of them.")
    if everything:
        return None
    if not asked:
        fail(
            "A token is good for something.",
            "Give --scope with a permission, once for each, or --everything for whatever the person may.",
        )
    known = sorted({name for site in settings.site for name in site.permissions})
    for name in asked:
        if name not in known:
            fail(f'No site of this configuration has a permission "{name}".', _nearest(name, known))
        if not _SCOPE.fullmatch(name):
            fail(
                f'"{name}" cannot be a scope: those have neither spaces nor quotes (RFC 6749, 3.3).',
                "Give the permission another name in [site.permissions].",
            )
    return tuple(asked)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    if near:
        return f'Did you mean "{near[0]}"?'
    if known:
        return f"There are: {', '.join(known)}."
    return "There are none: add [site.permissions], or give --everything for whatever the person may."


def _advise(settings: Config) -> None:
    """Say so if nobody would look at the token."""
    from demur.core.model import Scheme  # noqa: PLC0415 - load what is used

    if not any(Scheme.BEARER in site.rules.accepts for site in settings.sites()):
        typer.echo('Note: no site accepts tokens yet; add accepts = ["bearer"] to a [[site]] or a rule.', err=True)


# --- what is done -----------------------------------------------------------------------------------


def _tokens(settings: Config, opened: Opened) -> Tokens:
    from demur.signin.tokens import Tokens  # noqa: PLC0415 - load what is used
    from demur.stores.keys import FileKeys  # noqa: PLC0415

    folder = settings.sessions.key_folder
    assert folder is not None  # noqa: S101 - the store is a file, or it would not have been opened
    return Tokens(opened.store, FileKeys(folder))


async def _create(
    settings: Config, user: str, label: str, scopes: Sequence[str] | None, lasts: int
) -> tuple[Made, str]:
    opened = open_(settings)
    try:
        account = await find(opened.people, user)
        if account.disabled:
            fail(f"{user} is disabled, so a token would be refused.", f"`demur user enable {user}` lets them in again.")
        tokens = _tokens(settings, opened)
        try:
            made = await tokens.create(account.subject, label=label, scopes=scopes, lasts=lasts, now=int(time.time()))
        except ValueError as wrong:
            fail(str(wrong))
        return made, account.subject.name
    finally:
        await opened.aclose()


async def _living(settings: Config, user: str | None) -> list[tuple[Session, str]]:
    opened = open_(settings)
    try:
        subject = None if user is None else (await find(opened.people, user)).subject.id
        found = await _tokens(settings, opened).list(subject, int(time.time()))
        names = await names_of(opened.people, (token.subject for token in found))
        return [(token, names[token.subject]) for token in found]
    finally:
        await opened.aclose()


async def _revoke(settings: Config, handles: Sequence[str], user: str | None) -> int:
    opened = open_(settings)
    try:
        subject = None if user is None else (await find(opened.people, user)).subject.id
        tokens, now = _tokens(settings, opened), int(time.time())
        living = await tokens.list(subject, now)
        if subject is None:
            # All of them are found before any is revoked.
            living = [chosen(living, handle, f"There is no token with the handle {handle}.") for handle in handles]
        return await tokens.revoke(living, now)
    finally:
        await opened.aclose()


# --- how it is shown --------------------------------------------------------------------------------


def _good_for(token: Session) -> str:
    return "good for whatever they may" if token.scopes is None else f"good for {', '.join(token.scopes)}"


def _row(token: Session, name: str) -> tuple[str, ...]:
    scopes = ANY if token.scopes is None else " ".join(token.scopes)
    used = moment(token.last_seen) if token.last_seen else "never"
    return (token.handle, name, token.label, scopes, moment(token.issued_at), used, moment(token.expires_at))


def _plain(token: Session, name: str) -> dict[str, object]:
    return {
        "handle": token.handle,
        "person": name,
        "subject": token.subject,
        "label": token.label,
        "scopes": None if token.scopes is None else list(token.scopes),
        "created_at": iso(token.issued_at),
        "last_used_at": iso(token.last_seen) if token.last_seen else None,
        "expires_at": iso(token.expires_at),
    }
