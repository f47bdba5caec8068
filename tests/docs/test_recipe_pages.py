"""What the pages about other proxies say to type is typed, and what they show is seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.console import pattern, steps, type_in

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.mark.parametrize("name", ["nginx", "caddy", "traefik", "envoy", "haproxy", "apache"])
def test_the_recipe_is_printed_as_the_page_says(name: str, tmp_path: Path) -> None:
    """With the page's own configuration."""
    page = (HOW_TO / f"{name}.md").read_text()
    (tmp_path / "demur.toml").write_text(re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0])
    todo = steps(page)
    assert todo, "nothing on this page can be typed in"
    for step, seen in type_in(todo, tmp_path):
        assert step.output is None or pattern(step.output).fullmatch(seen), f"$ {step.command}\n{seen}"
    assert any(path.stat().st_size for path in tmp_path.rglob("*") if path.name != "demur.toml")
