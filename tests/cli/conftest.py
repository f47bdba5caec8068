"""What tests of the command line share."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from demur.cli import app

FIXTURES = Path(__file__).parents[1] / "config"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command in this process, with standard output and error apart."""

    def command(*args: str, **kwargs) -> Result:
        return CliRunner().invoke(app, args, prog_name="demur", **kwargs)

    return command


@pytest.fixture
def demur(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command as a program, in the folder."""

    def command(*args: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", "from demur.cli import main; main()", *args]
        return subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=60, check=False)

    return command


@pytest.fixture
def write(folder: Path) -> Callable[..., Path]:
    """Write a configuration with one site, and what else is given."""

    def to(text: str = "", name: str = "demur.toml") -> Path:
        path = folder / name
        path.write_text(f"version = 1\n{text}", encoding="utf-8")
        return path

    return to


@pytest.fixture(scope="session")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the folder of configurations, with the file modes that git does not keep. Who looks at them leaves
    nothing there."""
    copy = tmp_path_factory.mktemp("copied") / "config"
    shutil.copytree(FIXTURES, copy)
    files = sorted(copy.rglob("*"))
    for file in copy.rglob("*.*"):
        file.chmod(0o600 if file.suffix == ".pem" else 0o644)
    yield copy
    assert sorted(copy.rglob("*")) == files
