"""`demur sessions move`: all that one store keeps, into another, while the gateway serves.

- A pass goes through all pages of the old store and lets the new one adopt them. That is a join: a pass that was killed
  goes on where it was, and one that is made again takes only what has changed.
- How far a pass has come is kept in the new store.
- The last pass closes the old store to writing first. From then on nobody is told that a revocation is done that the
  new store would not learn of. Only then are values and counters taken: nobody takes a value there and here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar
from urllib.parse import urlsplit

import typer

from demur.cli.terminal import fail, stderr_is_terminal
from demur.core.model import ConfigError, StoreUnavailable
from demur.core.ports import Counter, Value
from demur.core.sessions import TOMBSTONES_LAST

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from demur.core.ports import Kept, Store

T = TypeVar("T")

_PAGE = 250
_TRIES = 20
"""Seconds for which a store may be away in the middle of a pass."""

_MARK = b"demur.move."
_OTHERS_TOLD = 100_000
_TOLD_EVERY = 0.2


@dataclass(slots=True)
class _Pass:
    """How far one has come. `last` is the one with the old store closed; `taken` says that it came to its end."""

    last: bool
    after: bytes = b""
    rows: int = 0
    news: int = 0
    taken: bool = False
    began: float = field(default_factory=time.monotonic)

    def written(self) -> bytes:
        after = base64.b64encode(self.after).decode("ascii")
        said = {"last": self.last, "after": after, "rows": self.rows, "news": self.news, "taken": self.taken}
        return json.dumps(said).encode("ascii")


def move(
    *,
    from_: Annotated[str, typer.Option("--from", metavar="URL", help="The store that is used now.")],
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The store that is to be used.")],
    last: Annotated[
        bool, typer.Option("--last", help="Close the old store to writing, and take what is left: then switch.")
    ] = False,
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Open the old store again, instead of switching. Moves nothing.")
    ] = False,
) -> None:
    """Take all sessions to another store; nobody is signed out. Run it while the gateway serves, as often as you like,
    and once more with --last just before [sessions] store is changed."""
    if last and reopen:
        fail("--last and --reopen contradict each other.", "Use one of them.")
    _see_that_they_differ(from_, to)
    try:
        asyncio.run(_move(from_, to, last=last, reopen=reopen))
    except KeyboardInterrupt:
        if stderr_is_terminal():
            typer.echo(err=True)  # after the line that says how far it is
        fail("Stopped. What was taken is in the new store.", _go_on(last=last))


def _go_on(*, last: bool) -> str:
    closed = " The old store stays closed to writing until then; --reopen opens it." if last else ""
    return f"Run the same command again: it goes on where it was.{closed}"


# --- what may be wrong with the URLs --------------------------------------------------------------


def _see_that_they_differ(from_: str, to: str) -> None:
    for option, url in (("--from", from_), ("--to", to)):
        if url.partition(":")[0] == "memory":
            fail(
                f"{option} names the memory of one process, where nobody else can look.",
                "Sessions there end with the process; they cannot be moved.",
            )
    if _place(from_) == _place(to):
        fail("--from and --to name the same store.", "Give the URL of the store that is to be used in --to.")
    scheme, _, path = from_.partition(":")
    if scheme == "sqlite" and path and not Path(path).exists():
        fail(f"There is no file {path}.", f"It is looked for in {Path.cwd()}. Give the whole path in --from.")


def _place(url: str) -> tuple[str, ...]:
    """What two URLs of one store have in common, whoever signs in there and however it is written."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        return scheme, str(Path(rest).resolve())
    kind = {"postgres": "postgresql", "valkey": "redis", "valkeys": "redis", "rediss": "redis"}.get(scheme, scheme)
    try:
        parts = urlsplit(url)
    except ValueError:
        return (url,)
    return kind, parts.netloc.rpartition("@")[2], parts.path, parts.query


# --- moving ---------------------------------------------------------------------------------------


async def _move(from_: str, to: str, *, last: bool, reopen: bool) -> None:
    from demur import stores  # noqa: PLC0415 - load what is used

    old, new = stores.open(from_), stores.open(to)
    mark = _MARK + hashlib.sha256(repr(_place(from_)).encode()).digest()[:16]
    try:
        await _reachable(old, "--from", old.each(most=1))
        await _reachable(new, "--to", new.check())
        if reopen:
            await _reopen(old, new, mark)
        else:
            await _see_that_keys_agree(old, new)
            await _pass(old, new, mark, to, last=last)
    finally:
        await old.aclose()
        await new.aclose()


async def _reachable(store: Store, option: str, question: Awaitable[object]) -> None:
    try:
        await question
    except StoreUnavailable as error:
        fail(f"The store that {option} names cannot be used: {error.cause}.", "Nothing was moved.")


async def _see_that_keys_agree(old: Store, new: Store) -> None:
    from demur.stores import agreement  # noqa: PLC0415 - load what is used

    now = int(time.time())
    if not agreement.agree(await old.peek(agreement.PLACE, now), await new.peek(agreement.PLACE, now), now):
        fail(
            "The new store is used by gateways with other keys: they would call every cookie from here forged.",
            "Give all gateways the same keys first (demur keys --help), or name a store that nobody uses.",
        )


async def _reopen(old: Store, new: Store, mark: bytes) -> None:
    await new.take(mark, int(time.time()))
    await old.freeze(frozen=False)
    typer.echo("The old store is open again. What happens there from now on is not in the new one: move it again.")


async def _pass(old: Store, new: Store, mark: bytes, to: str, *, last: bool) -> None:
    going = _read(await new.peek(mark, int(time.time())), last=last)
    if going.taken:
        typer.echo(f"Everything was taken. {_switch(to)}")
        return
    if last:
        await _close(old)
    if going.after:
        typer.echo(f"Going on after {going.rows:,} rows.", err=True)
    tell, ended = _Teller(going), False
    while not ended:
        ended = await _page(old, new, going)
        await _patiently(partial(_keep, new, mark, going, ended=ended), last=last)
        tell.told(ended=ended)
    typer.echo(f"{going.rows:,} rows are there, {going.news:,} of them new or changed.")
    typer.echo(_switch(to) if last else 'When you are ready to switch, run it once more with "--last".')


async def _page(old: Store, new: Store, going: _Pass) -> bool:
    """Take one page; whether it was the last of this pass."""
    page, after = await _patiently(partial(old.each, going.after, _PAGE), last=going.last)
    moving = [row for row in page if _moves(row, last=going.last)]
    for start in range(0, len(moving), _PAGE):
        going.news += await _patiently(partial(new.adopt, moving[start : start + _PAGE]), last=going.last)
    going.rows += len(moving)
    going.after, going.taken = after or b"", after is None and going.last
    return after is None


def _moves(row: Kept, *, last: bool) -> bool:
    """Values are taken once, so they are moved once: when nobody takes them there any more. What says how far another
    move had come is none of this one's business."""
    return not isinstance(row, Value | Counter) or (last and not row.key.startswith(_MARK))


async def _close(old: Store) -> None:
    try:
        await old.freeze()
    except ConfigError as error:
        fail(f"The old store cannot be closed to writing: {error}", "Stop the gateways, then run it without --last.")
    typer.echo("The old store is closed to writing: who is signed in stays so, nobody signs in or out.", err=True)


async def _keep(new: Store, mark: bytes, going: _Pass, *, ended: bool) -> None:
    now = int(time.time())
    if ended and not going.last:
        await new.take(mark, now)  # the next one begins at the beginning
    else:
        await new.put(mark, going.written(), now + TOMBSTONES_LAST)


def _read(kept: bytes | None, *, last: bool) -> _Pass:
    """The pass that was not finished, if it was one of this kind: what it took with the old store open has to be looked
    at again when that is closed."""
    if kept is not None:
        said = json.loads(kept)
        if said["last"] == last:
            return _Pass(last, base64.b64decode(said["after"]), said["rows"], said["news"], said["taken"])
    return _Pass(last)


async def _patiently(work: Callable[[], Awaitable[T]], *, last: bool) -> T:
    """A store that is away for a moment is waited for."""
    for left in reversed(range(_TRIES)):
        try:
            return await work()
        except StoreUnavailable as error:
            if not left:
                _give_up(error, last=last)
            await asyncio.sleep(1)
    raise AssertionError


def _give_up(error: StoreUnavailable, *, last: bool) -> NoReturn:
    fail(f"A store cannot be used: {error.cause}.", _go_on(last=last))


def _switch(to: str) -> str:
    scheme, mark, rest = to.partition("://")
    shown = f"{scheme}{mark}…@{rest.rpartition('@')[2]}" if "@" in rest else to
    return f'Now write store = "{shown}" in [sessions], and reload all gateways.'


class _Teller:
    """Says how far it is: on a terminal in one line, otherwise now and then."""

    def __init__(self, going: _Pass) -> None:
        self._going = going
        self._first, self._said = going.rows, going.rows
        self._at = 0.0

    def told(self, *, ended: bool) -> None:
        """One page more is done."""
        rows, now = self._going.rows, time.monotonic()
        rate = (rows - self._first) / max(now - self._going.began, 0.001)
        line = f"{rows:,} rows, {self._going.news:,} of them new or changed, {rate:,.0f} a second"
        if stderr_is_terminal():
            if ended or now >= self._at + _TOLD_EVERY:
                self._at = now
                sys.stderr.write(f"\r{line}\x1b[K" + ("\n" if ended else ""))
                sys.stderr.flush()
        elif rows >= self._said + _OTHERS_TOLD:
            self._said = rows
            typer.echo(line, err=True)
