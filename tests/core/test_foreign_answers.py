"""What an app with a login of its own means by its answer."""

from __future__ import annotations

import pytest
from tests.core.support import NOW, make_live, make_request, make_site

from demur.core.foreign import read_answer
from demur.core.model import Absent, Ended, Ending, Evidence, Presented, Unknown
from demur.core.reasons import Reason

SITE = make_site(login="/login?next={next}")
HERE = "https://app.example.com"
BO = make_live()
OLD = Ended(Ending.IDLE, NOW - 60)


@pytest.mark.parametrize(
    ("method", "location", "evidence", "reason"),
    [
        ("GET", "/login", Absent(), Reason.SIGN_IN_REQUIRED),
        ("HEAD", f"{HERE}/login?next=%2Fplans", Absent(), Reason.SIGN_IN_REQUIRED),
        ("GET", "/login", OLD, Reason.SESSION_IDLE),
        ("GET", "/login", Unknown(), Reason.CREDENTIALS_INVALID),
        ("GET", "/else", Absent(), None),
        ("GET", "/login/else", Absent(), None),
        ("GET", "https://other.example/login", Absent(), None),
        ("POST", "/login?next=/plans", Absent(), Reason.SIGN_IN_REQUIRED),
        ("POST", f"/login?next={HERE}/plans?a", Absent(), Reason.SIGN_IN_REQUIRED),
        ("POST", "/login", OLD, Reason.SESSION_IDLE),
        ("POST", "/login", Absent(), None),  # somebody has just registered
        ("POST", "/login?next=/", Absent(), None),
        ("POST", "/login?next=http://[", Absent(), None),
        ("GET", "/login", BO, None),  # somebody has just signed out
        ("POST", "/login?next=/", BO, None),
        ("GET", "/login?next=/plans", BO, Reason.NOT_PERMITTED),  # as Django's user_passes_test does
    ],
)
def test_a_redirect_to_the_login(method: str, location: str, evidence: Evidence, reason: Reason | None) -> None:
    """It means "sign in first" where it leads back here, or where nothing else can be meant."""
    answered = ((b"location", location.encode()),)
    request = make_request(method, "/plans?a=b")
    refuse = read_answer(SITE, request, 302, answered, evidence, Presented(None), NOW)
    assert (refuse and refuse.reason) == reason


@pytest.mark.parametrize("status", [401, 403])
def test_the_login_itself_is_never_refused(status: int) -> None:
    """A wrong password is its own affair."""
    assert read_answer(SITE, make_request("POST", "/login"), status, (), Absent(), Presented(None), NOW) is None
