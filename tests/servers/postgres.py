"""Real PostgreSQL servers for tests, out of what Debian has installed.

- One server for each process that runs tests (`postgres`), and an empty database in it for each test (`postgres_url`).
- Whoever breaks servers makes their own: `with Server(…) as server`.
- A server listens on a socket in its own folder, without passwords, and on a free port of 127.0.0.1, with them.
- It never outlives the process that started it. PostgreSQL refuses to run as root; then it runs as `postgres`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import pytest
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROLE = "demur"
PASSWORD = "kept secret"
"""Of the role that owns the databases made here, and of the superuser `postgres`, over TCP."""

_PATIENCE = 20.0

_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "200",
    "max_wal_size": "64MB",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "autovacuum_naptime": "1h",
    "timezone": "UTC",
    "lc_messages": "C",
}

_RULES = """
local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""


def _programs() -> Path | None:
    """Where the newest PostgreSQL's programs are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    somewhere = shutil.which("initdb")
    return None if somewhere is None else Path(somewhere).resolve().parent


PROGRAMS = _programs()


def unprivileged() -> list[str]:
    """In front of a command: as whom it runs, and that it goes when we do."""
    alone = ["setpriv", "--pdeathsig", "INT"]
    return [*alone, "--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.getuid() == 0 else alone


def _own(folder: Path) -> None:
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "postgres:postgres", folder], check=True)


def _run(*command: str | Path, stdin: str = "", env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        [*unprivileged(), *command],
        input=stdin,
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, **(env or {})},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _program(name: str) -> Path:
    if PROGRAMS is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    return PROGRAMS / name


def make_template(folder: Path) -> None:
    """A new cluster in a folder, which must be empty, with the role and a database of its name."""
    _own(folder)
    _run(
        _program("initdb"),
        *("--pgdata", folder, "--username", "postgres", "--encoding", "UTF8", "--locale", "C"),
        *("--auth", "trust", "--no-sync", "--no-instructions", "--wal-segsize", "1"),
    )
    (folder / "pg_hba.conf").write_text(_RULES)
    say = f"ALTER ROLE postgres PASSWORD '{PASSWORD}';\nCREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}';\n"
    _run(
        _program("postgres"),
        *("--single", "-F", "-D", folder, "-c", "log_min_messages=fatal", "postgres"),
        stdin=f"{say}CREATE DATABASE {ROLE} OWNER {ROLE};\n",
    )


class Server:
    """One PostgreSQL. Everything of it lies in a folder of its own, which goes with it.

    `template` is a folder made by `make_template`; without one, one is made. `fsync` makes it keep what it said in a
    power cut, as in real life. `tls` is a certificate and a key: TCP is then encrypted only. `settings` are added to
    postgresql.conf. With `of`, it is a streaming standby of that server.
    """

    def __init__(
        self,
        *,
        template: Path | None = None,
        fsync: bool = False,
        tls: tuple[Path, Path] | None = None,
        settings: Mapping[str, str] | None = None,
        of: Server | None = None,
    ) -> None:
        _program("postgres")
        self._template = template
        self._tls = tls
        self._of = of
        self._settings = {**_SETTINGS, **(settings or {})}
        if fsync:
            self._settings |= {"fsync": "on", "full_page_writes": "on"}
        # Short, because the path of a socket is, and not pytest's, because those are for its user's eyes only.
        self.folder = Path(tempfile.mkdtemp(prefix="demur-pg-"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._make()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    # --- where it is ------------------------------------------------------------------------------

    def url(self, database: str = ROLE, *, role: str = ROLE, more: str = "") -> str:
        """By the socket, without a password. `more` are further parameters, such as "&connect_timeout=1"."""
        where = quote(str(self.folder), safe="")
        return f"postgresql://{role}@/{database}?host={where}&port={self.port}{more}"

    def tcp(
        self,
        database: str = ROLE,
        *,
        role: str = ROLE,
        password: str | None = PASSWORD,
        port: int | None = None,
        more: str = "",
    ) -> str:
        """By TCP, with a password; `port` is that of a proxy in between."""
        who = role if password is None else f"{role}:{quote(password, safe='')}"
        return f"postgresql://{who}@127.0.0.1:{port or self.port}/{database}{'?' + more if more else ''}"

    def sql(self, *statements: str, database: str = ROLE) -> list[tuple[object, ...]]:
        """Run statements as the superuser, each for itself; the rows of the last one."""
        import psycopg  # noqa: PLC0415 - not everybody who imports this has it

        with psycopg.connect(self.url(database, role="postgres"), autocommit=True) as connection:
            rows: list[tuple[object, ...]] = []
            for statement in statements:
                found = connection.execute(statement.encode())
                rows = found.fetchall() if found.description else []
        return rows

    def create(self, database: str) -> str:
        """A new, empty database of the role's; its URL by the socket."""
        self.sql(f"CREATE DATABASE {database} OWNER {ROLE}", database="postgres")
        return self.url(database)

    def drop(self, database: str) -> None:
        """That database is gone, whoever uses it."""
        self.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)", database="postgres")

    def disconnect(self, database: str) -> None:
        """Whoever uses that database is thrown out."""
        others = f"datname = '{database}' AND pid <> pg_backend_pid()"
        self.sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}", database=database)

    def empty(self, database: str) -> None:
        """Nobody uses that database, and nothing of the role's is in it: half of what a new one costs."""
        self.disconnect(database)
        self.sql(f"DROP OWNED BY {ROLE} CASCADE", database=database)

    # --- how it fares -----------------------------------------------------------------------------

    def start(self, within: float = _PATIENCE) -> None:
        """Start it, at the same port as before; ready for connections when this returns."""
        for _ in range(3):  # somebody else may take a free port first
            if self._try(self.port or free_port(), within):
                return
        raise AssertionError(self.log())

    def stop(self) -> None:
        """As an administrator would, at once: whoever is connected is told (57P01)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL for all of its processes at once."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """`stop`, `start`."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """It is there, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it was."""
        self._signal(signal.SIGCONT)

    def promote(self) -> None:
        """A standby becomes a server that can be written to."""
        (done,) = self.sql("SELECT pg_promote(true, 10)", database="postgres")
        assert done == (True,)
        self._of = None

    def caught_up(self) -> None:
        """Wait until every standby has replayed all that there is now."""
        ((now,),) = self.sql("SELECT pg_current_wal_lsn()", database="postgres")
        behind = f"SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= '{now}'::pg_lsn"
        until = time.monotonic() + _PATIENCE
        while not self.sql(behind, database="postgres")[0][0]:
            assert time.monotonic() < until, self.log()
            time.sleep(0.01)

    def log(self) -> str:
        """What it wrote to its log."""
        return (self.folder / "log").read_text(errors="replace")

    def remove(self) -> None:
        """End it and forget all of it."""
        if self._process is not None:
            self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        if self._of is not None:
            self._copy_of(self._of)
        elif self._template is not None:
            subprocess.run(["cp", "-a", self._template, self.data], check=True)
        else:
            self.data.mkdir(mode=0o700)
            make_template(self.data)
        if self._tls is not None:
            for path, name in zip(self._tls, ("server.crt", "server.key"), strict=True):
                shutil.copy(path, self.data / name)
                (self.data / name).chmod(0o600)
            self._settings["ssl"] = "on"
            rules = (self.data / "pg_hba.conf").read_text()
            (self.data / "pg_hba.conf").write_text(re.sub("^host ", "hostssl ", rules, flags=re.MULTILINE))
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())
        _own(self.folder)

    def _copy_of(self, primary: Server) -> None:
        _own(self.folder)
        _run(
            _program("pg_basebackup"),
            *("--pgdata", self.data, "--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast"),
            *("--no-sync", "--dbname", f"host={primary.folder} port={primary.port} user=postgres"),
        )

    def _try(self, port: int, within: float) -> bool:
        state = self.data / "postmaster.pid"
        command: list[str | Path] = [
            *unprivileged(),
            *(_program("postgres"), "-D", self.data, "-k", self.folder, "-p", str(port), "-h", "127.0.0.1"),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        until = time.monotonic() + within
        while self._process.poll() is None:
            assert time.monotonic() < until, self.log()
            if _is_ready(state, self._process.pid):
                self.port = port
                return True
            time.sleep(0.01)
        self._process = None
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None, "it is not running"
        everybody = _family(process.pid)
        for pid in everybody if how is signal.SIGKILL else [process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        for pid in everybody:  # one that was paused must hear it
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        process.wait(_PATIENCE)
        until = time.monotonic() + _PATIENCE
        while any(map(_is_there, everybody)):  # a new one would not start beside them
            assert time.monotonic() < until, everybody
            time.sleep(0.005)

    def _signal(self, what: signal.Signals) -> None:
        assert self._process is not None, "it is not running"
        for pid in _family(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, what)


def _is_ready(state: Path, pid: int) -> bool:
    # The eighth line says how far it is ("Interlock file", miscadmin.h).
    try:
        lines = state.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() in {"ready", "standby"}


def _family(pid: int) -> list[int]:
    """A process and its children. Each of PostgreSQL's leads a session of its own."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *map(int, children.read_text().split())] if children.exists() else [pid]


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def certificate(folder: Path, *, expired: bool = False) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority (for `sslrootcert`), and its key."""
    from cryptography import x509  # noqa: PLC0415 - few need it
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    where = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=-1 if expired else 1))
        .add_extension(x509.SubjectAlternativeName(where), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "server.crt", folder / "server.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    return paths


# --- fixtures -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster to make servers of, made once for all processes of one run."""
    if PROGRAMS is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    ours = tmp_path_factory.getbasetemp()
    shared = (ours.parent if os.environ.get("PYTEST_XDIST_WORKER") else ours) / "postgres"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            with tempfile.TemporaryDirectory(prefix="demur-pg-") as folder:
                Path(folder).chmod(0o755)
                data = Path(folder) / "data"
                data.mkdir(mode=0o700)
                make_template(data)
                subprocess.run(["cp", "-a", data, shared.with_suffix(".new")], check=True)
            shared.with_suffix(".new").rename(shared)
    return shared


@pytest.fixture(scope="session")
def postgres(postgres_template: Path) -> Iterator[Server]:
    """A server for all tests of this process. Nobody stops it; who wants to has their own."""
    with Server(template=postgres_template) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Server) -> Iterator[str]:
    """The URL of an empty database of its own."""
    yield postgres.url()
    postgres.empty(ROLE)
