"""The sample site, started as `make serve` starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SERVE = ROOT / "examples" / "sample" / "serve.py"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    fields: dict[str, str]
    body: str


@dataclass(slots=True)
class Sample:
    """The running sample. `folder` is where its state stands, as `.demur`, and `log` what it says."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it has said, from the last start on."""
        return self.folder / "log"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, str(SERVE), "--port", str(self.port), "--state", str(self.folder / ".demur")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/public/site.css")
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self.log.read_text())

    def stop(self) -> int:
        """Press Ctrl-C; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def get(self, path: str, *, host: str = "localhost", accept: str = "*/*") -> Answer:
        """Ask it for something, by a name or an address of this machine."""
        asked = urllib.request.Request(f"http://{host}:{self.port}{path}", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(asked, timeout=20) as response:
                return Answer(response.status, dict(response.headers.items()), response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers.items()), error.read().decode())


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample site, running."""
    folder = tmp_path_factory.mktemp("sample")
    (folder / ".venv").symlink_to(sys.prefix)
    running = Sample(folder, free_port())
    running.start()
    yield running
    assert running.stop() == 0
