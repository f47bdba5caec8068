"""`demur recipe`: the configuration of another proxy, for one's own sites."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from demur.cli.terminal import DEFAULT, ConfigFile, fail

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROXIES = "nginx, caddy, traefik, envoy, haproxy or apache"


def recipe(
    proxy: Annotated[str, typer.Argument(metavar="PROXY", help=f"One of {_PROXIES}.", show_default=False)],
    *,
    config: ConfigFile = DEFAULT,
    upstream: Annotated[
        list[str] | None,
        typer.Option(metavar="[ORIGIN=]URL", help="Where a site is, if the configuration does not say it."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The certificate chain that the proxy shows, PEM.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key, PEM, if it is not in the same file.")
    ] = None,
    file: Annotated[str | None, typer.Option(metavar="NAME", help="Print this file of the recipe only.")] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the recipe's files there instead of printing.")
    ] = None,
) -> None:
    """Print the configuration of another proxy.

    Whole and with comments, for the sites of the configuration.
    """
    from demur.gateway import recipes  # noqa: PLC0415 - load what is used
    from demur.gateway.config import tables as configuration  # noqa: PLC0415 - load what is used
    from demur.gateway.recipes.plan import CERTIFICATE, KEY  # noqa: PLC0415 - load what is used

    if proxy not in recipes.RECIPES:
        fail(f'There is no recipe for "{proxy}".', f"There are: {', '.join(recipes.RECIPES)}.")
    document = configuration.load(config)
    given = recipes.Options(
        _by_origin(upstream or []),
        str(certificate.absolute()) if certificate else CERTIFICATE,
        str((key or certificate or Path(KEY)).absolute()),
    )
    files = recipes.write(proxy, document, configuration.interpret(document), given)
    if file is not None and file not in files:
        fail(f'This recipe has no file "{file}".', f"It has: {', '.join(files)}.")
    if into is not None:
        _write(files, into)
    else:
        _print(files, file)
    wanting = [place for place in (CERTIFICATE, KEY) if any(place in text for text in files.values())]
    if wanting:
        options = " and ".join("--certificate" if place == CERTIFICATE else "--key" for place in wanting)
        typer.echo(f"Change {' and '.join(wanting)}, or name yours with {options}.", err=True)


def _print(files: Mapping[str, str], file: str | None) -> None:
    first, *others = files
    typer.echo(files[file or first], nl=False)
    if others and file is None:
        names = " and ".join(others)
        typer.echo(
            f"This was {first}. The recipe also needs {names}: print it with --file, or write all with --into FOLDER.",
            err=True,
        )


def _by_origin(given: list[str]) -> dict[str, str]:
    """ORIGIN=URL, or URL for every site that has none."""
    found: dict[str, str] = {}
    for text in given:
        origin, _, url = text.rpartition("=")
        if origin in found:
            fail(f"--upstream names {origin or 'a URL for all sites'} twice.", "Write --upstream ORIGIN=URL for each.")
        found[origin] = url
    return found


def _write(files: Mapping[str, str], folder: Path) -> None:
    for name, text in files.items():
        path = folder / name
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            fail(f"{path} cannot be written: {(error.strerror or str(error)).lower()}.", "Name another with --into.")
        typer.echo(f"Wrote {path}.", err=True)
