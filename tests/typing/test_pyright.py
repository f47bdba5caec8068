"""The public names have types, for pyright too. What mypy makes of them, `make check` says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import demur

HERE = Path(__file__).parent
TOOLS = Path(sys.executable).parent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.node,
    pytest.mark.skipif(shutil.which("node") is None, reason="pyright needs node"),
]


def pyright(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pyright as somebody would whose demur is in this environment."""
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [str(TOOLS / "pyright"), *arguments]
    return subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)


def test_the_public_names_are_typed_for_pyright() -> None:
    """Marked views keep their type, lazily loaded names have one, and what is wrong is found; in strict mode."""
    done = pyright("-p", str(HERE), "--pythonpath", sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_public_is_of_unknown_type() -> None:
    """Whatever can be imported from `demur`, `demur.testing` or an adapter has a type that pyright knows."""
    said = json.loads(pyright("--verifytypes", "demur", "--ignoreexternal", "--outputjson").stdout)
    symbols = [each for each in said["typeCompleteness"]["symbols"] if each["isExported"] and is_public(each["name"])]
    assert len(symbols) > 100
    unknown = {
        each["name"]: [told["message"] for told in each["diagnostics"]]
        for each in symbols
        if not each["isTypeKnown"] and not each["isTypeAmbiguous"]
    }
    assert unknown == {}


def is_public(name: str) -> bool:
    """Whether a name is for others. Django itself has no types."""
    if name.startswith("demur.adapters.django."):
        return False
    return name.startswith(("demur.adapters.", "demur.testing.")) or name.removeprefix("demur.") in demur.__all__
