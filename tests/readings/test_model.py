"""The code and the model judge alike, whatever the rules and the request."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.readings import model

from demur.core import paths, rules
from demur.core.model import ConfigError

PAIRS = int(os.environ.get("DEMUR_READINGS", "10000"))
"""How many pairs of rules and request are compared. `make nightly` asks for a million."""
TABLES, REQUESTS = 4, 5

_NAMES = ["a", "b", "A", "admin", "Admin", "public", "é", "É", "a.b", "index.php", "a b", "x~", "admin.", "ß"]
_PATTERNS = st.sampled_from([*_NAMES, *_NAMES, "{x}", "{y}", "*"])
_ENDS = st.sampled_from([[], [], [""], ["**"], ["**"]])
_ALLOWED = st.sampled_from(["anyone", "signed-in", "nobody"])
_HOSTS = st.sampled_from(["", "", "", "h.example", "*.example", "*.b.example"])
_METHODS = st.sampled_from([None, None, None, ["GET"], ["POST"], ["GET", "PUT"]])

_GOOD = [
    *("/", "/", "/", "/", *_NAMES, "a", "b", "admin"),
    *("..", ".", "%2e", "%2E", "%252e", "%25252e", ";", ";a", "%3b", "%253B", "\\", "%5c", "%255C", "//", "%2f"),
    *("%2F", "%252f", "%25%32%66", "%3f", "#", "%23", "%2523", "%41", "%2541", "%61dmin", "%25", "%20", "%2520"),
    *(".json", ".php/", ". ", "::$DATA", ":$", "%C4%B1", "%EF%BC%8F", "%C3%A9", "%25C3%25A9", "e%CC%81"),
    *("%E2%80%8B", "+", "@", ":", "~", "%7e", "%E2%84%AA", "%252541", "%2525252e", "%c3%9f", "%C3%89"),
]
_BAD = ["?", "%ff", "%C3", "%00", "%", "%2", "%zz", "\x00", "\x7f", " ", "%25%", "%2500", "%2525252541", "/" * 3000]
_TOKENS = st.sampled_from([*(4 * _GOOD), *_BAD])


@st.composite
def _rule(draw: st.DrawFn) -> dict[str, Any]:
    segments = draw(st.lists(_PATTERNS, max_size=3)) + draw(_ENDS)
    table = {"path": "/" + "/".join(segments), "allow": draw(_ALLOWED), "host": draw(_HOSTS), "methods": draw(_METHODS)}
    return {key: value for key, value in table.items() if value}


@st.composite
def _tables(draw: st.DrawFn) -> rules.Rules:
    loaded = rules.load([])
    kept: list[dict[str, Any]] = []
    for rule in draw(st.lists(_rule(), min_size=1, max_size=6)):
        try:
            loaded = rules.load([*kept, rule])
        except ConfigError:  # as specific as one before
            continue
        kept.append(rule)
    return loaded


_PATHS = st.lists(_TOKENS, max_size=12).map(lambda tokens: ("/" + "".join(tokens)).encode())
_REQUESTS = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST"]),
    _PATHS,
    st.sampled_from(["", "h.example", "h.example:8443", "a.b.example", "elsewhere"]),
)


def _by_code(table: rules.Rules, method: str, path: bytes, host: str) -> set[int] | None:
    found = paths.judge(table, method, path, host)
    return None if found is None else {match.rule.number if match.rule else 0 for match in found}


def _by_model(table: rules.Rules, method: str, read: dict[str, int] | None, host: str) -> set[int] | None:
    if read is None:
        return None
    try:
        return model.judge(table.all, method, read, host)
    except model.NoPath:
        return None


def _read(path: bytes) -> dict[str, int] | None:
    try:
        return model.readings(path)
    except model.NoPath:
        return None


@pytest.mark.slow
@given(st.lists(_tables(), min_size=TABLES, max_size=TABLES), st.lists(_REQUESTS, min_size=REQUESTS, max_size=REQUESTS))
@settings(
    max_examples=PAIRS // (TABLES * REQUESTS),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_both_judge_alike(tables: list[rules.Rules], requests: list[tuple[str, bytes, str]]) -> None:
    """Of any path, code and model know the same readings, and the same rules for them under any table."""
    for method, path, host in requests:
        read = _read(path)
        found = paths.readings(path)
        assert (None if found is None else set(found)) == (None if read is None else set(read)), path
        for table in tables:
            judged = _by_code(table, method, path, host)
            assert judged == _by_model(table, method, read, host), (path, [rule.path for rule in table.all])


def test_the_bounds_are_those_of_the_code() -> None:
    """The model has the same bounds, each written down a second time."""
    assert (model.DEEPEST, model.MOST, model.WIDEST) == (paths.DEEPEST, paths.MOST, paths.WIDEST)
    assert model.width("%;/a") == 3 * (1 + paths.MARK) + 1
