"""The page about kept forms: its code keeps one, and its configuration is one."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

from tests.docs.test_asgi_page import FORM, PASSWORD, ask

from demur import accounts
from demur.accounts.people import New
from demur.authenticators.password import Argon2Hasher
from demur.core import kept
from demur.core.model import Actor, End, Ending
from demur.core.sessions import identify
from demur.gateway.config import tables
from demur.signin import kept as signin_kept

if TYPE_CHECKING:
    import pytest

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGE = (HOW_TO / "kept-forms.md").read_text()
KIND = "application/x-www-form-urlencoded"


def block(page: str, language: str) -> str:
    """The first block of a language."""
    match = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert match is not None
    return match[1]


async def test_the_code_keeps_a_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, kept, and where the sign-in leads."""
    (tmp_path / "app.py").write_text(block(PAGE, "python"))
    monkeypatch.chdir(tmp_path)
    app, hasher = runpy.run_path("app.py")["app"], Argon2Hasher()
    store = app.guard.store
    people = accounts.open("sqlite:accounts.db", store)
    await people.add(New("anna", encoded=await hasher.hash(PASSWORD)), by="test")
    hasher.close()
    form = f"username=anna&password={PASSWORD.replace(' ', '+')}".encode()
    _, fields, _ = await ask(app, "POST", "/.demur/sign-in", form, content_type=KIND, **FORM)
    cookie = fields["set-cookie"].partition(";")[0]
    await store.apply([End(identify(cookie.partition("=")[2]), Ending.ENDED, Actor.SELF, 1)])

    status, _, text = await ask(app, "POST", "/plans", b"plan=beans", content_type=KIND, cookie=cookie, **FORM)
    assert status == 401
    assert "What you entered is kept for 15 minutes: sign in, and you can send it" in text
    _, fields, _ = await ask(app, "POST", "/.demur/sign-in", form, content_type=KIND, cookie=cookie, **FORM)
    assert fields["location"].startswith("/.demur/kept?of=")
    await app.surface.aclose()
    await people.aclose()


def test_the_configuration_is_one(tmp_path: Path) -> None:
    """Both keys mean what the page says."""
    for off in (False, True):
        text = "version = 1\n\n" + block(PAGE, "toml").replace("# keep_forms", "keep_forms" if off else "# keep_forms")
        (tmp_path / "demur.toml").write_text(text)
        (site,) = tables.read(tmp_path / "demur.toml").sites()
        assert (site.keep_forms, site.never_keep) == (not off, ("diagnosis", "iban"))


def test_the_numbers_are_these() -> None:
    """The bounds that the page names."""
    assert (kept.LASTS, kept.LONGEST, signin_kept.MOST_OF_ONE) == (15 * 60, 256 * 1024, 20)
    assert "at most 256 kB" in PAGE
    assert "at most 20 in 15 minutes" in PAGE
