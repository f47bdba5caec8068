"""The JSON schema of RFC 9457, appendix A, has nothing to say against any problem, alone or in a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema_rs import Draft202012Validator
from tests.judges.conftest import CASES
from tests.judges.exceptions import Finding, verdict

if TYPE_CHECKING:
    from tests.judges.answers import Seen

SCHEMA = json.loads(Path(__file__).with_name("problem.schema.json").read_text())
JUDGE = Draft202012Validator(SCHEMA, validate_formats=True)
NOTHING: list[str] = []


def faults(where: str, status: int, text: str) -> list[Finding]:
    """What is wrong with a document in an answer with that status. What the schema cannot say is asked for here."""
    problem = json.loads(text, object_pairs_hook=_once)
    found = [Finding(where, error.message) for error in JUDGE.iter_errors(problem)]
    if problem.get("status", status) != status:
        # "The "status" member, if present, is only advisory; ... generators MUST use the same status code in the
        # actual HTTP response" (RFC 9457, 3.1.2)
        found.append(Finding(where, f"status {problem['status']} in an answer with {status}"))
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), f"a member is there twice: {pairs}"
    return dict(pairs)


def test_every_problem(answers, pages):
    """Each document is what the schema says, and every refusal has one."""
    seen = [answers.to(case) for case in CASES] + pages
    found = []
    documents = 0
    for answer in seen:
        problems = answer.problems
        documents += len(problems)
        assert len(problems) <= 1, answer.name
        assert problems or not _refuses(answer), f"{answer.name}: a refusal without a problem"
        found += [finding for text in problems for finding in faults(answer.name, answer.status, text)]
    assert documents > 50
    assert verdict("problem", found) == NOTHING


def _refuses(answer: Seen) -> bool:
    """Whether there has to be a document. A 404 is the site's own, a 405 is no refusal, and where a form of a page is
    shown again its fields say what was wrong."""
    shown_again = answer.target == "/.demur/account" and answer.status in {403, 422}
    return answer.status >= 400 and answer.status not in {404, 405} and answer.method != "HEAD" and not shown_again


@pytest.mark.parametrize(
    "document",
    [
        '{"type": "a b"}',
        '{"title": 5}',
        '{"status": "401"}',
        '{"status": 999}',
        '{"status": 403}',
        '{"detail": null}',
        '{"instance": "urn:uuid:<>"}',
        "[]",
    ],
)
def test_a_fault_is_seen(document):
    """The judge is shown what it has to find, and finds it."""
    if document == "[]":
        assert list(JUDGE.iter_errors([]))
    else:
        assert faults("here", 401, document)
