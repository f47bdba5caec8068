"""The commands on people and sessions in PostgreSQL: they work, and mistakes are said with what helps."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.postgres

SITE = '[[site]]\norigin = "http://localhost:8000"\nupstream = "http://127.0.0.1:9000"\n'


def tables(url: str) -> str:
    return f'[accounts]\ndatabase = "{url}"\n[sessions]\nstore = "{url}"\n{SITE}'


def test_people_and_sessions_share_a_database(run, folder, write, postgres_url):
    """From the first command on, which makes the tables."""
    write(tables(postgres_url))
    assert run("check-config").exit_code == 0
    added = run("user", "add", "alice", "--group", "staff", "--password-stdin", input="four plain words here\n")
    assert added.exit_code == 0, added.stderr
    assert run("user", "groups", "alice", "--add", "more").stdout.split() == ["more", "staff"]
    assert run("sessions", "list").exit_code == 0
    ended = run("sessions", "end", "--user", "alice")
    assert (ended.exit_code, ended.stderr) == (0, "")
    disabled = run("user", "disable", "alice")
    assert "all sessions" in disabled.stdout, disabled.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda server: server.tcp(password="oops"), "~/.pgpass"),
        (lambda server: server.tcp("nothing"), "createdb --owner"),
        (lambda server: server.tcp(port=1), "Is PostgreSQL running there?"),
    ],
    ids=["password", "database", "down"],
)
def test_a_mistake_names_the_place_and_the_fix(run, folder, write, postgres, change, says):
    """In the check line by line, and in each command; never a traceback, never a password."""
    write(tables(change(postgres)))
    checked = run("check-config").stdout
    assert "demur.toml:3: warning: accounts.database cannot be used: accounts: PostgreSQL at 127.0.0.1" in checked
    assert "demur.toml:5: warning: sessions.store cannot be used: sessions: PostgreSQL at 127.0.0.1" in checked
    assert checked.count(says) == 2
    for command in (["user", "list"], ["sessions", "list"]):
        done = run(*command)
        assert done.exit_code == 2
        assert says in done.stderr
        assert "Traceback" not in done.stderr
        assert "oops" not in done.stderr
        assert "kept" not in done.stderr


def test_a_url_that_is_none_is_an_error_of_its_line(run, folder, write):
    """Before anything is asked."""
    write(tables("postgresql://demur:kept%zz@127.0.0.1/x"))
    checked = run("check-config")
    assert checked.exit_code == 2
    assert (
        "demur.toml:3: error: accounts.database: This is not an address that PostgreSQL understands" in checked.stdout
    )
    assert "kept" not in checked.stdout + checked.stderr
