"""`demur serve`: stand before the sites until told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from demur.cli.terminal import DEFAULT, ConfigFile, paint, stderr_is_terminal

if TYPE_CHECKING:
    from demur.gateway.app import Gateway
    from demur.gateway.config.tables import Config


def serve(*, config: ConfigFile = DEFAULT) -> None:
    """Serve the sites of a configuration.

    SIGHUP reads it again (a bad one is reported, and the old one stays); SIGTERM ends, after open requests.
    """
    from demur.gateway.config import findings  # noqa: PLC0415 - load what is used
    from demur.gateway.server import supervise  # noqa: PLC0415 - load what is used

    def load() -> Config:
        read = findings.load(config)
        for warning in read.warnings():
            _say(f"{paint('warning:', 'yellow', stream='stderr')} {warning}")
        return read

    raise typer.Exit(supervise.run(load, _build, ready=_tell))


def _build(config: Config) -> Gateway:
    # not before there are workers: the metrics of several processes need their folder when they are imported
    from demur.gateway import app  # noqa: PLC0415

    return app.build(config)


def _tell(config: Config) -> None:
    """Where people have to go, for the one at the terminal."""
    if not stderr_is_terminal():
        return
    for site in config.site:
        behind = f"in front of {site.upstream}" if site.upstream else "for another proxy that asks"
        _say(f"  {paint(f'{site.origin}/', 'cyan', stream='stderr')}  {behind}")


def _say(line: str) -> None:
    typer.echo(line, err=True)
