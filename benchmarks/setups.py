"""The same small app in each framework: without demur, with it, and with what others do there.

Each function is given the options of demur for its sessions, and imports its framework itself: a server loads what it
serves, and nothing else.
"""

from __future__ import annotations

import functools
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.guarded import BODY
else:
    from guarded import BODY

PATH = "/members/shelf"
SECRET = "a secret of the benchmark, and long enough for everybody"
TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Setup:
    """One server. `make` is given the options of demur, and gives the app. `base` is what it is compared with; `needs`
    is the module without which it cannot run, `server` what has to run beside it."""

    name: str
    framework: str
    make: Callable[[dict[str, Any]], Any]
    base: str = ""
    wsgi: bool = False
    session: str = ""
    needs: str = ""
    beside: tuple[str, ...] = ()
    server: str = ""

    @property
    def packages(self) -> Path:
        """Where `beside` is installed: packages that want other versions of what we have, and run with ours."""
        return Path(sys.prefix) / ".public" / f"bench-{self.needs}"


# --- raw ASGI -------------------------------------------------------------------------------------


async def _plain(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    fields = [(b"content-type", TYPE.encode()), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": BODY})


def asgi_plain(_: dict[str, Any]) -> Any:
    """The app by itself."""
    return _plain


def asgi_demur(options: dict[str, Any]) -> Any:
    """Behind the middleware, by a rule."""
    from demur.adapters.asgi import Demur  # noqa: PLC0415 - each server loads what it serves

    return Demur(_plain, rules=[{"path": "/members/**", "allow": "signed-in"}], **options)


def asgi_least(_: dict[str, Any]) -> Any:
    """Behind the least that could be called a check."""
    return _least(_plain)


def _least(app: Any) -> Any:
    """A look at a table of rules, the cookie, its hash, a look at a table of sessions, and two fields in the answer. It
    cannot revoke anything, keeps no log and counts nothing: what it takes no check in Python can go below."""
    rules, sessions, no = {PATH: "signed-in"}, dict[bytes, float](), (b"content-length", b"0")

    async def checked(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        sent, now = dict(scope["headers"]), time.time()
        cookie = sent.get(b"cookie", b"")
        key = sha256(cookie[10:]).digest()
        if rules.get(scope["path"]) is None or not cookie or sessions.setdefault(key, now + 86400) < now:
            await send({"type": "http.response.start", "status": 401, "headers": [no]})
            await send({"type": "http.response.body", "body": b""})
            return
        ends = b"session;dur=%d" % (sessions[key] - now)

        def out(message: Any) -> Any:
            if message["type"] == "http.response.start":
                told = [(b"cache-control", b"private, no-cache"), (b"server-timing", ends)]
                return send({**message, "headers": [*message["headers"], *told]})
            return send(message)

        await app(scope, receive, out)

    return checked


# --- Starlette ------------------------------------------------------------------------------------


def _starlette(view: Any, *middleware: Any, login: Any = None) -> Any:
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    routes = [Route(PATH, view), *([Route("/login", login)] if login else [])]
    return Starlette(routes=routes, middleware=list(middleware))


async def _star_view(_: Any) -> Any:
    from starlette.responses import Response  # noqa: PLC0415

    return Response(BODY, media_type=TYPE)


def starlette_plain(_: dict[str, Any]) -> Any:
    """The app by itself."""
    return _starlette(_star_view)


def starlette_demur(options: dict[str, Any]) -> Any:
    """Behind the middleware, with a mark."""
    import demur  # noqa: PLC0415
    from demur.adapters.starlette import Demur  # noqa: PLC0415

    return Demur(_starlette(demur.require()(_star_view)), **options)


def starlette_least(_: dict[str, Any]) -> Any:
    """Behind the least that could be called a check."""
    return _least(_starlette(_star_view))


def _star_session() -> tuple[Any, Any]:
    from starlette.responses import Response  # noqa: PLC0415

    async def view(request: Any) -> Any:
        if request.session.get("user_id") is None:
            return Response(status_code=403)
        return Response(BODY, media_type=TYPE)

    async def login(request: Any) -> Any:
        request.session["user_id"] = "bob"
        return Response()

    return view, login


def starlette_sessions(_: dict[str, Any]) -> Any:
    """Starlette's SessionMiddleware: a signed cookie."""
    from starlette.middleware import Middleware  # noqa: PLC0415
    from starlette.middleware.sessions import SessionMiddleware  # noqa: PLC0415

    view, login = _star_session()
    return _starlette(view, Middleware(SessionMiddleware, secret_key=SECRET), login=login)


def starlette_bridged(_: dict[str, Any]) -> Any:
    """The same, with demur before it."""
    from starlette.middleware import Middleware  # noqa: PLC0415
    from starlette.middleware.sessions import SessionMiddleware  # noqa: PLC0415

    import demur  # noqa: PLC0415
    from demur.adapters.starlette import Demur  # noqa: PLC0415
    from demur.adapters.starlette.bridges import session  # noqa: PLC0415

    view, login = _star_session()
    app = _starlette(demur.require()(view), Middleware(SessionMiddleware, secret_key=SECRET), login=login)
    return Demur(app, bridge=session("user_id", secret_key=SECRET))


def starsessions(_: dict[str, Any]) -> Any:
    """starsessions, in memory."""
    from starsessions import InMemoryStore  # noqa: PLC0415

    return _starsessions(InMemoryStore())


def starsessions_redis(options: dict[str, Any]) -> Any:
    """starsessions, in Redis."""
    from starsessions.stores.redis import RedisStore  # noqa: PLC0415

    return _starsessions(RedisStore(options["redis"]))


def _starsessions(kept: Any) -> Any:
    from starlette.middleware import Middleware  # noqa: PLC0415
    from starsessions import SessionAutoloadMiddleware, SessionMiddleware  # noqa: PLC0415

    view, login = _star_session()
    store = Middleware(SessionMiddleware, store=kept, cookie_https_only=False)
    return _starlette(view, store, Middleware(SessionAutoloadMiddleware), login=login)


# --- FastAPI --------------------------------------------------------------------------------------


def _fastapi(*dependencies: Any, mark: Callable[[Any], Any] = lambda view: view) -> Any:
    from fastapi import Depends, FastAPI, Response  # noqa: PLC0415

    app = FastAPI(openapi_url=None)

    @app.get(PATH, dependencies=[Depends(each) for each in dependencies])
    @mark
    async def view() -> Any:
        return Response(BODY, media_type=TYPE)

    return app


def fastapi_plain(_: dict[str, Any]) -> Any:
    """The app by itself."""
    return _fastapi()


def fastapi_demur(options: dict[str, Any]) -> Any:
    """Behind the middleware, with a mark."""
    import demur  # noqa: PLC0415
    from demur.adapters.fastapi import Demur  # noqa: PLC0415

    app = _fastapi(mark=demur.require())
    app.add_middleware(Demur, **options)
    return app


def fastapi_depends(options: dict[str, Any]) -> Any:
    """The same with `Depends(require())`, which FastAPI calls as it does any dependency."""
    from demur.adapters.fastapi import Demur, require  # noqa: PLC0415

    app = _fastapi(require())
    app.add_middleware(Demur, **options)
    return app


def fastapi_users(_: dict[str, Any]) -> Any:
    """fastapi-users: a token in a cookie, and a user out of memory."""
    from fastapi_users import BaseUserManager, FastAPIUsers  # noqa: PLC0415
    from fastapi_users.authentication import (  # noqa: PLC0415
        AuthenticationBackend,
        CookieTransport,
        JWTStrategy,
    )

    class User:
        id, email, hashed_password = "bob", "bob@example.com", ""
        is_active = is_verified = is_superuser = True

    class Manager(BaseUserManager[Any, Any]):
        def parse_id(self, value: Any) -> Any:
            return value

        async def get(self, id: Any) -> Any:  # noqa: A002 - its name there
            return User

    class NoTable:
        pass

    def manager() -> Any:
        return Manager(cast("Any", NoTable()))

    def strategy() -> Any:
        return JWTStrategy(secret=SECRET, lifetime_seconds=3600)

    backend = AuthenticationBackend("jwt", CookieTransport(cookie_secure=False), strategy)
    app = _fastapi(FastAPIUsers(manager, [backend]).current_user(active=True))

    @app.get("/login", response_model=None)  # type: ignore[untyped-decorator, unused-ignore]
    async def login() -> Any:
        return await backend.login(strategy(), User)

    return app


# --- Litestar -------------------------------------------------------------------------------------


def _litestar(*, mark: Any = None, **config: Any) -> Any:
    from litestar import Litestar, Response, get  # noqa: PLC0415

    def view() -> Any:
        return Response(BODY, media_type=TYPE)

    view.__annotations__["return"] = Response[bytes]
    handler = get(PATH, sync_to_thread=False)(view)
    handlers = [mark(handler) if mark else handler, *config.pop("handlers", ())]
    return Litestar(handlers, openapi_config=None, logging_config=None, **config)


def litestar_plain(_: dict[str, Any]) -> Any:
    """The app by itself."""
    return _litestar()


def litestar_demur(options: dict[str, Any]) -> Any:
    """With the plugin, and a mark."""
    import demur  # noqa: PLC0415
    from demur.adapters.litestar import Demur  # noqa: PLC0415

    return _litestar(mark=demur.require(), plugins=[Demur(**options)])


def litestar_sessions(_: dict[str, Any]) -> Any:
    """Litestar's SessionAuth, in memory."""
    from litestar import Request, get  # noqa: PLC0415
    from litestar.middleware.session.server_side import ServerSideSessionConfig  # noqa: PLC0415
    from litestar.security.session_auth import SessionAuth  # noqa: PLC0415

    def login(request: Any) -> None:
        request.set_session({"user_id": "bob"})

    login.__annotations__.update({"request": Request, "return": None})
    auth: Any = SessionAuth(
        retrieve_user_handler=_litestar_user, session_backend_config=ServerSideSessionConfig(), exclude=["/login"]
    )
    return _litestar(handlers=[get("/login", sync_to_thread=False)(login)], on_app_init=[auth.on_app_init])


async def _litestar_user(session: dict[str, Any], _: Any) -> Any:
    return session.get("user_id")


# --- Django ---------------------------------------------------------------------------------------


def _django(*middleware: str, decorate: Callable[[Any], Any] = lambda view: view, **more: Any) -> Any:
    import django  # noqa: PLC0415
    from django.conf import settings  # noqa: PLC0415
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415
    from django.http import HttpResponse  # noqa: PLC0415
    from django.urls import path  # noqa: PLC0415

    def view(_: Any) -> Any:
        return HttpResponse(BODY, content_type=TYPE)

    def login(request: Any) -> Any:
        from django.contrib import auth  # noqa: PLC0415

        auth.login(request, auth.get_user_model().objects.get(username="bob"))
        return HttpResponse()

    urls = type(sys)("benchmark_urls")
    sys.modules["benchmark_urls"] = urls
    common = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
    apps = more.pop("INSTALLED_APPS", [])
    settings.configure(
        SECRET_KEY=SECRET,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="benchmark_urls",
        MIDDLEWARE=[*common, *middleware],
        INSTALLED_APPS=apps,
        USE_TZ=True,
        **more,
    )
    django.setup()
    vars(urls)["urlpatterns"] = [path(PATH[1:], decorate(view)), path("login", login)]
    return get_wsgi_application()


_DJANGO_APPS = ("django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions")
_DJANGO_LOGIN = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)


def _django_login(state: str, *middleware: str, decorate: Any, apps: Sequence[str] = ()) -> Any:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{state}/django-{len(middleware)}.db"}
    return _django(
        *_DJANGO_LOGIN,
        *middleware,
        decorate=decorate,
        INSTALLED_APPS=[*_DJANGO_APPS, *apps],
        DATABASES={"default": {**database, "CONN_MAX_AGE": None}},
        LOGIN_URL="/login",
    )


def _django_people() -> None:
    from django.contrib.auth import get_user_model  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    users: Any = get_user_model().objects
    users.create_user("bob")


def django_plain(_: dict[str, Any]) -> Any:
    """The app by itself."""
    return _django()


def django_demur(options: dict[str, Any]) -> Any:
    """With the middleware, and a mark."""
    import demur  # noqa: PLC0415

    return _django("demur.adapters.django.Middleware", decorate=demur.require(), DEMUR=options)


def django_sessions(options: dict[str, Any]) -> Any:
    """Django's own sessions and people, in SQLite."""
    app = _django_login(options["keys"], decorate=_login_required)
    _django_people()
    return app


def django_bridged(options: dict[str, Any]) -> Any:
    """The same, with demur behind it."""
    demur = "demur.adapters.django"
    app = _django_login(options["keys"], f"{demur}.Middleware", decorate=_login_required, apps=[demur])
    _django_people()
    return app


def _login_required(view: Any) -> Any:
    from django.contrib.auth.decorators import login_required  # noqa: PLC0415

    return login_required(view)


# --- Flask ----------------------------------------------------------------------------------------


def _flask(decorate: Callable[[Any], Any] = lambda view: view) -> Any:
    from flask import Flask, Response  # noqa: PLC0415

    app = Flask("benchmark", static_folder=None)
    app.secret_key = SECRET

    @app.get(PATH)
    @decorate
    def view() -> Any:
        return Response(BODY, mimetype=TYPE)

    return app


def flask_plain(_: dict[str, Any]) -> Any:
    """The app by itself."""
    return _flask()


def flask_demur(options: dict[str, Any]) -> Any:
    """With the extension, and a mark."""
    import demur  # noqa: PLC0415
    from demur.adapters.flask import Demur  # noqa: PLC0415

    app = _flask(demur.require())
    Demur(app, **options)
    return app


def flask_login(_: dict[str, Any]) -> Any:
    """Flask-Login: a signed cookie, and a user out of memory."""
    import flask_login  # type: ignore[import-untyped]  # noqa: PLC0415

    app = _flask(flask_login.login_required)
    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):  # type: ignore[misc]
        id = "bob"

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load(_: str) -> Any:
        return User()

    @app.get("/login")  # type: ignore[untyped-decorator, unused-ignore]
    def login() -> str:
        flask_login.login_user(User())
        return ""

    return app


def flask_bridged(options: dict[str, Any]) -> Any:
    """The same, with demur before it."""
    from demur.adapters.flask import Demur, FlaskLogin  # noqa: PLC0415

    app = flask_login(options)
    Demur(app, bridge=FlaskLogin())
    return app


# --- all of them ----------------------------------------------------------------------------------

_FASTAPI_USERS = ("fastapi-users==15.0.5", "pwdlib==0.3.1", "makefun==1.16.0", "email-validator==2.4.0")
_wsgi = functools.partial(Setup, wsgi=True)
SETUPS = (
    Setup("ASGI", "asgi", asgi_plain),
    Setup("ASGI, demur", "asgi", asgi_demur, "ASGI", session="demur"),
    Setup("ASGI, the least", "asgi", asgi_least, "ASGI", session="least"),
    Setup("Starlette", "starlette", starlette_plain),
    Setup("Starlette, demur", "starlette", starlette_demur, "Starlette", session="demur"),
    Setup("Starlette, the least", "starlette", starlette_least, "Starlette", session="least"),
    Setup("SessionMiddleware", "starlette", starlette_sessions, "Starlette", session="own"),
    Setup("SessionMiddleware and demur", "starlette", starlette_bridged, "SessionMiddleware", session="own"),
    Setup("starsessions", "starlette", starsessions, "Starlette", session="own", needs="starsessions"),
    Setup(
        "starsessions, Redis",
        "starlette",
        starsessions_redis,
        "Starlette",
        session="own",
        needs="starsessions",
        server="redis",
    ),
    Setup("FastAPI", "fastapi", fastapi_plain),
    Setup("FastAPI, demur", "fastapi", fastapi_demur, "FastAPI", session="demur"),
    Setup("FastAPI, demur, Depends", "fastapi", fastapi_depends, "FastAPI", session="demur"),
    Setup(
        "fastapi-users",
        "fastapi",
        fastapi_users,
        "FastAPI",
        session="own",
        needs="fastapi_users",
        beside=_FASTAPI_USERS,
    ),
    Setup("Litestar", "litestar", litestar_plain),
    Setup("Litestar, demur", "litestar", litestar_demur, "Litestar", session="demur"),
    Setup("Litestar SessionAuth", "litestar", litestar_sessions, "Litestar", session="own"),
    _wsgi("Django", "django", django_plain),
    _wsgi("Django, demur", "django", django_demur, "Django", session="demur"),
    _wsgi("Django sessions and auth", "django", django_sessions, "Django", session="own"),
    _wsgi("Django sessions and demur", "django", django_bridged, "Django sessions and auth", session="own"),
    _wsgi("Flask", "flask", flask_plain),
    _wsgi("Flask, demur", "flask", flask_demur, "Flask", session="demur"),
    _wsgi("Flask-Login", "flask", flask_login, "Flask", session="own", needs="flask_login"),
    _wsgi("Flask-Login and demur", "flask", flask_bridged, "Flask-Login", session="own", needs="flask_login"),
)
