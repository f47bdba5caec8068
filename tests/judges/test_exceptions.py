"""The exceptions themselves: each says what decides, and none is granted for nothing."""

from __future__ import annotations

import re
import tomllib

import pytest
from tests.judges.exceptions import FILE, Finding, verdict

JUDGES = {"httplint", "authchallenge", "problem", "schemathesis"}
ONE = """
[[exception]]
judge = "httplint"
message = "WARN .*"
where = ["a-*"]
clause = "RFC 9110, 1"
reason = "so it is"
"""


@pytest.mark.parametrize("exception", tomllib.loads(FILE.read_text())["exception"], ids=lambda one: one["message"][:40])
def test_each_names_its_clause(exception):
    """An exception has all its members, and its clause is a section of a standard."""
    assert set(exception) == {"judge", "message", "where", "clause", "reason"}
    assert exception["judge"] in JUDGES
    assert re.fullmatch(r"(RFC [0-9]+|OpenAPI 3\.1\.[0-9]|Fetch|JSON Schema 2020-12), .+", exception["clause"])
    assert len(exception["reason"].split()) > 10


@pytest.mark.parametrize(
    ("findings", "left"),
    [
        ([Finding("a-page", "WARN x")], []),
        ([Finding("a-page", "WARN x"), Finding("a-page", "BAD x")], ["a-page: BAD x"]),
        ([Finding("a-page", "WARN x"), Finding("b", "WARN x")], ["b: WARN x"]),
        ([], ["unused exception: WARN .* at a-*"]),
    ],
)
def test_verdict(findings, left):
    """What no exception explains is left, and so is an exception that explains nothing."""
    assert verdict("httplint", findings, ONE) == left
