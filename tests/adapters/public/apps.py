"""How each app is started, and what is sent to it: the same before and after.

- `prepare` and the functions of `Control` run in the process that serves, the rest in the one that asks.
- Everybody signs in by the app's own login. What cannot be in an app is a sentence in place of a request.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.adapters.public.asking import Asking, Given

WORD: Final = "correct horse battery"
SINCE_LONG: Final = 3 * 366 * 86_400
PAGE: Final = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FETCH: Final = {"Accept": "application/json"}
SIGNED: Final = "The cookie is the session: nothing is kept that could be taken away, and it opens until it runs out."


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    path: str
    method: str = "GET"
    fields: Mapping[str, str] | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class App:
    """One app. `before` and `after` are what is served, as `module:name`, with `()` if it is made by a call. `given`
    signs in and says what is sent, by row; `prepare` runs once in the folder of the app, before it is served."""

    kind: str
    before: str
    after: str
    given: Callable[[Asking], Given]
    prepare: Callable[[], None] | None = None
    settings: tuple[str, str] | None = None


def _rows(path: str, **more: Ask | str) -> Given:
    """What is sent to a restricted page of any app, and what is special about this one."""
    asked: dict[str, Ask | str] = {
        "nothing sent, page": Ask(path, fields=PAGE),
        "nothing sent, fetch": Ask(path, fields=FETCH),
        "bad Bearer": Ask(path, fields=FETCH | {"Authorization": "Bearer nobody.has.this"}),
        "POST": Ask(path, "POST", FETCH | {"Content-Type": "application/x-www-form-urlencoded"}, b"title=A&body=B"),
        "HEAD": Ask(path, "HEAD", PAGE),
        "preflight": Ask(path, "OPTIONS", {"Origin": "https://else.example", "Access-Control-Request-Method": "GET"}),
    }
    return asked | {name.replace("_", " "): said for name, said in more.items()}


def _with(cookie: str, fields: Mapping[str, str] = FETCH) -> dict[str, str]:
    return {**fields, "Cookie": cookie}


def _form(**said: str) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(said).encode()


def _json(said: object) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/json"}, json.dumps(said).encode()


# --- Flask ----------------------------------------------------------------------------------------


def _flask_cookie(secret: str, said: dict[str, Any], now: float) -> str:
    """A cookie as Flask signs it, at another time."""
    import hashlib  # noqa: PLC0415

    from flask.json.tag import TaggedJSONSerializer  # noqa: PLC0415
    from itsdangerous import TimestampSigner, URLSafeTimedSerializer  # noqa: PLC0415

    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(now)

    kwargs = {"key_derivation": "hmac", "digest_method": hashlib.sha1}
    signer: Any = URLSafeTimedSerializer(
        secret, salt="cookie-session", serializer=TaggedJSONSerializer(), signer=Then, signer_kwargs=kwargs
    )
    return f"session={signer.dumps(said)}"


def _flaskr_prepare() -> None:
    import flaskr  # type: ignore[import-not-found]  # noqa: PLC0415
    from flaskr.db import init_db  # type: ignore[import-not-found]  # noqa: PLC0415

    with flaskr.create_app().app_context():
        init_db()


def _flaskr(asking: Asking) -> Given:
    cookies = {}
    for name in ("anna", "bo"):
        asking.send("POST", "/auth/register", *_form(username=name, password=WORD))
        cookies[name] = asking.send("POST", "/auth/login", *_form(username=name, password=WORD)).cookies()
    fields, body = _form(title="Peas", body="They grow.")
    asking.send("POST", "/create", _with(cookies["anna"], fields), body)
    left = asking.send("POST", "/auth/login", *_form(username="bo", password=WORD)).cookies()
    asking.send("GET", "/auth/logout", _with(left))
    return _rows(
        "/create",
        signed_in=Ask("/create", fields=_with(cookies["bo"], PAGE)),
        bad=Ask("/create", fields=_with(cookies["bo"][:-3] + "xxx")),
        expired=Ask("/create", fields=_with(_flask_cookie("dev", {"user_id": 2}, time.time() - SINCE_LONG))),
        signed_out=Ask("/create", fields=_with(left)),
        revoked=SIGNED,
        forbidden=Ask("/1/update", fields=_with(cookies["bo"])),
    )


def _flask_login(asking: Asking) -> Given:
    fields, body = _form(email="foo@bar.tld", password="secret")
    live = asking.send("POST", "/login", fields, body).cookies()
    left = asking.send("POST", "/login", fields, body).cookies()
    asking.send("GET", "/logout", _with(left))
    old = {"_user_id": "foo@bar.tld", "_fresh": True, "_id": "0"}
    return _rows(
        "/protected",
        signed_in=Ask("/protected", fields=_with(live, PAGE)),
        bad=Ask("/protected", fields=_with(live[:-3] + "xxx")),
        expired=Ask("/protected", fields=_with(_flask_cookie("super secret string", old, time.time() - SINCE_LONG))),
        signed_out=Ask("/protected", fields=_with(left)),
        revoked=SIGNED,
        forbidden="The app has one page, for everybody who is signed in.",
    )


# --- FastAPI --------------------------------------------------------------------------------------


def _fastapi(asking: Asking) -> Given:
    import jwt  # noqa: PLC0415

    secret = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"

    def token(*scopes: str) -> str:
        said = asking.send("POST", "/token", *_form(username="johndoe", password="secret", scope=" ".join(scopes)))
        return str(json.loads(said.body)["access_token"])

    def bearer(given: str) -> dict[str, str]:
        return FETCH | {"Authorization": f"Bearer {given}"}

    past = {"sub": "johndoe", "scope": "me items", "exp": int(time.time()) - 3600}
    foreign = {"sub": "johndoe", "scope": "me items", "exp": int(time.time()) + 3600}
    path = "/users/me/items/"
    return _rows(
        path,
        signed_in=Ask(path, fields=bearer(token("me", "items"))),
        bad=Ask(path, fields=bearer(jwt.encode(foreign, "of somebody else, and long enough for it"))),
        expired=Ask(path, fields=bearer(jwt.encode(past, secret))),
        revoked="The token says all by itself: nothing is kept that could be taken away.",
        forbidden=Ask(path, fields=bearer(token("me"))),
    )


# --- Django ---------------------------------------------------------------------------------------


def _django_prepare() -> None:
    import django  # noqa: PLC0415
    from django.contrib.auth import get_user_model  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    django.setup()
    call_command("migrate", verbosity=0)
    users: Any = get_user_model().objects
    users.create_user("anna", password=WORD, is_staff=True, is_superuser=True)
    users.create_user("dora", password=WORD, is_staff=True, is_superuser=True)
    users.create_user("bo", password=WORD, is_staff=True)
    users.create_user("carl", password=WORD)


def start_project(folder: Path, template: Path) -> None:
    """Have Django write its project: the files of the template, with a name and a new secret."""
    command = [sys.executable, "-m", "django", "startproject", "mysite", str(folder), "--template", str(template)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"DJANGO_SETTINGS_MODULE": ""})


def _django(asking: Asking) -> Given:
    def sign_in(name: str) -> str:
        page = asking.send("GET", "/admin/login/", PAGE)
        (token,) = re.findall(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.body)
        fields, body = _form(username=name, password=WORD, csrfmiddlewaretoken=token.decode())
        cookies = asking.send("POST", "/admin/login/", _with(page.cookies(), fields), body).cookies()
        (found,) = re.findall(r"sessionid=\w+", cookies)
        return str(found)

    path, live, old, left, ended = "/admin/auth/user/", *(sign_in(name) for name in ("anna", "anna", "anna", "dora"))
    with sqlite3.connect(asking.folder / "db.sqlite3") as database:
        key = old.partition("=")[2]
        database.execute("UPDATE django_session SET expire_date = '2020-01-01' WHERE session_key = ?", (key,))
    form = asking.send("GET", path, _with(left, PAGE))
    (token,) = set(re.findall(rb'name="csrfmiddlewaretoken" value="(\w+)"', form.body))
    fields, body = _form(csrfmiddlewaretoken=token.decode())
    asking.send("POST", "/admin/logout/", _with(f"{left}; {form.cookies()}", fields), body)
    asking.control("django_password", "dora")
    return _rows(
        path,
        signed_in=Ask(path, fields=_with(live, PAGE)),
        bad=Ask(path, fields=_with("sessionid=0123456789abcdefghijklmnopqrstuv")),
        expired=Ask(path, fields=_with(old)),
        signed_out=Ask(path, fields=_with(left)),
        revoked=Ask(path, fields=_with(ended)),
        forbidden=Ask(path, fields=_with(sign_in("bo"))),
        **{"forbidden, not staff": Ask(path, fields=_with(_carl(asking)))},
    )


def _carl(asking: Asking) -> str:
    """Somebody who may not even see the admin site's first page, and so cannot sign in there."""
    return f"sessionid={asking.control('django_sign_in', 'carl')}"


# --- Starlette ------------------------------------------------------------------------------------


def _starlette(_: Asking) -> Given:
    def basic(name: str) -> dict[str, str]:
        return FETCH | {"Authorization": f"Basic {base64.b64encode(f'{name}:{WORD}'.encode()).decode()}"}

    return _rows(
        "/dashboard",
        signed_in=Ask("/dashboard", fields=basic("bo")),
        bad=Ask("/dashboard", fields=FETCH | {"Authorization": "Basic nobody!"}),
        expired="Name and password come with every request, and do not end.",
        revoked="Name and password come with every request; the app asks nobody whether they are right.",
        forbidden=Ask("/admin/sync", fields=basic("bo")),
        **{"nothing sent, redirected": Ask("/admin", fields=FETCH)},
    )


# --- Litestar -------------------------------------------------------------------------------------


def _litestar(asking: Asking) -> Given:
    def sign_up(name: str) -> str:
        said = {"name": name, "email": f"{name}@demur.dev", "password": WORD}
        return asking.send("POST", "/signup", *_json(said)).cookies()

    live, old, ended = sign_up("anna"), sign_up("bo"), sign_up("carl")
    for cookie in (old, ended):
        asking.send("GET", "/user", _with(cookie))
    asking.control("litestar_expire", old.partition("=")[2])
    asking.control("litestar_revoke", ended.partition("=")[2])
    return _rows(
        "/user",
        signed_in=Ask("/user", fields=_with(live)),
        bad=Ask("/user", fields=_with("session=nobodyhasthisone")),
        expired=Ask("/user", fields=_with(old)),
        revoked=Ask("/user", fields=_with(ended)),
        forbidden=Ask("/schema/openapi.json", fields=_with(live)),
    )


# --- in the process that serves -------------------------------------------------------------------


class Control:
    """What an administrator of the app would do, and what only time does."""

    @staticmethod
    def django_password(name: str) -> str:
        """Give somebody another password, as an administrator does: all their sessions are over."""
        from django.contrib.auth import get_user_model  # noqa: PLC0415

        user: Any = get_user_model().objects.get(username=name)
        user.set_password("another one, and as long")
        user.save()
        return ""

    @staticmethod
    def django_sign_in(name: str) -> str:
        """Sign somebody in who has no way to, and give the key of the session."""
        from django.contrib.auth import get_user_model, login  # noqa: PLC0415
        from django.contrib.sessions.backends.db import SessionStore  # noqa: PLC0415
        from django.http import HttpRequest  # noqa: PLC0415

        request, users = HttpRequest(), get_user_model().objects
        request.session = SessionStore()
        login(request, users.get(username=name), backend="django.contrib.auth.backends.ModelBackend")
        request.session.save()
        return str(request.session.session_key)

    @staticmethod
    def litestar_expire(key: str) -> str:
        """Have a session be over, and have been for an hour, for whoever keeps anything about it."""
        import hashlib  # noqa: PLC0415
        from datetime import UTC, datetime, timedelta  # noqa: PLC0415

        sessions, kept = _litestar_store("sessions"), _litestar_store("demur")
        sessions[key].expires_at = datetime.now(UTC) - timedelta(hours=1)
        for seen in [kept[name] for name in kept if name == hashlib.sha256(key.encode()).hexdigest()]:
            seen.data = re.sub(rb"[0-9]+$", lambda at: b"%d" % (int(at[0]) - 14 * 86_400 - 3600), seen.data)
        return ""

    @staticmethod
    def litestar_revoke(key: str) -> str:
        """End a session of somebody."""
        _litestar_store("sessions").pop(key)
        return ""


def _litestar_store(name: str) -> Any:
    import using_session_auth  # type: ignore[import-not-found]  # noqa: PLC0415

    return sys.modules.get("guarded", using_session_auth).app.stores.get(name)._store


APPS: Final = {
    "flask": App("wsgi", "flaskr:create_app()", "guarded:app", _flaskr, _flaskr_prepare),
    "flask-login": App("wsgi", "example:app", "guarded:app", _flask_login),
    "fastapi": App("asgi", "tutorial005:app", "guarded:app", _fastapi),
    "django": App(
        "wsgi",
        "mysite.wsgi:application",
        "mysite.wsgi:application",
        _django,
        _django_prepare,
        settings=("mysite.settings", "guarded"),
    ),
    "starlette": App("asgi", "tests.test_authentication:app", "guarded:app", _starlette),
    "litestar": App("asgi", "using_session_auth:app", "guarded:app", _litestar),
}
