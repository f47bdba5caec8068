"""What is written where: results to standard output, complaints to standard error, colour only for people."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, TypeAlias

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ConfigFile: TypeAlias = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.", show_default=True)
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]

DEFAULT = Path("demur.toml")

UNUSABLE = 2
"""Exit status for whatever a person can put right: the same as for a wrong option."""


def fail(message: str, fix: str = "") -> NoReturn:
    """End with one message on standard error."""
    typer.echo(f"demur: {message}" if "\n" not in message else message, err=True)
    if fix:
        typer.echo(f"    {fix}", err=True)
    raise typer.Exit(UNUSABLE)


def stderr_is_terminal() -> bool:
    """Whether somebody watches standard error."""
    return sys.stderr.isatty()


def paint(text: str, colour: str, *, stream: Literal["stdout", "stderr"] = "stdout", bold: bool = False) -> str:
    """The text in a colour, where people look at it and want colour (no-color.org)."""
    watched = sys.stdout.isatty() if stream == "stdout" else stderr_is_terminal()
    wanted = watched and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return typer.style(text, fg=colour, bold=bold) if wanted else text


def as_json(value: object) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Rows for people on a terminal; for programs a line each, with tabs between and no heading."""
    lines = [list(row) for row in rows]
    if not sys.stdout.isatty():
        for line in lines:
            typer.echo("\t".join(line))
        return
    if not lines:
        typer.echo(empty)
        return
    from rich.console import Console  # noqa: PLC0415 - load what is used
    from rich.table import Table  # noqa: PLC0415 - load what is used
    from rich.text import Text  # noqa: PLC0415 - load what is used

    grid = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for line in lines:
        grid.add_row(*(Text(cell) for cell in line))
    Console().print(grid)
