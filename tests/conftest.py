"""How the tests are shared out to processes, and what is said at the end of a run: the figures that they found."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from tests.client import matrix
from tests.hostile import figures

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.shares import Shares

# For `make check`: enough to see that a property holds at all. `make test` looks for what is rare.
hypothesis.settings.register_profile("fast", max_examples=25)

# Real servers, for whoever asks for one.
pytest_plugins = ["tests.servers.postgres", "tests.servers.redis"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Figures are compared with those that are kept, and the documentation shows them; this keeps new ones."""
    parser.addoption("--write-figures", action="store_true", help="keep the figures of the hostile requests anew")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Shares:
    """With several processes: who runs what."""
    from tests.shares import Shares  # noqa: PLC0415 - there may be no xdist

    return Shares(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Fifteen thousand tests are made here, and they stay: looking for garbage among them would cost an eighth of the
    time, and later again each time that somebody looks for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A browser on a busy machine may be late: what fails in one is tried once more, and the summary says so."""
    if not config.pluginmanager.hasplugin("rerunfailures"):
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tables of what was found, and keep that of hostile requests if it is wanted. With several processes,
    this is the one that has heard all reports."""
    scenarios = [
        (scenario, engine, "FAIL" if failed else result)
        for failed, (scenario, engine, result) in _told(terminalreporter, matrix.PROPERTY)
    ]
    if scenarios:
        terminalreporter.section("the browser client: scenarios, by engine")
        terminalreporter.write_line(matrix.table(scenarios))
    rows = [row for _, row in _told(terminalreporter, figures.PROPERTY)]
    if not rows:
        return
    found = figures.gathered(rows)
    if config.getoption("write_figures"):
        figures.keep(found)
    terminalreporter.section("hostile requests: sent, by class and surface")
    terminalreporter.write_line(figures.table(found))


def _told(terminalreporter: pytest.TerminalReporter, property_: str) -> list[tuple[bool, Any]]:
    """What tests have reported under a name, and whether they failed."""
    return [
        (report.failed, told)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, told in report.user_properties
        if name == property_
    ]
