"""Django REST framework and django-ninja."""

# mypy: disable-error-code="misc, import-untyped, attr-defined, unused-ignore"
from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group
from rest_framework.authtoken.models import Token
from tests.adapters.django.inside.conftest import Browser, made, said

BROKEN = {"data": "{not json", "content_type": "application/json"}


@pytest.fixture
def token(people: Any) -> dict[str, str]:
    """The token of bo, as a program sends it."""
    return {"authorization": f"Token {Token.objects.create(user=people['bo']).key}"}


# --- Django REST framework -----------------------------------------------------------------------------


def test_broken_json_of_nobody_is_a_401(browser: Browser, people: Any) -> None:
    """Who somebody is comes before what they sent."""
    assert said(browser.ask("/api/mine/", "POST", **BROKEN)) == (401, "sign-in-required")
    assert said(browser.ask("/ninja/orders", "POST", **BROKEN)) == (401, "sign-in-required")


def test_somebody_may(browser: Browser, people: Any) -> None:
    """By their own classes."""
    browser.sign_in(people["anna"])
    assert json.loads(browser.ask("/api/mine/").content) == {"user": "anna"}
    assert browser.ask("/api/admins/").status_code == 200


def test_somebody_may_not(browser: Browser, people: Any) -> None:
    """403, with the sentence of the permission if it has one."""
    browser.sign_in(people["bo"])
    assert said(browser.ask("/api/admins/")) == (403, "not-permitted")
    answer = browser.ask("/api/closed/")
    assert said(answer) == (403, "not-permitted")
    assert "Only on weekdays." in answer.content.decode()


def test_a_token(browser: Browser, token: dict[str, str]) -> None:
    """Is theirs to judge; what its person may not is a 403 and no question to sign in."""
    assert json.loads(browser.ask("/api/mine/", headers=token).content) == {"user": "bo"}
    assert said(browser.ask("/api/admins/", headers=token)) == (403, "not-permitted")


def test_a_bad_token(browser: Browser) -> None:
    """Is not valid, and their challenge stands beside ours."""
    answer = browser.ask("/api/mine/", headers={"authorization": "Token nobodys"})
    assert said(answer) == (401, "credentials-invalid")
    challenges = [value for name, value in answer.items() if name == "WWW-Authenticate"]
    assert [each.partition(" ")[0] for each in challenges] == ["Cookie"]


def test_a_token_at_a_mark(browser: Browser, given: Any, people: Any, token: dict[str, str]) -> None:
    """With the bridge for tokens a mark knows whose it is, before the view."""
    given(DEMUR={"bridge": "demur.adapters.django.drf.tokens"})
    assert said(browser.ask("/api/items/", headers=token)) == (403, "not-permitted")
    people["bo"].groups.add(Group.objects.get(name="editors"))
    assert browser.ask("/api/items/", headers=token).status_code == 200
    assert said(browser.ask("/api/items/", headers={"authorization": "Token nobodys"})) == (401, "credentials-invalid")
    assert said(browser.ask("/api/items/")) == (401, "sign-in-required")
    browser.sign_in(people["anna"])
    assert browser.ask("/api/items/").status_code == 200


def test_their_csrf_error(people: Any) -> None:
    """Is ours."""
    for asynchronous in (False, True):
        browser = made(asynchronous, enforce_csrf_checks=True)
        browser.sign_in(people["bo"])
        assert said(browser.ask("/api/mine/", "POST", data="{}", content_type="application/json")) == (
            403,
            "cross-site-refused",
        )


# --- django-ninja --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ninja/theirs", "/ninja/reports", "/ninja/areports", "/ninja/marked"])
def test_ninja(browser: Browser, people: Any, path: str) -> None:
    """Nobody, somebody who may not, somebody who may."""
    assert said(browser.ask(path)) == (401, "sign-in-required")
    browser.sign_in(people["bo"])
    expected = (200, "") if path == "/ninja/theirs" else (403, "not-permitted")
    assert said(browser.ask(path)) == expected
    browser.sign_in(people["anna"])
    assert browser.ask(path).status_code == 200


def test_ninja_reads_the_body_of_somebody(browser: Browser, people: Any) -> None:
    """And finds it broken, or not."""
    browser.sign_in(people["bo"])
    assert browser.ask("/ninja/orders", "POST", **BROKEN).status_code in (400, 422)
    right = {"data": '{"table": 7}', "content_type": "application/json"}
    assert json.loads(browser.ask("/ninja/orders", "POST", **right).content) == {"table": 7}


@pytest.mark.parametrize("debug", [False, True])
def test_ninja_raises(browser: Browser, people: Any, given: Any, debug: bool) -> None:
    """What an operation raises, in debug mode too."""
    given(DEBUG=debug)
    browser.sign_in(people["bo"])
    assert said(browser.ask("/ninja/raises")) == (403, "not-permitted")


def test_ninjas_csrf_error(people: Any) -> None:
    """After it is known who it is."""
    browser = made(enforce_csrf_checks=True)
    right = {"data": '{"table": 7}', "content_type": "application/json"}
    assert said(browser.ask("/ninja/orders", "POST", **right)) == (401, "sign-in-required")
    browser.sign_in(people["bo"])
    assert said(browser.ask("/ninja/orders", "POST", **right)) == (403, "cross-site-refused")


def test_ninja_has_a_security_scheme(browser: Browser) -> None:
    """Its document says how to come in."""
    document = json.loads(browser.ask("/ninja/openapi.json").content)
    assert document["components"]["securitySchemes"]["SignedIn"] == {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
    }
