"""`demur serve`: stand before the sites until told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from demur.cli.terminal import DEFAULT, ConfigFile, paint

if TYPE_CHECKING:
    from demur.gateway.config import Config


def serve(*, config: ConfigFile = DEFAULT) -> None:
    """Serve the sites of a configuration.

    SIGHUP reads it again (a bad one is reported, and the old one stays); SIGTERM ends, after open requests.
    """
    from demur.gateway import app, findings, supervise  # noqa: PLC0415 - load what is used

    def load() -> Config:
        read = findings.load(config)
        for warning in read.warnings():
            typer.echo(f"{paint('warning:', 'yellow', bold=True)} {warning}", err=True)
        return read

    supervise.run(load, app.build)
