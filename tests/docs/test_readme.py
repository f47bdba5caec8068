"""What the README shows is what one sees."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.docs.console import pattern, steps, type_in

from demur.gateway.config import tables as config

if TYPE_CHECKING:
    from tests.docs.conftest import Sample

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_four_answers(sample: Sample) -> None:
    """The sample site, started as `make serve` starts it, answers as the README shows."""
    todo = steps(re.sub(r"\b8000\b", str(sample.port), README))
    assert sum(step.command.startswith("curl -i") for step in todo) == 4
    for step, text in type_in(todo, sample.folder):
        assert step.output is not None
        seen = text.replace("\r", "")
        assert pattern(step.output).fullmatch(seen), f"$ {step.command}\n{seen}\n--- the log\n{sample.log.read_text()}"


def test_the_configuration_can_be_used(tmp_path: Path) -> None:
    """The configuration of the README is one, and it means what is said beside it."""
    text = README.split("```toml\n", 1)[1].split("```", 1)[0]
    (tmp_path / "demur.toml").write_text(text)
    read = config.read(tmp_path / "demur.toml")
    (site,) = read.sites()
    host = "localhost:8000"
    assert site.rules.match("GET", b"/public/a", host).requirement.access == "open"
    assert site.rules.match("GET", b"/a", host).requirement.access == "required"


def test_the_app_refuses_right(tmp_path: Path) -> None:
    """The app of the README, as it stands: a login of its own, and the right answers."""
    code = README.split("```python\n# app.py\n", 1)[1].split("```", 1)[0]
    (tmp_path / "app.py").write_text(code)
    client = runpy.run_path(str(tmp_path / "app.py"))["app"].test_client()
    refused = client.get("/")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith('Cookie realm="this site", form-action="/login"')
    assert refused.json["reason"] == "sign-in-required"
    assert refused.json["processed"] is False
    assert 'href="/login?next=/"' in client.get("/", headers={"Accept": "text/html"}).text
    assert client.get("/login").text == "Welcome."
    assert client.get("/").text == "Hello anna."
