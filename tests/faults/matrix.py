"""Every store under every fault, for whoever is asked about again, for the first time, signs in or signs out.

Nobody is let in who may not, nobody is told to sign in who is signed in, everybody has an answer within a second, and
when it is over all are still there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import names, postgres, redis, scene, sqlite
from tests.faults.table import FAULTS, TABLE, Row, expected
from tests.servers.postgres import Server, make_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.scene import Ground, Told

AT_ONCE = 4
"""So many faults are lived through at a time: mostly they wait."""

BUSY = 1.0
"""A machine is, with a program for each of its processors: then people here have to wait for theirs."""
MOST = 60
"""Seconds for one of them, on a machine with a lot to do."""


def faults(store: str) -> list[str]:
    """The faults that a store can have."""
    return [fault for fault, cell in TABLE[store].items() if isinstance(cell, Row)]


@cache
def played(store: str) -> dict[str, Told | BaseException]:
    """What people were told under each fault of a store."""
    return dict(zip(faults(store), _played(store, faults(store)), strict=True))


@cache
def again(store: str, fault: str) -> Told:
    """The same of one fault, with nothing else going on here."""
    (found,) = _played(store, [fault])
    if isinstance(found, BaseException):
        raise found
    return found


def _played(store: str, some: list[str]) -> list[Told | BaseException]:
    async def one(fault: str, room: asyncio.Semaphore, ground: Callable[[Path], Ground]) -> Told:
        async with room:
            with tempfile.TemporaryDirectory(prefix="demur-faults-") as folder:
                async with asyncio.timeout(MOST):
                    return await scene.play(ground(Path(folder)), store, fault, Path(folder))

    async def all_of_them() -> list[Told | BaseException]:
        room = asyncio.Semaphore(AT_ONCE)
        with names.known(), _server(store) as ground:
            return await asyncio.gather(*(one(fault, room, ground) for fault in some), return_exceptions=True)

    return asyncio.run(all_of_them())


@contextlib.contextmanager
def _server(store: str) -> Iterator[Callable[[Path], Ground]]:
    """What makes the grounds of a store, with a server that they share if there is one."""
    if store != "postgres":
        yield sqlite.Ground if store == "sqlite" else redis.Ground
        return
    with tempfile.TemporaryDirectory(prefix="demur-faults-") as folder:
        Path(folder).chmod(0o755)
        template = Path(folder) / "template"
        template.mkdir(mode=0o700)
        make_template(template)
        with Server(template=template) as server:
            yield lambda folder: postgres.Ground(folder, server)


def cell(store: str, fault: str, operation: str) -> None:
    """Whoever does that is told what the table says."""
    does = expected(store, fault, operation)
    assert does is not None
    _hold(store, fault, lambda told: scene.faults(told, operation, does))


def besides(store: str, fault: str) -> None:
    """Whoever is nobody, or nobody any more, stays that; all sessions are alive when the fault is over."""
    _hold(store, fault, scene.besides)


def _hold(store: str, fault: str, wrong: Callable[[Told], list[str]]) -> None:
    """Nothing is wrong. A machine that had too much else to do is asked once more, and that is said."""
    said = played(store)[fault]
    found = [f"{said!r}"] if isinstance(said, BaseException) else wrong(said)
    if found and os.getloadavg()[0] > BUSY * (os.cpu_count() or 1):
        print(f"{store}, {fault}: once more, alone, as this machine was busy: {found}")
        found = wrong(again(store, fault))
    elif isinstance(said, BaseException):
        raise said
    assert found == [], FAULTS[fault]
