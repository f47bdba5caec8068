"""`demur token`: making, listing and revoking API tokens."""

import asyncio
import json
import re
import shutil
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from demur import stores
from demur.cli import app
from demur.core.model import Actor, Ended, Ending, Live
from demur.core.sessions import identify

pytestmark = pytest.mark.slow

SITE = """
[[site]]
origin = "http://localhost:8000"
upstream = "http://127.0.0.1:9000"
{accepts}
[site.permissions]
"report:read" = ["staff"]
"report:write" = ["staff"]
"all news" = ["staff"]
"""
DAY = 86400
FORM = re.compile(r"demur_[A-Za-z0-9_-]{56}\n")


class Deployment:
    """The tokens of the configuration in the folder."""

    def __init__(self, run, folder) -> None:
        self.run = run
        self.store = f"sqlite:{folder}/sessions.db"

    def make(self, user: str, *args: str) -> str:
        """A new token's text."""
        result = self.run("token", "create", "--user", user, "--label", "nightly", *(args or ("--everything",)))
        assert result.exit_code == 0, result.output
        assert FORM.fullmatch(result.stdout)
        return str(result.stdout.strip())

    def look(self, token: str):
        """What the store knows of a token."""

        async def load():
            store = stores.open(self.store)
            (found,) = await store.load([identify(token)])
            await store.aclose()
            return found

        return asyncio.run(load())


@pytest.fixture(scope="module")
def peopled(tmp_path_factory) -> Path:
    """A folder whose accounts know ann and bob, and dora, who is disabled; made once, for hashing takes its time."""
    made: Path = tmp_path_factory.mktemp("peopled")
    file = made / "demur.toml"
    file.write_text("version = 1\n" + SITE.format(accepts='accepts = ["bearer"]'))

    def command(*args: str, **more) -> None:
        done = CliRunner().invoke(app, [*args, "--config", str(file)], **more)
        assert done.exit_code == 0, done.output

    for name in ("ann", "bob", "dora"):
        command("user", "add", name, "--password-stdin", input="correct horse battery\n")
    command("user", "disable", "dora")
    return made


@pytest.fixture
def deployment(run, peopled, folder) -> Deployment:
    """Ann and bob may sign in, dora may not."""
    shutil.copytree(peopled, folder, dirs_exist_ok=True)
    return Deployment(run, folder)


def test_a_token_stands_alone_on_standard_output(run, deployment, folder):
    """So that it can be put into a file or a variable; what it is stands beside it, and it is kept nowhere."""
    result = run("token", "create", "--user", "ANN", "--label", "nightly export", "--scope", "report:read")
    assert result.exit_code == 0
    assert FORM.fullmatch(result.stdout)
    assert re.fullmatch(
        r"Made a token of ann, good for report:read, until \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ\. "
        r"This is the only time that it is shown:\n",
        result.stderr,
    )
    live = deployment.look(result.stdout.strip())
    assert isinstance(live, Live)
    session = live.session
    assert (live.subject.name, session.kind, session.label) == ("ann", "token", "nightly export")
    assert (session.scopes, session.idle, session.last_seen) == (("report:read",), 0, 0)
    assert session.expires_at - session.issued_at == 90 * DAY
    assert result.stdout.strip().encode() not in b"".join(file.read_bytes() for file in folder.glob("*.db*"))


@pytest.mark.parametrize(
    ("args", "scopes", "days"),
    [
        (["--everything"], None, 90),
        (["--scope", "report:write", "--scope", "report:read"], ["report:read", "report:write"], 90),
        (["--everything", "--expires", "366d"], None, 366),
        (["--everything", "--expires", "12h"], None, 0.5),
        (["--everything", "--expires", "86400"], None, 1),
    ],
)
def test_json(run, deployment, args, scopes, days):
    """For programs, with the times, and in the list the same without the token."""
    made = json.loads(run("token", "create", "--user", "ann", "--label", "x", "--json", *args).stdout)
    token = made.pop("token")
    assert FORM.fullmatch(f"{token}\n")
    assert json.loads(run("token", "list", "--json").stdout) == [made]
    assert (made["person"], made["label"], made["scopes"], made["last_used_at"]) == ("ann", "x", scopes, None)
    live = deployment.look(token)
    assert isinstance(live, Live)
    assert live.session.expires_at - live.session.issued_at == days * DAY
    assert made["handle"] == live.session.handle


def test_nobody_would_look_at_it(run, write, deployment):
    """A note where no rule accepts tokens; the token is made all the same."""
    write(SITE.format(accepts=""))
    result = run("token", "create", "--user", "ann", "--label", "x", "--everything")
    assert result.exit_code == 0
    assert "Note: no site accepts tokens yet" in result.stderr
    assert FORM.fullmatch(result.stdout)


MAKE = ["create", "--user", "ann", "--label", "x"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (MAKE, "A token is good for something.\n    Give --scope"),
        ([*MAKE, "--everything", "--scope", "report:read"], "--scope and --everything contradict each other."),
        ([*MAKE, "--scope", "report:raed"], 'has a permission "report:raed".\n    Did you mean "report:read"?'),
        ([*MAKE, "--scope", "zzz"], "    There are: all news, report:read, report:write."),
        ([*MAKE, "--scope", "all news"], '"all news" cannot be a scope'),
        ([*MAKE, "--everything", "--expires", "367d"], "A token lasts at most 366 days"),
        ([*MAKE, "--everything", "--expires", "0"], "--expires: 0 is not a duration."),
        ([*MAKE, "--everything", "--expires", "soon"], "--expires: 'soon' is not a duration."),
        (["create", "--user", "ann", "--label", " ", "--everything"], "A label is 1 to 80 visible characters."),
        (["create", "--user", "eve", "--label", "x", "--everything"], 'There is nobody called "eve".'),
        (["create", "--user", "dora", "--label", "x", "--everything"], "dora is disabled"),
        (["create", "--user", "ann", "--everything"], "Missing option '--label'"),
        (["list", "--user", "eve"], 'There is nobody called "eve".'),
        (["revoke"], "Which?\n    Give the handles"),
        (["revoke", "--user", "eve"], 'There is nobody called "eve".'),
        (["revoke", "--user", "ann", "feed"], "HANDLE and --user contradict each other."),
        (["revoke", "feed"], "There is no token with the handle feed.\n    Alive are: "),
        (["revoke", ""], "A handle is empty."),
    ],
)
def test_what_cannot_be(run, deployment, args, said):
    """One message and status 2; nothing is made and nothing ends."""
    tokens = [deployment.make("ann"), deployment.make("ann")]
    result = run("token", *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert all(isinstance(deployment.look(token), Live) for token in tokens)
    assert len(json.loads(run("token", "list", "--json").stdout)) == 2


def test_the_list(run, deployment):
    """A line each, newest first, with whose they are and what they are good for."""
    assert (run("token", "list").stdout, json.loads(run("token", "list", "--json").stdout)) == ("", [])
    first = deployment.look(deployment.make("ann", "--scope", "report:read", "--scope", "report:write")).session
    second = deployment.look(deployment.make("bob")).session
    lines = [line.split("\t") for line in run("token", "list").stdout.splitlines()]
    assert [line[:4] for line in lines] == [
        [second.handle, "bob", "nightly", "(everything)"],
        [first.handle, "ann", "nightly", "report:read report:write"],
    ]
    assert [line[5] for line in lines] == ["never", "never"]
    assert [line.split("\t")[1] for line in run("token", "list", "--user", "Ann").stdout.splitlines()] == ["ann"]
    assert run("sessions", "list").stdout == ""


def test_revoking_some(run, deployment):
    """By their handles or enough of the start; all of them are found before any is revoked."""
    tokens = [deployment.make("ann") for _ in range(3)]
    handles = [deployment.look(token).session.handle for token in tokens]
    assert run("token", "revoke", handles[0], "feed").exit_code == 2
    assert isinstance(deployment.look(tokens[0]), Live)
    before = int(time.time())
    assert run("token", "revoke", handles[0], handles[1][:10].upper()).stdout == "Revoked 2 tokens.\n"
    for token in tokens[:2]:
        found = deployment.look(token)
        assert isinstance(found, Ended)
        assert (found.how, found.actor, found.when >= before) == (Ending.REVOKED, Actor.ADMINISTRATOR, True)
    assert isinstance(deployment.look(tokens[2]), Live)


def test_revoking_all_of_somebody(run, deployment):
    """And nobody else's."""
    anns, bobs = deployment.make("ann"), deployment.make("bob")
    assert run("token", "revoke", "--user", "ann").stdout == "Revoked 1 token of ann.\n"
    assert run("token", "revoke", "--user", "ann").stdout == "ann has no token that is alive.\n"
    assert isinstance(deployment.look(anns), Ended)
    assert isinstance(deployment.look(bobs), Live)


def test_ending_sessions_leaves_tokens(run, deployment):
    """`demur sessions end` is about sign-ins; `demur user delete` ends both."""
    token = deployment.make("ann")
    assert run("sessions", "end", "--user", "ann").stdout == "ann has no session that is alive.\n"
    assert isinstance(deployment.look(token), Live)
    assert run("user", "delete", "ann", "--yes").exit_code == 0
    assert isinstance(deployment.look(token), Ended)


def test_tokens_in_memory_cannot_be_made_from_outside(run, write):
    """Of a store in memory it says why."""
    write(f'[sessions]\nstore = "memory:"\n{SITE.format(accepts="")}')
    result = run("token", "list")
    assert result.exit_code == 2
    assert "in the memory of the process that serves" in result.stderr
