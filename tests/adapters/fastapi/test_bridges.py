"""Who somebody is by a FastAPI app's own dependencies, and by fastapi-users, and why not."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.security import APIKeyCookie, OAuth2PasswordBearer
from tests.adapters.starlette.asking import ask

import demur
from demur.adapters.fastapi import Demur, Principal, dependency, identified, require, users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = datetime.now(UTC)
CLOSED: list[str] = []


@dataclass(frozen=True)
class User:
    """As the app knows people."""

    id: int
    username: str


async def database() -> AsyncIterator[dict[str, User]]:
    """A dependency of the dependency, which has to be closed."""
    yield {"good": User(7, "alice")}
    CLOSED.append("database")


OAUTH2 = OAuth2PasswordBearer("token")


async def current_user(
    text: Annotated[str, Depends(OAUTH2)], rows: Annotated[dict[str, User], Depends(database)]
) -> User:
    """The dependency of FastAPI's tutorial."""
    if text not in rows:
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"})
    return rows[text]


def by_cookie(text: Annotated[str | None, Depends(APIKeyCookie(name="who", auto_error=False))] = None) -> str | None:
    """One that raises nothing."""
    return text if text == "good" else None


def by_field(x_who: Annotated[str, Header()]) -> str:
    """One that is no security scheme."""
    return x_who


async def own(who: Annotated[User, Depends(current_user)]) -> str:
    """What the app protects itself."""
    return who.username


async def admins(who: Annotated[User, Depends(current_user)]) -> str:
    """What the app refuses to somebody whom it knows."""
    raise HTTPException(403, "Not enough permissions")


async def whoever(who: Annotated[Principal | None, Depends(identified)]) -> Any:
    """Who it is, as demur knows it."""
    return who and [who.id, who.name, sorted(who.groups)]


async def page(who: Annotated[Principal, Depends(require())]) -> str:
    """For whoever is signed in."""
    return who.name


def make(bridge: Any, **options: Any) -> tuple[FastAPI, Demur]:
    """An app behind demur."""
    app = FastAPI()
    for view in (own, admins, whoever, page):
        app.get(f"/{view.__name__}")(view)
    return app, Demur(app, bridge=bridge, **options)


def bearer(text: str) -> dict[str, str]:
    """A field of RFC 6750."""
    return {"authorization": f"Bearer {text}"}


@pytest.mark.parametrize(
    ("path", "fields", "status", "reason"),
    [
        ("/own", {}, 401, "sign-in-required"),
        ("/own", bearer("bad"), 401, "credentials-invalid"),
        ("/page", {}, 401, "sign-in-required"),
        ("/page", bearer("bad"), 401, "credentials-invalid"),
        ("/admins", {}, 401, "sign-in-required"),
        ("/admins", bearer("good"), 403, "not-permitted"),
    ],
)
async def test_the_dependency_of_the_app(path: str, fields: dict[str, str], status: int, reason: str) -> None:
    """Whether the app asks for itself, or demur does, the refusal is the same."""
    _, app = make(dependency(current_user), accepts=["bearer"])
    answer = await ask(app, path, fields)
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.fields["www-authenticate"].startswith('Bearer realm="this site"')


async def test_whom_the_dependency_finds() -> None:
    """By what it returns, or as the app's own function says; what was opened for it is closed."""
    _, app = make(dependency(current_user))
    CLOSED.clear()
    assert (await ask(app, "/whoever", bearer("good"))).text == '["7","alice",[]]'
    assert CLOSED == ["database"]
    _, app = make(dependency(current_user, lambda found: demur.person(found.id, groups=["staff"])))
    assert (await ask(app, "/whoever", bearer("good"))).text == '["7","7",["staff"]]'


async def test_an_override_is_used() -> None:
    """As FastAPI's tests do it."""
    app, guarded = make(dependency(current_user))
    app.dependency_overrides[current_user] = lambda: User(1, "tester")
    assert (await ask(guarded, "/page")).text == '"tester"'


@pytest.mark.parametrize(
    ("call", "none", "bad", "good"),
    [
        (by_cookie, {}, {"cookie": "who=bad"}, {"cookie": "who=good"}),
        (by_field, {}, None, {"x-who": "good"}),
    ],
)
async def test_other_dependencies(call: Any, none: dict[str, str], bad: dict[str, str], good: dict[str, str]) -> None:
    """One that returns None, and one whose parameters are not there."""
    _, app = make(dependency(call))
    assert (await ask(app, "/page", none)).reason == "sign-in-required"
    if bad:
        assert (await ask(app, "/page", bad)).reason == "credentials-invalid"
    assert (await ask(app, "/page", good)).text == '"good"'


async def test_a_dependency_that_cannot_work_is_not_the_persons_fault() -> None:
    """503, whatever it raises."""

    def broken() -> str:
        raise HTTPException(500)

    _, app = make(dependency(broken))
    assert (await ask(app, "/page", bearer("good"))).reason == "unavailable"


# --- fastapi-users --------------------------------------------------------------------------------

SECRET = "a secret of at least thirty-two bytes"


@dataclass
class Member:
    """A user of fastapi-users."""

    id: uuid.UUID
    email: str
    hashed_password: str = ""
    is_active: bool = True
    is_superuser: bool = False
    is_verified: bool = True


@dataclass
class Row:
    """An access token in the database."""

    token: str
    user_id: uuid.UUID
    created_at: datetime = field(default_factory=lambda: NOW)


ALICE = Member(uuid.UUID(int=7), "alice@example.com", is_superuser=True)
BO = Member(uuid.UUID(int=8), "bo@example.com", is_active=False)
ROWS = {
    "good": Row("good", ALICE.id),
    "old": Row("old", ALICE.id, NOW - timedelta(hours=2)),
    "naive": Row("naive", ALICE.id, (NOW - timedelta(hours=2)).replace(tzinfo=None)),
    "gone": Row("gone", uuid.UUID(int=9)),
    "inactive": Row("inactive", BO.id),
}


class Tokens:
    """The port of fastapi-users to a table of access tokens."""

    async def get_by_token(self, token: str, max_age: datetime | None = None) -> Row | None:
        row = ROWS.get(token)
        if row is None or max_age is None:
            return row
        made = row.created_at if row.created_at.tzinfo else row.created_at.replace(tzinfo=UTC)
        return None if made < max_age else row


class People:
    """And to the table of users."""

    async def get(self, key: uuid.UUID) -> Member | None:
        return {each.id: each for each in (ALICE, BO)}.get(key)


def member_site(kind: str, **options: Any) -> Demur:
    """An app with fastapi-users, its own login, behind demur."""
    library = pytest.importorskip("fastapi_users")
    ways = pytest.importorskip("fastapi_users.authentication")
    database = pytest.importorskip("fastapi_users.authentication.strategy.db")

    class Manager(library.UUIDIDMixin, library.BaseUserManager):  # type: ignore[misc,name-defined]
        reset_password_token_secret = verification_token_secret = SECRET

    async def manager() -> AsyncIterator[Any]:
        yield Manager(People())

    strategies = {
        "database": lambda: database.DatabaseStrategy(Tokens(), lifetime_seconds=3600),
        "jwt": lambda: ways.JWTStrategy(SECRET, lifetime_seconds=3600),
    }
    backend = ways.AuthenticationBackend("own", ways.CookieTransport("own"), strategies[kind])
    fastapi_users = library.FastAPIUsers(manager, [backend])
    app = FastAPI()
    app.get("/own", dependencies=[Depends(fastapi_users.current_user(active=True))])(lambda: "reached")
    app.get("/whoever")(whoever)
    return Demur(app, **{"bridge": users(backend, manager=manager), "cookie": "own", **options})


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [
        ("", 401, "sign-in-required"),
        ("old", 401, "session-expired"),
        ("naive", 401, "session-expired"),
        ("never", 401, "credentials-invalid"),
        ("gone", 401, "credentials-invalid"),
        ("inactive", 403, "account-suspended"),
    ],
)
async def test_refusals_of_fastapi_users(token: str, status: int, reason: str) -> None:
    """It says 401 without a challenge to each of them."""
    answer = await ask(member_site("database"), "/own", {"cookie": f"own={token}"} if token else {})
    assert (answer.status, answer.reason) == (status, reason)
    if status == 401:
        assert 'cookie-name="own"' in answer.fields["www-authenticate"]


async def test_the_person_of_fastapi_users() -> None:
    """With what fastapi-users knows of them as groups, or as the app's own function says."""
    app = member_site("database")
    assert (await ask(app, "/own", {"cookie": "own=good"})).status == 200
    text = f'["{ALICE.id}","alice@example.com",["superuser","verified"]]'
    assert (await ask(app, "/whoever", {"cookie": "own=good"})).text == text


async def test_a_jwt_of_fastapi_users_that_is_over() -> None:
    """Is told from one of somebody else's."""
    jwt, app = pytest.importorskip("jwt"), member_site("jwt")

    def cookie(secret: str, until: datetime) -> dict[str, str]:
        claims = {"sub": str(ALICE.id), "aud": ["fastapi-users:auth"], "exp": until}
        return {"cookie": f"own={jwt.encode(claims, secret)}"}

    assert (await ask(app, "/own", cookie(SECRET, NOW + timedelta(hours=1)))).status == 200
    over = await ask(app, "/own", cookie(SECRET, datetime(2026, 1, 1, tzinfo=UTC)))
    assert (over.reason, over.problem["ended_at"]) == ("session-expired", "2026-01-01T00:00:00Z")
    foreign = await ask(app, "/own", cookie("another secret of thirty-two bytes!", datetime(2026, 1, 1, tzinfo=UTC)))
    assert foreign.reason == "credentials-invalid"
