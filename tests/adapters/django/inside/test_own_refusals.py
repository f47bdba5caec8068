"""What Django refuses by itself is turned right, with no mark anywhere."""

from __future__ import annotations

from typing import Any

import pytest
from tests.adapters.django.inside.conftest import PAGE, Browser, reason, said

CLOSED = ["/mine/", "/amine/", "/by-permission/", "/by-exception/", "/staff/", "/denied/", "/forbidden/", "/mixed/"]


@pytest.mark.parametrize("path", [*CLOSED, "/permitted/", "/api/mine/", "/api/admins/", "/ninja/theirs", "/admin/"])
def test_nobody_is_asked_to_sign_in(browser: Browser, path: str) -> None:
    """Whatever Django would have answered: a redirect, a bare 403, a 401 without a challenge."""
    answer = browser.ask(path)
    assert said(answer) == (401, "sign-in-required")
    assert answer.headers["WWW-Authenticate"].startswith('Cookie realm="The shop", form-action="/')
    assert "processed" not in answer.content.decode()


@pytest.mark.parametrize("path", [*CLOSED, "/permitted/", "/api/mine/", "/admin/"])
def test_a_browser_gets_a_page_that_leads_to_the_login(browser: Browser, path: str) -> None:
    """With status 401, at the same address; the admin has a login of its own, and so has a view that says so."""
    answer = browser.page(path)
    assert said(answer) == (401, "sign-in-required")
    login = {"/admin/": "/admin/login/", "/staff/": "/staff/login/"}.get(path, "/accounts/login/")
    assert f'href="{login}?next={path}"' in answer.content.decode()


@pytest.mark.parametrize(
    "path", ["/by-permission/", "/by-exception/", "/staff/", "/denied/", "/forbidden/", "/permitted/"]
)
def test_somebody_may_not(browser: Browser, people: dict[str, Any], path: str) -> None:
    """Who is signed in is not sent to the login again."""
    browser.sign_in(people["bo"])
    assert said(browser.ask(path)) == (403, "not-permitted")


@pytest.mark.parametrize(
    "path", ["/mine/", "/amine/", "/by-permission/", "/staff/", "/mixed/", "/permitted/", "/admin/"]
)
def test_somebody_may(browser: Browser, people: dict[str, Any], path: str) -> None:
    """Django's own checks go on deciding."""
    browser.sign_in(people["anna"])
    assert browser.ask(path).status_code == 200


def test_a_refusal_says_what_the_view_says(browser: Browser, people: dict[str, Any]) -> None:
    """`demur.Refused`, deep in a view."""
    browser.sign_in(people["bo"])
    answer = browser.ask("/refused/")
    assert said(answer) == (403, "not-permitted")
    assert "Only its author may." in answer.content.decode()


def test_what_is_open_stays_as_it_was(browser: Browser, people: dict[str, Any]) -> None:
    """Nobody is looked up, and nothing is added."""
    browser.sign_in(people["bo"])
    answer = browser.ask("/")
    assert (answer.status_code, answer.content) == (200, b"home")
    assert "Cache-Control" not in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/nothing/", 404), ("/mine", 301)])
def test_what_the_framework_answers_passes(browser: Browser, path: str, status: int) -> None:
    """A page that is not there, and a slash that is missing."""
    assert browser.ask(path).status_code == status


def test_signing_out_is_no_refusal(browser: Browser, people: dict[str, Any]) -> None:
    """A way to the login that is not to lead back is only that: by POST, and by GET as tutorials do it."""
    for path, method in (("/accounts/logout/", "POST"), ("/sign-out/", "GET")):
        browser.sign_in(people["bo"])
        answer = browser.ask(path, method)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/login/")


def test_the_login_page_is_not_refused(browser: Browser) -> None:
    """Nor what it says about a wrong password."""
    assert browser.page("/accounts/login/?next=/mine/").status_code == 200
    form = {"content_type": "application/x-www-form-urlencoded", "data": "username=bo&password=wrong"}
    assert browser.ask("/accounts/login/", "POST", kind=PAGE, **form).status_code == 200


def test_signing_in_opens(browser: Browser, people: dict[str, Any]) -> None:
    """By Django's own form."""
    form = {"content_type": "application/x-www-form-urlencoded", "data": "username=bo&password=battery+staple"}
    answer = browser.ask("/accounts/login/?next=/mine/", "POST", kind=PAGE, **form)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/mine/")
    assert browser.ask("/mine/").content == b"mine: bo"


def test_messages_keep_working(browser: Browser) -> None:
    """They are for the next page."""
    assert browser.ask("/said/").content == b"saved"
    assert browser.ask("/read-messages/").content == b"Saved."


def test_head_equals_get(browser: Browser) -> None:
    """But for the content."""
    get, head = browser.ask("/mine/"), browser.ask("/mine/", "HEAD")
    assert (get.status_code, head.status_code, head.content) == (401, 401, b"")
    assert head.headers["Content-Length"] == str(len(get.content))


def test_without_the_translation_django_answers(given: Any, browser: Browser) -> None:
    """`translates = False` leaves the app its own words."""
    given(DEMUR={"translates": False})
    assert browser.ask("/mine/").status_code == 302
    assert reason(browser.ask("/by-exception/")) == ""
