"""The golden files themselves: each can be read, and each agrees with the table of reasons."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.golden.files import FILES, Answer, Case, differences, read

from demur.core.reasons import BASE, REASONS, Reason

CASES = [read(path) for path in FILES]
IDS = [case.name for case in CASES]


def problem(case: Case) -> dict[str, Any] | None:
    """The problem document of a case, if it is a refusal."""
    text = case.body.partition("</script>")[0].removeprefix('<script type="application/problem+json">')
    return json.loads(text) if '"reason"' in text else None


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_agrees_with_the_table(case):
    """Type, title and status of a problem are the reason's, and a 401 has a challenge (RFC 9110, 15.5.2); so has what
    is said of a token with 400 and 403 (RFC 6750, 3)."""
    if document := problem(case):
        row = REASONS[Reason(document["reason"])]
        assert (document["title"], document["status"]) == (row.title, row.status)
        assert document["type"] == f"{BASE}{document['reason']}"
        assert case.status == row.status
        assert ("demur-processed", "?0") in case.fields or "processed" not in document
    schemes = {value.partition(" ")[0] for name, value in case.fields if name == "www-authenticate"}
    if case.status == 401:
        assert "Cookie" in schemes
    else:
        of_tokens = {"token-malformed", "token-twice", "token-scope-insufficient", "token-not-permitted"}
        about_the_token = case.name in of_tokens
        assert schemes == ({"Bearer"} if about_the_token else set())


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_refusal_is_never_kept(case):
    """What refuses has `no-store`, HEAD included; a concealing 404 is the site's own."""
    if case.status >= 303 and case.status != 404:
        assert ("cache-control", "no-store") in case.fields


def test_every_reason_that_can_be_given_has_a_file():
    """Each reason of this version is shown in at least one file."""
    later = {"enrolment-required", "grant-expired", "context-refused", "account-suspended", "not-found"}
    shown = {match for path in FILES for match in re.findall(r'"reason": "([a-z-]+)"', path.read_text())}
    assert {reason.value for reason in Reason} - shown == later | {"access-requestable"}


SMALL = Case("small", {}, "GET", "/", [], b"", 401, [("vary", "Cookie, Accept"), ("x", "{number}")], "hello")


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (Answer(401, [("vary", "accept, cookie"), ("x", "12"), ("date", "now")], b"hello"), None),
        (Answer(403, [("vary", "accept, cookie"), ("x", "12")], b"hello"), "status 403, not 401"),
        (Answer(401, [("vary", "accept"), ("x", "12")], b"hello"), "missing vary"),
        (Answer(401, [("vary", "accept, cookie"), ("x", "many")], b"hello"), "missing x"),
        (Answer(401, [("vary", "accept, cookie"), ("x", "1"), ("etag", "a")], b"hello"), "not expected: etag"),
        (Answer(401, [("vary", "accept, cookie"), ("x", "1")], b"other"), "body 'other'"),
    ],
)
def test_differences_are_found(answer, what):
    """The comparison sees each kind of difference, and none where there is none."""
    found = differences(SMALL, answer, "")
    assert found == [] if what is None else found[0].startswith(what)
