"""The page about testing: its app and its tests are what runs here, and what it lists is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from demur import testing

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "testing.md").read_text()
FILES = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL)


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """In a folder with its two files and nothing else."""
    assert [name for name, _ in FILES] == ["app.py", "test_app.py"]
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert re.search(r"\n8 passed", done.stdout), done.stdout


def test_every_name_is_there() -> None:
    """What the page calls, and every way not to be signed in."""
    called = set(re.findall(r"`(\w+)\(", PAGE)) - {"test_reports"}
    assert called <= {*testing.__all__}, called
    for reason, be in testing.REFUSALS.items():
        assert f"`{reason}`" in PAGE
        assert f"`{be.__name__}(client)`" in PAGE
