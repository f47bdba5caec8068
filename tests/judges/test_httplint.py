"""httplint, which judges whole messages by RFC 9110 to 9112, finds nothing bad in any answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.judges.conftest import CASES
from tests.judges.exceptions import verdict
from tests.judges.lint import lint

pytestmark = pytest.mark.slow

NOTHING: list[str] = []


def test_golden_answers(answers, pages):
    """Nothing is bad in the answer to any golden file and in any page of a running gateway, and what it warns of is
    explained."""
    findings = [finding for case in CASES for finding in lint(answers.to(case))]
    assert verdict("httplint", [*findings, *(finding for page in pages for finding in lint(page))]) == NOTHING


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ((b"set-cookie", b"__Host-demur=x; Path=/; HttpOnly"), "BAD"),
        ((b"retry-after", b"soon"), "WARN BAD_SYNTAX"),
        ((b"content-language", b"not a language"), "BAD"),
        ((b"access-control-allow-origin", b"https://a.example, https://b.example"), "BAD"),
    ],
)
def test_a_fault_is_seen(answers, field, says):
    """The judge is shown what it has to find, and finds it."""
    (case,) = [case for case in CASES if case.name == "sign-in-required-api"]
    seen = answers.to(case)
    broken = replace(seen, fields=[*[one for one in seen.fields if one[0].lower() != field[0]], field])
    assert [finding for finding in lint(broken) if finding.message.startswith(says)]
