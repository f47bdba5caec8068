"""Every golden file, replayed through every adapter: the answer is what the file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.adapters.contract import worlds
from tests.adapters.contract.adapters import ADAPTERS
from tests.adapters.contract.differing import judge
from tests.adapters.contract.drive import Asked
from tests.golden.club import add_people, build
from tests.golden.files import FILES, differences, read

from demur.core import page

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

CASES = [read(path) for path in FILES]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, runner: asyncio.Runner) -> Path:
    """A folder with the club's accounts, which no case changes."""
    folder = tmp_path_factory.mktemp("people")
    runner.run(add_people(folder))
    return folder


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answer(case, name, people, runner):
    """Status, fields and body are what the file says."""
    if ADAPTERS[name].missing:
        pytest.skip(ADAPTERS[name].missing)
    club = build(people, down=case.given.get("store") == "down")
    app = ADAPTERS[name].golden(worlds.golden(club))
    tokens = runner.run(club.given(case.given))
    asked = Asked(case.method, case.target, case.fill(tokens), case.sent)
    answer = ADAPTERS[name].ask(runner, app, asked)
    runner.run(club.aclose())
    judge(name, case.name, differences(case, answer, page.DEFAULT.policy))
