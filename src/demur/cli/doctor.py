"""`demur doctor`: what is wrong between browsers, proxy, demur and app, found by asking."""

from __future__ import annotations

import contextlib
import signal
import textwrap
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from demur.cli.terminal import DEFAULT, AsJson, ConfigFile, as_json, fail, paint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demur.gateway.doctor.checks import Finding

_NAME = 16
"""Characters of the longest name of a check."""
_WIDTH = 120
_MARKS = {"right": ("right   ", "green"), "wrong": ("WRONG   ", "red"), "not seen": ("not seen", "yellow")}


def doctor(
    *,
    config: ConfigFile = DEFAULT,
    stand_in: Annotated[
        bool, typer.Option("--stand-in", help="Answer in the app's place, to see what reaches it. Stop the app first.")
    ] = False,
    connect: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where the proxy is, if the sites' names do not lead there.")
    ] = None,
    certificates: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trust these certificates (PEM), such as one made for a test.")
    ] = None,
    proxy: Annotated[
        str,
        typer.Option(metavar="NAME", help="Which proxy it is, as in `demur recipe`: for what to change in it."),
    ] = "",
    json: AsJson = False,
) -> None:
    """Examine the running proxy: send requests through it, and say what is right, what leaks and how to mend it.

    Ends with status 1 if something is wrong.
    """
    from demur.gateway.config import tables as configuration  # noqa: PLC0415 - load what is used
    from demur.gateway.doctor.examination import Means, examinations  # noqa: PLC0415 - load what is used
    from demur.gateway.doctor.mending import PROXIES  # noqa: PLC0415 - load what is used

    if proxy and proxy not in PROXIES:
        fail(f'--proxy "{proxy}" is none that there is a recipe for.', f"Choose from {', '.join(PROXIES)}.")
    means = Means(stand_in, _address(connect), certificates, proxy)
    wrong = False
    report = []
    with _ended_in_order():
        for origin, findings in examinations(configuration.read(config), means):
            wrong = wrong or any(finding.verdict == "wrong" for finding in findings)
            report.append({"origin": origin, "findings": [_plain(finding) for finding in findings]})
            if not json:
                typer.echo(origin)
                for finding in findings:
                    _say(finding)
    if json:
        as_json(report)
    if wrong:
        raise typer.Exit(1)


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """The doctor's own sessions end with the block, whatever ends it: Ctrl-C does so by itself."""

    def leave(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        fail(f'--connect takes HOST:PORT, and "{text}" is none.', "Write for example --connect 127.0.0.1:443.")
    return host.strip("[]"), int(port)


def _plain(finding: Finding) -> dict[str, str]:
    return {"check": finding.check, "verdict": finding.verdict, "said": finding.said, "fix": finding.fix}


def _say(finding: Finding) -> None:
    word, colour = _MARKS[finding.verdict]
    typer.echo(f"  {paint(word, colour)}  {finding.check:<{_NAME}}  {finding.said}")
    indent = " " * (_NAME + 14)
    # what has to be typed stays in one piece
    for line in textwrap.wrap(finding.fix, _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False):
        typer.echo(indent + line)
