"""A real PgBouncer before one of our PostgreSQL servers."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from tests.ports import free_port
from tests.servers.postgres import PASSWORD, ROLE, unprivileged

if TYPE_CHECKING:
    from tests.servers.postgres import Server

_PATIENCE = 20.0
_CONF = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = 20
"""


class Bouncer:
    """PgBouncer, in a `mode`: "session" or "transaction". It goes with whoever made it."""

    def __init__(self, server: Server, mode: str) -> None:
        if shutil.which("pgbouncer") is None:
            pytest.skip("needs PgBouncer: apt-get install pgbouncer")
        self._server = server
        self._mode = mode
        self._folder = Path(tempfile.mkdtemp(prefix="demur-pgbouncer-"))
        self._folder.chmod(0o755)

    def __enter__(self) -> Self:
        (self._folder / "users").write_text(f'"{ROLE}" "{PASSWORD}"\n')
        self.port = free_port()
        said = {"server": self._server.port, "port": self.port, "folder": self._folder, "mode": self._mode}
        conf = self._folder / "pgbouncer.ini"
        conf.write_text(_CONF.format_map(said))
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen([*unprivileged(), "pgbouncer", conf], stdout=log, stderr=log, cwd="/")
        until = time.monotonic() + _PATIENCE
        while not self._listens():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(_PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str = ROLE) -> str:
        """A database of the server's, through it."""
        return self._server.tcp(database, port=self.port)

    def log(self) -> str:
        """What it wrote to its log."""
        return (self._folder / "log").read_text(errors="replace")

    def _listens(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0
