"""`demur doctor`: what is printed, and how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.doctor.test_examination import MEMBERS, configured
from tests.ports import free_port
from tests.site.houses import DEMUR
from typer.testing import CliRunner, Result

from demur import stores
from demur.cli import app
from demur.gateway.doctor.checks import CHECKS, Finding, Verdict
from demur.gateway.doctor.standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demur.gateway.config.tables import Config


def doctor(folder: Path, *more: str) -> Result:
    """Run it with the configuration there."""
    return CliRunner().invoke(app, ["doctor", "--config", str(folder / "demur.toml"), *more], prog_name="demur")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A configuration for a site where an app that asks nobody listens in the proxy's place."""
    with StandIn("127.0.0.1", 0) as standing:
        configured(tmp_path, MEMBERS, proxy=standing.address[1])
        yield tmp_path


def test_what_is_wrong_is_said_with_its_remedy(folder: Path) -> None:
    """A line for each check, the remedy below it, and exit status 1."""
    done = doctor(folder)
    assert done.exit_code == 1, done.output
    assert max(map(len, CHECKS)) == 16
    lines = done.output.splitlines()
    assert lines[0].startswith("http://localhost:")
    assert sum(line.startswith(("  right     ", "  WRONG     ", "  not seen  ")) for line in lines) == len(CHECKS)
    at = next(index for index, line in enumerate(lines) if "instead of 401" in line)
    assert lines[at].startswith(
        "  WRONG     status            a request for /members/demur-doctor from nobody was answered with 200"
    )
    assert lines[at + 1].startswith(" " * 30 + "The proxy does not ask demur")


def test_json_is_for_programs(folder: Path) -> None:
    """The same, with the names of the checks."""
    done = doctor(folder, "--json")
    assert done.exit_code == 1
    (site,) = json.loads(done.stdout)
    assert [each["check"] for each in site["findings"]] == list(CHECKS)
    assert set(site["findings"][0]) == {"check", "verdict", "said", "fix"}


def test_nothing_wrong_is_exit_status_0(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not seen is not wrong."""
    fine = [Finding("a", Verdict.RIGHT, "fine"), Finding("b", Verdict.NOT_SEEN, "dark")]
    monkeypatch.setattr("demur.gateway.doctor.examination.examine", lambda _: fine)
    done = doctor(folder)
    assert (done.exit_code, done.output.splitlines()[1:]) == (
        0,
        [f"  right     a{' ' * 17}fine", f"  not seen  b{' ' * 17}dark"],
    )


@pytest.mark.parametrize("said", ["8000", ":8000", "localhost", "localhost:", "localhost:x", "h:0", "h:65536"])
def test_where_to_connect_has_to_be_an_address(said: str, folder: Path) -> None:
    """An example says how it is written."""
    done = doctor(folder, "--connect", said)
    assert done.exit_code == 2
    assert f'--connect takes HOST:PORT, and "{said}" is none.' in done.stderr


def test_connect_goes_elsewhere(folder: Path) -> None:
    """There nobody listens: one finding."""
    port = free_port()
    done = doctor(folder, "--connect", f"[::ffff:127.0.0.1]:{port}")
    assert done.exit_code == 1
    assert [line.split()[:2] for line in done.output.splitlines()[1:2]] == [["WRONG", "answer"]]
    assert f"::ffff:127.0.0.1:{port}" in done.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--proxy", "squid"), '--proxy "squid" is none'),
        (("--stand-in",), "nobody can stand in for the app"),
        (("--certificates", "no-such-file.pem"), "no-such-file.pem cannot be read: no such file"),
    ],
)
def test_what_cannot_be_begun_is_exit_status_2(more: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """One message on standard error."""
    with StandIn("127.0.0.1", 0) as standing:
        config = configured(tmp_path, MEMBERS, upstream=f"http://127.0.0.1:{standing.address[1]}")
        file = tmp_path / "demur.toml"
        file.write_text(file.read_text().replace('"http://localhost', '"https://localhost'))
        assert config.site
        done = doctor(tmp_path, *more)
    assert done.exit_code == 2, done.output
    assert said in done.stderr


def test_signals_are_as_they_were(folder: Path) -> None:
    """They are taken over for the examination alone."""
    before = signal.getsignal(signal.SIGTERM)
    doctor(folder)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_session_outlives_the_command(number: signal.Signals, tmp_path: Path) -> None:
    """Whoever stops it in the middle, while the proxy lets it wait."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        config = configured(tmp_path, MEMBERS, proxy=proxy.getsockname()[1])
        command = [*DEMUR, "doctor", "--config", str(tmp_path / "demur.toml")]
        proxy.settimeout(30)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running, proxy.accept()[0] as connection:
            assert connection.recv(65536).startswith(b"GET /members/demur-doctor HTTP/1.1\r\n")
            assert alive(config) == 2
            running.send_signal(number)
            assert running.wait(30) != 0
            assert alive(config) == 0


def alive(config: Config) -> int:
    """How many sessions are."""

    async def count() -> int:
        store = stores.open(config.sessions.store)
        try:
            return len(await store.sessions())
        finally:
            await store.aclose()

    return asyncio.run(count())
