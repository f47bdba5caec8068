"""Two hosts that cannot reach each other for a while: network namespaces with a cable between them, which is cut.

One host has the store. On the other a real gateway answers forward-auth checks at a unix socket, which is a file and
can be asked from everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.faults.app import eventually
from tests.faults.wire import Wire
from tests.noise import NOISE

from demur import stores
from demur.core.model import Actor, End, Ending, Session, Subject
from demur.core.sessions import identify, mint
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from demur.core.ports import Store

KNOWN = 2.0
"""For so many seconds the host that is cut off lets in whoever it knew."""
JOINED = 5.0
"""In so many seconds it is itself again."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None,
        reason="not run: needs root and iproute2, to make two hosts",
    ),
]

CONFIG = """
version = 1

[gateway]
listen = "127.0.0.1:8000"
check_listen = "unix:check.sock"
log = "json"

[sessions]
store = "{store}"

[[site]]
origin = "https://app.example.com"

[[site.rule]]
path = "/**"
allow = "signed-in"
"""


@dataclass
class Cable:
    """Between this host and another, which is a network namespace. `here` is this end's address."""

    end: str
    here: str
    there: str
    other: int

    def cut(self) -> None:
        """Nothing comes through any more; nobody is told."""
        _run("ip", "link", "set", self.end, "down")

    def join(self) -> None:
        """As before."""
        _run("ip", "link", "set", self.end, "up")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.fixture
def cable() -> Iterator[Cable]:
    """Another host, and a cable to it. It goes with the process that holds it."""
    with subprocess.Popen(["unshare", "--net", "sleep", "600"]) as other:
        try:
            _wait_for_its_network(other.pid)
            number = os.getpid() % 16000
            first, second = divmod(4 * number, 256)
            cable = Cable(f"dm{number}", f"198.{18 + first // 256}.{first % 256}.{second + 1}", "", other.pid)
            cable.there = cable.here.rpartition(".")[0] + f".{second + 2}"
            inside = ("nsenter", "-t", str(other.pid), "-n", "ip")
            _run("ip", "link", "add", cable.end, "type", "veth", "peer", "name", "up0", "netns", str(other.pid))
            _run("ip", "addr", "add", f"{cable.here}/30", "dev", cable.end)
            _run("ip", "link", "set", cable.end, "up")
            _run(*inside, "addr", "add", f"{cable.there}/30", "dev", "up0")
            _run(*inside, "link", "set", "lo", "up")
            _run(*inside, "link", "set", "up0", "up")
            yield cable
        finally:
            other.kill()


def _wait_for_its_network(pid: int) -> None:
    until = time.monotonic() + 10
    ours = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{pid}/ns/net").readlink() == ours:
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture(
    params=[pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("redis", marks=pytest.mark.redis)]
)
def kind(request: pytest.FixtureRequest) -> str:
    """Each store that two hosts can share."""
    return str(request.param)


@dataclass
class Hosts:
    """This host, with the store, and the gateway on the other."""

    store: Store
    folder: Path
    process: subprocess.Popen[bytes]

    async def ask(self, token: str) -> tuple[int, str, float]:
        """What the other host says of somebody: the status and the challenge; and when it was asked."""
        began = time.monotonic()
        reader, writer = await asyncio.open_unix_connection(self.folder / "check.sock")
        forwarded = "X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: app.example.com\r\n"
        forwarded += "X-Forwarded-Uri: /page\r\nX-Forwarded-For: 192.0.2.7\r\nAccept: application/json\r\n"
        head = f"GET /check HTTP/1.1\r\nHost: check\r\n{forwarded}Cookie: __Host-demur={token}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode())
        said = (await asyncio.wait_for(reader.read(), 20)).decode("latin-1")
        writer.close()
        return int(said.split()[1]), said, began

    async def somebody(self, number: int) -> str:
        """Who signed in at this host."""
        token = mint(bytes([number]) * 32, FileKeys(self.folder / "keys").ring().current)
        now = int(time.time())
        subject = Subject(f"0192-{number}", f"p{number}")
        await self.store.issue(Session(identify(token), subject.id, now, now, now, now + 86400, 3600), subject)
        return token

    async def revoke(self, token: str) -> float:
        """An administrator ends it, at this host; when that was acknowledged."""
        end = End(identify(token), Ending.REVOKED, Actor.ADMINISTRATOR, int(time.time()))
        assert await self.store.apply([end]) == [True]
        return time.monotonic()


@pytest.fixture
async def hosts(request: pytest.FixtureRequest, kind: str, cable: Cable, tmp_path: Path) -> AsyncIterator[Hosts]:
    """Both, and they can reach each other."""
    direct = request.getfixturevalue(f"{kind}_url")
    server = request.getfixturevalue({"postgres": "postgres", "redis": "redis_server"}[kind])
    wire = await Wire(("127.0.0.1", server.port), host=cable.here).start()
    url = server.tcp(port=wire.port).replace("127.0.0.1", cable.here)
    (tmp_path / "demur.toml").write_text(CONFIG.format(store=url))
    store = stores.open(direct)
    demur = Path(sys.executable).with_name("demur")
    with (tmp_path / "log").open("wb") as log:
        command = ("nsenter", "-t", str(cable.other), "-n", str(demur), "serve", "--config", "demur.toml")
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    hosts = Hosts(store, tmp_path, process)
    try:
        nobody = "x" * 43

        async def answers() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()[-3000:]
            with contextlib.suppress(OSError):
                return (await hosts.ask(nobody))[0] == 401
            return False

        assert await eventually(answers, 30), (tmp_path / "log").read_text()[-3000:]
        yield hosts
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
        await store.aclose()
        await wire.aclose()


async def test_cut_off_and_joined_again(hosts: Hosts, cable: Cable) -> None:
    """Cut off, the other host lets in whom it knew for two seconds and says 503 after that; joined again, the first yes
    or no is as of now."""
    stays, goes = await hosts.somebody(1), await hosts.somebody(2)
    for token in (stays, goes):
        assert await eventually(partial(_is, hosts, token, 200), 10)
        assert (await hosts.ask(token))[0] == 200
    cable.cut()
    cut = time.monotonic()
    revoked = await hosts.revoke(goes)
    seen: list[tuple[float, int]] = []
    while time.monotonic() < cut + KNOWN + 1.5:
        for token, since in ((stays, cut), (goes, revoked)):
            status, said, began = await hosts.ask(token)
            assert status in {200, 503}, said
            assert status == 503 or began <= since + KNOWN, f"let in {began - since:.2f} s later"
            assert time.monotonic() - began < 1 + NOISE
            seen.append((began - cut, status))
        await asyncio.sleep(0.05)
    assert seen[-1][1] == 503
    cable.join()
    joined = time.monotonic()
    while (status := (await hosts.ask(stays))[0]) != 200:
        assert status == 503
        assert (await hosts.ask(goes))[0] in {401, 503}
        assert time.monotonic() < joined + JOINED, "not itself again"
        await asyncio.sleep(0.02)
    status, said, _ = await hosts.ask(goes)
    assert status == 401, said
    assert 'error="session-revoked"' in said
    await hosts.revoke(stays)
    assert await eventually(partial(_is, hosts, stays, 401), KNOWN)


async def _is(hosts: Hosts, token: str, status: int) -> bool:
    return (await hosts.ask(token))[0] == status
