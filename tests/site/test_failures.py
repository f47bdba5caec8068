"""Our own failures and the site's: nobody is signed out for them, and nothing opens."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.site.houses import SAMPLE, House, NotListening, running
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


def unavailable(house: House, token: str) -> None:
    """Restricted: 503 with the cookie kept; open: as ever."""
    deadline = time.monotonic() + 2.5
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


def test_store_emptied_while_running(lonely):
    """Its tables are gone under the running gateway: 503, the cookie is kept, open pages stay open."""
    token, _ = lonely.session(lonely.example.member)
    assert lonely.script(lonely.example.api, token).status == 200
    with contextlib.closing(sqlite3.connect(lonely.store_file, isolation_level=None)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for (name,) in tables.fetchall():
            database.execute(f'DROP TABLE "{name}"')
    unavailable(lonely, token)


def test_store_replaced_while_running(lonely):
    """Somebody puts another file in the store's place, and a worker begins anew: the same."""
    token, _ = lonely.session(lonely.example.member)
    assert lonely.script(lonely.example.api, token).status == 200
    for path in lonely.folder.glob("sessions.db*"):
        path.unlink()
    lonely.store_file.write_bytes(b"this is not a database, and never was" * 400)
    for worker in lonely.gateway.children():
        os.kill(worker, signal.SIGKILL)
    unavailable(lonely, token)


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


def test_upstream_down(tmp_path):
    """The site does not answer: 502 as a problem and as a page, without `processed`; the refusals need no site."""
    with running(SAMPLE, tmp_path) as house:
        token, _ = house.session(house.example.member)
        house.tap.close()
        for ask in (house.script, house.page):
            answer = ask(house.example.page, token)
            assert (answer.status, answer.problem["reason"]) == (502, "upstream-unreachable")
            assert "processed" not in answer.problem
            assert answer.value("cache-control") == "no-store"
        assert house.ask("GET", house.example.api, SCRIPT).status == 401
