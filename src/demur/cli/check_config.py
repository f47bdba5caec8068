"""`demur check-config`: what is wrong with a configuration, and what it would do here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from demur.cli.terminal import DEFAULT, UNUSABLE, AsJson, ConfigFile, as_json, paint

if TYPE_CHECKING:
    from demur.gateway.config.faults import Finding

_COLOURS = {"error": "red", "warning": "yellow"}


def check_config(
    *,
    config: ConfigFile = DEFAULT,
    offline: Annotated[bool, typer.Option("--offline", help="Do not connect to upstreams.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings count as errors.")] = False,
    json: AsJson = False,
) -> None:
    """Check a configuration.

    Shows mistakes, and settings that are unsafe or likely not meant.

    Ends with status 2 if there are errors, and 0 otherwise.
    """
    from demur.gateway.config import findings as checking  # noqa: PLC0415 - load what is used

    findings = checking.check(config, online=not offline)
    errors, warnings = checking.counts(findings)
    if json:
        as_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(_painted(finding))
        typer.echo(_summary(str(config), errors, warnings))
    if errors or (strict and warnings):
        raise typer.Exit(UNUSABLE)


def _painted(finding: Finding) -> str:
    where, _, message = str(finding).partition(f" {finding.severity}: ")
    return f"{where} {paint(f'{finding.severity}:', _COLOURS[finding.severity], bold=True)} {message}"


def _summary(file: str, errors: int, warnings: int) -> str:
    if not errors and not warnings:
        return paint(f"{file}: no mistakes found.", "green")
    counts = ((errors, "error"), (warnings, "warning"))
    said = ", ".join(f"{count} {noun}{'s' if count > 1 else ''}" for count, noun in counts if count)
    return paint(f"{file}: {said}.", "red" if errors else "yellow")
