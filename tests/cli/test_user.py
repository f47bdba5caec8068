"""`demur user`: the people who may sign in."""

import asyncio
import json
import os
import pty
import re
import select
import subprocess
import sys
from dataclasses import dataclass

import pytest

from demur import accounts, stores
from demur.authenticators.password import Argon2Hasher
from demur.cli.user import SAVED_ONLY
from demur.core.model import Actor, Ended, Ending, Live, Session

pytestmark = pytest.mark.slow

CONFIG = """
version = 1
[accounts]
hashing = "OWASP_19_MIB"
[[site]]
origin = "http://localhost:8000"
upstream = "http://127.0.0.1:9000"
"""
PASSWORD = "correct horse battery staple"
BCRYPT = "$2y$10$BgHG1QA0g/xkzMBiAOzWQeXF1pDXPHV643KcVo9D4q9exPWBtCSRC"


@pytest.fixture
def user(folder, run):
    """`demur user …` in a folder with a configuration."""
    (folder / "demur.toml").write_text(CONFIG)

    def command(*args, says=None):
        return run("user", *args, input=says)

    return command


@pytest.fixture
def alice(user):
    """Somebody who is there."""
    result = user("add", "Alice", "--group", "staff", "-g", "admins", "--password-stdin", says=PASSWORD + "\n")
    assert (result.exit_code, result.stderr) == (0, "")
    return "Alice"


def account(folder, name):
    """What sign-in finds."""

    async def find():
        people = accounts.open(f"sqlite:{folder / 'accounts.db'}")
        try:
            return await people.by_name(name)
        finally:
            await people.aclose()

    return asyncio.run(find())


def is_right(encoded, password):
    """Whether sign-in would let the password pass."""
    hasher = Argon2Hasher("OWASP_19_MIB")
    try:
        return asyncio.run(hasher.verify(password, encoded)).right
    finally:
        hasher.close()


async def with_store(folder, job):
    """Something done with the session store."""
    store = stores.open(f"sqlite:{folder / 'sessions.db'}")
    try:
        return await job(store)
    finally:
        await store.aclose()


def begin_session(folder, subject):
    """A session of somebody, and a way to ask what has become of it."""
    session = Session(
        b"\1" * 32, subject.id, issued_at=1, authenticated_at=1, last_seen=1, expires_at=2_000_000_000, idle=0
    )
    asyncio.run(with_store(folder, lambda store: store.issue(session, subject)))

    def evidence():
        return asyncio.run(with_store(folder, lambda store: store.load([session.id])))[0]

    return evidence


def test_add_and_show(user, alice, folder):
    """Somebody added can sign in with the password, has the groups, and is shown."""
    found = account(folder, "alice")
    assert found.subject.groups == {"staff", "admins"}
    assert is_right(found.password, PASSWORD)
    assert user("list").stdout == f"Alice\tadmins,staff\tactive\t\t\t{found.subject.id}\n"
    (listed,) = json.loads(user("list", "--json").stdout)
    shown = json.loads(user("show", "ALICE", "--json").stdout)
    history = shown.pop("history")
    assert listed == shown
    assert (shown["id"], shown["groups"], shown["state"]) == (found.subject.id, ["admins", "staff"], "active")
    assert shown["password"] == "argon2id v=19 m=19456 t=2 p=1"
    assert [entry["action"] for entry in history] == ["add"]
    assert f"id\t{found.subject.id}\n" in user("show", "alice").stdout


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_the_end_of_the_line_is_not_the_password(user, folder, ending):
    """However the line ends that comes on standard input, the password is what stands on it, blanks included."""
    assert user("add", "bob", "--password-stdin", says=f" {PASSWORD} {ending}").exit_code == 0
    assert is_right(account(folder, "bob").password, f" {PASSWORD} ")


@pytest.mark.parametrize(
    ("args", "says", "complaint"),
    [
        (["add", "alice", "--password-stdin"], PASSWORD, 'already a person named "Alice"'),
        (["add", "b b", "--password-stdin"], PASSWORD, '"b b" cannot be a name: a blank is not possible.'),
        (["add", "bob", "--group", "a,b", "--password-stdin"], PASSWORD, "cannot be the name of a group"),
        (["add", "bob", "--email", "x", "--password-stdin"], PASSWORD, "no e-mail address"),
        (["add", "bob", "--password-stdin"], "short", "at least 8 characters"),
        (["add", "bob", "--password-stdin"], "", "at least 8 characters"),
        (["add", "robertson", "--password-stdin"], "Robertson", "must not be the name"),
        (["add", "bob", "--password-stdin"], "password1", "among the first"),
        (["add", "bob", "--password-stdin"], "one line is\nnot two lines", "more than one line"),
        (["add", "bob", "--password-stdin"], b"\xff\xfe not text", "not UTF-8"),
        (["add", "bob"], PASSWORD, "--password-stdin"),
        (["password", "alice", "--password-stdin"], "short", "at least 8 characters"),
        (["password", "bob", "--password-stdin"], PASSWORD, 'no person named "bob"'),
        (["show", "bob"], "", 'no person named "bob"'),
        (["disable", "bob"], "", 'no person named "bob"'),
        (["groups", "bob"], "", 'no person named "bob"'),
        (["groups", "alice", "--add", "a b"], "", "cannot be the name of a group"),
        (["edit", "alice"], "", "nothing to change"),
        (["delete", "alice"], "", "Give --yes"),
        (["import", "missing.csv"], "", "missing.csv cannot be read: no such file"),
        (["list", "--config", "missing.toml"], "", "missing.toml"),
    ],
)
def test_what_cannot_be_done_is_said(user, alice, args, says, complaint):
    """One message on standard error that says what is wrong, and nothing has changed."""
    before = user("show", "alice", "--json").stdout
    result = user(*args, says=says)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""
    assert user("show", "alice", "--json").stdout == before
    assert len(user("list").stdout.splitlines()) == 1


def test_a_password_is_never_an_argument(user):
    """There is no option that takes one: arguments can be read by everybody on the machine."""
    for args in (("add", "bob", PASSWORD), ("add", "bob", f"--password={PASSWORD}"), ("password", "bob", PASSWORD)):
        assert user(*args).exit_code == 2


def test_a_new_password_ends_all_sessions(user, alice, folder):
    """The old password is wrong from now on, and whoever was in is out."""
    evidence = begin_session(folder, account(folder, "alice").subject)
    result = user("password", "alice", "--password-stdin", says="a better password than before")
    assert (result.exit_code, result.stderr) == (0, "")
    encoded = account(folder, "alice").password
    assert is_right(encoded, "a better password than before")
    assert not is_right(encoded, PASSWORD)
    ended = evidence()
    assert isinstance(ended, Ended)
    assert (ended.how, ended.actor) == (Ending.REVOKED, Actor.ADMINISTRATOR)


def test_disable_and_enable(user, alice, folder):
    """Disabling ends all sessions and keeps the person out until they are enabled."""
    evidence = begin_session(folder, account(folder, "alice").subject)
    assert user("disable", "alice").stdout == "Disabled Alice and ended all sessions.\n"
    assert account(folder, "alice").disabled
    assert isinstance(evidence(), Ended)
    assert "\tdisabled\t" in user("list").stdout
    assert user("enable", "alice").exit_code == 0
    assert not account(folder, "alice").disabled


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], ["admins", "staff"]),
        (["--add", "x", "--add", "y", "--remove", "staff"], ["admins", "x", "y"]),
        (["--set", "x, y"], ["x", "y"]),
        (["--set", ""], []),
        (["--set", "x", "--add", "y"], ["x", "y"]),
    ],
)
def test_groups_count_from_the_next_request_on(user, alice, folder, args, expected):
    """Groups are shown or changed, and a session that is there has them at once."""
    evidence = begin_session(folder, account(folder, "alice").subject)
    result = user("groups", "alice", *args)
    assert (result.exit_code, result.stdout.split()) == (0, expected)
    live = evidence()
    assert isinstance(live, Live)
    assert live.subject.groups == set(expected)


def test_edit_keeps_the_person(user, alice, folder):
    """Another name and other texts, the same id."""
    before = account(folder, "alice").subject
    assert user("edit", "alice", "--name", "Alicia", "--display-name", "Alicia S.", "--email", "a@b").exit_code == 0
    after = account(folder, "alicia").subject
    assert (after.id, after.name, after.display_name, after.email) == (before.id, "Alicia", "Alicia S.", "a@b")
    assert account(folder, "alice") is None


def test_delete(user, alice, folder):
    """Somebody deleted is gone, and whoever was in is out."""
    evidence = begin_session(folder, account(folder, "alice").subject)
    assert user("delete", "alice", "--yes").exit_code == 0
    assert account(folder, "alice") is None
    assert isinstance(evidence(), Ended)


def test_import(user, alice, folder):
    """People come with the passwords that they have."""
    file = folder / "people.csv"
    file.write_text(f"name,password_hash,groups\nalice,{BCRYPT},\nbob,{BCRYPT},staff;x\n")
    refused = user("import", "people.csv")
    assert refused.exit_code == 2
    assert refused.stderr == (
        'people.csv:2: there is already a person named "alice".\ndemur: Nobody was imported, because of 1 line.\n'
    )
    assert account(folder, "bob") is None
    done = user("import", "people.csv", "--skip-existing")
    assert (done.exit_code, done.stdout) == (0, "Imported 1 person. Left alone: alice.\n")
    assert is_right(account(folder, "bob").password, "geheim-und-lang")
    assert account(folder, "bob").subject.groups == {"staff", "x"}


def test_import_says_every_line(user, folder):
    """Each line that is refused is named with the file, and nobody is imported."""
    file = folder / ".htpasswd"
    file.write_text(f"alice:{BCRYPT}\nb b:{BCRYPT}\ncarol:$apr1$18YawQl9$vJLs3HjXpmShAyl58BcTP1\n")
    result = user("import", ".htpasswd")
    assert result.exit_code == 2
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == [".htpasswd:2", ".htpasswd:3", "demur"]
    assert user("list").stdout == ""


def test_a_store_that_is_away(user, alice, folder):
    """The change is saved, the command says that it is not in force and fails; the next command completes it."""
    evidence = begin_session(folder, account(folder, "alice").subject)
    config = folder / "demur.toml"
    config.write_text(CONFIG + '[sessions]\nstore = "sqlite:away/sessions.db"\n')
    result = user("disable", "alice")
    assert result.exit_code == SAVED_ONLY
    assert "Saved; not yet in force" in result.stderr
    assert "away/sessions.db" in result.stderr
    assert result.stdout == ""
    assert account(folder, "alice").disabled
    assert isinstance(evidence(), Live)
    still = user("list")
    assert still.exit_code == 0
    assert "still not in force" in still.stderr
    config.write_text(CONFIG)
    assert user("list").stderr == ""
    assert isinstance(evidence(), Ended)


def test_sessions_in_another_processs_memory(user, alice, folder):
    """Where only the gateway sees the sessions, a change is saved and waits for it; nothing claims to be done."""
    (folder / "demur.toml").write_text(CONFIG + '[sessions]\nstore = "memory:"\n')
    result = user("disable", "alice")
    assert result.exit_code == SAVED_ONLY
    assert "Saved; not yet in force" in result.stderr
    assert "once a minute" in result.stderr
    assert result.stdout == ""
    assert "Alice" in user("list").stdout


def test_a_database_that_cannot_be_opened(user, folder):
    """The message names the file."""
    (folder / "accounts.db").write_text("this is not a database" * 100)
    result = user("list")
    assert result.exit_code == 2
    assert "accounts.db: file is not a database" in result.stderr


# --- at a terminal ------------------------------------------------------------------------------------


@dataclass
class Screen:
    """What a terminal showed, and how the program ended."""

    text: str
    status: int


@pytest.fixture
def terminal(folder):
    """A program at a terminal: each time it shows a prompt, the next line is typed."""
    (folder / "demur.toml").write_text(CONFIG)

    def command(*args, types=()):
        ours, theirs = pty.openpty()
        program = [sys.executable, "-c", "from demur.cli import main; main()", "user", *args]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
        process = subprocess.Popen(program, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown, lines = b"", list(types)
        while select.select([ours], [], [], 60)[0]:
            try:
                read = os.read(ours, 4096)
            except OSError:  # as Linux says that the other side has closed
                break
            if not read:
                break
            shown += read
            if lines and re.search(rb": $", shown):
                os.write(ours, lines.pop(0).encode() + b"\n")
        os.close(ours)
        return Screen(re.sub(r"\x1b\[\d*m", "", shown.decode()), process.wait(60))

    return command


@pytest.mark.parametrize("options", [[], ["--password-stdin"]])
def test_a_password_is_typed_twice_and_not_shown(terminal, folder, options):
    """At a terminal the password is asked for, hidden, and again until both are the same."""
    screen = terminal("add", "alice", *options, types=[PASSWORD, "another one", PASSWORD, PASSWORD])
    assert screen.status == 0, screen.text
    assert PASSWORD not in screen.text
    assert "another one" not in screen.text
    assert "Added alice." in screen.text
    assert is_right(account(folder, "alice").password, PASSWORD)


def test_a_list_is_a_table(terminal, user, alice):
    """People at a terminal see headings, and are told what to do where there is nobody."""
    screen = terminal("list")
    assert re.search(r"Name +Groups +State", screen.text)
    assert re.search(r"Alice +admins,staff +active", screen.text)
    assert terminal("groups", "alice").text.strip() == "Alice is in admins, staff."
    assert terminal("delete", "alice", types=["y"]).status == 0
    assert "demur user add NAME" in terminal("list").text
