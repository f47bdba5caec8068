"""The parent and its workers, as processes of their own: start, crash, reload, end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.ports import free_port

from demur.core.model import ConfigError
from demur.gateway.config.addresses import Address
from demur.gateway.server import sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60.0  # seconds
GUARDED = Path(__file__).with_name("guarded.py")


class Gateway:
    """A running parent, what it said, and a way to ask."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "config.json"
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self.reader: threading.Thread | None = None
        self.port = 0

    def write(self, **config: Any) -> None:
        self.file.write_text(json.dumps({"listen": "127.0.0.1:0", **config}))

    def start(self, **config: Any) -> Gateway:
        self.launch(**config)
        self.wait_for("ready ")
        found = re.search(r"https?://127\.0\.0\.1:(\d+)", self.said("demur is listening on "))
        assert found is not None
        self.port = int(found[1])
        return self

    def launch(self, **config: Any) -> subprocess.Popen[str]:
        self.write(**config)
        self.process = subprocess.Popen(
            [sys.executable, str(GUARDED), str(self.file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        return self.process

    def ended(self) -> int:
        """Its status, once it and its workers have ended and all that they said is read."""
        assert self.process is not None
        assert self.reader is not None
        self.reader.join(PATIENCE)
        return self.process.wait(PATIENCE)

    def _read(self, stream: Any) -> None:
        for line in stream:
            self.lines.append(line.rstrip("\n"))
        stream.close()

    def said(self, text: str) -> str:
        return next((line for line in reversed(self.lines) if text in line), "")

    def wait_for(self, text: str) -> str:
        until(lambda: self.said(text), lambda: f"{text!r} was not said: {self.lines}")
        return self.said(text)

    def ask(self, path: str = "/") -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def pids(self, count: int) -> set[int]:
        seen: set[int] = set()

        def enough() -> bool:
            seen.add(self.ask()["pid"])
            return len(seen) >= count

        until(enough, lambda: f"only {seen}")
        return seen

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.send(number)
        return self.ended()


def until(check: Callable[[], Any], why: Callable[[], str], seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.01)
    return found


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    it = Gateway(tmp_path)
    yield it
    if it.process is not None:
        if it.process.poll() is None:
            it.process.kill()
        it.process.wait()


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or while it was read
        return False
    return "Z" not in stat.rpartition(")")[2].split()[0]


def test_start_and_end(gateway: Gateway) -> None:
    """Workers of one parent answer, one of them keeps house, and SIGTERM ends all of it with status 0."""
    gateway.start(text="one", workers=2)
    pids = gateway.pids(2)
    told: dict[int, dict[str, Any]] = {}

    def all_are_told() -> bool:
        one = gateway.ask()
        told[one["pid"]] = one
        return told.keys() == pids and sum(one["house"] for one in told.values()) == 1

    until(all_are_told, lambda: str(told))
    assert {one["parent"] for one in told.values()} == {gateway.process.pid}  # type: ignore[union-attr]
    (folder,) = {Path(one["metrics"]) for one in told.values()}
    assert folder.is_dir()
    assert gateway.end() == 0
    assert not any(alive(pid) for pid in pids)
    assert not folder.exists()
    assert sum(line.startswith("closed ") for line in gateway.lines) == 2


def test_listening_is_said_once_it_is_true(gateway: Gateway, tmp_path: Path) -> None:
    """Each listener is named with its address, in one line."""
    gateway.start(workers=1, check_listen=f"unix:{tmp_path}/check.sock", admin_listen="127.0.0.1:0")
    line = gateway.said("listening")
    assert re.fullmatch(
        rf"demur is listening on http://127\.0\.0\.1:\d+, unix:{tmp_path}/check\.sock, http://127\.0\.0\.1:\d+", line
    )
    assert (tmp_path / "check.sock").stat().st_mode & 0o777 == 0o660
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "check.sock"))
        client.sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"ready")
    assert gateway.end() == 0
    assert not (tmp_path / "check.sock").exists()


def test_an_end_in_the_middle_of_the_start(gateway: Gateway) -> None:
    """A worker that did not hear of the end because it was just being born is told again once it is ready."""
    gateway.launch(workers=1, fault="deaf")
    assert gateway.ended() == 0
    assert not gateway.said("demur is listening on ")


def test_a_crashed_worker_is_replaced(gateway: Gateway) -> None:
    """A worker that ends is told, with why, and another one takes its place."""
    gateway.start(workers=2)
    before = gateway.pids(2)
    victim = before.pop()
    os.kill(victim, signal.SIGKILL)
    assert f"worker {victim} has ended: signal SIGKILL" in gateway.wait_for("has ended")
    after = gateway.pids(2)
    assert victim not in after
    assert before <= after


def test_a_worker_that_cannot_start_stops_the_start(gateway: Gateway) -> None:
    """A configuration that no worker can serve ends the start with what is wrong."""
    gateway.launch(fault="build")
    assert gateway.ended() == 1
    gateway.wait_for("demur could not start: the database is not one.")


def test_a_worker_that_crashes_stops_the_start(gateway: Gateway) -> None:
    """A worker that dies before it is ready ends the start, too."""
    gateway.launch(fault="crash")
    assert gateway.ended() == 1
    gateway.wait_for("demur could not start: signal SIGABRT")


def test_reload(gateway: Gateway) -> None:
    """SIGHUP brings the new configuration; workers of the old one go."""
    gateway.start(text="one", workers=2)
    before = gateway.pids(2)
    gateway.write(text="two", workers=1)
    gateway.send(signal.SIGHUP)
    gateway.wait_for("the new configuration is in use")
    until(lambda: not any(alive(pid) for pid in before), lambda: "old workers stay")
    assert {gateway.ask()["text"] for _ in range(10)} == {"two"}
    assert gateway.said("ready two") == ""


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"fault": "load"}, "demur.toml:1: this cannot be used. Write something else."),
        ({"fault": "build"}, "the database is not one."),
        ({"fault": "crash"}, "signal SIGABRT"),
        ({"tls": ["/nonexistent.pem", "/nonexistent.pem"]}, "/nonexistent.pem cannot be read"),
        ({"admin_listen": "192.0.2.1:9"}, "cannot listen on 192.0.2.1:9"),
    ],
)
def test_a_bad_reload_changes_nothing(gateway: Gateway, config: dict[str, Any], says: str) -> None:
    """A new configuration that cannot be used is told, and the old one goes on, with the same workers."""
    gateway.start(text="one", workers=2)
    before = gateway.pids(2)
    gateway.write(text="two", **config)
    gateway.send(signal.SIGHUP)
    assert says in gateway.wait_for("the new configuration is not used, the old one stays")
    assert gateway.ask()["text"] == "one"
    assert gateway.pids(2) == before
    gateway.write(text="three")
    gateway.send(signal.SIGHUP)
    gateway.wait_for("the new configuration is in use")
    until(lambda: not any(alive(pid) for pid in before), lambda: "old workers stay")
    assert gateway.ask()["text"] == "three"


def test_reload_may_move(gateway: Gateway) -> None:
    """A new address is opened before the old one is closed, and nobody listens at the old one afterwards."""
    gateway.start(workers=1)
    free = free_port()
    gateway.write(listen=f"127.0.0.1:{free}", workers=1)
    gateway.send(signal.SIGHUP)
    assert f":{free}" in gateway.wait_for("the new configuration is in use")

    def refused() -> bool:
        try:
            gateway.ask()
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
        return False

    until(refused, lambda: "the old port is still open")
    gateway.port = free
    assert gateway.ask()["pid"]


def test_reload_brings_a_new_certificate(gateway: Gateway, tmp_path: Path) -> None:
    """The certificate is read again at a reload; a broken one is told, and the old one stays."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def issue(name: str) -> None:
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj"
        subprocess.run([*command.split(), f"/CN={name}", "-out", cert, "-keyout", key], check=True, capture_output=True)

    def served() -> bytes:
        return ssl.get_server_certificate(("127.0.0.1", gateway.port)).encode()

    issue("first")
    gateway.start(workers=1, tls=[str(cert), str(key)])
    assert f"https://127.0.0.1:{gateway.port}" in gateway.said("listening")
    assert served() == cert.read_bytes()
    issue("second")
    gateway.send(signal.SIGHUP)
    gateway.wait_for("in use; listening on https://")
    second = cert.read_bytes()
    until(lambda: served() == second, lambda: "the first certificate stays")
    cert.write_text("broken")
    gateway.send(signal.SIGHUP)
    assert "cert.pem" in gateway.wait_for("the new configuration is not used")
    assert served() == second


@pytest.mark.slow
def test_reload_under_load_loses_nothing(gateway: Gateway) -> None:
    """New connections, kept connections and slow requests: of thousands, none fails while five reloads happen."""
    gateway.start(text="0", workers=2)
    failures: list[str] = []
    counts = {"new": 0, "kept": 0, "slow": 0}
    over = threading.Event()

    def ask(kind: str) -> None:
        connection = None
        while not over.is_set():
            connection = connection or http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
            try:
                connection.request("GET", "/slow?0.2" if kind == "slow" else "/")
                answer = connection.getresponse()
                json.loads(answer.read())
                counts[kind] += 1
            except (OSError, http.client.HTTPException, ValueError) as error:
                failures.append(f"{kind}: {error!r}")
                connection.close()
                connection = None
            else:
                if kind != "kept" or answer.will_close:
                    connection.close()
                    connection = None
        if connection is not None:
            connection.close()

    threads = [threading.Thread(target=ask, args=(kind,)) for kind in ("new", "new", "kept", "kept", "slow", "slow")]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 6):
            gateway.write(text=str(number))
            gateway.send(signal.SIGHUP)
            gateway.wait_for("in use; listening on")
            gateway.lines.clear()
        until(lambda: sum(counts.values()) > 3000 and counts["slow"] > 10, lambda: str(counts))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, (counts, failures[:5])


def test_what_runs_is_finished(gateway: Gateway) -> None:
    """A request that runs when the end is asked for is answered, and nobody new is let in meanwhile."""
    gateway.start(workers=1)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(gateway.ask("/slow?1.0")))
    thread.start()
    gateway.wait_for("asked for something slow")
    gateway.send(signal.SIGTERM)
    gateway.wait_for("finishing what is open")
    thread.join()
    assert answers[0]["pid"]
    assert gateway.ended() == 0


def test_interrupted_twice(gateway: Gateway) -> None:
    """The first Ctrl-C waits for what runs, the second one does not."""
    gateway.start(workers=2)

    def broken_off() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            gateway.ask("/slow?30")

    thread = threading.Thread(target=broken_off)
    thread.start()
    gateway.wait_for("asked for something slow")
    gateway.send(signal.SIGINT)
    gateway.wait_for("finishing what is open")
    assert gateway.end(signal.SIGINT) == 130
    thread.join()


def test_workers_do_not_outlive_their_parent(gateway: Gateway) -> None:
    """When the parent is killed, the workers end."""
    gateway.start(workers=2)
    pids = gateway.pids(2)
    gateway.end(signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids), lambda: "workers stay")


# --- sockets ----------------------------------------------------------------------------------------


def test_a_port_in_use_is_told() -> None:
    """The error names the address, the place in the configuration and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError) as raised:
            sockets.bind(Address.parse(address), "gateway.listen")
    assert str(raised.value) == (
        f"gateway.listen: cannot listen on {address}: Address already in use. "
        "Stop the other program, or choose another port."
    )


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("192.0.2.1:80", 'Give an address of this machine, or "0.0.0.0" for all of them.'),
        ("no.such.host.invalid:80", "Give an address of this machine."),
        ("unix:/no/such/folder/s", "Choose another path, or look at what is in /no/such/folder."),
    ],
)
def test_an_impossible_address_is_told(address: str, says: str) -> None:
    """Each way in which listening can fail has its own advice."""
    with pytest.raises(ConfigError) as raised:
        sockets.bind(Address.parse(address), "gateway.listen")
    assert raised.value.fix == says


def test_stale_sockets_are_replaced(tmp_path: Path) -> None:
    """A unix socket that nobody listens on is replaced; one in use, or a file, is left alone and told."""
    address = Address(path=tmp_path / "s")
    with sockets.bind(address, "x"), pytest.raises(ConfigError, match="another program listens there"):
        sockets.bind(address, "x")
    assert (tmp_path / "s").exists()
    with sockets.bind(address, "x") as sock:
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660
        assert sockets.url(sock, tls=False) == f"unix:{tmp_path}/s"
    (tmp_path / "s").unlink()
    (tmp_path / "s").write_text("precious")
    with pytest.raises(ConfigError, match="not a socket"):
        sockets.bind(address, "x")
    assert (tmp_path / "s").read_text() == "precious"
