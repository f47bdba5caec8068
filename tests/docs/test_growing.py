"""The figures on the page about growing are those that were measured."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("growing", ROOT / "benchmarks" / "growing.py")
assert spec is not None
assert spec.loader is not None
growing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(growing)

FOUND = json.loads(growing.MEASURED.read_text(encoding="utf-8"))


def test_the_page_says_what_was_measured() -> None:
    """Nobody edits a figure by hand: `python benchmarks/growing.py` writes them."""
    text = growing.PAGE.read_text(encoding="utf-8")
    assert growing.page(text, FOUND) == text
    assert set(re.findall(r"<!-- measured: (\w+) -->", text)) == set(growing.PARTS)


@pytest.mark.parametrize(("engine", "most"), [("SQLite", 200), ("Redis", 300), ("PostgreSQL", 300)])
def test_a_session_is_small(engine: str, most: int) -> None:
    """What is published is within what is promised."""
    assert FOUND[engine]["session"] <= most


def test_the_store_is_hardly_asked() -> None:
    """Neither is it by many, nor for long."""
    assert FOUND["reads_1"] <= 2
    assert FOUND["reads_10"] <= 20
    assert FOUND["cached"] <= 600
    assert FOUND["nodes"]["longest"] <= 2
    assert FOUND["nodes"]["wrong"] == 0
    taken = {int(count): cost for count, cost in FOUND["lookup"].items()}
    assert taken[max(taken)] / taken[1_000] <= 2.5


@pytest.mark.parametrize(
    ("count", "said"), [(1, "1 B"), (1_500, "1.5 kB"), (38_000_000, "38 MB"), (41_234_000_000, "41 GB")]
)
def test_two_figures_are_enough(count: float, said: str) -> None:
    """Nothing here is known better."""
    assert growing._bytes(count) == said
