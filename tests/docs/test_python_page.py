"""docs/reference/python.md says what the options are, and its example is right."""

from __future__ import annotations

import re
from pathlib import Path

from demur.adapters.options import Options
from demur.core.model import Ending

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "python.md").read_text()


def test_every_option_stands_there():
    """Each one, and none that does not exist."""
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert named == set(Options.__annotations__)


def test_the_example_runs():
    """As it stands."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "python.md", "exec"), {})


def test_how_a_sign_in_ends():
    """Every way that a bridge can say, but the one that only demur's own sessions have."""
    for how in set(Ending) - {Ending.REPLACED}:
        assert f'"{how}"' in PAGE
