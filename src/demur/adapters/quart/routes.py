"""Every route of a Quart app with its marks: for the hook, for the check at start, and for `quart demur routes`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
from quart import current_app
from quart.cli import AppGroup

from demur.adapters.quart.logins import QuartAuth
from demur.adapters.surface import check_routes
from demur.core.marks import marks_of
from demur.core.model import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quart import Quart

    from demur.adapters.surface import Surface
    from demur.core.marks import Mark

_VARIABLE = re.compile(r"<[^>]*>")
_BY_THEMSELVES = frozenset(("HEAD", "OPTIONS"))

commands = AppGroup("demur", help="Who may do what.")


def marks(app: Quart, surface: Surface, endpoint: str, method: str) -> tuple[Mark, ...]:
    """The marks of a view: its own, those of its class and its blueprints, and what Quart-Auth asks for beside it."""
    view = app.view_functions.get(endpoint)
    owner = getattr(view, "view_class", None)
    handler = getattr(owner, method.lower(), None) or (getattr(owner, "get", None) if method == "HEAD" else None)
    blueprints = [app.blueprints.get(name) for name in _names(endpoint)]
    found = marks_of(*blueprints, view, handler)
    if isinstance(surface.bridge, QuartAuth):
        found += surface.bridge.marks((view, handler))
    return found


def _names(endpoint: str) -> Iterator[str]:
    name = endpoint.rpartition(".")[0]
    while name:
        yield name
        name = name.rpartition(".")[0]


def listed(app: Quart, surface: Surface) -> dict[str, tuple[Mark, ...]]:
    """Every route: its path, methods where they differ in their marks, and its marks."""
    found: dict[str, tuple[Mark, ...]] = {}
    for rule in app.url_map.iter_rules():
        by_method: dict[tuple[Mark, ...], list[str]] = {}
        for method in sorted((rule.methods or {"GET"}) - _BY_THEMSELVES):
            by_method.setdefault(marks(app, surface, rule.endpoint, method), []).append(method)
        for asked, methods in by_method.items():
            found[f"{','.join(methods)} {rule.rule}"] = asked
    return found


@commands.command("routes", with_appcontext=True)
def show() -> None:
    """List every route with what it asks for; fail if one says nothing."""
    surface: Surface = current_app.extensions["demur"]
    table = listed(current_app, surface)
    for route, asked in sorted(table.items(), key=lambda each: each[0].partition(" ")[2]):
        click.echo(f"{route}  {surface.requirement(_VARIABLE.sub('x', route.partition(' ')[2]), asked)}")
    try:
        check_routes(surface, table)
    except ConfigError as wrong:
        raise click.ClickException(str(wrong)) from None
