"""Where the app asks for itself who may come in, that comes before what they sent, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Body, Depends, FastAPI, Form, HTTPException
from fastapi.security import APIKeyCookie, HTTPBearer, OAuth2PasswordBearer
from tests.adapters.starlette.asking import ask

import demur
from demur.adapters.fastapi import Demur
from demur.adapters.starlette import token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=x"}
BAD_JSON, BAD_FORM = b"{", b"--y\r\n\r\n"
CALLED: list[str] = []


class BadError(Exception):
    """A token that is not valid."""


def read(text: str) -> dict[str, str]:
    """Whose token it is."""
    if text != "good":
        raise BadError
    return {"sub": "alice"}


async def current_user(text: Annotated[str, Depends(OAuth2PasswordBearer("token"))]) -> str:
    """The dependency of FastAPI's tutorial."""
    CALLED.append("current_user")
    if text != "good":
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"})
    return "alice"


async def database() -> AsyncIterator[str]:
    """A dependency that has to be closed."""
    CALLED.append("opened")
    yield "database"
    CALLED.append("closed")


async def order(
    who: Annotated[str, Depends(current_user)],
    _: Annotated[str, Depends(database)],
    what: Annotated[dict[str, int], Body()],
) -> dict[str, int]:
    """What has a body, and is for some."""
    return {**what, who: 1}


async def upload(who: Annotated[str, Depends(current_user)], name: Annotated[str, Form()]) -> str:
    """What has a form, and is for some."""
    return f"{who}: {name}"


async def anybody(what: Annotated[dict[str, int], Body()]) -> dict[str, int]:
    """What has a body, and is for anybody."""
    return what


def make() -> Demur:
    """The app, with its own checks, behind demur."""
    app = FastAPI()
    app.post("/order")(order)
    app.post("/upload")(upload)
    app.post("/anybody")(anybody)
    CALLED.clear()
    return Demur(app, bridge=token(read, invalid=BadError), accepts=["bearer"])


def bearer(text: str) -> dict[str, str]:
    """A field of RFC 6750."""
    return {"authorization": f"Bearer {text}"}


@pytest.mark.parametrize(("path", "kind", "body"), [("/order", JSON, BAD_JSON), ("/upload", FORM, BAD_FORM)])
async def test_who_asks_comes_before_what_was_sent(path: str, kind: dict[str, str], body: bytes) -> None:
    """Malformed content without credentials is 401, and so it is with bad ones."""
    app = make()
    none = await ask(app, path, kind, method="POST", body=body)
    assert (none.status, none.reason) == (401, "sign-in-required")
    assert none.fields["www-authenticate"] == 'Bearer realm="this site"'
    bad = await ask(app, path, {**kind, **bearer("bad")}, method="POST", body=body)
    assert (bad.status, bad.reason) == (401, "credentials-invalid")
    good = await ask(app, path, {**kind, **bearer("good")}, method="POST", body=body)
    assert good.status in {400, 422}
    assert good.fields["content-type"] == "application/json"


async def test_dependencies_are_called_again_only_for_what_cannot_be_read() -> None:
    """And what they open is closed."""
    app = make()
    assert (await ask(app, "/order", {**JSON, **bearer("good")}, method="POST", body=b'{"a": 1}')).status == 200
    assert CALLED == ["current_user", "opened", "closed"]
    CALLED.clear()
    assert (await ask(app, "/order", {**JSON, **bearer("good")}, method="POST", body=BAD_JSON)).status == 422
    assert CALLED == ["current_user", "opened", "closed"]


async def test_where_nobody_has_to_be_anybody_nothing_changes() -> None:
    """422 is the answer."""
    assert (await ask(make(), "/anybody", JSON, method="POST", body=BAD_JSON)).status == 422


@pytest.mark.parametrize("scheme", [HTTPBearer(), APIKeyCookie(name="session"), OAuth2PasswordBearer("token")])
async def test_every_scheme_of_fastapi(scheme: Any) -> None:
    """What each refuses is a proper 401."""
    app = FastAPI()

    @app.post("/order", dependencies=[Depends(scheme)])
    async def place(what: dict[str, int]) -> dict[str, int]:
        raise AssertionError

    guarded = Demur(app, bridge=lambda connection: demur.nobody)
    for body in (BAD_JSON, b"{}"):
        answer = await ask(guarded, "/order", JSON, method="POST", body=body)
        assert (answer.status, answer.reason) == (401, "sign-in-required")
