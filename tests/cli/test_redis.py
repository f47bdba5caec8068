"""The commands on sessions in Redis: they work, and mistakes are said with what helps."""

from __future__ import annotations

import asyncio

import pytest
from tests.ports import free_port
from tests.servers.redis import Server

from demur import stores
from demur.core.model import Session, Subject

pytestmark = pytest.mark.redis

SITE = '[[site]]\norigin = "http://localhost:8000"\nupstream = "http://127.0.0.1:9000"\n'
ID = b"k" * 32


def table(url: str) -> str:
    return f'[sessions]\nstore = "{url}"\n{SITE}'


async def issue(url: str, subject: str) -> None:
    store = stores.open(url)
    await store.issue(Session(ID, subject, 1, 1, 2**31, 2**32, 2**31), Subject(subject, "anna"))
    await store.aclose()


def test_sessions_are_listed_and_ended(run, folder, write, redis_url):
    """As with any other store."""
    write(table(redis_url))
    assert run("user", "add", "anna", "--password-stdin", input="four plain words here\n").exit_code == 0
    (row,) = [line for line in run("user", "show", "anna").stdout.splitlines() if "id" in line.split()[0].lower()]
    asyncio.run(issue(redis_url, row.split()[-1]))
    assert ID[:8].hex() in run("sessions", "list", "--user", "anna").stdout
    ended = run("sessions", "end", "--user", "anna")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert "Ended 1 session of anna" in ended.stdout
    assert ID[:8].hex() not in run("sessions", "list").stdout


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ("down", "cannot be reached (connection refused): see whether it runs there"),
        ("no password", "wants a password: put it into a file"),
        ("wrong password", "refuses our user name or password"),
        ("evicts", "set maxmemory-policy to noeviction"),
    ],
)
def test_a_mistake_names_the_place_and_the_fix(run, folder, write, mistake, says):
    """In the check with its line, and in each command; never a traceback, never a password."""
    acl = ["default on >right ~* &* +@all"] if "password" in mistake else []
    settings = {"maxmemory-policy": "allkeys-lru"} if mistake == "evicts" else {}
    with Server(acl=acl, settings=settings) as server:
        urls = {
            "down": f"redis://:never-shown@127.0.0.1:{free_port()}",
            "wrong password": server.tcp(who=":never-shown@"),
        }
        write(table(urls.get(mistake, server.tcp())))
        checked = run("check-config").stdout
        assert "demur.toml:3: warning: sessions.store cannot be used: Redis at 127.0.0.1" in checked
        assert says in checked
        listed = run("sessions", "list")
        assert listed.exit_code == 2
        assert says in listed.stderr
        assert "Traceback" not in listed.stderr
        assert "never-shown" not in checked + listed.stderr


def test_a_url_that_is_none_is_an_error_of_its_line(run, folder, write):
    """Before anything is asked."""
    write(table("redis://:never-shown@h?prefx=a"))
    checked = run("check-config")
    assert checked.exit_code == 2
    assert 'demur.toml:3: error: sessions.store: "redis://h?prefx=a" has the unknown option "prefx"' in checked.stdout
    assert "never-shown" not in checked.stdout + checked.stderr
