"""The tutorial is typed in by a machine, and must show what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.console import pattern, steps, type_in
from tests.ports import free_port

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "README.md"


@pytest.mark.slow
def test_the_tutorial_works(tmp_path: Path) -> None:
    """Every command of the tutorial, one after the other in one shell, shows what the page shows."""
    page = PAGE.read_text()
    for written, real in {"8000": free_port(), "9000": free_port()}.items():
        page = re.sub(rf"\b{written}\b", str(real), page)
    origin = re.findall(r"http://localhost:\d+", page)[0]
    todo = steps(page.replace("demur init --upstream", f"demur init --origin {origin} --upstream"))
    assert len(todo) > 15
    seen = type_in(todo, tmp_path)
    log = (tmp_path / "demur.log").read_text()
    for step, text in seen:
        if step.output is not None:
            assert pattern(step.output).fullmatch(text), f"$ {step.command}\n{text}\n--- the log\n{log}"


@pytest.mark.parametrize(
    ("shown", "seen", "fits"),
    [
        ("a\n…\nb", "a\nx\ny\nb", True),
        ("a\n…\nb", "a\nx\nc", False),
        ("x … z", "x y z", True),
        ("", "", True),
        ("", "something", False),
        ("…", "", True),
    ],
)
def test_what_is_shown_is_compared(shown: str, seen: str, *, fits: bool) -> None:
    """The comparison can fail."""
    assert bool(pattern(shown).fullmatch(seen)) is fits
