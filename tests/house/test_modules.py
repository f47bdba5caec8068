"""What every module keeps to, so that nobody has to say it in a review."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "demur"
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
LONGEST = 500


@pytest.mark.parametrize("module", MODULES)
def test_is_short_enough_to_read(module: str) -> None:
    """Five hundred lines are a module that wants to be two."""
    assert len((SOURCE / module).read_text().splitlines()) < LONGEST


@pytest.mark.parametrize("module", MODULES)
def test_opens_with_what_it_is(module: str) -> None:
    """A module opens with a sentence that says what it is for."""
    assert ast.get_docstring(ast.parse((SOURCE / module).read_text()))


@pytest.mark.parametrize("module", MODULES)
def test_has_a_name_that_says_something(module: str) -> None:
    """A helper lives beside its user; there is no drawer for everything."""
    assert not {part.removesuffix(".py") for part in module.split("/")} & {"utils", "util", "helpers", "misc", "common"}
