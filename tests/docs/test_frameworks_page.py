"""The page about frameworks: each block is a part of an example that runs (tests/client/test_hands.py)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/frameworks.md").read_text()
EXAMPLES = ROOT / "examples/frameworks"
WHERE = {
    "axios": ["axios/app.js"],
    "jQuery": ["jquery/app.js"],
    "htmx": ["htmx-2/app.js", "htmx-4/app.js"],
    "TanStack Query": ["query/app.js"],
    "Angular": ["angular/app.js"],
    "React": ["react/app.jsx"],
    "Vue": ["vue/app.js"],
    "Svelte": ["svelte/App.svelte"],
}


def lines(text: str) -> list[str]:
    """The lines, with each module called as bundlers call it."""
    text = re.sub(r'"/\.demur/client/hands/(\w+)\.js"', r'"demur/hands/\1"', text)
    text = re.sub(r'"/modules/(\w+)/[^"]*"', r'"\1"', text)
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("heading", WHERE)
def test_what_is_shown_is_what_runs(heading: str) -> None:
    """Every line of the block is a line of the example, in this order."""
    match = re.search(rf"^## {heading}\n\n```\w+\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
    assert match
    for name in WHERE[heading]:
        there = iter(lines((EXAMPLES / name).read_text()))
        assert [line for line in lines(match[1]) if line not in there] == []


def test_every_hand_has_a_row() -> None:
    """The table names all of them."""
    hands = {path.name for path in (ROOT / "src/demur/pages/static/client/hands").glob("*.js")}
    assert set(re.findall(r"`hands/(\w+\.js)`", PAGE)) == hands - {"state.js", "xhr.js"}


def test_every_example_says_how_it_is_run() -> None:
    """A line in a README, with its own address."""
    for page in EXAMPLES.glob("*/index.html"):
        assert f"http://localhost:8000/{page.parent.name}/" in (page.parent / "README.md").read_text()
