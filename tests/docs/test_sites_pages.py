"""The pages about many sites, other origins and stepping up show what is really so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demur.core import foreign, respond
from demur.core.model import Details, Presented, Refuse, Request, Scheme
from demur.core.page import DEFAULT
from demur.core.reasons import Reason
from demur.gateway.config import tables as config

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
SITE = '[[site]]\norigin = "https://app.example.com"\nupstream = "http://127.0.0.1:9000"\n'


def blocks(page: str, kind: str) -> list[str]:
    """The blocks of that language on a page."""
    return re.findall(rf"^```{kind}\n(.*?)^```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)


def completed(block: str) -> str:
    """A configuration with what a page leaves out."""
    if block.startswith("[[site]]") and "upstream" not in block:
        block += 'upstream = "http://127.0.0.1:9000"\n'
    elif block.startswith("[[site.rule]]"):
        block = SITE + block
    return block if block.startswith("version") else f"version = 1\n{block}"


@pytest.mark.parametrize(
    ("page", "block"),
    [
        pytest.param(page, block, id=f"{page}-{number}")
        for page in ("many-sites.md", "cross-origin.md", "step-up.md")
        for number, block in enumerate(blocks(page, "toml"))
    ],
)
def test_what_a_page_configures_can_be_read(page: str, block: str, tmp_path: Path) -> None:
    """Each block is right, once it is complete."""
    path = tmp_path / "demur.toml"
    path.write_text(completed(block))
    assert config.read(path).sites()


def test_the_cookie_is_the_one_on_the_page(tmp_path: Path) -> None:
    """The example shares what the page says, and leaves out who keeps to itself."""
    path = tmp_path / "demur.toml"
    path.write_text(blocks("many-sites.md", "toml")[0])
    login, app, _, alone = config.read(path).sites()
    assert (login.cookie.name, login.cookie.domain) == ("__Secure-demur", "example.com")
    assert app.sign_in_url() == "https://login.example.com/.demur/sign-in"
    assert alone.cookie.name == "__Host-demur"


def test_the_challenge_is_the_one_on_the_page(tmp_path: Path) -> None:
    """What is shown of a step-up is what is sent."""
    path = tmp_path / "demur.toml"
    path.write_text(completed(SITE))
    (site,) = config.read(path).sites()
    request = Request("GET", b"/payroll/", "https", "app.example.com", "", ((b"accept", b"application/json"),))
    refuse = Refuse(Reason.STEP_UP_REQUIRED, Details(max_age=900))
    said = respond.Refusal(site, request, refuse, "-", presented=Presented(Scheme.COOKIE, (Scheme.COOKIE,)))
    sent = dict(respond.refuse(said, DEFAULT).fields)
    shown = blocks("step-up.md", "http")[0]
    assert f"WWW-Authenticate: {sent[b'www-authenticate'].decode()}\n" in shown
    assert f"Content-Type: {sent[b'content-type'].decode()}\n" in shown


def test_the_field_on_the_page_is_understood() -> None:
    """A site that copies it asks for what it seems to ask for."""
    field = blocks("step-up.md", "http")[1].strip().partition(": ")[2]
    refuse = foreign.read_refuse([field.encode()])
    assert refuse.details.max_age == 300
    assert refuse.details.acr_values == ("mfa", "phr")
