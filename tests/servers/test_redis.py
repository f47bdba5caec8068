"""The Redis and Valkey servers that tests start are what they are said to be."""

from __future__ import annotations

import pytest
from tests.servers.postgres import certificate
from tests.servers.redis import Failed, Sentinel, Server, cluster

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("program", ["redis", "valkey"])
def test_a_server_can_be_stopped_killed_and_paused(program: str) -> None:
    """And comes back at its port: with all that it said, if it keeps an append only file; else with nothing."""
    for appendonly in (True, False):
        with Server(program=program, appendonly=appendonly) as server:
            port = server.port
            server.say("SET", "key", "value")
            server.pause()
            server.resume()
            server.kill()
            server.start()
            assert server.say("GET", "key") == (b"value" if appendonly else None)
            server.restart()
            assert server.say("GET", "key") == (b"value" if appendonly else None)
            assert server.port == port


def test_a_replica_follows_and_becomes_the_master() -> None:
    """Because a Sentinel says so, when the master is gone."""
    with Server() as master, Server(of=master) as replica, Sentinel(master, silence=0.2) as sentinel:
        master.say("SET", "key", "value")
        master.caught_up()
        assert replica.say("GET", "key") == b"value"
        with pytest.raises(Failed, match="READONLY"):
            replica.say("SET", "key", "other")
        sentinel.knows(replica)
        master.kill()
        sentinel.follows(replica)
        assert replica.say("ROLE")[0] == b"master"  # type: ignore[index]


@pytest.mark.slow
def test_a_cluster_serves_all_slots() -> None:
    """Each of three masters its share."""
    with cluster() as servers:
        told = 0
        for server in servers:
            try:
                server.say("SET", "key", "value")
            except Failed as failed:
                assert "MOVED" in str(failed)  # noqa: PT017 - one of three takes it
                told += 1
        assert told == 2


def test_a_server_may_have_tls_and_users(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Encrypted only, over TCP, and for whom it is said."""
    tls = certificate(tmp_path_factory.mktemp("tls"))
    with Server(tls=tls, acl=["default off", "ann on >secret ~* &* +@all"]) as server:
        assert server.tcp(who="ann:secret@").startswith("rediss://ann:secret@localhost:")
