"""`demur init`: a first configuration, safe as it stands, with the next steps written in it."""

from __future__ import annotations

import os
import secrets
import shlex
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from demur.cli.terminal import DEFAULT, ConfigFile, fail, paint

if TYPE_CHECKING:
    from demur.gateway.config.addresses import Origin

_TEMPLATE = """\
# demur reads this file when it starts, and again on SIGHUP. After a change: demur check-config{option}
# Relative paths begin at the folder of this file. Durations are written "90s", "15m", "1h" or "30d".
version = 1

[gateway]
listen = "{listen}"
{transport}
# workers = 2                               # processes that serve
# check_listen = "unix:check.sock"          # for nginx, Caddy or Traefik, if they only ask and pass on by themselves
# admin_listen = "127.0.0.1:8002"           # metrics; never on an address that others can reach

[accounts]
database = "sqlite:accounts.db"             # people and their passwords (hashed)

[sessions]
store = "sqlite:sessions.db"
idle = "1h"                                 # signed out after so long without a request,
absolute = "24h"                            # and after so long in any case (NIST SP 800-63B, AAL2)

[[site]]
origin = "{origin}"{pad}# what browsers see in their address bar
upstream = "{upstream}"

# What no rule opens is closed. The most specific rule wins, wherever it stands.

[[site.rule]]
path = "/**"
allow = "signed-in"

# [[site.rule]]
# path = "/public/**"
# allow = "anyone"

# [[site.rule]]
# path = "/admin/**"
# allow = {{ groups = ["admins"], fresh = "15m" }}    # and the password given within the last 15 minutes
"""

_PLAIN = """\
# tls = { certificate = "cert.pem", key = "key.pem" }
# trusted_proxies = ["127.0.0.1"]           # whose X-Forwarded-* fields are believed; nobody's if it is not set"""

_BEHIND = """\
# Something has to speak TLS: a proxy on this machine, or demur itself. Keep one of these two lines.
trusted_proxies = ["127.0.0.1", "::1"]      # whose X-Forwarded-* fields are believed
# tls = { certificate = "cert.pem", key = "key.pem" }"""


def init(
    *,
    upstream: Annotated[str, typer.Option(metavar="URL", help='Where the site is, such as "http://127.0.0.1:9000".')],
    origin: Annotated[
        str, typer.Option(metavar="URL", help="What browsers are to see in their address bar.")
    ] = "http://localhost:8000",
    config: ConfigFile = DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a first configuration.

    It has comments and safe defaults. An existing file is left alone.
    """
    from pydantic_core import PydanticCustomError  # noqa: PLC0415 - load what is used

    from demur.gateway.config.addresses import Address, Origin, is_at, upstream_url  # noqa: PLC0415 - load what is used

    option = "--upstream"
    try:
        behind = upstream_url(upstream)
        option = "--origin"
        seen = Origin.parse(origin)
    except PydanticCustomError as error:
        context = error.context or {}
        fail(f"{option}: {error.message()}", context["fix"])
    if seen.is_open_http:
        fail(
            f"--origin: {seen} has no TLS, so passwords and sessions could be read on the way.",
            f'Write --origin "{seen.with_tls}".',
        )
    listen = Address("127.0.0.1", seen.port if seen.scheme == "http" else 8000)
    if is_at(listen, behind):
        fail(
            f"--upstream: {behind} is where demur itself would listen.",
            f"Choose another port for browsers: --origin http://localhost:{listen.port + 1}",
        )
    _write(config, _text(config, seen, behind, listen=str(listen)), force=force)
    _next(config, seen, behind)


def _text(config: Path, origin: Origin, upstream: str, *, listen: str) -> str:
    return _TEMPLATE.format(
        option=_option(config),
        listen=listen,
        transport=_BEHIND if origin.scheme == "https" else _PLAIN,
        origin=origin,
        pad=" " * max(2, 33 - len(str(origin))),
        upstream=upstream,
    )


def _write(path: Path, text: str, *, force: bool) -> None:
    # whole or not at all, and for no other eyes: it tells who may open what
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}") if force else path
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        if force:
            draft.replace(path)
    except FileExistsError:
        fail(f"{path} is already there, and is left as it is.", "Choose another name with --config, or use --force.")
    except FileNotFoundError:
        fail(f"There is no folder {path.parent}.", f"Make it: mkdir -p {shlex.quote(str(path.parent))}")
    except OSError as error:
        fail(f"{path} cannot be written: {(error.strerror or str(error)).lower()}.", "Choose another with --config.")


def _next(config: Path, origin: Origin, upstream: str) -> None:
    option = _option(config)
    typer.echo(f"Wrote {config}: {origin} in front of {upstream}. Whoever is signed in may open all of it.")
    typer.echo("Next:")
    typer.echo(f"  {paint(f'demur user add NAME{option}', 'cyan')}    somebody who may sign in")
    typer.echo(f"  {paint(f'demur serve{option}', 'cyan')}            then open {origin}/")


def _option(config: Path) -> str:
    return "" if config == DEFAULT else f" --config {shlex.quote(str(config))}"
