"""A CSRF error is told after it is known who it is."""

from __future__ import annotations

from typing import Any

import pytest
from tests.adapters.django.inside.conftest import Browser, made, said

FORM = {"data": "a=1", "content_type": "application/x-www-form-urlencoded"}
VIEWS = ["demur.adapters.django.csrf_failure", "django.views.csrf.csrf_failure"]


@pytest.fixture(params=["WSGI", "ASGI"])
def browser(request: pytest.FixtureRequest, project: None) -> Browser:
    """One whose tokens are checked."""
    return made(request.param == "ASGI", enforce_csrf_checks=True)


@pytest.fixture(params=VIEWS)
def failing(request: pytest.FixtureRequest, given: Any) -> str:
    """With the line in the settings, and without."""
    given(CSRF_FAILURE_VIEW=request.param)
    return str(request.param)


@pytest.mark.parametrize("path", ["/mine/", "/member/", "/mixed/"])
def test_nobody_is_asked_to_sign_in(browser: Browser, failing: str, path: str) -> None:
    """And not told that a form was forged."""
    assert said(browser.ask(path, "POST", **FORM)) == (401, "sign-in-required")


def test_a_session_that_is_over_says_so(browser: Browser, people: Any, failing: str) -> None:
    """Its token went with it."""
    browser.sign_in(people["bo"])
    people["bo"].delete()
    assert said(browser.ask("/member/", "POST", **FORM)) == (401, "session-revoked")


@pytest.mark.parametrize("path", ["/mine/", "/member/", "/unmarked/"])
def test_somebody_is_told(browser: Browser, people: Any, failing: str, path: str) -> None:
    """Who is signed in is told that the form is not right."""
    browser.sign_in(people["bo"])
    assert said(browser.ask(path, "POST", **FORM)) == (403, "cross-site-refused")


def test_who_may_not_is_told_that(browser: Browser, people: Any, failing: str) -> None:
    """Whatever the token."""
    browser.sign_in(people["bo"])
    assert said(browser.ask("/edit/", "POST", **FORM)) == (403, "not-permitted")


def test_nobody_at_an_open_view(browser: Browser, failing: str) -> None:
    """A sign-in form, say, whose token is not right."""
    assert said(browser.ask("/accounts/login/", "POST", **FORM)) == (403, "cross-site-refused")


def test_the_decorator(browser: Browser, people: Any) -> None:
    """`csrf_protect` asks the same view."""
    browser.sign_in(people["bo"])
    assert said(browser.ask("/protected/", "POST", **FORM)) == (403, "cross-site-refused")


def test_a_view_without_a_token(browser: Browser, people: Any) -> None:
    """Is judged all the same, and another site cannot make a browser send to it."""
    assert said(browser.ask("/hook/", "POST", **FORM)) == (401, "sign-in-required")
    browser.sign_in(people["bo"])
    assert browser.ask("/hook/", "POST", **FORM).content == b"got 3"
    forged = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    assert said(browser.ask("/hook/", "POST", headers=forged, **FORM)) == (403, "cross-site-refused")


def test_trusted_origins(browser: Browser, people: Any, given: Any) -> None:
    """Who may send by Django's settings may do so by ours."""
    given(CSRF_TRUSTED_ORIGINS=["https://partner.example"])
    browser.sign_in(people["bo"])
    partner = {"sec-fetch-site": "cross-site", "origin": "https://partner.example"}
    assert browser.ask("/hook/", "POST", headers=partner, **FORM).content == b"got 3"


def test_the_right_token(browser: Browser, people: Any) -> None:
    """Opens."""
    browser.sign_in(people["bo"])
    browser.page("/accounts/login/?again")
    token = browser.client.cookies["csrftoken"].value
    assert browser.ask("/mine/", "POST", headers={"x-csrftoken": token}, **FORM).content == b"mine: bo"
