"""What the tests of all stores share: the stores themselves, sessions and persons to keep in them, and children."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import signal
import tempfile
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demur import stores
from demur.core.model import Live, Session, Subject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from demur.core.ports import Store

NOW = 1_800_000_000
HOUR = 3600
DAY = 24 * HOUR


class Make:
    """Sessions and persons: each number has its own id, and what is not said is ordinary."""

    now = NOW

    def id(self, number: int) -> bytes:
        return hashlib.sha256(b"session %d" % number).digest()

    def session(self, number: int = 1, subject: str = "alice", **other: object) -> Session:
        plain = Session(
            id=self.id(number),
            subject=subject,
            issued_at=NOW,
            authenticated_at=NOW,
            last_seen=NOW,
            expires_at=NOW + DAY,
            idle=HOUR,
            device="Firefox on Linux",
            network="203.0.113.0/24",
        )
        return replace(plain, **other)  # type: ignore[arg-type]

    def token(self, number: int = 1, subject: str = "alice", **other: object) -> Session:
        """An API token that was never used."""
        plain = self.session(number, subject, idle=0, last_seen=0, device="", network="")
        return replace(plain, **{"kind": "token", "label": "nightly", "scopes": ("report:read",), **other})  # type: ignore[arg-type]

    def subject(self, subject: str = "alice", **other: object) -> Subject:
        plain = Subject(
            id=subject,
            name=subject,
            groups=frozenset({"staff", "admins"}),
            grants=(("report:read", NOW + DAY),),
            display_name="Alice Ångström",
            email="alice@example.com",
        )
        return replace(plain, **other)  # type: ignore[arg-type]

    def live(self, number: int = 1, subject: str = "alice", **other: object) -> Live:
        return Live(self.session(number, subject, **other), self.subject(subject))


@pytest.fixture
def make() -> Make:
    """The factory of sessions and persons."""
    return Make()


REDIS = [
    *(pytest.param(name, marks=pytest.mark.redis) for name in ("redis", "valkey")),
    pytest.param("redis_cluster", marks=[pytest.mark.redis, pytest.mark.slow]),
]
POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


@pytest.fixture(params=["memory", "sqlite", POSTGRES, *REDIS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of each store that must keep the contract."""
    if request.param not in ("memory", "sqlite"):
        return str(request.getfixturevalue(f"{request.param}_url"))
    return {"memory": "memory:", "sqlite": f"sqlite:{tmp_path / 'sessions.db'}"}[request.param]


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """Each store in turn, empty."""
    opened = stores.open(url)
    yield opened
    await opened.aclose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an SQLite store may be."""
    return tmp_path / "sessions.db"


@pytest.fixture
async def sqlite(path: Path) -> AsyncIterator[Store]:
    """An SQLite store, empty, at `path`."""
    opened = stores.open(f"sqlite:{path}")
    yield opened
    await opened.aclose()


@pytest.fixture
def common() -> Iterator[Path]:
    """A directory that a process without rights can be given."""
    where = Path(tempfile.mkdtemp())
    yield where
    shutil.rmtree(where)


@pytest.fixture
def in_child() -> Callable[[Callable[[], None]], None]:
    """Run something in a forked child, and fail here if it fails there."""

    def run(work: Callable[[], None]) -> None:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # a child that waits for a lock that nobody holds is a failure, not a wait
            code = 1
            try:
                work()
                code = 0
            except BaseException:  # noqa: BLE001 - the child must end here, whatever happened
                os.write(write, traceback.format_exc().encode()[-4000:])
            finally:
                os._exit(code)
        os.close(write)
        with os.fdopen(read) as said:
            what = said.read()
        _, status = os.waitpid(child, 0)
        assert status == 0, what

    return run


@pytest.fixture
def in_children() -> Callable[[int, Callable[[int], Any]], list[Any]]:
    """Run something in several forked children at once, and give what each of them returned."""

    def run(count: int, work: Callable[[int], Any]) -> list[Any]:
        ready, start = os.pipe()
        pipes = []
        for number in range(count):
            read, write = os.pipe()
            if os.fork() == 0:
                signal.alarm(20)
                os.close(start)
                os.read(ready, 1)  # the end of the file is the starting shot
                try:
                    said = pickle.dumps(work(number))
                except BaseException:  # noqa: BLE001 - the child must end here, whatever happened
                    said = pickle.dumps(traceback.format_exc())
                with os.fdopen(write, "wb") as out:
                    out.write(said)
                os._exit(0)
            os.close(write)
            pipes.append(read)
        os.close(ready)
        os.close(start)
        results = []
        for read in pipes:
            with os.fdopen(read, "rb") as out:
                results.append(pickle.loads(out.read()))
        for _ in pipes:
            os.wait()
        return results

    return run
