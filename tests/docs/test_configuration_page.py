"""The reference of the configuration names every key that there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demur.core.rules import table as rules
from demur.gateway.config import tables as config

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text()


def keys_below(heading: str) -> set[str]:
    """The keys in the tables below a heading whose first column is called `key`."""
    section = PAGE.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = section.split("| key |", 1)[1].split("\n\n", 1)[0]
    return set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE))


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("## `[gateway]`", config.Gateway),
        ("## `[accounts]`", config.Accounts),
        ("## `[sessions]`", config.Sessions),
        ("## `[[site]]`", config.Site),
        ("## `[site.assertion]`", config.AssertionTable),
        ("## `[site.timeouts]`", config.Timeouts),
        ("## `[site.cors]`", config.CorsTable),
    ],
)
def test_names_every_key_of_a_table(heading: str, model: type[config.Table]) -> None:
    """A key that is added, renamed or removed has to be so on the page."""
    assert keys_below(heading) == set(model.model_fields)


def test_names_every_key_of_a_rule() -> None:
    """The same for rules, which the core reads."""
    assert keys_below("## `[[site.rule]]`") == set(rules._KEYS)
