"""What `make serve` starts, as a newcomer meets it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.docs.conftest import SERVE, Sample
from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def own_address() -> str | None:
    """An address of this machine that is not loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: only the route is looked up
        except OSError:
            return None
        return str(probe.getsockname()[0])


def test_the_banner_says_where_and_as_whom(sample: Sample) -> None:
    """The terminal shows the address, the people with their passwords, and what to try."""
    said = sample.log.read_text()
    for word in (f"http://localhost:{sample.port}", "alice-sows-poppies", "bob-borrows-beans", "curl -i", "Ctrl-C"):
        assert word in said
    assert f"sessions are in {sample.folder / '.demur'}/. Ctrl-C" in said


@pytest.mark.parametrize("host", ["127.0.0.1", own_address()])
@pytest.mark.parametrize("path", ["/", "/members/", "/.demur/sign-in"])
def test_another_address_says_where_the_site_is(sample: Sample, host: str | None, path: str) -> None:
    """Whoever opens it by an address is told the name, and is not sent round in a circle of sign-ins."""
    if host is None:
        pytest.skip("this machine has no other address")
    answer = sample.get(path, host=host, accept="text/html")
    assert answer.status == 421
    assert f'href="http://localhost:{sample.port}/' in answer.body.replace(f':{sample.port}"', f':{sample.port}/"')
    assert "set-cookie" not in {name.lower() for name in answer.fields}
    assert "<form" not in answer.body


def test_public_pages_are_public_and_the_vault_does_not_exist(sample: Sample) -> None:
    """The site behind answers what is open, and its own 404 for what is concealed."""
    assert sample.get("/").status == 200
    assert sample.get("/catalogue/poppy").status == 200
    missing, vault = sample.get("/nothing-here"), sample.get("/vault/")
    assert (missing.status, vault.status) == (404, 404)
    assert missing.body == vault.body


def test_the_api_says_why_not(sample: Sample) -> None:
    """A script gets a problem document and no redirect."""
    answer = sample.get("/api/shelf")
    assert answer.status == 401
    assert json.loads(answer.body)["reason"] == "sign-in-required"


def test_a_port_in_use_is_said_with_the_way_out(sample: Sample, tmp_path: Path) -> None:
    """A second one on the same port says what to type instead, and leaves nothing behind."""
    command = [sys.executable, str(SERVE), "--port", str(sample.port), "--state", str(tmp_path / ".demur")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    assert done.stderr.splitlines() == [
        f"demur: port {sample.port} is in use. Take another one:",
        f"demur:   PORT={sample.port + 1} make serve",
    ]
    assert not (tmp_path / ".demur").exists()


def test_a_second_start_keeps_what_was_changed(tmp_path: Path) -> None:
    """The copy of the configuration is the person's own, but for where it listens; people are added once."""
    mine = Sample(tmp_path, free_port())
    mine.start()
    assert mine.stop() == 0
    config = tmp_path / ".demur" / "demur.toml"
    config.write_text(config.read_text().replace('name = "Hollow Lane Seed Library"', 'name = "My library"'))
    mine.port = free_port()
    mine.start()
    challenge = mine.get("/api/shelf").fields["www-authenticate"]
    assert mine.stop() == 0
    assert 'realm="My library"' in challenge
    assert f'origin = "http://localhost:{mine.port}"' in config.read_text()
