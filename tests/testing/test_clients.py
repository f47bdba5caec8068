"""The helpers work with the test client of every framework, with demur's sessions and with an app's own login."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.testing.apps import CLIENTS, WebSocketDenialResponse, bridge, get, sessions, websocket

from demur import testing
from demur.testing import Answer, assert_allowed, assert_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=[sessions, bridge], ids=["sessions", "bridge"])
def options(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Whoever keeps the sessions."""
    yield request.param()
    testing.forget()


@pytest.mark.parametrize("made", CLIENTS, ids=[each.__name__ for each in CLIENTS])
async def test_a_client_is_whoever_a_test_says(made: Callable[..., Any], options: dict[str, Any]) -> None:
    """Signed in with groups, signed in long ago, and not signed in any more, one after the other in one client."""
    client = made(options)
    assert testing.signed_in(client, "alice", groups=["staff"]) is client
    for path in ("/plain", "/staff", "/fresh"):
        assert_allowed(await get(client, path))
    answer = await get(testing.stale(client, "bob"), "/fresh")
    assert_refused(answer, "step-up-required", processed=False)
    assert_refused(await get(client, "/staff"), "not-permitted", processed=False)
    assert_allowed(await get(client, "/plain"))
    for reason, be in testing.REFUSALS.items():
        problem = assert_refused(await get(be(client), "/plain"), reason, processed=False)
        assert problem["reason"] == reason
        assert_allowed(await get(client, "/open"))


@pytest.mark.parametrize("made", CLIENTS, ids=[each.__name__ for each in CLIENTS])
async def test_an_answer_is_read_whatever_it_is(made: Callable[..., Any]) -> None:
    """Status, fields in small letters, and several of one name."""
    seen = Answer(await get(testing.anonymous(made(sessions())), "/plain"))
    assert (seen.status, seen.reason, seen.problem["processed"]) == (401, "sign-in-required", False)
    assert seen.value("www-authenticate").startswith('Cookie realm="app.example.com"')
    assert str(seen).startswith("401 sign-in-required ")
    testing.forget()


def test_a_websocket_is_refused_for_a_reason(options: dict[str, Any]) -> None:
    """What Starlette's client raises is an answer, too."""
    client = websocket(options)
    with testing.signed_in(client, "alice").websocket_connect("/socket") as socket:
        assert socket.receive_text() == "alice"
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        testing.expired(client).websocket_connect("/socket"),
    ):
        pass
    assert_refused(refused.value, "session-expired")


@pytest.mark.parametrize("mode", ["sessions", "bridge"])
def test_with_both_clients_of_django(mode: str) -> None:
    """In a process of its own: Django has its settings once."""
    script = Path(__file__).with_name("django_app.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), mode], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "tried\n"), done.stderr
