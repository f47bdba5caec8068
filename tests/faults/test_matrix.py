"""Every store under every fault, for whoever is asked about again, for the first time, signs in or signs out.

Nobody is let in who may not, nobody is told to sign in who is signed in, everybody has an answer within a second, and
when it is over all are still there.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.faults import names, postgres, redis, scene, sqlite
from tests.faults.table import FAULTS, OPERATIONS, STORES, TABLE, Row, expected, wrong
from tests.servers.postgres import Server, make_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.scene import Ground, Told

AT_ONCE = 4
"""So many faults are lived through at a time: mostly they wait."""

STORES_UNDER_FAULTS = ("sqlite", "postgres", "redis")
MOST = 60
"""Seconds for one of them, on a machine with a lot to do."""

MARKS = {"sqlite": [], "postgres": [pytest.mark.postgres], "redis": [pytest.mark.redis]}


def _faults(store: str) -> list[str]:
    return [fault for fault, cell in TABLE[store].items() if isinstance(cell, Row)]


@cache
def played(store: str) -> dict[str, Told | BaseException]:
    """What people were told under each fault of a store."""

    async def one(fault: str, room: asyncio.Semaphore, ground: Callable[[Path], Ground]) -> Told:
        async with room:
            with tempfile.TemporaryDirectory(prefix="demur-faults-") as folder:
                async with asyncio.timeout(MOST):
                    return await scene.play(ground(Path(folder)), store, fault, Path(folder))

    async def all_of_them() -> list[Told | BaseException]:
        room = asyncio.Semaphore(AT_ONCE)
        with names.known(), _server(store) as ground:
            return await asyncio.gather(*(one(fault, room, ground) for fault in _faults(store)), return_exceptions=True)

    return dict(zip(_faults(store), asyncio.run(all_of_them()), strict=True))


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


def told(store: str, fault: str) -> Told:
    found = played(store)[fault]
    if isinstance(found, BaseException):
        raise found
    return found


SCENES = [
    pytest.param(store, fault, id=f"{store}-{fault}", marks=[*MARKS[store], pytest.mark.xdist_group(f"faults-{store}")])
    for store in STORES_UNDER_FAULTS
    for fault in _faults(store)
]


def test_no_cell_is_empty() -> None:
    """Each store has each fault, or the reason why it cannot have it, and nothing else."""
    assert wrong() == []
    assert set(STORES_UNDER_FAULTS) == {store for store in STORES if _faults(store)}


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("store", "fault"), SCENES)
def test_cell(store: str, fault: str, operation: str) -> None:
    """Whoever does that is told what the table says."""
    does = expected(store, fault, operation)
    assert does is not None
    assert scene.faults(told(store, fault), operation, does) == [], FAULTS[fault]


@pytest.mark.slow
@pytest.mark.parametrize(("store", "fault"), SCENES)
def test_everybody_else_and_afterwards(store: str, fault: str) -> None:
    """Whoever is nobody, or nobody any more, stays that; all sessions are alive when the fault is over."""
    assert scene.besides(told(store, fault)) == [], FAULTS[fault]
