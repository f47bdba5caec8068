"""The reference page about faults, made of the table that the tests hold every store to."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def markdown() -> str:
    """All of it but the head."""
    told = runpy.run_path(str(_HERE / "table.py"), run_name="tests.faults.told_table")
    stores, faults, table = told["STORES"], told["FAULTS"], told["TABLE"]
    shown = [store for store in stores if store != "memory"]
    parts = [_INTRODUCTION]
    for fault, words in faults.items():
        parts += [f"### {words[0].upper()}{words[1:]}\n", _table(table, stores, shown, fault, told["Row"])]
    parts += ["## What cannot be\n", "| store | fault | why |", "| --- | --- | --- |"]
    for store in stores:
        parts += [
            f"| {stores[store]} | {faults[fault]} | {cell.why} |"
            for fault, cell in table[store].items()
            if not isinstance(cell, told["Row"])
        ]
    return "\n".join([*parts, "", _REST])


def _table(table: Any, stores: Any, shown: list[str], fault: str, row: type) -> str:
    lines = [
        "| store | there it is | known | new | signing in | signing out |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for store in shown:
        cell = table[store][fault]
        if isinstance(cell, row):
            does = " | ".join(getattr(cell, operation) for operation in ("cached", "uncached", "sign_in", "sign_out"))
            lines.append(f"| {stores[store]} | {cell.how} | {does} |")  # type: ignore[attr-defined]
    return "\n".join([*lines, ""])


_INTRODUCTION = """# When a store fails

What becomes of people while the store of their sessions is not well.
Every cell below is a test: a gateway runs on a real store, the fault is made, people ask, sign in and sign out, and the fault goes away again.

In every cell:

- Nobody is let in who may not come in, and nobody who is signed in is told to sign in.
- Everybody has an answer within a second.
- Whoever has to wait is answered 503 with `Retry-After`, and keeps the cookie; the browser client tries again by itself.
- Public pages are served, and whoever has no cookie is asked to sign in, as ever.
- When it is over, within five seconds, everybody is still signed in.
- What was ended elsewhere meanwhile is let in for at most two seconds more.

The words in the tables:

| | |
| --- | --- |
| known | whoever was let in within the last seconds, and asks again |
| new | whoever is signed in, and was not asked about by this process |
| as ever | nothing is noticed |
| 2 s, then wait | let in by what was known before, for at most two seconds; then 503 |
| wait | 503 |
| as ever, or wait | one of the two, as the moment has it |

A request to sign in or out that was answered 503 may have been done all the same: its answer came too late.
Whoever signs out and is told to wait is not signed out until told so.

With PostgreSQL the accounts are in the same database, so that both fail at once.

## What happens
"""  # noqa: E501 - a sentence a line

_REST = """## A process that is killed

Workers are killed (`SIGKILL`) at random moments while people sign in, confirm their password, sign out and lose a group: a thousand times on SQLite, a hundred times each on PostgreSQL and Redis.

- Each of these has happened as a whole, or not at all.
- Whoever was not in the middle of it notices nothing.
- What was acknowledged, an end or a removal from a group, holds for every process from then on.
- A change of a person that was saved, and not yet told to the store, is told by the next change, and by every gateway once a minute.

Whoever confirms the password gets a new session id.
If the worker is killed after the new one is kept and before the answer is sent, the browser has the old one, and is told `session-replaced`: that person signs in once more.
demur does not let the old id go on, because that is what somebody would have who had stolen it.

## Two hosts that cannot reach each other

Two gateways on two hosts, with PostgreSQL or Redis beside one of them, are cut apart (in network namespaces) and joined again.

- The one that is cut off lets in whoever was let in before for at most **two seconds**, and answers 503 from then on.
- The one beside the store goes on.
- What was ended there meanwhile is refused by the other from the first answer after the cut, which comes within **five seconds** after the two are joined.

So the longest for which a revoked session can be let in anywhere is two seconds after it was acknowledged, cut or not.

## Clocks that differ

Every gateway judges by the clock of its host.
Limits are kept with the times at which something happened, so a clock that is wrong makes them come early or late by as much as it is wrong, and by no more.

| clock | what happens |
| --- | --- |
| five minutes ahead of another's | a session that nobody uses ends up to five minutes early there |
| five minutes behind | up to five minutes late there |
| one hour back | limits come an hour later; nobody is signed out, and what has ended stays ended |
| a day forward | whoever was not seen for longer than `idle`, by that clock, is told `session-idle`; with the clock put right they are in again, unless the store was swept meanwhile |

What has ended by a limit is swept into a tombstone once a minute, and stays ended when the clock is put right.
Every gateway sweeps for all: one whose clock is a day ahead ends everybody's sessions that were not used for `idle` by its clock.
So keep clocks in step (NTP), and `idle` longer than they may differ.
What somebody ended is over whatever the clocks say.
"""  # noqa: E501 - a sentence a line
