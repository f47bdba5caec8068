"""The list itself: as long and as varied as it says, and every case once."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter

import pytest
from tests.hostile import cases
from tests.hostile.differs import DIFFERENCES
from tests.hostile.figures import SURFACES

HOSTILE = [case for case in cases.CASES if not case.honest]
HONEST = [case for case in cases.CASES if case.honest]
CLASSES = {
    "dot segments", "encoded dots", "encoded slashes and letters", "multiple encoding", "backslashes", "; parameters",
    "prefix boundaries", "case and Unicode", "suffixes and control bytes", "query and fragment",
    "methods and overrides", "target forms", "Host", "framing", "hop-by-hop", "forged forwarding and identity",
    "forward-auth headers", "exempt paths", "session cookies", "Authorization", "open redirects", "exhaustion",
}  # fmt: skip


def test_the_list_is_long_enough() -> None:
    """At least 250 hostile requests in all classes, and 40 honest ones."""
    assert len(HOSTILE) >= 250
    assert len(HONEST) >= 40
    assert {case.kind for case in HOSTILE} == CLASSES


def test_no_case_is_there_twice() -> None:
    """Each request is sent by one case, and each id is used once in its class."""
    assert [each for each, times in Counter((case.text, case.end) for case in cases.CASES).items() if times > 1] == []
    assert [each for each, times in Counter((case.kind, case.id) for case in cases.CASES).items() if times > 1] == []


@pytest.mark.parametrize("kind", cases.KINDS)
def test_every_case_is_well_formed(kind: str) -> None:
    """An id for the tables, a source, a sentence, somebody who asks, and what is right."""
    for case in cases.of(kind):
        name = f"{kind}: {case.id}"
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", case.id), name
        assert case.source, name
        assert case.note.rstrip('"').endswith((".", "?")), name
        assert case.who in cases.ASKERS, name
        assert case.status, name
        assert all(status == cases.CLOSED or 100 <= status < 600 for status in case.status), name
        assert case.end in {"next", "nothing"}, name


def test_who_asks_is_who_the_request_says() -> None:
    """A case with one person's session is asked by that person; one that nobody may be taken for is anonymous."""
    for case in cases.CASES:
        carried = re.findall(r"\{as_([a-z]+)\}", case.text)
        if case.who != "anonymous":
            assert carried in ([], [case.who], [case.who] * 2), case.id
            assert carried or f"{{{case.who}}}" in case.text or "{api_token}" in case.text, case.id


def test_a_difference_is_about_a_case() -> None:
    """What a surface does in another way is listed for a surface and a case that there are, with a reason."""
    names = [f"{case.kind}: {case.id}" for case in cases.CASES]
    for difference in DIFFERENCES:
        assert difference.surface in SURFACES
        assert fnmatch.filter(names, difference.cases), difference
        assert len(difference.why) > 20
