"""How the tests are shared out to processes, and what is said at the end of a run: the figures that they found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.client import matrix
from tests.hostile import figures

if TYPE_CHECKING:
    from tests.shares import Shares

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
