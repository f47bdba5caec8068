"""What is allowed to everybody is read by no real upstream as what is not.

Only paths that we allow are sent: 2,000 to each, hostile ones, and all of those that people really use.
"""

from __future__ import annotations

import contextlib
import os
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from tests.readings import corpus, model
from tests.readings.upstreams import KINDS, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUESTS = int(os.environ.get("DEMUR_ORACLE", "2000"))
SEED = int(os.environ.get("DEMUR_SEED", "3"))

HANDLES = {
    "root": "/",
    "public": "/public/x",
    "page": "/page/x",
    "members": "/members/x",
    "admin": "/admin/x",
    "account": "/account",
    "secret": "/api/1/secret",
    "any": "/elsewhere",
}
"""A path that everybody reads in the same way, for each handler."""

UPSTREAMS = [
    pytest.param(name, id=name, marks=[getattr(pytest.mark, kind.mark)] if kind.mark else [])
    for name, kind in KINDS.items()
]


def is_open(table: str, path: str) -> bool:
    """Whether a path is open if it is read as it stands."""
    rules = corpus.TABLES[table].all
    holding = model.most_specific(rules, lambda rule: rule.segments, "GET", path.split("/")[1:], "")
    return bool(holding) and holding[0].requirement.access == "open"


def breaches(path: bytes, tables: set[str], answer: list[str]) -> Iterator[str]:
    """What an upstream made of an allowed path, where that is not allowed."""
    handler, *read = answer
    for table in sorted(tables):
        if handler in HANDLES and not is_open(table, HANDLES[handler]):
            yield f"{path!r} is allowed where what is not named is {table}, and was taken to {handler} as {read}"
        for each in read:
            if each.startswith("/") and not is_open(table, each.partition("?")[0]):
                yield f"{path!r} is allowed where what is not named is {table}, and was read as {each!r}"


@pytest.fixture(scope="module")
def allowed() -> list[tuple[bytes, set[str]]]:
    """Hostile paths that are allowed in at least one of the tables, and in which."""
    judged = ((path, corpus.opened(path)) for path in corpus.hostile(SEED))
    return list(islice(((path, tables) for path, tables in judged if tables), REQUESTS))


@pytest.fixture(scope="module")
def refused() -> list[bytes]:
    """Hostile targets that are refused in both tables, although they do not begin with what is restricted."""
    plainly = (b"/admin", b"/members", b"/account", b"/api")
    judged = (each for each in corpus.hostile(SEED) if not each.startswith(plainly) and not corpus.opened(each))
    return list(islice(judged, 500))


@pytest.mark.slow
@pytest.mark.parametrize("name", UPSTREAMS)
def test_no_upstream_reads_more(
    name: str, allowed: list[tuple[bytes, set[str]]], refused: list[bytes], tmp_path: Path
) -> None:
    """Every reading of an allowed path by a real upstream is allowed too, and this would be seen if it were not."""
    with KINDS[name].start(tmp_path) as port, contextlib.closing(Upstream(port)) as upstream:
        found: list[str] = []
        for target, tables in allowed:
            status, answer = upstream.ask(target)
            if status == 200:
                found += breaches(target, tables, answer)
        assert found == []
        # Many are nonsense to some programs. Yet handlers have to have answered hundreds of them.
        assert upstream.answered > REQUESTS / 4
        for target in refused:
            status, answer = upstream.ask(target)
            if status == 200:
                found += breaches(target, {"open"}, answer)
        assert found
