"""The page about the doctor: what it shows is what is seen, with the recipe that it is about."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.docs.console import pattern, steps, type_in
from tests.doctor.faults import without
from tests.proxies.real import UNTESTED, behind

from demur.gateway.doctor.checks import CHECKS

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "doctor.md"


def by_hand(files: Mapping[str, str]) -> Mapping[str, str]:
    """nginx as somebody writes it who leaves two lines out."""
    careless = without("error_page        401 403 500", "proxy_set_header  Cookie ")
    return {name: careless(text) for name, text in files.items()}


@pytest.mark.proxies
@pytest.mark.slow
@pytest.mark.skipif("nginx" in UNTESTED, reason=UNTESTED.get("nginx", ""))
def test_the_page_shows_what_is_seen(tmp_path: Path) -> None:
    """First with the app, and then without it."""
    running, standing = steps(PAGE.read_text())
    with behind("nginx", tmp_path, recipe=by_hand, people=False) as stand:
        for step in (running, standing):
            if step is standing:
                stand.upstream.close()
            ((_, seen),) = type_in([step], tmp_path)
            shown = (step.output or "").replace("https://app.example.com", stand.origin)
            assert pattern(shown).fullmatch(seen), seen


def test_the_page_names_every_check() -> None:
    """In the order of the report, after the one that comes before all."""
    assert re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE) == ["answer", *CHECKS]
