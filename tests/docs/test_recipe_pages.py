"""The pages about other proxies: what they say to type works with the configuration that they show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.console import pattern, steps, type_in

from demur.gateway.recipes import RECIPES

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = [name for name in RECIPES if (HOW_TO / f"{name}.md").exists()]


@pytest.mark.parametrize("name", PAGES)
def test_the_page_works(name: str, tmp_path: Path) -> None:
    """Its commands, typed beside its configuration, write what they say and show what is shown."""
    page = (HOW_TO / f"{name}.md").read_text()
    (tmp_path / "demur.toml").write_text(re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0])
    typed = type_in(steps(page), tmp_path)
    assert any(step.command.startswith(f"demur recipe {name}") for step, _ in typed)
    for step, seen in typed:
        assert pattern(step.output or "").fullmatch(seen), f"{step.command}\n{seen}"


def test_the_overview_names_every_recipe() -> None:
    """A row for each proxy that has one."""
    overview = (HOW_TO / "forward-auth.md").read_text()
    for name in RECIPES:
        assert f"({name}.md)" in overview or f"`demur recipe {name}`" in overview
