"""Why somebody is not signed in any more, where Django's session store can tell."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone
from tests.adapters.django.inside.conftest import Browser, made, said

KEEPING = ["db", "cached_db", "cache", "file"]


@pytest.fixture(params=["/mine/", "/member/"])
def path(request: pytest.FixtureRequest) -> str:
    """A page with Django's own decorator, and one with a mark."""
    return str(request.param)


def engine(given: Any, name: str, **more: Any) -> None:
    """Keep sessions there."""
    given(SESSION_ENGINE=f"django.contrib.sessions.backends.{name}", **more)


def again(browser: Browser) -> Browser:
    """Another browser with the same cookie: somebody has copied it, or it is another tab."""
    other = made(browser.asynchronous)
    other.client.cookies["sessionid"] = browser.session_key
    return other


def test_nothing_and_nonsense(browser: Browser, path: str) -> None:
    """Who sends nothing has not been here; what nobody made is not valid, and the browser may forget it."""
    assert said(browser.ask(path)) == (401, "sign-in-required")
    browser.client.cookies["sessionid"] = "0" * 32
    answer = browser.ask(path)
    assert said(answer) == (401, "credentials-invalid")
    assert answer.cookies["sessionid"]["max-age"] == 0


@pytest.mark.parametrize(("every", "why"), [(False, "session-expired"), (True, "session-idle")])
def test_a_row_that_is_past(browser: Browser, people: Any, given: Any, path: str, every: bool, why: str) -> None:
    """It says when it ended, and goes on saying so: the cookie stays, and so does the row."""
    given(SESSION_SAVE_EVERY_REQUEST=every)
    browser.sign_in(people["bo"])
    ended = timezone.now().replace(microsecond=0) - timedelta(minutes=5)
    Session.objects.update(expire_date=ended)
    for _ in range(2):
        answer = browser.ask(path)
        assert said(answer) == (401, why)
        assert ended.strftime("%Y-%m-%dT%H:%M:%SZ") in answer.content.decode()
        assert "sessionid" not in answer.cookies


@pytest.mark.parametrize("name", KEEPING)
def test_signed_out(browser: Browser, people: Any, given: Any, tmp_path: Any, path: str, name: str) -> None:
    """What is left of the session says so; the browser that signed out has no cookie any more."""
    engine(given, name, SESSION_FILE_PATH=str(tmp_path))
    browser.sign_in(people["bo"])
    other = again(browser)
    assert other.ask(path).status_code == 200
    out = browser.ask("/sign-out/")
    assert out.cookies["sessionid"]["max-age"] == 0
    for _ in range(2):
        assert said(other.ask(path)) == (401, "session-ended")


@pytest.mark.parametrize("name", KEEPING)
def test_another_password(browser: Browser, people: Any, given: Any, tmp_path: Any, path: str, name: str) -> None:
    """Who changes a password ends the other sessions."""
    engine(given, name, SESSION_FILE_PATH=str(tmp_path))
    browser.sign_in(people["bo"])
    people["bo"].set_password("another one")
    people["bo"].save()
    for _ in range(2):
        assert said(browser.ask(path)) == (401, "session-revoked")


def test_an_account_that_is_gone(browser: Browser, people: Any, path: str) -> None:
    """Its sessions were revoked."""
    browser.sign_in(people["bo"])
    people["bo"].delete()
    assert said(browser.ask(path)) == (401, "session-revoked")


def test_an_account_that_is_not_active(browser: Browser, people: Any, path: str) -> None:
    """They are known, and refused; signing in again does not help."""
    browser.sign_in(people["bo"])
    people["bo"].is_active = False
    people["bo"].save()
    assert said(browser.ask(path)) == (403, "account-suspended")


def test_sessions_in_cookies(browser: Browser, people: Any, given: Any, path: str) -> None:
    """Signed with the time: what is over was valid once."""
    engine(given, "signed_cookies")
    browser.sign_in(people["bo"])
    assert browser.ask(path).status_code == 200
    given(SESSION_COOKIE_AGE=-1)
    assert said(browser.ask(path)) == (401, "session-expired")
    browser.client.cookies["sessionid"] = "nonsense"
    assert said(browser.ask(path)) == (401, "credentials-invalid")


def test_a_session_in_which_nobody_signed_in(browser: Browser, path: str) -> None:
    """A basket or a message is no sign-in, expired or not."""
    given = settings.MESSAGE_STORAGE
    settings.MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
    try:
        browser.ask("/said/")
    finally:
        settings.MESSAGE_STORAGE = given
    assert browser.session_key
    assert said(browser.ask(path)) == (401, "sign-in-required")
    Session.objects.update(expire_date=timezone.now() - timedelta(minutes=5))
    assert said(browser.ask(path)) == (401, "sign-in-required")


def test_signing_in_again(browser: Browser, people: Any, path: str) -> None:
    """What was left of the last session does not come along."""
    browser.sign_in(people["bo"])
    other = again(browser)
    browser.ask("/sign-out/")
    assert said(other.ask(path)) == (401, "session-ended")
    other.sign_in(people["anna"])
    assert other.ask(path).status_code == 200
    assert other.ask(path).status_code == 200


def test_nothing_of_an_ended_session_is_left(browser: Browser, people: Any) -> None:
    """But whose it was, how it ended and when; and Django clears it away in its time."""
    browser.sign_in(people["bo"])
    session = browser.client.session
    session["basket"] = "secret"
    session.save()
    browser.ask("/sign-out/")
    (row,) = Session.objects.all()
    assert set(row.get_decoded()) == {"_demur_ended"}
    Session.objects.update(expire_date=timezone.now() - timedelta(minutes=5))
    call_command("clearsessions")
    assert not Session.objects.exists()


def test_the_database_is_down(browser: Browser, people: Any, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is nobody's fault."""
    if path == "/mine/":
        pytest.skip("the view asks by itself, and Django says 500")
    browser.sign_in(people["bo"])

    def down(*_: Any, **__: Any) -> Any:
        raise OperationalError("no such file")

    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.cursor", down)
    answer = browser.ask(path)
    assert said(answer) == (503, "unavailable")
    assert answer.headers["Retry-After"]
    assert "sessionid" not in answer.cookies
