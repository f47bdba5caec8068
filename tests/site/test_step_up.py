"""A fresh or a stronger sign-in, through a real gateway: asked for, given, and back to what was wanted."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from tests.site.streets import RULES, Street, street
from tests.site.wire import SCRIPT

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "app.localhost"
PASSWORD = "bob-borrows-beans"
CONFIG = f'[[site]]\norigin = "http://{HOST}:PORT"\nupstream = UPSTREAM\n{RULES}'

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """One site with a vault that wants a fresh sign-in, and pages that want a strong one."""
    with street(tmp_path_factory.mktemp("step-up"), CONFIG, "demur-dev") as found:
        yield found


@pytest.fixture
def stale(here: Street) -> str:
    """The token of a live session that began too long ago."""
    at = int(time.time()) - 3000
    return here.house.session("bob", authenticated_at=at, issued_at=at)[0]


def confirm(here: Street, token: str, next_: str, password: str = PASSWORD) -> tuple[int, str, str]:
    """What the form of the page gets: status, where it leads, the new token."""
    own = ("Origin", here.origin(HOST))
    answer = here.send(f"{HOST}/.demur/sign-in", {"password": password, "next": next_}, own, token=token)
    new = answer.cookies.get(here.cookie, "").partition(";")[0]
    return answer.status, answer.value("location") or "", new


def test_the_page_opens_after_confirming(here: Street, stale: str) -> None:
    """401 and the password alone; then a new id, and 303 to the page, which opens. The old id is worth nothing."""
    page = here.ask("GET", f"{HOST}/vault/1?a=b", token=stale)
    assert page.status == 401
    assert page.challenge["error"] == "insufficient_user_authentication"
    assert page.challenge["max_age"] == "900"
    assert 'name="next" value="/vault/1?a=b"' in page.text
    assert 'id="username"' not in page.text
    assert confirm(here, stale, "/vault/1?a=b", "wrong")[0] == 401
    status, location, new = confirm(here, stale, "/vault/1?a=b")
    assert (status, location) == (303, "/vault/1?a=b")
    assert new != stale
    assert here.ask("GET", f"{HOST}/vault/1?a=b", token=new).status == 200
    assert here.ask("GET", f"{HOST}/vault/1", SCRIPT, token=stale).problem["reason"] == "session-replaced"


def test_after_a_form_its_person_is_asked(here: Street, stale: str) -> None:
    """What changes something is not sent twice by itself: `next` is the offer, and from there the page of the form."""
    referer = ("Referer", here.origin(HOST) + "/vault/form?x=1")
    page = here.send(f"{HOST}/vault/1", {"seed": "bean"}, ("Origin", here.origin(HOST)), referer, token=stale)
    assert page.status == 401
    assert re.search(r'name="next" value="/\.demur/kept\?of=[\w-]{43}&amp;next=%2Fvault%2Fform%3Fx%3D1"', page.text)
    foreign = ("Referer", "http://evil.example/vault/form")
    page = here.send(f"{HOST}/vault/1", {"seed": "bean"}, ("Origin", here.origin(HOST)), foreign, token=stale)
    assert re.search(r'name="next" value="/\.demur/kept\?of=[\w-]{43}&amp;next=%2F"', page.text)


def test_a_script_confirms_and_repeats(here: Street, stale: str) -> None:
    """The problem says how fresh; after confirming, the same PUT works."""
    here.house.upstream_saw()
    refused = here.ask("PUT", f"{HOST}/vault/1", SCRIPT, b"{}", token=stale).problem
    assert (refused["reason"], refused["max_age"], refused["processed"]) == ("step-up-required", 900, False)
    assert here.house.upstream_saw() == b""
    kind = ("Content-Type", "application/json")
    sent = f'{{"password": "{PASSWORD}"}}'.encode()
    done = here.ask("POST", f"{HOST}{refused['sign_in']}", [*SCRIPT, kind], sent, token=stale)
    assert done.status == 200
    new = done.cookies[here.cookie].partition(";")[0]
    assert here.ask("PUT", f"{HOST}/vault/1", SCRIPT, b"{}", token=new).status == 200


def test_no_password_is_asked_for_where_none_would_do(here: Street, stale: str) -> None:
    """What lacks strength gets words and no form; what lacks both says both."""
    page = here.ask("GET", f"{HOST}/strong/1", token=stale)
    assert page.status == 401
    assert page.challenge["acr_values"] == "mfa phr phrh"
    assert page.challenge["max_age"] == "900"
    assert "<form" not in page.text
    assert "two factors" in page.text
    _, _, fresh = confirm(here, stale, "/")
    problem = here.ask("GET", f"{HOST}/strong/1", SCRIPT, token=fresh).problem
    assert problem["acr_values"] == ["mfa", "phr", "phrh"]
    assert "max_age" not in problem


def test_who_is_strong_and_fresh_comes_in(here: Street) -> None:
    """A session that an app began with two factors opens it, and confirming the password keeps it strong."""
    at = int(time.time()) - 3000
    token, _ = here.house.session("bob", authenticated_at=at, issued_at=at, acr="mfa")
    page = here.ask("GET", f"{HOST}/strong/1", token=token)
    assert page.challenge["max_age"] == "900"
    assert "acr_values" not in page.challenge
    status, location, new = confirm(here, token, "/strong/1")
    assert (status, location) == (303, "/strong/1")
    assert here.ask("GET", f"{HOST}/strong/1", token=new).status == 200
