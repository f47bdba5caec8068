"""A class of cases through a surface: sent one by one, counted, and compared with what is kept."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from tests.hostile import cases, differs, figures
from tests.hostile.houses import try_case

if TYPE_CHECKING:
    import pytest
    from tests.hostile.houses import Outcome, Surface


def run_class(kind: str, surface: Surface, request: pytest.FixtureRequest) -> None:
    """Send all cases of a class. Fails with everything that is not as it should be."""
    outcomes = {case.id: _try(case, surface) for case in cases.of(kind)}
    row = _counted(kind, outcomes)
    request.node.user_properties.append((figures.PROPERTY, {"kind": kind, "surface": surface.name, "row": asdict(row)}))
    wrong = [
        f"{kind}: {id_}: {'; '.join((*outcome.breaches, *outcome.wrong))}"
        for id_, outcome in outcomes.items()
        if outcome.breaches or outcome.errors or outcome.wrong
    ]
    assert not wrong, "\n".join(wrong)
    if not request.config.getoption("write_figures"):
        was = figures.kept().get(kind, {}).get(surface.name)
        assert row == was, "the figures are others than tests/hostile/results.json has; run pytest with --write-figures"


def _try(case: cases.Case, surface: Surface) -> Outcome:
    return try_case(case, surface, differs.status(surface.name, f"{case.kind}: {case.id}"))


def _counted(kind: str, outcomes: dict[str, Outcome]) -> figures.Row:
    found = list(outcomes.values())
    return figures.Row(
        len(found),
        sum(bool(outcome.breaches) for outcome in found),
        sum(bool(outcome.errors) for outcome in found),
        sum(outcome.refused for outcome in found) if kind == cases.HONEST else 0,
    )
