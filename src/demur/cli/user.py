"""`demur user`: the people who may sign in.

Passwords come from a hidden prompt or from standard input, never from an argument: everybody on the machine can read
the arguments of a program, and the shell keeps them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from demur.cli.terminal import DEFAULT, AsJson, ConfigFile, as_json, fail, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from demur.accounts.people import Accounts
    from demur.accounts.records import Entry, Person
    from demur.gateway.config.tables import Config

T = TypeVar("T")

SAVED_ONLY = 3
"""Exit status for a change that is saved and not yet in force."""

Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="The name to sign in with.", show_default=False)]
PasswordStdin: TypeAlias = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")
]

app = typer.Typer(help="Add and change the people who may sign in.", no_args_is_help=True)


@app.command()
def add(
    name: Name,
    *,
    group: Annotated[
        list[str] | None, typer.Option("--group", "-g", metavar="G", help="A group; give it once for each.")
    ] = None,
    display_name: Annotated[str, typer.Option(help="The name as people write it.")] = "",
    email: Annotated[str, typer.Option(help="Passed on to the site.")] = "",
    password_stdin: PasswordStdin = False,
    config: ConfigFile = DEFAULT,
) -> None:
    """Add somebody. Asks for the password twice, unless it comes on standard input."""
    from demur.accounts.people import New  # noqa: PLC0415 - `demur --help` does without a database

    settings = _settings(config)
    new = New(name, frozenset(group or ()), display_name, email)
    _people(settings, lambda accounts: accounts.check_new(new))  # before somebody thinks of a password for nothing
    encoded = _hashed(settings, _password(name, from_stdin=password_stdin))
    person = _people(settings, lambda accounts: accounts.add(replace(new, encoded=encoded), by=_administrator()))
    groups = f" in {', '.join(sorted(person.subject.groups))}" if person.subject.groups else ""
    typer.echo(f"Added {person.name}{groups}.")


@app.command("list")
def list_(*, json: AsJson = False, config: ConfigFile = DEFAULT) -> None:
    """Show everybody."""
    people = _people(_settings(config), lambda accounts: accounts.everybody())
    if json:
        as_json([_described(person) for person in people])
        return
    rows = [
        (
            person.name,
            ",".join(sorted(person.subject.groups)),
            _state(person),
            person.subject.display_name,
            person.subject.email,
            person.subject.id,
        )
        for person in people
    ]
    columns = ("Name", "Groups", "State", "Display name", "E-mail", "Id")
    table(columns, rows, empty="There is nobody yet. `demur user add NAME` adds somebody.")


@app.command()
def show(name: Name, *, json: AsJson = False, config: ConfigFile = DEFAULT) -> None:
    """Show one person, and the last changes."""

    async def look(accounts: Accounts) -> tuple[Person, list[Entry]]:
        return await accounts.get(name), await accounts.audit(name, most=10)

    person, history = _people(_settings(config), look)
    described = _described(person)
    if json:
        as_json({**described, "history": [_line(entry) for entry in history]})
        return
    rows = [(key.replace("_", " "), _text(value)) for key, value in described.items()]
    rows += [("history", f"{_when(entry.at)} {entry.action} by {entry.actor}") for entry in history]
    table(("", ""), rows, empty="")


@app.command()
def disable(name: Name, *, config: ConfigFile = DEFAULT) -> None:
    """Let somebody in no longer. All their sessions end at once."""
    person = _people(_settings(config), lambda accounts: accounts.disable(name, by=_administrator()))
    typer.echo(f"Disabled {person.name} and ended all sessions.")


@app.command()
def enable(name: Name, *, config: ConfigFile = DEFAULT) -> None:
    """Let somebody in again."""
    person = _people(_settings(config), lambda accounts: accounts.enable(name, by=_administrator()))
    typer.echo(f"Enabled {person.name}.")


@app.command()
def password(name: Name, *, password_stdin: PasswordStdin = False, config: ConfigFile = DEFAULT) -> None:
    """Give somebody a new password. All their sessions end at once."""
    settings = _settings(config)
    person = _people(settings, lambda accounts: accounts.get(name))
    encoded = _hashed(settings, _password(person.name, from_stdin=password_stdin))
    _people(settings, lambda accounts: accounts.reset_password(name, encoded, by=_administrator()))
    typer.echo(f"Changed the password of {person.name} and ended all sessions.")


@app.command()
def groups(
    name: Name,
    *,
    add: Annotated[list[str] | None, typer.Option("--add", metavar="G", help="Put into a group.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", metavar="G", help="Take out of a group.")] = None,
    only: Annotated[
        str | None, typer.Option("--set", metavar="G,…", help='Exactly these groups; "" for none at all.')
    ] = None,
    config: ConfigFile = DEFAULT,
) -> None:
    """Show or change the groups of somebody. It counts from the next request on."""
    exactly = None if only is None else [group.strip() for group in only.split(",") if group.strip()]

    async def change(accounts: Accounts) -> Person:
        if not add and not remove and exactly is None:
            return await accounts.get(name)
        return await accounts.set_groups(name, by=_administrator(), add=add or (), remove=remove or (), only=exactly)

    person = _people(_settings(config), change)
    held = sorted(person.subject.groups)
    if not sys.stdout.isatty():
        typer.echo("\n".join(held), nl=bool(held))
        return
    typer.echo(f"{person.name} is in {', '.join(held)}." if held else f"{person.name} is in no group.")


@app.command()
def edit(
    name: Name,
    *,
    new_name: Annotated[str | None, typer.Option("--name", help="Another name to sign in with.")] = None,
    display_name: Annotated[str | None, typer.Option(help="The name as people write it.")] = None,
    email: Annotated[str | None, typer.Option(help="Passed on to the site.")] = None,
    config: ConfigFile = DEFAULT,
) -> None:
    """Change the name or what stands beside it. The id stays, and so do the sessions."""
    if new_name is None and display_name is None and email is None:
        fail("There is nothing to change.", "Give --name, --display-name or --email.")

    async def change(accounts: Accounts) -> Person:
        person = await accounts.get(name)
        if display_name is not None or email is not None:
            person = await accounts.describe(name, by=_administrator(), display_name=display_name, email=email)
        if new_name is not None:
            person = await accounts.rename(name, new_name, by=_administrator())
        return person

    person = _people(_settings(config), change)
    typer.echo(f"Changed {person.name}.")


@app.command()
def delete(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = DEFAULT,
) -> None:
    """Delete somebody for good. All their sessions end at once."""
    settings = _settings(config)
    person = _people(settings, lambda accounts: accounts.get(name))
    if not yes:
        if not sys.stdin.isatty():
            fail("Nobody is there to confirm it.", "Give --yes.")
        typer.confirm(f"Delete {person.name} for good? `demur user disable` can be undone.", abort=True)
    _people(settings, lambda accounts: accounts.delete(name, by=_administrator()))
    typer.echo(f"Deleted {person.name} and ended all sessions.")


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV with name,password_hash[,groups,email,display_name]; or htpasswd."),
    ],
    *,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave people alone whose names are taken.")
    ] = False,
    config: ConfigFile = DEFAULT,
) -> None:
    """Add people with the passwords that they have: bcrypt, argon2 or Django's PBKDF2. All of them, or none."""
    from demur.accounts import importing  # noqa: PLC0415 - `demur --help` does without a database
    from demur.authenticators.encoded import canonical  # noqa: PLC0415

    settings = _settings(config)
    try:
        data = file.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.")
    parsed = importing.parse(data, canonical)
    outcome = _people(
        settings,
        lambda accounts: importing.bring(accounts, parsed, by=_administrator(), skip_existing=skip_existing),
    )
    if outcome.problems:
        lines = [f"{file}:{problem.line}: {problem.message}" for problem in outcome.problems]
        count = f"{len(lines)} line{'s' if len(lines) > 1 else ''}"
        fail("\n".join([*lines, f"demur: Nobody was imported, because of {count}."]))
    skipped = f" Left alone: {', '.join(outcome.skipped)}." if outcome.skipped else ""
    typer.echo(f"Imported {outcome.added} {'person' if outcome.added == 1 else 'people'}.{skipped}")


# --- what the commands share ------------------------------------------------------------------------------


def _settings(file: Path) -> Config:
    from demur.gateway.config import tables as config  # noqa: PLC0415 - pydantic is loaded only where a file is read

    return config.read(file, serves=False)


def _people(settings: Config, job: Callable[[Accounts], Awaitable[T]]) -> T:
    """Do something with the accounts, and say what went wrong in the words of the command line."""
    import asyncio  # noqa: PLC0415 - `demur --help` does without it

    from demur.accounts.names import Rejected  # noqa: PLC0415
    from demur.accounts.people import NotInForce  # noqa: PLC0415

    try:
        return asyncio.run(_open(settings, job))
    except Rejected as error:
        fail(str(error))
    except NotInForce as error:
        typer.echo("demur: Saved; not yet in force: the session store cannot be reached.", err=True)
        typer.echo(f"    {error.cause}", err=True)
        typer.echo("    It will be published by the next `demur user` command or by the running gateway.", err=True)
        raise typer.Exit(SAVED_ONLY) from None


async def _open(settings: Config, job: Callable[[Accounts], Awaitable[T]]) -> T:
    from demur import accounts, stores  # noqa: PLC0415 - `demur --help` does without a database
    from demur.accounts.people import NotInForce  # noqa: PLC0415
    from demur.core.model import StoreUnavailable  # noqa: PLC0415

    # the memory that counts is the gateway's, and no other process sees it
    store = None if settings.sessions.store == "memory:" else stores.open(settings.sessions.store)
    people = accounts.open(settings.accounts.database, store)
    try:
        waiting = await people.pending()
        result = await job(people)
        if store is None and await people.pending() > waiting:
            raise NotInForce('sessions.store is "memory:": the running gateway looks for changes once a minute')
        try:
            await people.deliver()  # what an earlier command could not
        except StoreUnavailable as error:
            typer.echo(f"demur: Earlier changes are still not in force: {error.cause}.", err=True)
        return result
    finally:
        await people.aclose()
        if store is not None:
            await store.aclose()


def _hashed(settings: Config, text: str) -> str:
    import asyncio  # noqa: PLC0415 - `demur --help` does without it

    from demur.authenticators.password import DEFAULT_PRESET, Argon2Hasher  # noqa: PLC0415

    hasher = Argon2Hasher(settings.accounts.hashing or DEFAULT_PRESET, concurrency=1)
    try:
        return asyncio.run(hasher.hash(text))
    finally:
        hasher.close()


def _password(name: str, *, from_stdin: bool) -> str:
    """A new password for somebody, which may be one."""
    from demur.accounts import passwords  # noqa: PLC0415

    # at a terminal standard input is the keyboard, and what is typed must not be shown
    text = _piped() if from_stdin and not sys.stdin.isatty() else _typed(name)
    if problem := passwords.problem(text, name):
        fail(problem)
    if passwords.is_short(text):
        typer.echo(f"Note: {passwords.ADVISED_LENGTH} characters or more are better.", err=True)
    return text


def _typed(name: str) -> str:
    if not sys.stdin.isatty():
        fail("Nobody is there to type a password.", "Give --password-stdin and send it on standard input.")
    return str(typer.prompt(f"New password for {name}", hide_input=True, confirmation_prompt="Once more"))


def _piped() -> str:
    data = typer.get_binary_stream("stdin").read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        fail("The password on standard input is not UTF-8.")
    line, _, rest = text.replace("\r\n", "\n").partition("\n")
    if rest.strip():
        fail("There is more than one line on standard input.", "Send the password alone.")
    return line


def _administrator() -> str:
    """Who is at the keyboard, for the audit log."""
    import getpass  # noqa: PLC0415

    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):  # a container's user may have no name
        return "command line"


def _state(person: Person) -> str:
    if person.disabled:
        return "disabled"
    return "active" if person.password is not None else "no password"


def _described(person: Person) -> dict[str, Any]:
    subject = person.subject
    return {
        "id": subject.id,
        "name": person.name,
        "display_name": subject.display_name,
        "email": subject.email,
        "groups": sorted(subject.groups),
        "state": _state(person),
        "password": _kind(person.password),
        "password_changed_at": _when(person.password_changed_at),
        "created_at": _when(person.created_at),
    }


def _kind(encoded: str | None) -> str | None:
    from demur.authenticators.encoded import kind, recognise  # noqa: PLC0415

    if encoded is None:
        return None
    try:
        return kind(recognise(encoded)).family
    except ValueError:
        return "unreadable"


def _line(entry: Entry) -> dict[str, Any]:
    return {"at": _when(entry.at), "action": entry.action, "by": entry.actor, **entry.detail}


def _when(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value)
