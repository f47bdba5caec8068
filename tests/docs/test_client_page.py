"""The reference of the browser client names what is there, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/client.md").read_text()
CLIENT = ROOT / "src/demur/pages/static/client"
CORE = (CLIENT / "core.js").read_text()


def rows(heading: str) -> set[str]:
    """The names in the first column of a table."""
    match = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match
    first = re.findall(r"^\| (`.+?) \|", match[1], re.MULTILINE)
    return {name for cell in first for name in re.findall(r"`(?:ui\.)?([\w-]+)", cell)}


def typedef(name: str) -> set[str]:
    """The members of a type in core.js, by either way to write one."""
    (comment,) = [each for each in re.findall(r"/\*\*.*?\*/", CORE, re.DOTALL) if re.search(rf"[}} ]{name}\n", each)]
    by_line = re.findall(r"@property \{.+?\}\s+\[?(\w+)", comment, re.DOTALL)
    return set(by_line or re.findall(r"[{,]\s*(?:\*\s*)?(\w+)\??:", comment))


def test_every_member_of_demur_is_there() -> None:
    """Methods and properties."""
    match = re.search(r"^export const demur = \{\n(.*?)^\};", CORE, re.MULTILINE | re.DOTALL)
    assert match
    members = set(re.findall(r"^  (?:get )?(\w+)(?:,|:|\()", match[1], re.MULTILINE))
    assert rows("Methods") | rows("Properties") == members
    assert not rows("Methods") & rows("Properties")


def test_every_option_is_there() -> None:
    """With what can be switched off."""
    assert rows("Options") == typedef("Options") - {"string"}
    (off,) = re.findall(r"^\| `off` \| .*?: (.*?) \|", PAGE, re.MULTILINE)
    (said,) = re.findall(r"`off` names what is not wanted: ([\w, \n*]+)\.", CORE)
    assert set(re.findall(r"`(\w+)`", off)) == set(re.findall(r"\w+", said))


def test_what_is_shown_and_what_is_said_is_there() -> None:
    """The functions of `ui`, and the members of a refusal."""
    assert rows("What is shown") == typedef("Ui")
    assert rows("Refusal") == typedef("Refusal")


def test_every_event_is_there() -> None:
    """Whoever raises it."""
    sources = "\n".join(path.read_text() for path in CLIENT.glob("*.js"))
    assert rows("Events") == set(re.findall(r"\bemit\(\"([\w-]+)\"", sources))
