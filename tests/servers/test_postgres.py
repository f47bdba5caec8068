"""The servers for tests: whoever breaks one must know that it breaks, and comes back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.servers.postgres import Server, certificate

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres


def ask(url: str, within: int = 2) -> object:
    """One connection, one question."""
    with psycopg.connect(url, connect_timeout=within) as connection:
        return connection.execute("SELECT 1").fetchone()


def test_a_server_ends_and_comes_back(postgres_template: Path) -> None:
    """Stopped, killed and paused, at one address."""
    with Server(template=postgres_template) as server:
        assert ask(server.tcp()) == ask(server.url()) == (1,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            ask(server.tcp(password="wrong"))
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            ask(server.tcp())
        server.start()
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            ask(server.tcp())
        server.start()
        server.pause()
        begun = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="timeout expired"):
            ask(server.tcp())
        assert time.monotonic() - begun > 1
        server.resume()
        assert ask(server.tcp()) == (1,)


def test_a_standby_follows_and_takes_over(postgres_template: Path) -> None:
    """What it was told it knows, and it can be written to when it is promoted."""
    with Server(template=postgres_template) as primary, Server(of=primary) as standby:
        primary.sql("CREATE TABLE x AS SELECT 1 AS y")
        primary.caught_up()
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            standby.sql("INSERT INTO x VALUES (2)")
        primary.kill()
        standby.promote()
        assert standby.sql("INSERT INTO x VALUES (2)", "SELECT y FROM x ORDER BY y") == [(1,), (2,)]


@pytest.mark.parametrize("expired", [False, True])
def test_a_server_speaks_tls(postgres_template: Path, tmp_path: Path, expired: bool) -> None:
    """And nothing else over TCP; an expired certificate is refused by whoever looks at it."""
    paths = certificate(tmp_path, expired=expired)
    with Server(template=postgres_template, tls=paths) as server:
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            ask(server.tcp(more="sslmode=disable"))
        seen = server.tcp(more=f"sslmode=verify-full&sslrootcert={paths[0]}")
        if not expired:
            assert ask(seen) == (1,)
            return
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            ask(seen)
