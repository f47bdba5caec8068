"""`demur sessions`: who is signed in, and ending it."""

import asyncio
import hashlib
import json
import time

import pytest

from demur import accounts, stores
from demur.core.model import Actor, Ended, Ending, Session

pytestmark = pytest.mark.slow

SITE = '[[site]]\norigin = "http://localhost:8000"\nupstream = "http://127.0.0.1:9000"\n'
HOUR = 3600


class Deployment:
    """The accounts and sessions that a configuration in the folder names."""

    def __init__(self, folder) -> None:
        self.people = f"sqlite:{folder}/accounts.db"
        self.store = f"sqlite:{folder}/sessions.db"

    def sign_in(self, name: str, number: int, *, ago: int = 60, idle: int = HOUR) -> Session:
        """Give somebody a session."""

        async def issue() -> Session:
            people, store = accounts.open(self.people), stores.open(self.store)
            account = await people.by_name(name)
            assert account is not None
            at = int(time.time()) - ago
            session = Session(
                hashlib.sha256(f"{number}".encode()).digest(),
                account.subject.id,
                at,
                at,
                at,
                at + 24 * HOUR,
                idle,
                device=f"Device {number}",
                network="192.0.2.0",
            )
            await store.issue(session, account.subject)
            await people.aclose()
            await store.aclose()
            return session

        return asyncio.run(issue())

    def look(self, session: Session):
        """What the store knows of a session."""

        async def load():
            store = stores.open(self.store)
            (found,) = await store.load([session.id])
            await store.aclose()
            return found

        return asyncio.run(load())


@pytest.fixture
def deployment(run, write, folder) -> Deployment:
    """Ann and bob may sign in."""
    write(SITE)
    for name in ("ann", "bob"):
        added = run("user", "add", name, "--password-stdin", input="correct horse battery\n")
        assert added.exit_code == 0, added.output
    return Deployment(folder)


def test_nobody_is_signed_in(run, deployment):
    """Without sessions there is nothing to list, and no error."""
    result = run("sessions", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(run("sessions", "list", "--json").stdout) == []


def test_living_sessions_are_listed(run, deployment):
    """Each living session is a line, newest first, and those whose time is up are none."""
    old = deployment.sign_in("ann", 1, ago=120)
    new = deployment.sign_in("bob", 2, ago=60)
    deployment.sign_in("bob", 3, ago=2 * HOUR)  # idle for too long
    lines = [line.split("\t") for line in run("sessions", "list").stdout.splitlines()]
    assert [(line[0], line[1], line[5], line[6]) for line in lines] == [
        (new.handle, "bob", "Device 2", "192.0.2.0"),
        (old.handle, "ann", "Device 1", "192.0.2.0"),
    ]
    assert [line.split("\t")[1] for line in run("sessions", "list", "--user", "ANN").stdout.splitlines()] == ["ann"]


def test_json_has_the_times(run, deployment):
    """For programs the times are whole, and no id of a session is told."""
    session = deployment.sign_in("ann", 1)
    (told,) = json.loads(run("sessions", "list", "--json").stdout)
    assert told["handle"] == session.handle
    assert told["person"] == "ann"
    assert told["subject"] == session.subject
    assert told["issued_at"].endswith("Z")
    assert told["idle_until"] < told["expires_at"]
    assert session.id.hex() not in json.dumps(told)


def test_ending_is_for_everybody_of_that_name(run, deployment):
    """All of a person's sessions end as revoked by an administrator, and nobody else's."""
    first, second = deployment.sign_in("ann", 1), deployment.sign_in("ann", 2)
    other = deployment.sign_in("bob", 3)
    assert run("sessions", "end", "--user", "ann").stdout == "Ended 2 sessions of ann.\n"
    for session in (first, second):
        found = deployment.look(session)
        assert isinstance(found, Ended)
        assert (found.how, found.actor) == (Ending.REVOKED, Actor.ADMINISTRATOR)
    assert not isinstance(deployment.look(other), Ended)
    assert run("sessions", "end", "--user", "ann", "--all").stdout == "ann has no session that is alive.\n"


def test_one_can_be_ended_by_its_handle(run, deployment):
    """With a handle, or enough of its start, one session ends."""
    first, second = deployment.sign_in("ann", 1), deployment.sign_in("ann", 2)
    result = run("sessions", "end", "--user", "ann", "--handle", first.handle[:6].upper())
    assert result.stdout == "Ended 1 session of ann.\n"
    assert isinstance(deployment.look(first), Ended)
    assert not isinstance(deployment.look(second), Ended)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["list", "--user", "eve"], 'There is nobody called "eve".'),
        (["end", "--user", "eve"], 'There is nobody called "eve".'),
        (["end", "--user", "ann", "--handle", "feed"], "ann has no session with the handle feed.\n    Alive are: "),
        (["end", "--user", "bob", "--handle", "feed"], "None of them is alive."),
        (["end", "--user", "ann", "--handle", ""], "A handle is empty."),
        (["end", "--user", "ann", "--all", "--handle", "feed"], "--all and --handle contradict each other."),
        (["end"], "Missing option '--user'"),
    ],
)
def test_what_cannot_be_ended(run, deployment, args, said):
    """A mistake ends nothing, and is told in one message."""
    sessions = [deployment.sign_in("ann", number) for number in (1, 2)]
    result = run("sessions", *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not any(isinstance(deployment.look(session), Ended) for session in sessions)


def test_sessions_in_memory_cannot_be_seen_from_outside(run, write):
    """Of a store in memory it says why there is nothing to see."""
    write(f'[sessions]\nstore = "memory:"\n{SITE}')
    result = run("sessions", "list")
    assert result.exit_code == 2
    assert "in the memory of the process that serves" in result.stderr


def test_a_store_that_is_none_is_told_plainly(run, write, folder):
    """A file that is not a database gets one message and no traceback."""
    write(SITE)
    (folder / "sessions.db").write_bytes(b"this is not a database, and long enough to be looked at" * 20)
    result = run("sessions", "list")
    assert result.exit_code == 2
    assert result.stderr.startswith("demur: ")
    assert "Traceback" not in result.stderr
