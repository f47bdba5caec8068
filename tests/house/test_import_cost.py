"""`import demur` is cheap and needs the standard library alone."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import demur

ROOT = Path(__file__).parents[2]
HEAVY = ("asyncio", "sqlite3", "ssl", "http", "email", "inspect", "logging")


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement and had not before."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", HEAVY)
def test_import_demur_does_not_load(module: str) -> None:
    """What a request does not need is not loaded by the first import."""
    assert module not in loaded_by("import demur")


def test_import_demur_loads_nothing_foreign() -> None:
    """Only demur itself and the standard library."""
    top = {name.partition(".")[0] for name in loaded_by("import demur")}
    assert {name for name in top if name not in sys.stdlib_module_names} == {"demur"}


def test_the_version_stands_in_two_places_alike() -> None:
    """The package says of itself what its metadata say."""
    assert demur.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
