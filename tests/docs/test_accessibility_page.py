"""The page about accessibility, and the one about the client's looks, say what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs/how-to"
CLIENT = ROOT / "src/demur/pages/static/client"


def test_every_criterion_has_its_test_and_is_on_the_page() -> None:
    """A test that is named for a criterion is in the table, and the table names no other."""
    tree = ast.parse((ROOT / "tests/client/test_wcag.py").read_text(encoding="utf-8"))
    named = {each.name for each in tree.body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")}
    named = {name for name in named if re.match(r"test_(\d|axe_finds)", name)}
    assert set(re.findall(r"`(test_\w+)`", (HOW_TO / "accessibility.md").read_text(encoding="utf-8"))) == named


def test_every_property_and_every_text_is_on_the_page() -> None:
    """What can be set is listed, with the client's own value."""
    page = (HOW_TO / "client-look.md").read_text(encoding="utf-8")
    sheet = (CLIENT / "ui.css").read_text(encoding="utf-8")
    for name, value in re.findall(r"var\((--demur-\w+), ((?:[^()]|\([^)]*\))+)\)", sheet):
        light_dark = re.fullmatch(r"light-dark\((.+), (.+)\)", value)
        shown = f"`{light_dark[1]}`, `{light_dark[2]}`" if light_dark else f"`{value}`"
        assert re.search(rf"^\| `{name}` .*\| {re.escape(shown)} \|$", page, re.MULTILINE), name
    texts = re.findall(r'^  "?([\w-]+)"?: "(.*)",$', (CLIENT / "lang/en.js").read_text(encoding="utf-8"), re.MULTILINE)
    assert texts
    for key, text in texts:
        assert f"`{key}`" in page
        assert text in page
