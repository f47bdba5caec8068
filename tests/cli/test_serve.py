"""`demur serve`, as a program: it starts, it stops, and it says plainly why it does not start."""

import contextlib
import http.client
import json
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports import free_port

SITE = (
    '[gateway]\nlisten = "127.0.0.1:{port}"\n'
    '[[site]]\norigin = "http://127.0.0.1:{port}"\nupstream = "http://127.0.0.1:9"\n'
    '[[site.rule]]\npath = "/**"\nallow = "signed-in"\n'
)


PROGRAM = [sys.executable, "-c", "from demur.cli import main; main()"]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def ports() -> list[int]:
    """Three ports that nobody listens on."""
    return [free_port() for _ in range(3)]


@pytest.fixture
def port(ports: list[int]) -> int:
    """A port that nobody listens on."""
    return ports[0]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`demur serve`, from when it listens until it has ended."""
    with subprocess.Popen([*PROGRAM, "serve"], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(timeout=40) == 0


def ask(
    port: int, path: str, *, method: str = "GET", body: str | None = None, **fields: str
) -> tuple[int, http.client.HTTPMessage, str]:
    """Status, fields and content of one answer, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, fields | (FORM if body else {}))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def assert_counted(admin: int, *expected: str) -> None:
    """The numbers come to be these: what another worker counts is seen a moment later."""
    deadline = time.monotonic() + 20
    while missing := set(expected).difference(ask(admin, "/metrics")[2].splitlines()):
        assert time.monotonic() < deadline, missing
        time.sleep(0.02)


@pytest.mark.slow
def test_it_serves_until_it_is_told_to_stop(folder, write, port):
    """After "listening" it refuses politely, and SIGTERM ends it with status 0."""
    write(SITE.format(port=port))
    program = [sys.executable, "-c", "from demur.cli import main; main()", "serve"]
    with subprocess.Popen(program, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert f"listening on http://127.0.0.1:{port}" in process.stderr.readline()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().status == 401
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_port_in_use_is_told_with_the_fix(demur, write):
    """Whoever starts it twice is told that the address is taken, in one message."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        write(SITE.format(port=port))
        done = demur("serve")
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Stop the other program, or choose another port." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["sessions.db", "accounts.db"])
def test_a_file_that_is_no_database_stops_the_start(demur, write, folder, port, name):
    """What is not a database is told with its line, and is left as it is."""
    write(SITE.format(port=port))
    (folder / name).write_text("notes, and not a database", encoding="utf-8")
    done = demur("serve")
    assert done.returncode == 2
    assert f"{name} is not an SQLite database." in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / name).read_text(encoding="utf-8") == "notes, and not a database"


@pytest.mark.slow
def test_serving_without_tls_is_said_at_every_start(folder, write, port):
    """`insecure_http` starts, and says what it gives up."""
    write(SITE.format(port=port).replace("[gateway]", "[gateway]\ninsecure_http = true").replace(
        f'origin = "http://127.0.0.1:{port}"', 'origin = "http://intranet"'
    ))  # fmt: skip
    program = [sys.executable, "-c", "from demur.cli import main; main()", "serve"]
    with subprocess.Popen(program, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == (
            "warning: http://intranet has no TLS (insecure_http = true): "
            "passwords and sessions can be read on the way.\n"
        )
        assert "listening" in process.stderr.readline()
        process.terminate()
        assert process.wait(timeout=40) == 0


@pytest.mark.slow
def test_two_workers_and_three_listeners(folder, write, ports):
    """Health and readiness stand on the check's listener, the numbers of all workers on the administration's, neither
    on the public one; and each refusal is one line of the log, under the reference that it showed."""
    public, check, admin = ports
    listening = f'workers = 2\ncheck_listen = "127.0.0.1:{check}"\nadmin_listen = "127.0.0.1:{admin}"\n'
    write(SITE.format(port=public).replace("[[site]]", f"{listening}[[site]]", 1))
    with serving(folder) as process:
        refused = [ask(public, "/reports/7") for _ in range(20)]
        refused += [ask(public, "/.demur/sign-in", method="POST", body="username=nobody&password=wrong")]
        refused += [ask(public, "/.demur/nowhere"), ask(public, "/%zz"), ask(public, "/", Host="elsewhere.example")]
        assert [status for status, _, _ in refused] == [401] * 21 + [404, 400, 421]
        assert {path: ask(check, path)[0] for path in ("/health", "/ready")} == {"/health": 200, "/ready": 200}
        assert_counted(
            admin,
            'demur_decisions_total{outcome="refuse",reason="sign-in-required"} 20.0',
            'demur_signin_total{method="password",outcome="failure"} 1.0',
        )
        assert [ask(public, path)[0] for path in ("/health", "/ready", "/metrics")] == [401, 401, 401]
        shown = [json.loads(body)["instance"].removeprefix("urn:uuid:") for _, _, body in refused]
        process.terminate()
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr if line.startswith("{")]
    written = Counter(line["reference"] for line in lines if line["event"] == "decision")
    assert [written[reference] for reference in shown] == [1] * len(shown)


@contextlib.contextmanager
def held(folder: Path, process: subprocess.Popen[str]) -> Iterator[None]:
    """Another program writes into the sessions, and does not come to an end."""
    with contextlib.closing(sqlite3.connect(folder / "sessions.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def full(folder: Path, process: subprocess.Popen[str]) -> Iterator[None]:
    """No file may grow in any worker, which is what a full disk does."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    workers = [int(worker) for worker in listed.split()]
    assert workers
    before = [resource.prlimit(worker, resource.RLIMIT_FSIZE) for worker in workers]
    for worker, (_, most) in zip(workers, before, strict=True):
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (1, most))
    yield
    for worker, limits in zip(workers, before, strict=True):
        resource.prlimit(worker, resource.RLIMIT_FSIZE, limits)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [held, full])
def test_sessions_that_cannot_be_written(folder, write, port, trouble):
    """Whoever is signed in stays so; signing in and out is 503 with a time to come back, and no cookie is touched."""
    write(SITE.format(port=port))
    add = [*PROGRAM, "user", "add", "anna", "--password-stdin"]
    subprocess.run(add, cwd=folder, input="a walrus in the attic", text=True, check=True, capture_output=True)
    form = "username=anna&password=a+walrus+in+the+attic"
    with serving(folder) as process:
        entered = ask(port, "/.demur/sign-in", method="POST", body=form)
        assert entered[0] == 200
        cookie = entered[1]["set-cookie"].partition(";")[0]
        with trouble(folder, process):
            assert ask(port, "/.demur/session", Cookie=cookie)[0] == 200
            for path, mine in (("sign-in", {}), ("sign-out", {"Cookie": cookie})):
                status, fields, body = ask(port, f"/.demur/{path}", method="POST", body=form, **mine)
                assert (status, json.loads(body)["reason"]) == (503, "unavailable")
                assert int(fields["retry-after"]) > 0
                assert fields["set-cookie"] is None
        assert ask(port, "/.demur/session", Cookie=cookie)[0] == 200
        assert ask(port, "/.demur/sign-in", method="POST", body=form)[0] == 200
