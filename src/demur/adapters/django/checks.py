"""Django's system checks: `manage.py check`, and before every start of the development server.

- A URL pattern about which nobody says who may open it is an error: its view is closed.
- So is a middleware in the wrong place, a setting that cannot be used, and a permission that nobody can hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import global_settings, settings
from django.core.checks import Error, Tags, register
from django.core.checks import Warning as Doubt
from django.core.exceptions import ImproperlyConfigured

from demur.adapters.django import config, people
from demur.adapters.django.routes import permissions, routes

if TYPE_CHECKING:
    from collections.abc import Iterable

_OURS = "demur.adapters.django.Middleware"
_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
_FIX = "Mark the view, @demur.public or @demur.require(…), or open its path by a rule in settings.DEMUR."


def connect() -> None:
    """Have Django run these."""
    register(middleware, Tags.security)
    register(views, Tags.urls)


def middleware(app_configs: object = None, **_: object) -> list[Any]:
    """Whether the middleware is there, and in its place."""
    named = list(settings.MIDDLEWARE)
    if _OURS not in named:
        return [Error("demur's middleware is not there.", hint=f"Add {_OURS!r} to MIDDLEWARE.", id="demur.E001")]
    found: list[Any] = []
    before = named[: named.index(_OURS)]
    if _AUTHENTICATION not in before and not getattr(settings, "DEMUR", {}).get("bridge"):
        hint = f"Put it right after {_AUTHENTICATION!r}."
        found.append(Error("demur's middleware stands before anybody is known.", hint=hint, id="demur.E002"))
    if settings.CSRF_FAILURE_VIEW == global_settings.CSRF_FAILURE_VIEW:
        hint = 'Set CSRF_FAILURE_VIEW = "demur.adapters.django.csrf_failure".'
        found.append(Doubt("A CSRF error is told as Django tells it.", hint=hint, id="demur.W001"))
    return found


def views(app_configs: object = None, **_: object) -> list[Any]:
    """Whether somebody says of every view who may open it."""
    try:
        surface = config.surface()
    except ImproperlyConfigured as wrong:
        return [Error(str(wrong), id="demur.E003")]
    found: list[Any] = []
    for route in routes():
        if route.asked.closed and surface.requirement(route.sample) == "marked":
            named = f"{route.methods} {route.path} ({route.view})".strip()
            found.append(Error(f"Nobody says who may open {named}.", hint=_FIX, id="demur.E004"))
        found += held(route.path, permissions(route.asked.marks))
    return found


def held(path: str, asked: Iterable[str]) -> list[Any]:
    """Whether somebody could hold each permission: by the table, by a function of the project's own, or by Django."""
    if getattr(settings, "DEMUR", {}).get("permits"):
        return []
    found: list[Any] = []
    for name in asked:
        app, dot, _ = name.partition(".")
        if name not in people.table() and not (dot and app in apps.app_configs):
            hint = f'Add "{name}": ["…"] to the permissions of settings.DEMUR, or name one of Django\'s.'
            found.append(Error(f"{path} asks for {name!r}, which nobody can hold.", hint=hint, id="demur.E005"))
    return found
