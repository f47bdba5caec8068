"""Every golden file, asked about by another proxy: the same refusal, and on the wire what is made plainly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.gateway.checking import everywhere
from tests.golden.club import LIMITS, PEER, SITE, Club, add_people, build
from tests.golden.files import FILES, Answer, Case, differences, read

from demur.core import page
from demur.gateway.check import Check
from demur.gateway.check.question import WAYS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CASES = [read(path) for path in FILES]
COUNTED = ("basic-disabled", "basic-unknown", "basic-wrong")
"""Where each try counts, and too many are refused."""
OF_DEMUR = ("/.demur", "/.well-known")


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


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_answer(case: Case, club: Club) -> None:
    """Whatever the proxy, both ways say the same bytes; and a whole refusal is what the file says."""
    check = Check({SITE.origin: club.guard}, club.keys, club.store, page.DEFAULT, idle=LIMITS.idle)
    token = await club.given(case.given)
    host = dict(case.request).get("host", "")
    sent = [(name, value) for name, value in case.fill(token) if name not in {"host", "content-length"}]
    about = [
        ("X-Forwarded-Method", case.method),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Uri", case.target),
        ("X-Forwarded-For", PEER),
        *sent,
    ]
    counted = case.name in COUNTED
    for way in [b""] if counted else WAYS:
        target = f"/check?{way.decode()}" if way else "/check"
        answer = await everywhere(check, target, about, times=1 if counted else 3)
        if way in {b"answer=fields", b"for=nginx"} and answer.status != 200:
            slips = [("demur-refusal", value) for name, value in answer.fields if name == "demur-refusal"]
            answer = await everywhere(check, "/refusal", [*about, *slips])
        if _is_of_the_gate(case, answer.status):
            fields = [(name, value) for name, value in answer.fields if name != "date"]
            body = b"" if case.method == "HEAD" else answer.body
            assert differences(case, Answer(answer.status, fields, body), page.DEFAULT.policy) == []


def _is_of_the_gate(case: Case, status: int) -> bool:
    """Whether the file shows a refusal that is decided before the site is asked, and is no page of demur's own."""
    if status in {200, 204} or case.target.startswith(OF_DEMUR):
        return False
    if case.name.startswith(("preflight", "concealed")):
        return False  # a proxy may not be able to answer them as demur does, or to ask the site for what is not there
    return ("demur-processed", "?0") in case.fields
