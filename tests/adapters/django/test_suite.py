"""The tests of the Django adapter, each Django in a process of its own: the one that runs on our oldest Python, and the
newest where there is an interpreter for it. What could not run is said, and is not "passed"."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NEWEST = "django>=6,<7"
ENVIRONMENT = {**os.environ, "DEMUR_DJANGO": "1", "DJANGO_SETTINGS_MODULE": "tests.adapters.django.project.settings"}


def run(python: Path | str) -> str:
    """The tests inside, by an interpreter; what it printed."""
    tests = [str(HERE / "inside"), "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "--no-header"]
    done = subprocess.run(
        [python, "-m", "pytest", *tests], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    return done.stdout


@pytest.mark.slow
def test_django_here(capsys: pytest.CaptureFixture[str]) -> None:
    """With the Django of this environment."""
    printed = run(sys.executable)
    with capsys.disabled():
        print(f"\n{_versions(sys.executable)}: {printed.splitlines()[-1]}")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_newest_django(version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With Django 6, on the newest interpreter that is here; by `make nightly`, on each that is here and can."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Django 6 on Python {version}: not run, there is no such interpreter here")
    newer = [other for other in ("3.13", "3.14") if other > version and interpreter(other)]
    if newer and "DEMUR_NIGHTLY" not in os.environ:
        pytest.skip(f"Django 6 on Python {version}: make nightly does it; here with {newer[-1]}")
    home = tmp_path / "venv"
    uv = _uv()
    subprocess.run([uv, "venv", "--quiet", "--python", python, home], check=True, env=_alone())
    packages = [
        NEWEST,
        "djangorestframework",
        "django-ninja",
        "pytest>=9.2",
        "pytest-asyncio>=1.5",
        "hypothesis",
        f"{ROOT}[gateway]",
    ]
    made = home / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", made, *packages], check=True, env=_alone())
    printed = run(made)
    with capsys.disabled():
        print(f"\n{_versions(made)}: {printed.splitlines()[-1]}")


def interpreter(version: str) -> Path | None:
    """A finished release of that Python, as `scripts/interpreters` finds it."""
    candidates = [*sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python3"))]
    found = shutil.which(f"python{version}")
    for each in [*candidates, *([Path(found)] if found else [])]:
        asked = [str(each), "-c", "import sys; print(sys.version_info.releaselevel)"]
        if subprocess.run(asked, capture_output=True, text=True).stdout.strip() == "final":
            return each
    return None


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else str(shutil.which("uv"))


def _alone() -> dict[str, str]:
    return {**{key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}, "UV_PYTHON_DOWNLOADS": "never"}


def _versions(python: Path | str) -> str:
    asked = "import sys, django; print('Django', django.__version__, 'on Python', sys.version.split()[0])"
    printed = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    assert re.fullmatch(r"Django \d+\.\d+(\.\d+)? on Python 3\.\d+\.\d+", printed), printed
    return printed
