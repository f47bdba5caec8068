"""Everything that an examination takes: where to ask, which paths, somebody to be, and perhaps a stand-in."""

from __future__ import annotations

import contextlib
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demur.core.explain import explain
from demur.core.model import Access, ConfigError, Request, Subject
from demur.gateway.config.addresses import Origin
from demur.gateway.doctor import person, ticket
from demur.gateway.doctor.asking import Line
from demur.gateway.doctor.checks import Finding, Patient, examine
from demur.gateway.doctor.standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demur.core.model import Key
    from demur.core.rules import Rule
    from demur.core.site import Site
    from demur.gateway.config.tables import Config
    from demur.gateway.config.tables import Site as Table

_WORD = "demur-doctor"


@dataclass(frozen=True, slots=True)
class Means:
    """What the command line says: whether to stand in for the apps, where to connect instead of where the names of the
    sites lead, what certificates to trust, and the proxy's name ("": as it says itself)."""

    stand_in: bool = False
    connect: tuple[str, int] | None = None
    certificates: Path | None = None
    proxy: str = ""


def examinations(config: Config, means: Means) -> Iterator[tuple[str, list[Finding]]]:
    """Each site's origin and what was found. Raises ConfigError for what has to be put right first, and
    StoreUnavailable."""
    sites = config.sites()
    key = person.key_of(config)
    for table, site in zip(config.site, sites, strict=True):
        line = _line(table.origin, means)
        paths = _paths(site, line)
        with _stand_in(table, means) as standin, _visitors(config, site, key) as tokens:
            pass_ = ticket.write(line.authority, key, int(time.time())) if key else ""
            patient = Patient(
                site, line, *paths, *tokens, pass_, _upstream(table), _check(config), standin, proxy=means.proxy
            )
            found = examine(patient)
        # outside of the block: whoever is told may take their time, or not come back
        yield str(table.origin), found


@contextlib.contextmanager
def _visitors(config: Config, site: Site, key: Key | None) -> Iterator[tuple[str, str]]:
    """The tokens of two sessions; "" where nobody can be signed in from here."""
    if key is None or config.sessions.store.startswith("memory:"):
        yield "", ""
        return
    with person.visitor(config, site, key) as first, person.visitor(config, site, key) as second:
        yield first, second


def _line(origin: Origin, means: Means) -> Line:
    host = origin.host.replace("*", _WORD, 1)
    authority = origin.authority.replace("*", _WORD, 1)
    context = None
    if origin.scheme == "https":
        context = _context(means.certificates)
    return Line(origin.scheme, host, authority, means.connect or (host.strip("[]"), origin.port), context)


def _context(certificates: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(certificates) if certificates else None)
    except OSError as error:
        raise ConfigError(
            f"{certificates} cannot be read: {(error.strerror or str(error)).lower()}.",
            place="--certificates",
            fix="Name a file with certificates in PEM.",
        ) from None


def _upstream(table: Table) -> tuple[str, int]:
    """Where the app listens on this machine; "" if it does so elsewhere."""
    if table.upstream is None:
        return "", 0
    at = Origin.parse(table.upstream)
    return (at.host.strip("[]"), at.port) if at.is_loopback else ("", at.port)


def _check(config: Config) -> tuple[str, int]:
    address = config.gateway.check_listen
    return ("", 0) if address is None or address.path is not None else (address.host, address.port)


@contextlib.contextmanager
def _stand_in(table: Table, means: Means) -> Iterator[StandIn | None]:
    if not means.stand_in:
        yield None
        return
    host, port = _upstream(table)
    if not host:
        raise ConfigError(
            f"{table.origin} has no app on this machine that could be stood in for.",
            place="--stand-in",
            fix="Run it where the app runs, with its upstream in the configuration.",
        )
    try:
        standin = StandIn(host, port)
    except OSError as error:
        raise ConfigError(
            f"nobody can stand in for the app at {host}:{port}: {(error.strerror or str(error)).lower()}.",
            place="--stand-in",
            fix="Stop the app for a moment, or leave --stand-in out.",
        ) from None
    with standin:
        yield standin


# --- which paths ------------------------------------------------------------------------------------


def _paths(site: Site, line: Line) -> tuple[str, str]:
    """A path that asks for a sign-in and that the visitor may open, and one that is open or ""."""
    found = [_example(rule) for rule in site.rules.all]
    visitor = Subject("", person.NAME, person.groups(site))
    restricted = [path for path in found if _outcomes(site, line, path, visitor) == (401, None)]
    opened = [path for path in found if _outcomes(site, line, path, visitor) == (None, None)]
    if not restricted:
        raise ConfigError(
            "no rule asks for a sign-in that somebody could pass, so there is nothing to examine.",
            place=site.origin,
            fix='Add one, such as path = "/members/**" with allow = "signed-in".',
        )
    # below a `**` a path can be made longer and stays under the rule
    restricted.sort(key=lambda path: not path.endswith(_WORD))
    return restricted[0], next(iter(opened), "")


def _example(rule: Rule) -> str:
    return "/" + "/".join(_WORD if segment[:1] in {"*", "{"} else segment for segment in rule.segments)


def _outcomes(site: Site, line: Line, path: str, visitor: Subject) -> tuple[int | None, int | None]:
    """With which status nobody and the visitor are refused."""
    request = Request("GET", path.encode(), line.scheme, line.authority, "", ())
    told = [explain(site, request, who, 0) for who in (None, visitor)]
    if any(rule.requirement.acr for rule in site.rules.all if rule.name == told[0].rule):
        return (0, 0)
    if any(rule.requirement.access is Access.OPTIONAL for rule in site.rules.all if rule.name == told[0].rule):
        return (0, 0)
    return told[0].status, told[1].status
