"""People out of a file that another program wrote: CSV or htpasswd.

- CSV has a header row; `name` and `password_hash` must be there, `groups` (separated by `;`), `email` and
  `display_name` may be. Other columns are an error: nothing is left out without a word.
- htpasswd has `name:hash` on each line; empty lines and lines that begin with `#` do not count.
- The first line says which of the two it is.
- Everything that is wrong with a file is told at once, each with its line. A line that is refused has not been
  imported, and unless the caller says otherwise then no line has.
- Hashes are kept as they are and replaced at the next sign-in. Neither a hash nor a line is ever repeated in an
  error: it may hold a password.
"""

from __future__ import annotations

import csv
import difflib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demur.accounts import names
from demur.accounts.names import Rejected
from demur.accounts.people import New

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from demur.accounts.people import Accounts

REQUIRED: Final = ("name", "password_hash")
COLUMNS: Final = (*REQUIRED, "groups", "email", "display_name")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a line was refused. `line` counts from 1."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Line:
    """A person as a line gives them."""

    line: int
    new: New


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file says, and what is wrong with it."""

    lines: tuple[Line, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: how many were added, who was there already and left alone, and what was wrong. With
    problems nobody was added."""

    added: int
    skipped: tuple[str, ...]
    problems: tuple[Problem, ...]


class _Wrong(Exception):  # noqa: N818 - never leaves this module
    """The file cannot be read on."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(line, message)


def parse(data: bytes, accept: Callable[[str], str]) -> Parsed:
    """Read a whole file. `accept` gives the form in which a hash is kept, or raises `ValueError` with a sentence that
    says why it cannot be used (`authenticators.encoded.canonical`)."""
    lines: list[Line] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    try:
        for number, fields in _fields(_text(data)):
            try:
                new = _person(fields, accept)
            except (Rejected, ValueError) as error:
                problems.append(Problem(number, str(error)))
                continue
            before = seen.setdefault(names.key(new.name) or "", number)
            if before == number:
                lines.append(Line(number, new))
            else:
                problems.append(Problem(number, f'"{new.name}" is on line {before} already.'))
    except _Wrong as wrong:
        problems.append(wrong.problem)
    if not lines and not problems:
        problems.append(Problem(1, "there is nobody in this file."))
    return Parsed(tuple(lines), tuple(problems))


async def bring(accounts: Accounts, parsed: Parsed, *, by: str, skip_existing: bool = False) -> Outcome:
    """Add everybody of a file, all or none. With `skip_existing` those whose names are taken are left as they are;
    without, each is a problem. Raises `StoreUnavailable`."""
    taken = {names.key(person.name) for person in await accounts.everybody()}
    existing = [line for line in parsed.lines if names.key(line.new.name) in taken]
    problems = list(parsed.problems)
    if not skip_existing:
        problems += [Problem(line.line, f'there is already a person named "{line.new.name}".') for line in existing]
    if problems:
        return Outcome(0, (), tuple(sorted(problems, key=lambda problem: problem.line)))
    new = [line.new for line in parsed.lines if names.key(line.new.name) not in taken]
    # Should one of the names be taken at this very moment, nobody is added and it is said.
    added = await accounts.add_all(new, by=by)
    return Outcome(len(added), tuple(line.new.name for line in existing), ())


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Wrong(line, "this is not UTF-8; save the file as UTF-8 and try again.") from None


def _fields(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The line and the fields of each person."""
    rows = text.splitlines()
    first = next((number for number, row in enumerate(rows) if row.strip() and not row.startswith("#")), None)
    if first is None:
        return iter(())
    beginning = rows[first]
    if ":" in beginning.partition(",")[0]:  # argon2's hashes have commas, and no column has a colon
        return _htpasswd(rows)
    if "," in beginning or beginning.strip().strip('"').lower() in COLUMNS:
        return _csv(text)
    if ";" in beginning and "password_hash" in beginning:
        raise _Wrong(first + 1, "the columns are separated by semicolons; separate them by commas.")
    raise _Wrong(
        first + 1,
        "this is neither CSV nor htpasswd: CSV begins with name,password_hash and htpasswd has name:hash on each line.",
    )


def _csv(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    started = 1
    try:
        for row in reader:
            number, started = started, reader.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if header is None:
                header = _header(row, number)
                continue
            if len(row) != len(header):
                raise _Wrong(
                    number, f"there are {len(row)} fields and {len(header)} columns; put fields with commas in quotes."
                )
            yield number, {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    except csv.Error as error:
        raise _Wrong(started, f"this is not CSV: {error}.") from None


def _header(row: list[str], number: int) -> list[str]:
    header = [cell.strip().lower() for cell in row]
    for name in header:
        if name not in COLUMNS:
            if near := difflib.get_close_matches(name, COLUMNS, 1):
                raise _Wrong(number, f'there is no column "{names.shown(name)}"; did you mean "{near[0]}"?')
            raise _Wrong(number, f"the first line has to name the columns, out of {', '.join(COLUMNS)}.")
    for name in REQUIRED:
        if name not in header:
            raise _Wrong(number, f'the column "{name}" is missing. The first line names the columns.')
    if len(set(header)) != len(header):
        raise _Wrong(number, "a column is there twice.")
    return header


def _htpasswd(rows: list[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    for number, row in enumerate(rows, start=1):
        line = row.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, encoded = line.partition(":")
        if not colon:
            raise _Wrong(number, "there is no colon; htpasswd has name:hash on each line.")
        if ":" in encoded:
            raise _Wrong(
                number, "there is a second colon: this looks like htdigest, whose hashes cannot be checked here."
            )
        yield number, {"name": name, "password_hash": encoded}


def _person(fields: Mapping[str, str], accept: Callable[[str], str]) -> New:
    groups = frozenset(group.strip() for group in fields.get("groups", "").split(";") if group.strip())
    new = New(
        fields["name"], groups, display_name=fields.get("display_name", ""), email=fields.get("email", "")
    ).checked()
    return New(new.name, new.groups, new.display_name, new.email, accept(fields["password_hash"]))
