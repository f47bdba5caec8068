"""demur's own sessions, for the people of Django's user table."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Group
from tests.adapters.django.inside.conftest import PAGE, SCRIPT, Browser, said

from demur.adapters.django import replies


@pytest.fixture(autouse=True)
def kept(given: Any, tmp_path: Any) -> None:
    """demur keeps the sessions."""
    given(
        DEMUR={
            "origin": "https://testserver",
            "store": f"sqlite:{tmp_path / 'sessions.db'}",
            "keys": str(tmp_path / "keys"),
            "rules": [{"path": "/**", "allow": "app"}],
        }
    )


def ask(browser: Browser, path: str, method: str = "GET", **given: Any) -> Any:
    """An answer over https."""
    return browser.ask(path, method, secure=True, **given)


def sign_in(browser: Browser, name: str = "bo", password: str = "battery staple") -> Any:
    """By demur's own page."""
    sent = json.dumps({"username": name, "password": password})
    return ask(browser, "/.demur/sign-in", "POST", data=sent, content_type="application/json", kind=SCRIPT)


def test_signing_in(browser: Browser) -> None:
    """With the password that Django keeps; `request.user` is whoever demur says."""
    assert said(ask(browser, "/mine/")) == (401, "sign-in-required")
    answer = sign_in(browser)
    assert answer.status_code in (200, 204)
    assert "__Host-demur" in answer.cookies
    assert ask(browser, "/mine/").content == b"mine: bo"
    assert ask(browser, "/member/").content == b"member: bo, bo"


def test_a_wrong_password(browser: Browser) -> None:
    """Is told as an unknown name is, and as an account that is not active."""
    assert said(sign_in(browser, password="wrong")) == (401, "credentials-invalid")
    assert said(sign_in(browser, name="nobody")) == (401, "credentials-invalid")


def test_who_is_not_active_may_not(browser: Browser, people: Any) -> None:
    """Neither begin nor go on."""
    sign_in(browser)
    people["bo"].is_active = False
    people["bo"].save()
    assert said(ask(browser, "/member/"))[0] == 401
    assert said(sign_in(browser)) == (401, "credentials-invalid")


def test_the_form_stands_in_place(browser: Browser) -> None:
    """At the address that was asked for."""
    answer = ask(browser, "/mine/", kind=PAGE)
    assert said(answer) == (401, "sign-in-required")
    assert 'action="/.demur/sign-in"' in answer.content.decode()


@pytest.mark.parametrize("kind", [PAGE, SCRIPT])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/member/", "/member/?a=b"])
def test_who_is_nobody_is_told_the_same_again(browser: Browser, path: str, method: str, kind: Any) -> None:
    """Byte for byte, but for the reference; and whoever has signed in meanwhile is told something else."""
    named = {} if browser.asynchronous else {"host": "testserver"}
    answers = [ask(browser, path, method, kind={**kind, **named}) for _ in range(5)]
    again = replies.Again
    assert [type(answer) for answer in answers[3:]] == [again, again]
    assert {_but_its_name(answer) for answer in answers} == {_but_its_name(answers[0])}
    assert len({answer.content for answer in answers}) == (1 if method == "HEAD" else 5)
    sign_in(browser)
    assert ask(browser, "/member/").content == b"member: bo, bo"


def _but_its_name(answer: Any) -> Any:
    named = re.sub(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"-", answer.content)
    return answer.status_code, answer.reason_phrase, tuple(answer.items()), named


def test_groups_and_permissions(browser: Browser, people: Any) -> None:
    """Are Django's, and what changes is known at the next request."""
    sign_in(browser)
    assert said(ask(browser, "/edit/")) == (403, "not-permitted")
    assert said(ask(browser, "/report/")) == (403, "not-permitted")
    people["bo"].groups.add(Group.objects.get(name="editors"))
    assert ask(browser, "/edit/").status_code == 200
    people["bo"].groups.clear()
    sign_in(browser, "anna", "correct horse")
    assert ask(browser, "/edit/").status_code == 200
    assert ask(browser, "/report/").status_code == 200
    assert ask(browser, "/areport/").status_code == 200


def test_the_admin(browser: Browser) -> None:
    """Is open to who is on the staff, by demur's session."""
    assert said(ask(browser, "/admin/"))[0] == 401
    sign_in(browser, "anna", "correct horse")
    assert ask(browser, "/admin/", kind=PAGE).status_code == 200


def test_another_password(browser: Browser, people: Any) -> None:
    """Ends the sessions."""
    sign_in(browser)
    people["bo"].set_password("another one")
    people["bo"].save()
    assert said(ask(browser, "/member/")) == (401, "session-revoked")


def test_an_account_that_is_gone(browser: Browser, people: Any) -> None:
    """Has no sessions any more."""
    sign_in(browser)
    people["bo"].delete()
    assert said(ask(browser, "/member/")) == (401, "session-revoked")


def test_signing_out(browser: Browser) -> None:
    """Is real: the copied cookie opens nothing."""
    sign_in(browser)
    copied = browser.client.cookies["__Host-demur"].value
    assert ask(browser, "/.demur/sign-out", "POST", kind=SCRIPT).status_code in (200, 204, 303)
    browser.client.cookies["__Host-demur"] = copied
    assert said(ask(browser, "/member/")) == (401, "session-ended")


def test_what_is_not_for_the_app(browser: Browser) -> None:
    """Our cookie, and what somebody says of themselves."""
    sign_in(browser)
    answer = ask(browser, "/member/", headers={"remote-user": "anna"})
    assert answer.status_code == 200
    request = answer.asgi_request if browser.asynchronous else answer.wsgi_request
    assert "__Host-demur" not in f"{request.COOKIES} {request.META.get('HTTP_COOKIE')}"
    assert "HTTP_REMOTE_USER" not in request.META
