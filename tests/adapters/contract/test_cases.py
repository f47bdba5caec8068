"""Every case, through every adapter, in each of its worlds."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from tests.adapters.contract.adapters import ADAPTERS
from tests.adapters.contract.cases import AFTER_A_RULE, AFTERWARDS, AS_BARE, CASES, Case
from tests.adapters.contract.differing import EXCEPTIONS, judge
from tests.adapters.contract.views import COUNTER
from tests.golden.files import FILES

from demur.core.reasons import REASONS, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.golden.files import Answer

ALL = [
    pytest.param(case, world, name, id=f"{case.name} ({world})-{name}")
    for case in CASES
    for world in case.worlds
    for name in ADAPTERS
]
# What demur may add to the app's own answer.
_OURS = {"vary", "cache-control", "server-timing", "date", "content-length", "access-control-allow-origin"}
_OURS |= {"access-control-allow-credentials", "access-control-expose-headers"}


@pytest.mark.parametrize(("case", "world", "name"), ALL)
def test_case(case, world, name, stands):
    """The answer is what the case says, and the view has run only if it may."""
    if ADAPTERS[name].missing:
        pytest.skip(ADAPTERS[name].missing)
    stand = stands[name, world]
    before = COUNTER.ran.get(case.path, 0)
    answer = stand.ask(case, case.method)
    ran = COUNTER.ran.get(case.path, 0) - before
    wrong = [*_differences(case, answer, ran)]
    if case.same:
        wrong += _as_bare(answer, stand.ask(case, case.method, bare=True))
    if case.method == "GET":
        wrong += _as_head(answer, stand.ask(case, "HEAD"))
        wrong += ["the view ran for HEAD"] if not case.runs and COUNTER.ran.get(case.path, 0) != before else []
    judge(name, case.name, wrong)


def _differences(case: Case, answer: Answer, ran: int) -> Iterator[str]:
    """In what an answer is not what the case says."""
    if answer.status != case.status and case.status != AS_BARE:
        yield f"status {answer.status}, not {case.status}: {answer.body[:300]!r}"
    if case.status != AS_BARE and ran != case.runs:
        yield f"the view ran {ran} times"
    if case.says not in answer.body.decode():
        yield f"{answer.body[:300]!r} does not say {case.says!r}"
    fields = dict(answer.fields)
    problem = _problem(answer)
    if problem.get("reason", "") != case.reason:
        yield f"reason {problem.get('reason')}, not {case.reason}"
    if case.reason:
        yield from _refused(case, fields, problem)
    elif "demur-processed" in fields or "x-secret" in fields:
        yield f"the app's answer has {fields}"


def _refused(case: Case, fields: dict[str, str], problem: dict[str, Any]) -> Iterator[str]:
    page = case.page or "page" in case.path
    if fields["content-type"].startswith("text/html") is not page:
        yield f"content is {fields['content-type']}"
    if (problem.get("processed") is False) is case.runs or (fields.get("demur-processed") == "?0") is case.runs:
        yield f"processed is {problem.get('processed')}, {fields.get('demur-processed')}"
    if ("www-authenticate" in fields) is not (REASONS[Reason(case.reason)].status == 401):
        yield f"challenge {fields.get('www-authenticate')}"
    error = re.search(r'error="(.*?)"', fields.get("www-authenticate", ""))
    told = {"sign-in-required": None, "step-up-required": "insufficient_user_authentication"}
    if error and error[1] != told.get(case.reason, case.reason):
        yield f"challenge says {error[1]}"
    if fields.get("cache-control") != "no-store" or "x-secret" in fields:
        yield f"fields {fields}"
    foreign = [value for name, value in case.fields if name == "origin" and "partner" in value]
    if foreign and fields.get("access-control-allow-origin") != foreign[0]:
        yield "the refusal cannot be read"
    if not foreign and "access-control-allow-origin" in fields:
        yield "the refusal can be read"


def _problem(answer: Answer) -> dict[str, Any]:
    text = answer.body.decode()
    if dict(answer.fields).get("content-type", "").startswith("text/html"):
        found = re.search(r'<script type="application/problem\+json">(.*?)</script>', text, re.DOTALL)
        text = found[1] if found else "{}"
    elif "problem+json" not in dict(answer.fields).get("content-type", ""):
        return {}
    problem: dict[str, Any] = json.loads(text)
    return problem


def _as_bare(answer: Answer, bare: Answer) -> Iterator[str]:
    """In what the app's answer is another one than without demur."""
    if (answer.status, answer.body) != (bare.status, bare.body):
        yield f"{answer.status} {answer.body!r}, and without demur {bare.status} {bare.body!r}"
    if _own(answer) != _own(bare):
        yield f"{_own(answer)}, and without demur {_own(bare)}"


def _own(answer: Answer) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in answer.fields if name not in _OURS)


def _as_head(answer: Answer, head: Answer) -> Iterator[str]:
    """In what HEAD is answered otherwise than GET."""
    if head.status != answer.status:
        yield f"{head.status} to HEAD, and to GET {answer.status}"
    names = [{name for name, _ in each.fields} - {"content-length"} for each in (head, answer)]
    if names[0] != names[1]:
        yield f"HEAD has {names[0] ^ names[1]} more or less than GET"
    if "demur-processed" in dict(head.fields) and head.body:
        yield "a refused HEAD has content"


def test_exceptions_are_about_something():
    """An exception names adapters and cases that there are, and says why."""
    names = {AFTERWARDS, AFTER_A_RULE, *(case.name for case in CASES)} | {path.stem for path in FILES}
    for each in EXCEPTIONS:
        assert set(each.adapters) <= set(ADAPTERS)
        assert set(each.cases) <= names
        assert each.reason


def test_names_are_names():
    """Each case has a name of its own."""
    assert len({case.name for case in CASES}) == len(CASES)
