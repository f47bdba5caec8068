"""What the README shows is what one sees."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.console import Step, free_port, pattern, steps, type_in

from demur.gateway import config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_four_answers(tmp_path: Path) -> None:
    """The sample site, started as `make serve` starts it, answers as the README shows."""
    port = free_port()
    todo = steps(re.sub(r"\b8000\b", str(port), README))
    assert sum(step.command.startswith("curl -i") for step in todo) == 4
    serve = [sys.executable, str(ROOT / "examples/sample/serve.py"), "--port", str(port), "--host", "127.0.0.1"]
    with (tmp_path / "log").open("wb") as log:
        sample = subprocess.Popen([*serve, "--state", str(tmp_path / ".demur")], stdout=log, stderr=log)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    try:
        ready = Step(
            f"for _ in $(seq 600); do curl -s -o /dev/null http://localhost:{port}/ && break; sleep 0.05; done", None
        )
        seen = type_in([ready, *todo], tmp_path)
    finally:
        sample.send_signal(signal.SIGINT)
        sample.wait(20)
    log_text = (tmp_path / "log").read_text()
    for step, text in seen:
        if step.output is not None:
            assert pattern(step.output).fullmatch(text.replace("\r", "")), (
                f"$ {step.command}\n{text}\n--- the log\n{log_text}"
            )


def test_the_configuration_can_be_used(tmp_path: Path) -> None:
    """The configuration of the README is one, and it means what is said beside it."""
    text = README.split("```toml\n", 1)[1].split("```", 1)[0]
    (tmp_path / "demur.toml").write_text(text)
    read = config.read(tmp_path / "demur.toml")
    (site,) = read.sites()
    host = "localhost:8000"
    assert site.rules.match("GET", b"/public/a", host).requirement.access == "open"
    assert site.rules.match("GET", b"/a", host).requirement.access == "required"
