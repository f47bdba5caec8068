"""An app's OpenAPI document says what demur answers in its place."""

from __future__ import annotations

import json
from typing import Annotated, Any

import jsonschema_rs
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.security import OAuth2PasswordBearer
from tests.adapters.starlette.asking import HOST, ask

import demur
from demur.adapters.fastapi import DOCS, Demur, Principal, identified, public, require
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

PROBLEM = {"schema": {"$ref": "#/components/schemas/DemurProblem"}}
REFUSALS = {"401", "403", "429", "503"}
RULES = [*DOCS, {"path": "/**", "allow": "marked"}, {"path": "/ruled/**", "allow": "signed-in"}]
OWN = OAuth2PasswordBearer("token")

Somebody = Annotated[Principal, Depends(require())]


async def closed(number: int, who: Somebody) -> Principal:
    """Asks for somebody."""
    return who


async def plain() -> str:
    """Asks for nobody."""
    return "reached"


@demur.require()
async def marked() -> str:
    """Asks for somebody by a mark."""
    raise AssertionError


@demur.public
async def opened() -> str:
    """Is open by a mark."""
    raise AssertionError


async def known(who: Annotated[Principal | None, Depends(identified)]) -> str:
    """Wants to know who it is."""
    raise AssertionError


async def own(token: Annotated[str, Depends(OWN)]) -> str:
    """Asks in its own way."""
    return token


def make(**options: Any) -> tuple[FastAPI, Demur]:
    """An app, and demur before it."""
    app, router = FastAPI(), APIRouter(prefix="/in", dependencies=[Depends(require(groups=["staff"]))])
    app.get("/closed/{number}", responses={403: {"description": "Not yours."}})(closed)
    app.post("/marked")(marked)
    app.get("/open", dependencies=[Depends(public)])(plain)
    app.get("/ruled/page")(opened)
    app.get("/known")(known)
    router.get("/page")(plain)
    app.include_router(router)
    options = {"store": MemoryStore(), "keys": MemoryKeys(), "origin": f"https://{HOST}", "rules": RULES, **options}
    return app, Demur(app, **options)


async def test_what_is_refused_is_said_where_it_is_refused() -> None:
    """At every operation that asks for somebody, by a dependency, a mark, a router or a rule, and at no other."""
    app, _ = make()
    paths = app.openapi()["paths"]
    said = {path: set(operation["responses"]) & REFUSALS for path, item in paths.items() for operation in item.values()}
    assert said == {
        "/closed/{number}": REFUSALS,
        "/marked": REFUSALS,
        "/in/page": REFUSALS,
        "/ruled/page": REFUSALS,
        "/open": set(),
        "/known": set(),
    }
    answers = paths["/marked"]["post"]["responses"]
    assert all(answers[status]["content"]["application/problem+json"] == PROBLEM for status in REFUSALS)
    assert "WWW-Authenticate" in answers["401"]["headers"]
    assert "Retry-After" in answers["503"]["headers"]
    assert paths["/closed/{number}"]["get"]["responses"]["403"]["description"] == "Not yours."


async def test_a_refusal_is_as_the_document_says() -> None:
    """By its schema."""
    app, guarded = make()
    schema = app.openapi()["components"]["schemas"]["DemurProblem"]
    jsonschema_rs.validate(schema, (await ask(guarded, "/closed/1")).problem)


@pytest.mark.parametrize(
    ("options", "schemes"),
    [
        ({}, {"session": {"type": "apiKey", "in": "cookie", "name": "__Host-demur"}}),
        (
            {"rules": [{"path": "/**", "allow": "marked", "accepts": ["bearer"]}]},
            {
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-demur"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        ),
    ],
)
async def test_how_to_say_who_one_is(options: dict[str, Any], schemes: dict[str, Any]) -> None:
    """By the cookie of the site, and by whatever its rules accept beside it."""
    app, _ = make(**options)
    document = app.openapi()
    assert document["components"]["securitySchemes"] == schemes
    assert document["paths"]["/closed/{number}"]["get"]["security"] == [{name: []} for name in schemes]
    assert document["paths"]["/known"]["get"]["security"] == [{}, *({name: []} for name in schemes)]
    assert "security" not in document["paths"]["/open"]["get"]


async def test_an_apps_own_schemes_stay() -> None:
    """Its operations with those are refused as problem documents, too."""
    app = FastAPI()
    app.get("/own")(own)
    Demur(app, bridge=lambda connection: demur.nobody, accepts=["bearer"])
    document = app.openapi()
    assert document["paths"]["/own"]["get"]["security"] == [{"OAuth2PasswordBearer": []}]
    assert set(document["paths"]["/own"]["get"]["responses"]) >= REFUSALS
    assert "OAuth2PasswordBearer" in document["components"]["securitySchemes"]


async def test_the_document_is_made_once() -> None:
    """And is still right when a route has been added since."""
    app, guarded = make()
    assert json.loads((await ask(guarded, "/openapi.json")).text) == app.openapi() == app.openapi()
    app.get("/later")(closed)
    assert set(app.openapi()["paths"]["/later"]["get"]["responses"]) >= REFUSALS


async def test_middleware_that_has_not_been_made_yet() -> None:
    """The document may be written by a program that never starts the app."""
    app = FastAPI()
    app.add_middleware(Demur, bridge=lambda connection: demur.nobody, cookie="theirs")
    app.post("/marked")(marked)
    document = app.openapi()
    assert set(document["paths"]["/marked"]["post"]["responses"]) >= REFUSALS
    assert document["components"]["securitySchemes"]["session"]["name"] == "theirs"


async def test_a_function_of_the_apps_own_for_the_document() -> None:
    """As FastAPI's documentation has it (Extending OpenAPI)."""
    app, _ = make()
    other = FastAPI()
    other.post("/marked")(marked)
    other.openapi = lambda: get_openapi(title="mine", version="1", routes=other.routes)  # type: ignore[method-assign]
    app.mount("/other", demur.public(other))
    guarded = Demur(app, bridge=lambda connection: demur.nobody)
    await ask(guarded, "/closed/1")
    assert other.openapi()["info"]["title"] == "mine"
    assert set(other.openapi()["paths"]["/marked"]["post"]["responses"]) >= REFUSALS


async def test_an_app_without_demur_says_nothing_of_it() -> None:
    """Even if it is in the same process."""
    app = FastAPI()
    app.post("/plain")(plain)
    document = app.openapi()
    assert set(document["paths"]["/plain"]["post"]["responses"]) == {"200"}
    assert "components" not in document
