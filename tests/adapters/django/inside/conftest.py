"""The project with its database, and a browser for it, by WSGI and by ASGI."""

# mypy: disable-error-code="misc, import-untyped, attr-defined, unused-ignore"
from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import AsyncClient, Client, override_settings
from django.test.utils import setup_test_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

django.setup()

from django.contrib.admin.models import LogEntry  # noqa: E402 - models come after their apps
from django.contrib.auth.models import Group, Permission  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402

SAME = {"sec-fetch-site": "same-origin"}
PAGE = SAME | {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
SCRIPT = SAME | {"accept": "application/json", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}


@pytest.fixture(scope="session", autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Django, set up once."""
    folder = tmp_path_factory.mktemp("project")
    settings.DATABASES["default"]["NAME"] = folder / "db.sqlite3"
    setup_test_environment()
    call_command("migrate", verbosity=0, run_syncdb=True)


@pytest.fixture(autouse=True)
def people(project: None) -> Iterator[dict[str, Any]]:
    """anna may see reports and is an editor and on the staff; bo is nobody special."""
    users = get_user_model().objects
    anna = users.create_user("anna", "anna@example.com", "correct horse", first_name="Anna", is_staff=True)
    anna.groups.add(Group.objects.get_or_create(name="editors")[0])
    anna.user_permissions.add(Permission.objects.get(codename="view_report"))
    yield {"anna": anna, "bo": users.create_user("bo", "bo@example.com", "battery staple")}
    LogEntry.objects.all().delete()
    Session.objects.all().delete()
    users.all().delete()


@dataclass
class Browser:
    """A client of the test framework's, that speaks as a browser does."""

    client: Any
    asynchronous: bool = False
    kind: dict[str, str] = field(default_factory=lambda: dict(SCRIPT))

    def ask(self, path: str, method: str = "GET", **given: Any) -> Any:
        """An answer. `kind` is what a browser says of the request."""
        headers = {**given.pop("kind", self.kind), **given.pop("headers", {})}
        sent = (method, path, given.pop("data", b""), given.pop("content_type", "text/plain"))
        if not self.asynchronous:
            return self.client.generic(*sent, headers=headers, **given)

        async def asked() -> Any:
            return await self.client.generic(*sent, headers=headers, **given)

        return async_to_sync(asked)()

    def page(self, path: str) -> Any:
        """An answer to a navigation."""
        return self.ask(path, kind=PAGE)

    def sign_in(self, person: Any) -> None:
        """By Django's own login."""
        self.client.force_login(person)

    @property
    def session_key(self) -> str:
        """What its cookie says."""
        return str(self.client.cookies["sessionid"].value)


@pytest.fixture(params=["WSGI", "ASGI"])
def browser(request: pytest.FixtureRequest, project: None) -> Browser:
    """A browser, and the project behind either interface."""
    return made(request.param == "ASGI")


def made(asynchronous: bool = False, **more: Any) -> Browser:
    """A new browser."""
    return Browser(AsyncClient(**more) if asynchronous else Client(**more), asynchronous)


@pytest.fixture
def given() -> Iterator[Callable[..., None]]:
    """Other settings, for one test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(override_settings(**settings)) and None


def reason(response: Any) -> str:
    """Why an answer refuses; "" if it does not, or not in our words."""
    if response.headers.get("Content-Type") == "application/problem+json":
        return str(json.loads(response.content)["reason"])
    text = response.content.decode() if not response.streaming else ""
    mark = '<script type="application/problem+json">'
    return str(json.loads(text.partition(mark)[2].partition("</script>")[0])["reason"]) if mark in text else ""


def said(response: Any) -> tuple[int, str]:
    """Status and reason; a 401 without a challenge is none."""
    assert response.status_code != 401 or response.headers["WWW-Authenticate"]
    return response.status_code, reason(response)
