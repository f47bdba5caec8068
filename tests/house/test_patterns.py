"""What regular expressions keep to, on every Python that we promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "demur"
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))

# Python before 3.11.5, Debian 12's among them, does not put back what the last, failed turn of a group that is
# repeated possessively has consumed: rb"(?:/[a-z]+)*+/?\\Z" matches b"//" there.
POSSESSIVE_GROUP = re.compile(r"(?<!\()\)(?:[*+?]|\{[0-9,]+\})\+|\(\?>")


@pytest.mark.parametrize("module", MODULES)
def test_no_group_is_repeated_possessively(module: str) -> None:
    """Such a pattern means one thing on one Python and another on the next."""
    assert POSSESSIVE_GROUP.findall((SOURCE / module).read_text()) == []


@pytest.mark.parametrize("pattern", ["(?:ab)*+", "(?:ab)++c", "(a)?+", "(?:a){2,3}+", "(?>a)"])
def test_such_a_pattern_is_found(pattern: str) -> None:
    """The check finds what it is for."""
    assert POSSESSIVE_GROUP.search(pattern)
