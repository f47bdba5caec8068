"""`import demur` is cheap and needs the standard library alone."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import demur

ROOT = Path(__file__).parents[2]
HEAVY = ("asyncio", "sqlite3", "ssl", "socket", "http", "email", "logging", "demur.guard", "pytest")


@cache
def loaded_by(statement: str) -> frozenset[str]:
    """The modules that a fresh interpreter has after a statement and had not before."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return frozenset(done.stdout.split())


def test_import_demur_loads_what_typing_loads() -> None:
    """The whole list: itself, and `typing` with what that brings. Everything else waits until it is asked for."""
    assert loaded_by("import demur") == loaded_by("import __future__, typing") | {"demur"}


@pytest.mark.parametrize(
    "statement", ["import demur", "import demur; demur.require, demur.person", "import demur.testing"]
)
@pytest.mark.parametrize("module", HEAVY)
def test_is_not_loaded_before_it_is_used(statement: str, module: str) -> None:
    """What marks a view, and what tests one, brings neither an event loop nor a database."""
    assert module not in loaded_by(statement)


def test_import_demur_loads_nothing_foreign() -> None:
    """Only demur itself and the standard library."""
    top = {name.partition(".")[0] for name in loaded_by("import demur")}
    assert {name for name in top if name not in sys.stdlib_module_names} == {"demur"}


def test_the_version_stands_in_two_places_alike() -> None:
    """The package says of itself what its metadata say."""
    assert demur.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
