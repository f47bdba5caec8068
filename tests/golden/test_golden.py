"""Every golden file, replayed through every surface: the answer is what the file says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from tests.golden.club import PEER, Club, add_people, build
from tests.golden.files import FILES, Answer, Case, differences, read

from demur.core import page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping
    from pathlib import Path

CASES = [read(path) for path in FILES]


async def asgi(club: Club, case: Case, token: str) -> Answer:
    """Through the ASGI middleware, in process."""
    path, _, query = case.target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": case.method,
        "scheme": "https",
        "path": unquote(path, errors="replace"),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in case.fill(token)],
        "client": (PEER, 40000),
        "server": ("app.example.com", 443),
        "extensions": {},
    }
    told = [{"type": "http.request", "body": case.sent, "more_body": False}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return told.pop(0) if told else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await club.asgi(scope, receive, send)
    start, *rest = sent
    assert start["type"] == "http.response.start"
    assert not rest[-1].get("more_body", False)
    fields = [(name.decode(), value.decode()) for name, value in start["headers"]]
    return Answer(start["status"], fields, b"".join(part.get("body", b"") for part in rest))


SURFACES = {"asgi": asgi}


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the club's accounts, which no case changes."""
    folder = tmp_path_factory.mktemp("people")
    asyncio.run(add_people(folder))
    return folder


@pytest.fixture
async def club(case: Case, people: Path) -> AsyncIterator[Club]:
    """The club as the case needs it."""
    made = build(people, down=case.given.get("store") == "down")
    yield made
    await made.aclose()


@pytest.mark.parametrize("surface", SURFACES.values(), ids=list(SURFACES))
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_answer(case, club, surface):
    """Status, fields and body are what the file says."""
    token = await club.given(case.given)
    answer = await surface(club, case, token)
    assert differences(case, answer, page.DEFAULT.policy) == []
