"""Several gateways on one store: whichever answers, whichever ends, it is one."""

from __future__ import annotations

import contextlib
import json
import subprocess
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from tests.nodes.cluster import PEOPLE, Load, asked, cluster
from tests.servers import postgres, redis

from demur.authenticators.assertions.verifying import Verifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.nodes.cluster import Cluster

pytestmark = pytest.mark.slow


SQLITE = pytest.param("sqlite")
REDIS = pytest.param("redis", marks=pytest.mark.redis)
POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


def on(*stores: object) -> pytest.MarkDecorator:
    """Which stores a test is run on."""
    return pytest.mark.parametrize("here", stores, indirect=True)


@pytest.fixture(scope="module")
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Nodes on one store, behind nginx: two of them, or three on Redis."""
    folder = tmp_path_factory.mktemp("nodes")
    with contextlib.ExitStack() as stack:
        store, people = f"sqlite:{folder / 'sessions.db'}", ""
        if request.param == "redis":
            store = stack.enter_context(redis.Server()).url()
        if request.param == "postgres":
            template = request.getfixturevalue("postgres_template")
            store = people = stack.enter_context(postgres.Server(template=template)).url()
        count = 3 if request.param == "redis" else 2
        yield stack.enter_context(cluster(folder, store, people=people, nodes=count))


def sign_in(here: Cluster, port: int, name: str = "ann") -> str:
    """The token that somebody gets at a node, by name and password."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    body = urlencode({"username": name, "password": PEOPLE[name], "next": "/"})
    fields = {"Host": here.host, "Accept": "application/json", "Sec-Fetch-Site": "same-origin"}
    connection.request("POST", "/.demur/sign-in", body, fields | {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    assert answer.status == 200, said
    return str(answer.headers["Set-Cookie"]).partition("=")[2].partition(";")[0]


@on(SQLITE, REDIS, POSTGRES)
def test_a_rolling_restart_loses_nothing(here: Cluster) -> None:
    """One after the other, under load: every request is answered as if nothing were, and everybody stays signed in."""
    tokens = here.tokens(20)
    with Load(here.port, here.host, tokens) as load:
        for node in here.nodes:
            assert node.end() == 0
            load.more(30)
            node.start()
            load.more(30)
    assert load.wrong == []
    assert all(asked(here.port, "/members/x", token, host=here.host)[0] == 200 for token in tokens)


@on(SQLITE)
def test_a_reload_loses_nothing(here: Cluster) -> None:
    """The same for SIGHUP, which all of them may get at once."""
    with Load(here.port, here.host, here.tokens(5)) as load:
        for node in here.nodes:
            node.reload()
            load.more(20)
    assert load.wrong == []
    for node in here.nodes:
        assert "the new configuration is in use" in node.process.log.read_text()


@on(SQLITE, REDIS, POSTGRES)
def test_what_one_node_ends_is_over_at_all(here: Cluster) -> None:
    """As soon as whoever signs out has the answer, though all the others knew the session a moment ago."""
    for first in here.nodes:
        token = sign_in(here, first.pages)
        others = [node for node in here.nodes if node is not first]
        assert {node.ask("/members/x", token, host=here.host)[0] for node in others} == {200}
        assert first.ask("/.demur/sign-out", token, method="POST", host=here.host)[0] == 204
        for node in (*others, first):
            status, said = node.ask("/members/x", token, host=here.host)
            assert (status, json.loads(said)["reason"]) == (401, "session-ended")


@on(REDIS)
def test_a_node_that_dies_takes_nobody_with_it(here: Cluster) -> None:
    """Without a word, under load: what it was answering may be lost, and that is all. Nobody is told to sign in."""
    tokens = [sign_in(here, node.pages, name) for node, name in zip(here.nodes, ("ann", "bob", "ann"), strict=False)]
    for node in here.nodes:
        with Load(here.port, here.host, tokens) as load:
            node.kill()
            load.more(60)
        assert not {status for _, _, status in load.answers} & {401, 403}
        assert len(load.wrong) <= 8, load.wrong
        assert {asked(here.port, "/members/x", token, host=here.host)[0] for token in tokens} == {200}
        node.start()
    assert {node.ready()[0] for node in here.nodes} == {200}


@on(REDIS)
def test_every_node_verifies_what_any_node_signs(here: Cluster) -> None:
    """Whichever one an app asks for the keys."""
    sets = {node.ask("/.well-known/jwks.json", host=here.host) for node in here.nodes}
    assert len(sets) == 1
    status, published = sets.pop()
    assert status == 200
    Verifier(f"http://{here.host}", keys=json.loads(published))


@on(POSTGRES)
def test_a_node_with_keys_of_its_own_does_not_start(here: Cluster) -> None:
    """It says what to do, ends with 2, and nobody has noticed."""
    stranger = here.node("-stranger", keys="mine")
    process = stranger.process
    done = subprocess.run(process.command, cwd=process.folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "the keys here are not those of the other nodes on this store: key 0 differs" in done.stderr
    assert "Copy the folder of the keys from a node that runs." in done.stderr
    assert "Traceback" not in done.stderr
    assert {node.ready()[0] for node in here.nodes} == {200}
