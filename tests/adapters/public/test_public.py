"""Apps that nobody here wrote answer right once ten lines, or fewer, are added; and the table says what they answer.

An app that cannot be had is not run, and the summary says so and why.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

FOLDER = Path(__file__).parent
if TYPE_CHECKING:
    from tests.adapters.public import asking, figures, sources
else:
    sys.path.insert(0, str(FOLDER))
    try:
        import asking
        import figures
        import sources
    finally:
        sys.path.remove(str(FOLDER))

KEYS = tuple(sources.sources())
ANSWERED = "signed in", "signed out", "preflight"
REASONS = {
    "bad": {"credentials-invalid"},
    "expired": {"session-expired", "session-idle", "token-expired"},
    "signed out": {"session-ended"},
    "revoked": {"session-revoked", "session-ended", "token-revoked"},
    "forbidden": {"not-permitted", "scope-insufficient"},
    "forbidden, not staff": {"not-permitted"},
}
TOKENS = {"fastapi"}
"""Apps whose people come with a Bearer token: there a bad one is one that is not valid, elsewhere it is nothing."""


@pytest.fixture(scope="module", params=KEYS)
def said(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """An app, what it answered as it was published, and what it answers with the added lines."""
    key, both = request.param, []
    for side in ("before", "after"):
        with tempfile.TemporaryDirectory() as folder:
            try:
                with asking.running(key, side, Path(folder)) as app:
                    both.append(asking.answers(app, key))
            except sources.Away as away:
                pytest.skip(f"NOT RUN: {key}: {away}")
            _unchanged(key, Path(folder))
    return key, both[0], both[1]


def _unchanged(key: str, folder: Path) -> None:
    at = folder / "template" if key == "django" else folder
    for name, known in sources.sources()[key].files.items():
        assert sources.digest(at / name) == known, name


@pytest.mark.slow
def test_every_answer_is_right(said):
    """Each kind of request gets its status, its challenge, its reason, and no way round them."""
    _, _, after = said
    wrong = {row: fault for row, answer in after.items() if (fault := fault_of(said[0], row, answer))}
    assert wrong == {}


@pytest.mark.slow
def test_the_table_says_what_they_answer(said):
    """The page is what happened, before and after. If it is not: tests/adapters/public/figures.py, then `make docs`."""
    key, before, after = said
    assert figures.compared(before, after) == figures.kept()[key]


@pytest.mark.slow
def test_something_was_wrong_before(said):
    """The same checks find fault with the app as it was published: they are able to."""
    key, before, _ = said
    assert any(fault_of(key, row, answer) for row, answer in before.items())


@pytest.mark.parametrize("key", KEYS)
def test_ten_lines_are_enough(key):
    """No more is added, blank lines apart, and no longer ones than we write."""
    lines = [line for line in figures.added(key).splitlines() if line.strip()]
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 120


def test_a_changed_file_is_noticed(tmp_path, monkeypatch):
    """What does not hash as published is not run."""
    source = sources.sources()["django"]
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    sources.copy(source, tmp_path / "one")
    (source.cached / "manage.py-tpl").write_text("# something else")
    with pytest.raises(AssertionError, match=r"manage\.py-tpl is not as it was published"):
        sources.copy(source, tmp_path / "two")


def fault_of(key: str, row: str, answer: asking.Answer | str) -> str:
    """What is wrong with an answer, "" if nothing is (RFC 9110, 15.5.2 and 15.5.4; RFC 9457; RFC 6750, 3.1)."""
    if isinstance(answer, str):
        return ""
    if row in ANSWERED:
        fine = answer.status < 300 or (row == "signed out" and answer.problem.get("reason") in REASONS[row])
        return "" if fine else f"{answer.status}"
    status = 403 if row.startswith("forbidden") else 401
    if answer.status != status:
        return f"{answer.status} in place of {status}"
    return _challenge(key, row, answer) or _words(key, row, answer)


def _challenge(key: str, row: str, answer: asking.Answer) -> str:
    challenges = answer.all("www-authenticate")
    if answer.status == 401 and not challenges:
        return "no challenge"
    bad = row in {"bad", "expired", "signed out", "revoked"} or (row == "bad Bearer" and key in TOKENS)
    named = [each for each in challenges if "error=" in each]
    if key != "starlette" and bad and not named:  # Basic has no word for an error (RFC 7617)
        return "no error in the challenge"
    if not bad and answer.status == 401 and named:
        return f"an error, and nothing was wrong: {named}"
    if key in TOKENS and row == "forbidden" and 'error="insufficient_scope"' not in "".join(challenges):
        return "no insufficient_scope"
    return ""


def _words(key: str, row: str, answer: asking.Answer) -> str:
    if "no-store" not in answer.get("cache-control"):
        return "may be kept"
    if answer.get("location"):
        return "leads elsewhere"
    kind = "text/html" if row in {"nothing sent, page", "HEAD"} else "application/problem+json"
    if not answer.get("content-type").startswith(kind):
        return f"{answer.get('content-type')} in place of {kind}"
    if row == "HEAD":
        return "a body" if answer.body else ""
    right = REASONS.get(row, {"sign-in-required"})
    if row == "bad Bearer" and key in TOKENS:
        right = REASONS["bad"]
    reason = answer.problem.get("reason")
    return "" if reason in right else f"{reason} in place of {' or '.join(sorted(right))}"


def test_the_page_is_generated():
    """`make docs` writes it."""
    docs = runpy.run_path(str(FOLDER.parents[2] / "scripts" / "docs.py"))
    assert any(path.name == "before-after.md" for path in docs["pages"]())
