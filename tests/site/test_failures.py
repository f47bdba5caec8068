"""Our own failures and the site's: nobody is signed out for them, and nothing opens."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.noise import NOISE
from tests.site.conftest import EXAMPLES
from tests.site.houses import SAMPLE, Example, House, NotListening, Process, running
from tests.site.wire import NAVIGATION, SCRIPT

from demur.core.model import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[House]:
    """A sample site of one's own, to be broken."""
    with running(SAMPLE, tmp_path) as here:
        yield here


@pytest.fixture(params=EXAMPLES)
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Each of the example sites in turn, to be broken."""
    with running(request.param, tmp_path) as here:
        yield here


def unavailable(house: House, token: str) -> None:
    """Restricted: 503 with the cookie kept; open: as ever."""
    deadline = time.monotonic() + 2.5 + NOISE
    answer = house.script(house.example.api, token)
    while answer.status == 200 and time.monotonic() < deadline:  # a cached yes may stand for 2 s
        answer = house.script(house.example.api, token)
    assert (answer.status, answer.problem["reason"]) == (503, "unavailable")
    assert int(answer.value("retry-after") or "") > 0
    assert answer.values("set-cookie") == []
    assert answer.value("www-authenticate") is None
    page = house.ask("GET", house.example.page, NAVIGATION, token=token)
    assert (page.status, page.problem["reason"]) == (503, "unavailable")
    assert "<form" not in page.text
    assert house.page(house.example.public, token).status == 200
    assert house.script(house.example.api).problem["reason"] == "sign-in-required"
    sign_in = house.sign_in(house.example.member)
    assert sign_in.status == 503
    sign_out = house.send("/.demur/sign-out", {}, token)
    assert sign_out.status == 503, "signed out without the server knowing"
    assert sign_out.values("set-cookie") == []


def test_store_emptied_while_running(either):
    """Its tables are gone under the running gateway: 503, the cookie is kept, open pages stay open."""
    token, _ = either.session(either.example.member)
    assert either.script(either.example.api, token).status == 200
    with contextlib.closing(sqlite3.connect(either.store_file, isolation_level=None)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for (name,) in tables.fetchall():
            database.execute(f'DROP TABLE "{name}"')
    unavailable(either, token)


def test_store_replaced_while_running(either):
    """Somebody puts another file in the store's place, and a worker begins anew: the same."""
    token, _ = either.session(either.example.member)
    assert either.script(either.example.api, token).status == 200
    for path in either.folder.glob("sessions.db*"):
        path.unlink()
    either.store_file.write_bytes(b"this is not a database, and never was" * 400)
    for worker in either.gateway.children():
        os.kill(worker, signal.SIGKILL)
    unavailable(either, token)


@pytest.mark.parametrize(
    ("damage", "said"),
    [("not a database", "is not an SQLite database"), ("a folder in its place", "is not a file")],
)
def test_store_unusable_at_start(lonely, damage, said):
    """The file is no store when the gateway starts: it says so, with the line of the configuration, touches nothing,
    and does not start; when the file is what it was, everybody is still signed in."""
    token, _ = lonely.session(lonely.example.member)
    lonely.gateway.stop()
    kept = {path: path.read_bytes() for path in lonely.folder.glob("sessions.db*")}
    for path in kept:
        path.unlink()
    if damage == "not a database":
        lonely.store_file.write_bytes(b"this is not a database, and never was" * 400)
    else:
        lonely.store_file.mkdir()
    with pytest.raises(NotListening, match=rf"demur\.toml:\d+: error: sessions\.store: sessions\.db {said}"):
        lonely.gateway.start(lonely.address)
    lonely.gateway.stop()
    if damage == "not a database":
        assert lonely.store_file.read_bytes().startswith(b"this is not a database")
        lonely.store_file.unlink()
    else:
        lonely.store_file.rmdir()
    for path, content in kept.items():
        path.write_bytes(content)
    lonely.gateway.start(lonely.address)
    assert lonely.script(lonely.example.api, token).status == 200


def test_two_workers(tmp_path):
    """What is ended in one worker is refused in the next request of every other, and signed in in one is in all."""
    with running(SAMPLE, tmp_path, lambda text: re.sub(r"(?m)^workers = 1", "workers = 2", text)) as house:
        for _ in range(5):
            token, session = house.session(house.example.member)
            with ThreadPoolExecutor(8) as pool:
                warm = list(pool.map(lambda _, token=token: house.script(house.example.api, token), range(24)))
            assert {answer.status for answer in warm} == {200}
            assert house.send("/.demur/sign-out", {}, token).status == 303
            with ThreadPoolExecutor(8) as pool:
                after = list(pool.map(lambda _, token=token: house.script(house.example.api, token), range(24)))
            assert {answer.problem["reason"] for answer in after} == {"session-ended"}
            token, session = house.session(house.example.member)
            assert {house.script(house.example.api, token).status for _ in range(8)} == {200}
            house.end(session, Ending.REVOKED)
            assert {house.script(house.example.api, token).problem["reason"] for _ in range(8)} == {"session-revoked"}


def test_group_taken_away(lonely):
    """A group that is taken away works at the next request; the session stays."""
    token, _ = lonely.session("alice")
    assert lonely.page("/admin/", token).status == 200
    lonely.demur("user", "groups", "alice", "--remove", "admins")
    assert lonely.page("/admin/", token).problem["reason"] == "not-permitted"
    assert lonely.script(lonely.example.api, token).status == 200


def test_disabled(lonely):
    """An account that is disabled ends its sessions at once."""
    token, _ = lonely.session(lonely.example.member)
    assert lonely.script(lonely.example.api, token).status == 200
    lonely.demur("user", "disable", lonely.example.member)
    answer = lonely.script(lonely.example.api, token)
    assert (answer.status, answer.problem["reason"]) == (401, "session-revoked")


def silent(_: Example, folder: Path, port: int) -> Process:
    """A site that takes every connection and every request, and never says anything."""
    program = f"import socket, signal; taken = socket.create_server(('127.0.0.1', {port}), backlog=64); signal.pause()"
    return Process((sys.executable, "-c", program), folder, folder / "site.log")


def failed(house: House, token: str, status: int, reason: str) -> None:
    """The site's failure, as a page and as a problem; nobody says that the request was not processed."""
    for ask, kind in ((house.script, "application/problem+json"), (house.page, "text/html; charset=utf-8")):
        answer = ask(house.example.page, token)
        assert (answer.status, answer.problem["reason"]) == (status, reason)
        assert answer.value("content-type") == kind
        assert "processed" not in answer.problem
        assert answer.value("demur-processed") is None
        assert answer.value("cache-control") == "no-store"
        assert answer.value("www-authenticate") is None
        assert answer.values("set-cookie") == []


def test_upstream_down(tmp_path):
    """The site does not answer: 502; the refusals need no site."""
    with running(SAMPLE, tmp_path) as house:
        token, _ = house.session(house.example.member)
        house.tap.close()
        failed(house, token, 502, "upstream-unreachable")
        assert house.ask("GET", house.example.api, SCRIPT).status == 401


def test_upstream_slow(tmp_path):
    """The site takes the request and does not begin its answer in time: 504; the refusals need no site."""
    limit = "\n[site.timeouts]\nanswer = 1\n"
    with running(SAMPLE, tmp_path, lambda text: text + limit, site=silent) as house:
        token, _ = house.session(house.example.member)
        began = time.monotonic()
        failed(house, token, 504, "upstream-timeout")
        assert time.monotonic() - began >= 2  # a second for each of the two
        assert f"GET {house.example.page} ".encode() in house.upstream_saw()
        assert house.ask("GET", house.example.api, SCRIPT).status == 401
