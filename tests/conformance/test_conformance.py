"""Every clause on every surface; and what one cannot do stands in exceptions.toml with its reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.conformance.clauses import CLAUSES, Clause, judge
from tests.conformance.exchanges import EXCHANGES, WITHOUT_STORE
from tests.conformance.surfaces import SURFACES, surface
from tests.proxies.real import PROXIES, UNTESTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.conformance.exchanges import Seen

EXCEPTIONS: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "exceptions.toml").read_text())
EACH = [
    pytest.param(
        name,
        marks=[
            pytest.mark.slow,
            *([pytest.mark.proxies] if name in PROXIES else []),
        ],
    )
    for name in SURFACES
]


@pytest.fixture(scope="module", params=EACH)
def asked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Mapping[str, Seen]]]:
    """A surface, and all its answers."""
    name: str = request.param
    if name in UNTESTED:
        pytest.skip(UNTESTED[name])
    with surface(name, tmp_path_factory.mktemp(name)) as answers:
        yield name, answers


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_clause(asked: tuple[str, Mapping[str, Seen]], clause: Clause) -> None:
    """The answers of a surface are what the clause asks for."""
    name, answers = asked
    wrong = judge(clause, answers)
    excused = EXCEPTIONS.get(name, {}).get(clause.id)
    if excused:
        assert wrong, f"{name} needs no exception from {clause.id} any more"
        return
    assert not wrong, f"{clause.where}: {clause.quote or clause.read}"


def test_exceptions_are_about_something() -> None:
    """An exception names a surface and a clause that there are, and says why."""
    clauses = {clause.id for clause in CLAUSES}
    for name, excused in EXCEPTIONS.items():
        assert name in SURFACES
        for clause, said in excused.items():
            assert clause in clauses
            assert said["reason"]


def test_every_clause_is_shown_and_every_exchange_is_looked_at() -> None:
    """Names are unique, each clause has its exchanges, and no exchange is asked for nothing."""
    names = [each.name for each in (*EXCHANGES, *WITHOUT_STORE)]
    assert len(names) == len(set(names))
    assert len({clause.id for clause in CLAUSES}) == len(CLAUSES)
    used = {name for clause in CLAUSES for name in clause.shown_by}
    assert used <= set(names)
    assert set(names) - used == {"public", "public-with-dead-session"} - used
