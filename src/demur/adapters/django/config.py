"""`settings.DEMUR`, the options of every adapter (`demur.adapters.options.Options`), and the surface that they make.

- Nothing in it is needed: Django's own login is the bridge, `LOGIN_URL` the login, `SESSION_COOKIE_NAME` the cookie.
- With `store` demur keeps the sessions, for the people of Django's user table.
- Where settings can hold no object, the dotted name of one does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from django.apps import apps
from django.conf import global_settings, settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, resolve, reverse
from django.utils.module_loading import import_string

from demur.adapters.django import people
from demur.adapters.django.who import Bridge
from demur.adapters.options import assemble
from demur.core.model import ConfigError

if TYPE_CHECKING:
    from demur.adapters.options import Options
    from demur.adapters.surface import Surface

_OBJECTS = ("bridge", "permits", "hasher", "renderer", "observer", "clock", "cors", "limits")


@lru_cache(8)
def surface(login: str = "") -> Surface:
    """The surface of this project; with `login`, as it speaks where the app has another login page. Raises
    ImproperlyConfigured."""
    try:
        return assemble(can_ask=True, **_options(login))
    except ConfigError as wrong:
        message = f"settings.DEMUR: {wrong}"
        raise ImproperlyConfigured(message) from wrong


def _options(login: str) -> Options:
    given: dict[str, Any] = dict(getattr(settings, "DEMUR", {}))
    if login and "store" not in given:
        given["login"] = f"{login}?next={{next}}"
    for name in _OBJECTS:
        if isinstance(given.get(name), str):
            given[name] = import_string(given[name])
    given.setdefault("permits", people.permits)
    if "store" in given:
        _with_sessions(given)
    else:
        _with_bridge(given)
    return cast("Options", given)


def _with_sessions(given: dict[str, Any]) -> None:
    if "people" not in given and apps.is_installed("django.contrib.auth"):
        given["people"] = people.Users()
        given.setdefault("hasher", people.Hasher())


def _with_bridge(given: dict[str, Any]) -> None:
    given["bridge"] = Bridge(given.get("bridge"))
    given.setdefault("cookie", settings.SESSION_COOKIE_NAME)
    if "login" not in given and (login := login_path()):
        given["login"] = f"{login}?next={{next}}"
    if "rules" not in given:
        # Who may send a form here by Django's settings may do so by ours.
        friends = [origin for origin in settings.CSRF_TRUSTED_ORIGINS if "*" not in origin]
        given["rules"] = [{"path": "/**", "allow": "app"} | ({"origins": friends} if friends else {})]


def login_path() -> str:
    """The path of `LOGIN_URL`; "" if there is none on this site."""
    try:
        found = str(resolve_url(settings.LOGIN_URL)).partition("?")[0] if settings.LOGIN_URL else ""
    except NoReverseMatch:
        found = ""
    if settings.LOGIN_URL == global_settings.LOGIN_URL and not _is_there(found):
        found = _admins()  # nobody has said where it is
    return found if found.startswith("/") and not found.startswith("//") else ""


def _is_there(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


def _admins() -> str:
    try:
        return str(reverse("admin:login"))
    except NoReverseMatch:
        return ""


def renew(*, setting: str, **_: object) -> None:
    """Read the settings again: a test has changed them."""
    if setting in {"DEMUR", "LOGIN_URL", "SESSION_COOKIE_NAME", "CSRF_TRUSTED_ORIGINS", "ROOT_URLCONF"}:
        surface.cache_clear()


setting_changed.connect(renew, dispatch_uid="demur")
