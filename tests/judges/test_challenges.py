"""authchallenge, which judges challenges by RFC 9110, 6750 and 7617, finds no fault with any in its strict mode."""

from __future__ import annotations

import pytest
from authchallenge import AuthError, parse_challenges
from tests.judges.conftest import CASES
from tests.judges.exceptions import Finding, verdict

NOTHING: list[str] = []


def faults(where: str, line: str) -> list[Finding]:
    """What is wrong with a field line, and whether it holds more than one challenge, which "might not be
    interoperable" (RFC 9110, 11.6.1)."""
    try:
        challenges = parse_challenges(line, strict=True)
    except AuthError as wrong:
        return [Finding(where, str(wrong))]
    return [] if len(challenges) == 1 else [Finding(where, f"{len(challenges)} challenges on one line: {line}")]


@pytest.mark.slow
def test_every_challenge(answers, pages):
    """Each challenge is valid and stands on a line of its own; each 401 has one, and no answer has one scheme twice."""
    seen = [answers.to(case) for case in CASES] + pages
    found = []
    for answer in seen:
        lines = answer.lines("www-authenticate")
        schemes = [line.partition(" ")[0].lower() for line in lines]
        assert len(set(schemes)) == len(schemes), f"{answer.name}: {lines}"
        assert lines or answer.status != 401, f"{answer.name}: 401 without a challenge (RFC 9110, 15.5.2)"
        found += [finding for line in lines for finding in faults(answer.name, line)]
    assert sum(bool(answer.lines("www-authenticate")) for answer in seen) > 30
    assert verdict("authchallenge", found) == NOTHING


@pytest.mark.parametrize(
    "line",
    [
        "Bearer",
        'Cookie realm="a", realm="b"',
        "Cookie realm=a",
        'Cookie realm="a", form-action=/.demur/sign-in',
        'Basic charset="UTF-8"',
        'Bearer error="Gewährt"',
        'Cookie realm="a", Bearer realm="a"',
    ],
)
def test_a_fault_is_seen(line):
    """The judge is shown what it has to find, and finds it."""
    assert faults("here", line)
