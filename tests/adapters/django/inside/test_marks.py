"""Marks beside views: judged where Django has found the view, before the body is read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from tests.adapters.django.inside.conftest import SCRIPT, Browser, said

MARKED = ["/member/", "/amember/", "/report/", "/areport/", "/edit/", "/fresh/", "/plain/", "/marked/", "/by-method/"]
MARKED += ["/decorated/", "/decorated-twice/", "/with-mixin/", "/with-mixin/given/", "/api/items/", "/api/actions/"]
MARKED += ["/ninja/marked"]
FOR_FEW = [path for path in MARKED if path not in {"/member/", "/amember/", "/fresh/", "/by-method/"}]
CLOSE = {"DEMUR": {"rules": [{"path": "/**", "allow": "marked"}]}}


@pytest.mark.parametrize("path", MARKED)
def test_nobody(browser: Browser, path: str) -> None:
    """It is said that nothing was processed."""
    answer = browser.ask(path)
    assert said(answer) == (401, "sign-in-required")
    assert answer.headers["Demur-Processed"] == "?0"


@pytest.mark.parametrize("path", FOR_FEW)
def test_somebody_who_may_not(browser: Browser, people: Any, path: str) -> None:
    """By Django's groups and permissions."""
    browser.sign_in(people["bo"])
    assert said(browser.ask(path)) == (403, "not-permitted")


@pytest.mark.parametrize("path", MARKED)
def test_somebody_who_may(browser: Browser, people: Any, path: str) -> None:
    """The view answers, and no cache keeps it for others."""
    browser.sign_in(people["anna"])
    answer = browser.ask(path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("path", ["/member/", "/amember/"])
def test_the_view_knows_who(browser: Browser, people: Any, path: str) -> None:
    """By `request.user` as ever, and by `request.demur`."""
    browser.sign_in(people["anna"])
    assert browser.ask(path).content == b"member: anna, anna"


def test_two_decorators_in_one(browser: Browser, people: Any) -> None:
    """`method_decorator` with a list of marks loses none of them."""
    people["bo"].user_permissions.add(Permission.objects.get(codename="view_report"))
    browser.sign_in(people["bo"])
    assert browser.ask("/report/").status_code == 200
    assert said(browser.ask("/decorated-twice/")) == (403, "not-permitted")


def test_each_method_of_a_class(browser: Browser, people: Any) -> None:
    """What stands beside a method counts for it alone; one that is not there is none of our affair."""
    browser.sign_in(people["bo"])
    assert browser.ask("/by-method/").content == b"got"
    assert browser.ask("/by-method/", "HEAD").status_code == 200
    assert browser.ask("/by-method/", "POST").status_code == 403
    assert browser.ask("/by-method/", "DELETE").status_code == 405


def test_a_stale_sign_in(browser: Browser, people: Any) -> None:
    """A sign-in is as old as Django's session, and not as the last one elsewhere."""
    browser.sign_in(people["bo"])
    assert browser.ask("/fresh/").content == b"fresh"
    session = browser.client.session
    session["_demur_authenticated_at"] -= timedelta(minutes=6).seconds
    session.save()
    people["bo"].save()
    answer = browser.ask("/fresh/")
    assert said(answer) == (401, "step-up-required")
    assert 'max_age="300"' in answer.headers["WWW-Authenticate"] or "max_age=300" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/public/", "/open-by-django/"])
def test_an_open_view(browser: Browser, people: Any, path: str) -> None:
    """Is open to nobody, to somebody, and to whose session is over."""
    assert browser.ask(path).status_code == 200
    browser.sign_in(people["bo"])
    assert browser.ask(path).status_code == 200
    people["bo"].delete()
    assert browser.ask(path).status_code == 200


def test_who_can_be_identified_is(browser: Browser, people: Any) -> None:
    """And nobody is refused."""
    assert browser.ask("/identified/").content == b"identified: nobody"
    browser.sign_in(people["bo"])
    assert browser.ask("/identified/").content == b"identified: bo"


def test_in_the_middle_of_a_view(browser: Browser, people: Any) -> None:
    """`request.demur.require`."""
    assert said(browser.ask("/asks/")) == (401, "sign-in-required")
    browser.sign_in(people["bo"])
    assert said(browser.ask("/asks/")) == (403, "not-permitted")
    browser.sign_in(people["anna"])
    assert browser.ask("/asks/").content == b"asked"


def test_a_stream_passes(browser: Browser, people: Any) -> None:
    """Piece by piece, and no shared cache keeps it."""
    browser.sign_in(people["bo"])
    answer = browser.ask("/streamed/")
    assert answer.streaming
    assert answer.headers["Cache-Control"] == "private, max-age=60"


# --- closed by default ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/unmarked/", "/years/2026/", "/things/7/x/", "/api/anybody/", "/ninja/open"])
def test_what_nobody_marks_is_closed(browser: Browser, people: Any, given: Any, path: str) -> None:
    """To nobody as to somebody."""
    given(**CLOSE)
    assert said(browser.ask(path)) == (401, "sign-in-required")
    browser.sign_in(people["anna"])
    assert said(browser.ask(path)) == (403, "not-permitted")


def test_the_action_that_nobody_marks_is_closed(browser: Browser, people: Any, given: Any) -> None:
    """Beside one that is marked."""
    given(**CLOSE)
    browser.sign_in(people["anna"])
    assert browser.ask("/api/actions/").status_code == 200
    assert said(browser.ask("/api/actions/", "POST"))[0] == 403
    assert said(browser.ask("/by-method/", "PUT"))[0] == 403


@pytest.mark.parametrize("path", ["/open-by-django/", "/accounts/login/", "/admin/login/", "/public/", "/identified/"])
def test_what_is_said_to_be_open_is(browser: Browser, given: Any, path: str) -> None:
    """By a mark, or by Django's `login_not_required`."""
    given(**CLOSE)
    assert browser.ask(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/mine/", "/staff/", "/mixed/", "/permitted/", "/admin/", "/api/mine/", "/ninja/theirs"]
)
def test_what_decides_by_itself_does(browser: Browser, people: Any, given: Any, path: str) -> None:
    """`login_required` and its relatives, permission classes, ninja's `auth` and the admin."""
    given(**CLOSE)
    assert said(browser.ask(path)) == (401, "sign-in-required")
    browser.sign_in(people["anna"])
    assert browser.ask(path).status_code == 200


def test_what_is_not_there_is_not_there(browser: Browser, given: Any) -> None:
    """404 is the framework's."""
    given(**CLOSE)
    assert browser.ask("/nothing/").status_code == 404


def test_a_rule_for_a_whole_prefix(browser: Browser, people: Any, given: Any) -> None:
    """Is judged before the view is found, and the mark of the view counts, too."""
    rules: list[Any] = [{"path": "/**", "allow": "app"}, {"path": "/edit/**", "allow": "signed-in"}]
    rules += [{"path": "/unmarked/**", "allow": {"permission": "shop.view_report"}}]
    given(DEMUR={"rules": rules})
    assert said(browser.ask("/edit/nothing/here/")) == (401, "sign-in-required")
    assert said(browser.ask("/unmarked/")) == (401, "sign-in-required")
    browser.sign_in(people["bo"])
    assert browser.ask("/edit/nothing/here/").status_code == 404
    assert said(browser.ask("/edit/")) == (403, "not-permitted")
    assert said(browser.ask("/unmarked/")) == (403, "not-permitted")
    browser.sign_in(people["anna"])
    assert browser.ask("/edit/").status_code == 200
    assert browser.ask("/unmarked/").content == b"unmarked"


def test_permissions_by_a_table(browser: Browser, people: Any, given: Any) -> None:
    """Of groups, as everywhere in demur, beside Django's own."""
    rules: list[Any] = [{"path": "/**", "allow": "app"}]
    rules += [{"path": "/unmarked/**", "allow": {"permission": "report:read"}}]
    given(DEMUR={"rules": rules, "permissions": {"report:read": ["editors"]}})
    browser.sign_in(people["bo"])
    assert said(browser.ask("/unmarked/")) == (403, "not-permitted")
    assert said(browser.ask("/report/")) == (403, "not-permitted")
    browser.sign_in(people["anna"])
    assert browser.ask("/unmarked/").status_code == 200
    assert browser.ask("/report/").status_code == 200


def test_a_preflight(browser: Browser) -> None:
    """Asks nobody who they are, and lets nobody in."""
    asked = {"origin": "https://elsewhere.example", "access-control-request-method": "POST", **SCRIPT}
    answer = browser.ask("/member/", "OPTIONS", kind=asked)
    assert answer.status_code in (200, 204)
    assert b"member" not in answer.content
