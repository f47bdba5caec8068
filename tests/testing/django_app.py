"""One small Django project in one file, and what its own tests would say with both of Django's clients."""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import setup_test_environment
from django.urls import path

import demur
from demur import testing
from demur.stores.keys import MemoryKeys
from demur.testing import assert_allowed, assert_refused

OPTIONS: dict[str, dict[str, Any]] = {
    "sessions": {"origin": "https://app.example.com", "store": "memory:", "keys": MemoryKeys()},
    "bridge": {"bridge": lambda _: demur.nobody, "rules": [{"path": "/**", "allow": "marked"}]},
}
MARKS: dict[str, demur.Mark] = {
    "open": demur.public,
    "plain": demur.require(),
    "staff": demur.require(groups=["staff"]),
    "fresh": demur.require(fresh="15m"),
    "granted": demur.require("reports.view_report"),
}

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="for a test",
    ALLOWED_HOSTS=["app.example.com"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "demur.adapters.django.Middleware",
    ],
    DEMUR=OPTIONS[sys.argv[1]],
)
django.setup()


def view(mark: Any) -> Any:
    """A marked view of its own."""

    def own(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.demur.subject.name if request.demur.subject else "nobody")

    return mark(own)


urlpatterns = [path(name, view(mark)) for name, mark in MARKS.items()]


async def tried(client: Any) -> None:
    """What the other frameworks' clients are tried with."""

    async def get(asked: Any, target: str) -> Any:
        if isinstance(asked, Client):
            return await asyncio.to_thread(asked.get, target)
        response = asked.get(target)
        return await response if inspect.isawaitable(response) else response

    testing.signed_in(client, "alice", groups=["staff"])
    for target in ("/plain", "/staff", "/fresh"):
        assert_allowed(await get(client, target))
    assert_refused(await get(testing.stale(client, "bob"), "/fresh"), "step-up-required")
    assert_refused(await get(client, "/staff"), "not-permitted")
    assert_refused(await get(client, "/granted"), "not-permitted")
    assert_allowed(await get(testing.signed_in(client, permissions=["reports.view_report"]), "/granted"))
    for reason, be in testing.REFUSALS.items():
        assert assert_refused(await get(be(client), "/plain"), reason)["reason"] == reason
        assert_allowed(await get(client, "/open"))


if __name__ == "__main__":
    setup_test_environment()
    for made in (Client(), AsyncClient()):
        asyncio.run(tried(made))
    print("tried")
