"""The short way of Django and the long one cannot be told apart, in threads and in an event loop: not by the view, the
client or the log."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIHandler
from tests.adapters.django.inside.conftest import PAGE, SCRIPT, made

from demur.adapters.django.middleware import Middleware

if TYPE_CHECKING:
    from demur.core.ports import Decided

NAMES = ("at", "origin", "request", "outcome", "status", "reason", "rule", "subject", "error")


class Noting:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.noted: list[dict[str, Any]] = []

    def decided(self, decided: Decided) -> None:
        self.noted.append({name: getattr(decided, name) for name in NAMES})

    def signed_in(self, method: str, outcome: str) -> None: ...


@pytest.fixture(autouse=True)
def noting(given: Any, tmp_path: Any) -> Noting:
    """demur keeps the sessions, and it is always the same second."""
    noting = Noting()
    given(
        DEMUR={
            "origin": "https://testserver",
            "store": f"sqlite:{tmp_path / 'sessions.db'}",
            "keys": str(tmp_path / "keys"),
            "rules": [
                {"path": "/**", "allow": "app"},
                {"path": "/plain/", "allow": "anyone"},
                {"path": "/unmarked/", "allow": "signed-in"},
            ],
            "observer": noting,
            "clock": lambda: 2_000_000_000.5,
        }
    )
    return noting


class Side:
    """A browser of a site that notes which way a request went."""

    def __init__(self, noting: Noting, *, asynchronous: bool, short: bool) -> None:
        self.browser, self.noting, self.taken = made(asynchronous), noting, 0
        # The other client says it by itself.
        self.named = {} if asynchronous else {"host": "testserver"}
        self.ask("/")
        found = [getattr(hook, "__self__", None) for hook in self.browser.client.handler._view_middleware]
        (self.middleware,) = [each for each in found if isinstance(each, Middleware)]
        self.middleware.short._works = short
        enter = self.middleware.short.enter

        def counted(*came: Any) -> Any:
            passed = enter(*came)
            self.taken += passed is not None
            return passed

        self.middleware.short.enter = counted  # type: ignore[assignment, method-assign]

    def ask(self, path: str, method: str = "GET", headers: Any = (), **more: Any) -> Any:
        return self.browser.ask(path, method, secure=True, headers={**self.named, **dict(headers)}, **more)

    def sign_in(self) -> None:
        sent = json.dumps({"username": "bo", "password": "battery staple"})
        self.ask("/.demur/sign-in", "POST", data=sent, content_type="application/json")

    def went(self, path: str, method: str, headers: dict[str, str], kind: dict[str, str]) -> Any:
        """All that can be told of a request."""
        self.noting.noted.clear()
        answer = self.ask(path, method, headers, kind=kind)
        content = b"".join(answer.streaming_content) if _is_plain_stream(answer) else getattr(answer, "content", b"")
        said = answer.status_code, answer.reason_phrase, sorted(answer.items()), _but_its_name(content)
        return said, _seen(_request(answer)), list(self.noting.noted)


def _is_plain_stream(answer: Any) -> bool:
    return bool(answer.streaming) and not answer.is_async


def _but_its_name(content: bytes) -> bytes:
    return re.sub(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"-", content)


def _request(answer: Any) -> Any:
    return answer.asgi_request if hasattr(answer, "asgi_request") else answer.wsgi_request


def _seen(request: Any) -> Any:
    passed = getattr(request, "demur", None)
    told = [getattr(passed, name, None) for name in ("allow", "request", "left", "refused", "overdue")]
    meta = {key: value for key, value in request.META.items() if key.isupper() and key != "CSRF_COOKIE"}
    return told, meta, dict(request.COOKIES), dict(request.headers)


PATHS = (
    *("/member/", "/member/?a=b&c=%20", "/amember/", "/edit/", "/report/", "/areport/", "/public/", "/identified/"),
    *("/unmarked/", "/asks/", "/streamed/", "/plain/", "/denied/", "/refused/", "/nothing/", "/fresh/", "/by-method/"),
)
ODD: tuple[tuple[str, dict[str, str]], ...] = (
    ("GET", {"remote-user": "anna"}),
    ("GET", {"authorization": "Bearer abc"}),
    ("GET", {"origin": "https://elsewhere.example"}),
    ("GET", {"x-odd": "1", "accept-language": "de"}),
    ("POST", {}),
    ("OPTIONS", {}),
)
CASES = [
    *((path, "GET", {}, SCRIPT) for path in PATHS),
    *((path, "HEAD", {}, PAGE) for path in PATHS[:4]),
    *(("/member/", method, headers, SCRIPT) for method, headers in ODD),
]


@pytest.mark.parametrize("signed_in", [True, False])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("path", "method", "headers", "kind"), CASES)
def test_both_ways_are_the_same(
    noting: Noting, path: str, method: str, headers: dict[str, str], kind: Any, *, asynchronous: bool, signed_in: bool
) -> None:
    """Asked again and again."""
    short = Side(noting, asynchronous=asynchronous, short=True)
    long = Side(noting, asynchronous=asynchronous, short=False)
    if signed_in:
        short.sign_in()
    short.browser.client.cookies["theirs"] = "1"
    long.browser.client.cookies = short.browser.client.cookies
    for _ in range(4):
        assert short.went(path, method, headers, kind) == long.went(path, method, headers, kind)
    assert long.taken == 0


@pytest.mark.parametrize("path", ["/member/", "/amember/", "/edit/", "/unmarked/", "/public/", "/plain/"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_who_is_known_goes_the_short_way(noting: Noting, people: Any, path: str, *, asynchronous: bool) -> None:
    """From the second time on."""
    side = Side(noting, asynchronous=asynchronous, short=True)
    people["bo"].groups.add(people["anna"].groups.get())
    side.sign_in()
    client, sent = side.browser.client, {"secure": True, "headers": {**SCRIPT, **side.named}}

    async def asked() -> list[Any]:
        return [await client.get(path, **sent) for _ in range(4)]

    # In one event loop: each has its own connection to the store.
    answers = async_to_sync(asked)() if asynchronous else [client.get(path, **sent) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert side.taken >= 2


async def _asked(app: ASGIHandler, path: str, raw: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    said: list[Any] = []

    body = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return body.pop() if body else await asyncio.Future()

    async def send(message: Any) -> None:
        said.append(message)

    place = {"scheme": "https", "path": path, "raw_path": raw, "query_string": b"", "server": ("testserver", 443)}
    await app({"type": "http", "method": "GET", "headers": headers, **place}, receive, send)
    return int(said[0]["status"])


@pytest.mark.parametrize(
    ("path", "raw", "more", "goes"),
    [
        ("/member/", b"/member/", [], True),
        ("/member/", b"/member/", [(b"accept", b"a/b"), (b"accept", b"c/d")], False),  # Django joins them
        ("/member/", b"/member/", [(b"user_agent", b"me")], False),  # and drops that
        ("/plain/\ufffd", b"/plain/%FF", [], False),  # no text: other bytes look the same
    ],
)
def test_an_event_loop_is_told_all_of_it(noting: Noting, path: str, raw: bytes, more: list[Any], *, goes: bool) -> None:
    """What Django does not tell apart goes the long way each time."""
    side = Side(noting, asynchronous=True, short=True)
    side.sign_in()
    cookie = side.browser.client.cookies["__Host-demur"].value.encode()
    sent = [(b"host", b"testserver"), (b"cookie", b"__Host-demur=" + cookie), *more]
    app = ASGIHandler()
    (middleware,) = [hook.__self__ for hook in app._view_middleware if isinstance(hook.__self__, Middleware)]
    for _ in range(3):
        async_to_sync(_asked)(app, path, raw, sent)
    assert bool(middleware.short._ways) is goes


def test_what_ends_holds_at_once(noting: Noting) -> None:
    """In an event loop, too."""
    side = Side(noting, asynchronous=True, short=True)
    side.sign_in()
    copied = side.browser.client.cookies["__Host-demur"].value
    for _ in range(4):
        assert side.ask("/amember/").status_code == 200
    assert side.ask("/.demur/sign-out", "POST").status_code in (200, 204, 303)
    side.browser.client.cookies["__Host-demur"] = copied
    assert side.ask("/amember/").status_code == 401


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_is_kept_is_enough(noting: Noting, *, asynchronous: bool) -> None:
    """A request can be read again when Django's own is gone."""
    side = Side(noting, asynchronous=asynchronous, short=True)
    passed = [_request(side.ask("/public/")).demur for _ in range(4)][-1]
    read = passed.request
    passed._request, passed.scope = None, lambda: None
    assert passed.request == read
