"""What is said at the end of a run of the tests: the figures that they found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hostile import figures

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Figures are compared with those that are kept, and the documentation shows them; this keeps new ones."""
    parser.addoption("--write-figures", action="store_true", help="keep the figures of the hostile requests anew")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of hostile requests, and keep it if that is wanted. With several processes, this is the one that
    has heard all reports."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    rows = [
        row
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, row in report.user_properties
        if name == figures.PROPERTY
    ]
    if not rows:
        return
    found = figures.gathered(rows)
    if config.getoption("write_figures"):
        figures.keep(found)
    terminalreporter.section("hostile requests: sent, by class and surface")
    terminalreporter.write_line(figures.table(found))
