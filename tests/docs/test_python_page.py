"""docs/reference/python.md says what the options are, and its example is right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from demur.adapters.options import Options, assemble
from demur.core.model import Ending, Request, Response
from demur.stores.keys import MemoryKeys

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


def test_the_commands_read_that_configuration(tmp_path):
    """A person who is added by the command can sign in to the app."""
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "demur.toml").write_text(text)
    demur = str(Path(sys.executable).parent / "demur")
    command = [demur, "user", "add", "anna", "--group", "staff", "--password-stdin"]
    subprocess.run(command, cwd=tmp_path, input=b"correct horse battery", check=True, timeout=60)
    surface = assemble(
        origin="http://localhost:8000", store="memory:", keys=MemoryKeys(), people=f"sqlite:{tmp_path}/accounts.db"
    )
    fields = ((b"content-type", b"application/json"), (b"sec-fetch-site", b"same-origin"))
    request = Request("POST", b"/.demur/sign-in", "http", "localhost:8000", "192.0.2.7", fields)
    sent = b'{"username": "anna", "password": "correct horse battery"}'
    answer = surface.enter(request, lambda most: sent)
    surface.guard.portal.run(surface.aclose())
    assert isinstance(answer, Response)
    assert answer.status == 200
