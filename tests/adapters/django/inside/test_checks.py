"""System checks, and the list of routes."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from demur.adapters.django import checks

CLOSE = {"rules": [{"path": "/**", "allow": "marked"}]}


def ids(found: list[Any]) -> set[str]:
    """The numbers of what was found."""
    return {each.id for each in found}


def test_nothing_is_wrong() -> None:
    """With the settings as they are."""
    assert checks.middleware() == []
    assert checks.views() == []
    call_command("check", stdout=StringIO(), stderr=StringIO())


def test_what_nobody_marks_is_an_error(given: Any) -> None:
    """Where rules leave it to the mark; whatever decides by itself is none."""
    given(DEMUR=CLOSE)
    found = checks.views()
    assert ids(found) == {"demur.E004"}
    said = " ".join(each.msg for each in found)
    for path in ("/unmarked/", "/years/", "/things/", "PUT /by-method/", "POST /api/actions/", "/api/anybody/"):
        assert path in said
    for path in (
        "/mine/",
        "/member/",
        "/admin/",
        "/accounts/login/",
        "/open-by-django/",
        "/api/mine/",
        "/ninja/theirs",
    ):
        assert path not in said


def test_a_rule_opens_it(given: Any) -> None:
    """And it is none any more."""
    rules = [*CLOSE["rules"], {"path": "/things/**", "allow": "anyone"}, {"path": "/years/**", "allow": "signed-in"}]
    given(DEMUR={"rules": rules})
    said = " ".join(each.msg for each in checks.views())
    assert "/unmarked/" in said
    assert "/things/" not in said
    assert "/years/" not in said


def test_the_middleware_is_not_there(given: Any) -> None:
    """Or not in its place."""
    ours = "demur.adapters.django.Middleware"
    without = [each for each in settings.MIDDLEWARE if each != ours]
    given(MIDDLEWARE=without)
    assert ids(checks.middleware()) == {"demur.E001"}
    given(MIDDLEWARE=[ours, *without])
    assert ids(checks.middleware()) == {"demur.E002"}


def test_settings_that_cannot_be_used(given: Any) -> None:
    """With their fix."""
    given(DEMUR={"rulez": []})
    (found,) = checks.views()
    assert found.id == "demur.E003"
    assert "Did you mean 'rules'?" in found.msg


def test_a_permission_that_nobody_can_hold() -> None:
    """A word that is neither Django's nor in the table."""
    asked = ["report:reed", "shop.view_report", "nothing.view_report"]
    said = [each.msg for each in checks.held("/x/", asked)]
    assert said == [f"/x/ asks for {name!r}, which nobody can hold." for name in (asked[0], asked[2])]


def test_the_csrf_view(given: Any) -> None:
    """Is a warning."""
    given(CSRF_FAILURE_VIEW="django.views.csrf.csrf_failure")
    assert ids(checks.middleware()) == {"demur.W001"}


def test_the_list(given: Any) -> None:
    """Every pattern with what is asked for."""
    out = StringIO()
    call_command("demur_routes", stdout=out)
    rows = {line.split("  ")[0]: line for line in out.getvalue().splitlines()}
    assert "shop.view_report" in rows["/report/"]
    assert "login_required, or the like" in rows["/mine/"]
    assert "LoginRequiredMixin" in rows["/mixed/"]
    assert "IsAuthenticated" in rows["/api/mine/"]
    assert "auth: SignedIn" in rows["/ninja/orders"]
    assert "the admin" in rows["/admin/"]
    assert "what the app decides" in rows["/unmarked/"]
    assert "tests.adapters.django.project.views.unmarked" in rows["/unmarked/"]


def test_the_list_of_what_is_closed(given: Any) -> None:
    """Fails, for a build to fail with it."""
    given(DEMUR=CLOSE)
    out = StringIO()
    with pytest.raises(CommandError, match="Nobody says who may open"):
        call_command("demur_routes", "--closed", stdout=out)
    assert "/unmarked/" in out.getvalue()
    assert "/member/" not in out.getvalue()
