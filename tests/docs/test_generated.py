"""The pages that are generated say what the code says, and the links of all pages lead somewhere."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from demur.core.reasons import Reason

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def docs() -> dict[str, Any]:
    """What scripts/docs.py defines."""
    return runpy.run_path(str(ROOT / "scripts" / "docs.py"))


def test_every_generated_page_is_up_to_date(docs: dict[str, Any]) -> None:
    """`make docs` would change nothing."""
    stale = [path.name for path, make in docs["pages"]().items() if not path.exists() or path.read_text() != make()]
    assert stale == []


def test_every_reason_has_notes() -> None:
    """The page of a reason says when it is given and what to do, and no notes are about nothing."""
    notes = tomllib.loads((ROOT / "docs" / "reasons" / "notes.toml").read_text())
    assert set(notes) == {reason.value for reason in Reason}
    assert all(set(note) == {"when", "run"} for note in notes.values())


def test_no_page_of_a_reason_is_left_behind() -> None:
    """The folder holds one page for each reason."""
    assert {path.stem for path in (ROOT / "docs" / "reasons").glob("*.md")} == {reason.value for reason in Reason}


def test_every_link_leads_somewhere(docs: dict[str, Any]) -> None:
    """No page links to a page or a heading that is not there."""
    assert [fault for page in docs["every_page"]() for fault in docs["broken_links"](page)] == []


def test_a_broken_link_is_found(docs: dict[str, Any]) -> None:
    """The check of links finds both kinds of mistake."""
    text = "[a](nowhere.md) [b](reference/reasons.md#nothing) [c](reference/reasons.md#reasons) [d](https://x.example/)"
    assert [fault.rpartition(" ")[2] for fault in docs["broken_links"](ROOT / "docs" / "README.md", text)] == [
        "nowhere.md",
        "docs/reference/reasons.md",
    ]
