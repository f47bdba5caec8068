"""Every scenario in every browser; the end of the run shows the table."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.client import matrix
from tests.client.conftest import absent

pytest.register_assert_rewrite("tests.client.scenarios")
from tests.client.scenarios import ENGINES, OVER_TLS, SCENARIOS  # noqa: E402 - what it asserts is to be shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Engines
    from tests.client.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CANNOT: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("cannot.toml").read_text())
CASES = [
    pytest.param(engine, scenario, secure, id=f"{engine}-{scenario.__name__}{'-tls' if secure else ''}")
    for engine in ENGINES
    for secure, scenarios in ((False, SCENARIOS), (True, OVER_TLS))
    for scenario in scenarios
]


@pytest.mark.parametrize(("engine", "scenario", "secure"), CASES)
def test_scenario(
    make_lab: Callable[..., Lab],
    authority: Path,
    engines: Engines,
    engine: str,
    scenario: Callable[..., None],
    secure: bool,
    tmp_path: Path,
    record_property: Callable[[str, Any], None],
) -> None:
    """It ends as its text says, or the driver cannot, and the table says why."""
    name = scenario.__name__ + ("_over_tls" if secure else "")
    because = CANNOT.get(engine, {}).get(name, "")
    missing = absent(engine, secure=secure)
    told = f"not run: {missing} is missing" if missing else f"driver cannot, because {because}" if because else "pass"
    record_property(matrix.PROPERTY, [name, engine, told])
    if missing:
        pytest.skip(told)
    lab = make_lab(tls=authority if secure else None)
    window = engines.window(engine, lab)
    more = [tmp_path] if "folder" in inspect.signature(scenario).parameters else []
    try:
        scenario(lab, window, *more)
    except Exception:
        if not because:
            raise
    else:
        assert not because, f"the driver of {engine} can do this now: take it out of cannot.toml"
    finally:
        window.close()


def test_the_table_names_what_there_is() -> None:
    """`cannot.toml` names engines and scenarios that exist."""
    names = {each.__name__ for each in SCENARIOS} | {f"{each.__name__}_over_tls" for each in OVER_TLS}
    assert set(CANNOT) <= set(ENGINES)
    assert {name for rows in CANNOT.values() for name in rows} <= names
