"""Each sentence about rules, as an explanation to whoever runs the site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.core.support import NOW, make_request, make_site

from demur.core.explain import explain
from demur.core.model import Subject
from demur.core.reasons import Reason
from demur.core.site import Cors

if TYPE_CHECKING:
    from collections.abc import Mapping

ANNA = Subject("0192-anna", "anna", frozenset(("staff",)))
GRANTED = Subject("0192-gus", "gus", grants=(("report:read", NOW + 60),))


def of(table: list[dict[str, Any]], asked: str, subject: Subject | None = None, **more: Any) -> Any:
    """The explanation of "METHOD /path" under a table."""
    method, target = asked.split(" ", 1)
    fields: Mapping[str, str] = more.pop("fields", {})
    return explain(make_site(table, **more), make_request(method, target, **fields), subject, NOW)


RULES: list[dict[str, Any]] = [
    {"path": "/public/**", "allow": "anyone"},
    {"path": "/members/**", "allow": "signed-in"},
    {"path": "/members/{id}", "allow": {"groups": ["staff", "board"]}},
    {"path": "/members/*/x", "allow": "signed-in"},
    {"path": "/forms", "allow": "signed-in"},
    {"path": "/forms", "methods": ["GET"], "allow": "anyone"},
    {"path": "/both", "allow": {"all_groups": ["staff", "board"]}},
    {"path": "/reports", "allow": {"permission": "report:read"}},
    {"path": "/admin", "allow": {"groups": ["staff"], "fresh": "15m"}},
    {"path": "/who", "allow": "anyone", "identify": True},
]


@pytest.mark.parametrize(
    ("sentence", "asked", "subject", "rule", "outcome", "status", "reason"),
    [
        ("what no rule opens is closed", "GET /x", None, None, "refuse", 401, Reason.SIGN_IN_REQUIRED),
        ("what no rule opens is closed", "GET /x", ANNA, None, "refuse", 403, Reason.NOT_PERMITTED),
        ("`/x/**` also matches `/x`", "GET /public", None, "/public/**", "allow", None, None),
        ("`/x/**` also matches `/x/`", "GET /public/", None, "/public/**", "allow", None, None),
        ("the most specific wins", "GET /members/7", ANNA, "/members/{id}", "allow", None, None),
        ("segment by segment", "GET /members/7/x", ANNA, "/members/*/x", "allow", None, None),
        ("a rule with methods stands first", "GET /forms", None, "GET /forms", "allow", None, None),
        ("HEAD follows GET", "HEAD /forms", None, "GET /forms", "allow", None, None),
        ("and only for them", "POST /forms", None, "/forms", "refuse", 401, Reason.SIGN_IN_REQUIRED),
        ("`groups` means any of", "GET /members/7", ANNA, "/members/{id}", "allow", None, None),
        ("`all_groups` means all", "GET /both", ANNA, "/both", "refuse", 403, Reason.NOT_PERMITTED),
        ("a permission maps to groups", "GET /reports", ANNA, "/reports", "refuse", 403, Reason.NOT_PERMITTED),
        ("a grant is as good", "GET /reports", GRANTED, "/reports", "allow", None, None),
        ("fresh is met by a sign-in of now", "GET /admin", ANNA, "/admin", "allow", None, None),
        ("optional never refuses", "GET /who", None, "/who", "allow", None, None),
        ("what is no target", "GET /public/%zz", ANNA, None, "refuse", 400, Reason.REQUEST_MALFORMED),
        ("every reading counts", "GET /public/../admin", GRANTED, "/admin", "refuse", 403, Reason.NOT_PERMITTED),
    ],
)
def test_a_sentence_holds(
    sentence: str,
    asked: str,
    subject: Subject | None,
    rule: str | None,
    outcome: str,
    status: int | None,
    reason: Reason | None,
) -> None:
    """What the documentation says of rules is what an explanation shows."""
    found = of(RULES, asked, subject)
    assert (found.rule, found.outcome, found.status, found.reason) == (rule, outcome, status, reason), sentence


def test_nothing_opens_by_user_agent_or_query() -> None:
    """A request is explained alike whatever its User-Agent and its query say."""
    plain = of(RULES, "GET /members/7")
    dressed = of(RULES, "GET /members/7?public=1&allow=anyone", fields={"user_agent": "Googlebot"})
    assert (plain.rule, plain.outcome, plain.reason) == (dressed.rule, dressed.outcome, dressed.reason)


def test_other_rules_are_named_with_why() -> None:
    """Every other rule that fits is listed with why it gave way."""
    found = of(RULES, "POST /forms")
    assert [(one.number, one.why) for one in found.considered] == [(6, "is for GET only")]
    found = of(RULES, "GET /members/7", ANNA)
    assert [(one.number, one.why) for one in found.considered] == [
        (2, "is less specific: '**' comes after '{id}'"),
    ]
    found = of(RULES, "GET /forms")
    assert [(one.number, one.why) for one in found.considered] == [(5, "names no methods")]


def test_hosts() -> None:
    """An exact host stands before a wildcard, a wildcard before none."""
    table = [
        {"path": "/**", "name": "any", "allow": "anyone"},
        {"path": "/**", "name": "wild", "host": "*.example.com", "allow": "anyone"},
        {"path": "/**", "name": "exact", "host": "app.example.com", "allow": "signed-in"},
    ]
    found = of(table, "GET /x")
    assert found.rule == "exact"
    assert [one.why for one in found.considered] == ["names no host", "is for fewer exact hosts"]


def test_what_is_asked_held_and_missing() -> None:
    """An explanation names groups and permissions, which a refusal does not."""
    found = of(RULES, "GET /both", ANNA)
    assert found.asks == ("to be signed in", "all of the groups board, staff")
    assert found.holds == ("signed in as anna", "in the groups staff")
    assert found.missing == ("the group board",)
    found = of(RULES, "GET /reports", Subject("i", "ida"))
    assert found.asks == ("to be signed in", "the permission report:read, which the groups readers hold")
    assert found.missing == ("the permission report:read",)
    found = of(RULES, "GET /x", ANNA)
    assert found.missing == ("more than anybody has",)
    found = of(RULES, "GET /admin")
    assert found.asks[-1] == "a sign-in of the last 900 seconds"
    assert found.missing == ("to be signed in",)
    assert of(RULES, "GET /reports", GRANTED).holds[-1].startswith("granted report:read until ")


def test_captures() -> None:
    """What a capture bound is shown."""
    assert of(RULES, "GET /members/7", ANNA).captures == (("id", "7"),)


def test_preflight_and_concealment() -> None:
    """A preflight is nobody's request, and a concealed refusal is the site's own 404."""
    table: list[dict[str, Any]] = [
        {"path": "/v/**", "allow": {"groups": ["x"]}, "conceal": True},
        {"path": "/**", "allow": "signed-in"},
    ]
    found = of(table, "GET /v/1", ANNA)
    assert (found.outcome, found.status, found.reason) == ("conceal", 404, Reason.NOT_FOUND)
    asked = {"origin": "https://x.example", "access_control_request_method": "PUT"}
    assert of(table, "OPTIONS /v/1", None, fields=asked, cors=Cors()).outcome == "preflight"
