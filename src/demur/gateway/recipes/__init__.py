"""Recipes: whole configurations of other people's proxies, written for one configuration of ours.

Each kind of proxy has a module with its text, which a `Plan` fills in. What may stand in a plan is checked there, so
a text needs no quoting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demur.gateway.recipes import apache, caddy, envoy, haproxy, nginx, traefik
from demur.gateway.recipes.plan import Needs, Options, Plan, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from demur.gateway.config.tables import Config, Document

__all__ = ["RECIPES", "Needs", "Options", "Plan", "Recipe", "write"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to write for one kind of proxy. `render` gives the texts by file name, the one to start with first."""

    needs: Needs
    render: Callable[[Plan], Mapping[str, str]]


RECIPES: Mapping[str, Recipe] = {
    "nginx": Recipe(nginx.NEEDS, nginx.render),
    "caddy": Recipe(caddy.NEEDS, caddy.render),
    "envoy": Recipe(envoy.NEEDS, envoy.render),
    "traefik": Recipe(traefik.NEEDS, traefik.render),
    "haproxy": Recipe(haproxy.NEEDS, haproxy.render),
    "apache": Recipe(apache.NEEDS, apache.render),
}
"""By the name that the command knows."""


def write(name: str, document: Document, config: Config, options: Options | None = None) -> Mapping[str, str]:
    """The recipe called `name` for a configuration: texts by file name, the one to start with first.

    Raises `ConfigError` with everything that this kind of proxy cannot do for it.
    """
    recipe = RECIPES[name]
    return recipe.render(plan(document, config, recipe.needs, options))
