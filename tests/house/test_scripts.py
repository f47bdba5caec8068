"""What `make serve` and `make test` say on a machine where something is missing, and that a second start is quick."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.noise import NOISE

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MORE = (
    "redis-server",
    "redis-sentinel",
    "haproxy",
    "apache2",
    "node",
    "npm",
    "firefox-esr",
    "WebKitWebDriver",
    "Xvfb",
    "certutil",
)
FOUND = f"{sys.version_info.major}.{sys.version_info.minor}"


def program(path: Path, text: str) -> Path:
    """A small shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


@dataclass(frozen=True, slots=True)
class Checkout:
    """A fresh clone, as far as scripts/setup looks at it."""

    folder: Path

    def interpreter(self, *cases: str, name: str = "python") -> Path:
        """A Python that does otherwise in these cases of its arguments."""
        (self.folder / "bin").mkdir(exist_ok=True)
        text = "\n".join(['case "$*" in', *cases, "esac", f'exec {sys.executable} "$@"'])
        return program(self.folder / "bin" / name, text)

    def setup(self, what: str = "serve", python: str = "", path: str = "") -> subprocess.CompletedProcess[str]:
        """Run scripts/setup there."""
        environment = {"PATH": path + os.environ["PATH"], "PYTHON": python}
        command = ["/bin/sh", str(self.folder / "scripts" / "setup"), what]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh clone."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup", "uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return Checkout(tmp_path)


NO_MODULE = "*ensurepip*) exit 1 ;;"
NO_WHEELS = '"-m venv "*) mkdir -p .venv/bin; ln -sf /bin/true .venv/bin/python; exit 1 ;;'
TOO_OLD = "*version_info\\ \\<*) exit 1 ;;"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (NO_MODULE, "demur: Python's venv is missing. On Debian:"),
        (NO_WHEELS, "demur: no .venv could be made. If a part of Python is missing, on Debian:"),
    ],
)
@pytest.mark.parametrize(("name", "package"), [("python", f"python{FOUND}-venv"), ("python3", "python3-venv")])
def test_without_venv_the_apt_line_is_said(checkout: Checkout, fault: str, said: str, name: str, package: str) -> None:
    """Debian's Python without python3-venv: the line to type, for the interpreter that was named, and nothing made."""
    made = checkout.interpreter(fault, name=name)
    done = checkout.setup(path=f"{made.parent}:") if name == "python3" else checkout.setup(python=str(made))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [said, f"demur:   apt-get install {package}"]
    assert not (checkout.folder / ".venv").exists()


def test_without_python_the_apt_line_is_said(checkout: Checkout) -> None:
    """No such interpreter: what to install."""
    done = checkout.setup(python=str(checkout.folder / "nowhere"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "demur:   apt-get install python3 python3-venv"


def test_an_old_python_is_refused(checkout: Checkout) -> None:
    """A Python that is too old: what is needed, and how to name another one."""
    done = checkout.setup(python=str(checkout.interpreter(TOO_OLD)))
    assert done.returncode == 1
    assert "demur needs 3.11 or newer" in done.stderr
    assert "PYTHON=/path/to/python3 make serve" in done.stderr
    assert not (checkout.folder / ".venv").exists()


def test_a_second_start_does_nothing(checkout: Checkout) -> None:
    """While uv.lock is as it was, nothing is installed and nothing said, and it takes no time. `uv` and `venv` are
    stand-ins here: what they would load from the network is not what is measured."""
    version = re.findall(r"(?m)^UV_VERSION=(.*)$", (checkout.folder / "scripts/setup").read_text())[0]
    calls = checkout.folder / "calls"
    installed = "touch .venv/bin/demur; chmod +x .venv/bin/demur"
    uv = f"[ $1 = --version ] && echo uv {version} && exit; echo $* >> {calls}; {installed}"
    kept = program(checkout.folder / "uv", uv)
    links = f"ln -s {sys.executable} .venv/bin/python; ln -s {kept} .venv/bin/uv"
    python = str(checkout.interpreter(f'"-m venv .venv") mkdir -p .venv/bin; {links}; exit ;;'))

    first = checkout.setup(python=python)
    assert (first.returncode, first.stderr) == (0, "")
    assert "demur: making .venv with Python" in first.stdout
    synced = calls.read_text().splitlines()
    assert len(synced) == 1
    assert {"sync", "--locked", "--inexact", "gateway"} <= set(synced[0].split())
    assert "--group" not in synced[0], "a test tool is installed for serving"

    began = time.monotonic()
    second = checkout.setup(python=python)
    assert time.monotonic() - began < 3 + NOISE
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert calls.read_text().splitlines() == synced

    with (checkout.folder / "uv.lock").open("a") as lock:
        lock.write("\n")
    assert checkout.setup(python=python).returncode == 0
    assert len(calls.read_text().splitlines()) == 2


def test_the_clients_tools_are_installed_once_and_for_tests_only(checkout: Checkout) -> None:
    """`npm ci` runs where the client is tested, once for each lock, and never for serving. `npm` is a stand-in here."""
    version = re.findall(r"(?m)^UV_VERSION=(.*)$", (checkout.folder / "scripts/setup").read_text())[0]
    calls = checkout.folder / "calls"
    uv = program(checkout.folder / "uv", f"[ $1 = --version ] && echo uv {version} && exit; touch .venv/bin/demur")
    links = f"ln -s {sys.executable} .venv/bin/python; ln -s {uv} .venv/bin/uv"
    python = str(checkout.interpreter(f'"-m venv .venv") mkdir -p .venv/bin; {links}; exit ;;'))
    program(checkout.folder / "bin" / "npm", f"pwd >> {calls}; echo $* >> {calls}; mkdir -p node_modules")
    program(checkout.folder / "bin" / "node", "echo v20.0.0")
    (checkout.folder / "client").mkdir()
    for name in ("package-lock.json", ".npmrc"):
        (checkout.folder / "client" / name).touch()
    path = f"{checkout.folder / 'bin'}:"

    assert checkout.setup(python=python, path=path).returncode == 0
    assert not calls.exists(), "a test tool is installed for serving"
    for _ in range(2):
        assert checkout.setup("test", python=python, path=path).returncode == 0
    assert calls.read_text().splitlines() == [str(checkout.folder / "client"), "ci --loglevel=error"]
    (checkout.folder / "client" / "package-lock.json").write_text("{}")
    assert checkout.setup("test", python=python, path=path).returncode == 0
    assert len(calls.read_text().splitlines()) == 4


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that everybody on the machine can look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="demur-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def apt_needs(path: Path) -> subprocess.CompletedProcess[str]:
    """Run scripts/apt-needs as somebody who is not root, with these commands and those of /usr/sbin."""
    somebody = {"user": "nobody", "extra_groups": []} if os.getuid() == 0 else {}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        ["/bin/sh", "-s"],
        input=(ROOT / "scripts/apt-needs").read_text(),
        env={"PATH": str(path)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **somebody,
    )


def test_without_root_what_tests_need_is_said(readable: Path) -> None:
    """As somebody who may not install: the whole line for whoever may, and a failure before any test runs."""
    for name in ("id", "ls", "grep"):
        (readable / name).symlink_to(shutil.which(name) or "")
    done = apt_needs(readable)
    assert (done.returncode, done.stdout) == (1, "")
    said, line = done.stderr.splitlines()
    assert said == "demur: the tests need these too, and only root can install them:"
    command, _, packages = line.partition("--no-install-recommends ")
    assert command == "demur:   apt-get install "
    assert {"curl", "openssl", "php-cli", "chromium", "apache2-utils"} <= set(packages.split())


def test_with_everything_there_nothing_is_said(readable: Path) -> None:
    """Nothing is missing: nothing is said and nothing asked, root or not."""
    for name in ("id", "ls", "grep", "ldconfig", "curl", "nginx", "openssl", "php", "chromium", "htpasswd", *MORE):
        program(readable / name, "exit 0")
    done = apt_needs(readable)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
