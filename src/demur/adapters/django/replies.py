"""Answers of ours as Django's, and the app's own as they leave.

A field may have several lines in an answer of ours; Django's own responses have one for each name.
"""

from __future__ import annotations

from functools import lru_cache
from http.cookies import CookieError, Morsel, SimpleCookie
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.http.response import ResponseHeaders

from demur.core.model import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from demur.adapters.short import No
    from demur.core.model import Fields

_MOST_DROPPED = 64 * 1024 * 1024
_LONGEST_DROP = 30.0
_AT_ONCE = 64 * 1024
_NOT_KEPT = frozenset(("basic", "digest", "negotiate", "ntlm", "cookie", "bearer"))


class Answer(HttpResponse):  # type: ignore[misc]  # Django has no types
    """A whole answer of ours, with every line of its fields."""

    def __init__(self, response: Response, method: str | None) -> None:
        super().__init__(b"" if method == "HEAD" else response.body, status=response.status)
        self._more: list[tuple[str, str]] = []
        del self.headers["Content-Type"]
        for name, value in _texts(response.fields):
            if name == "set-cookie":
                self._set(value)
            elif name in self.headers:
                self._more.append((name.title(), value))
            else:
                self.headers[_title(name)] = value

    def also(self, name: str, value: str) -> None:
        """One more line of a field."""
        self._more.append((name, value))

    def items(self) -> Iterable[tuple[str, str]]:
        """Each line, for whoever sends them."""
        return chain(super().items(), self._more)

    def _set(self, value: str) -> None:
        """A cookie as Django keeps them, so that other middlewares and test clients see it."""
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(value)
            ((name, morsel),) = cookies.items()
        except (CookieError, ValueError):
            self._more.append(("Set-Cookie", value))
        else:
            self.cookies[name] = _Literal(morsel, value)


class Again(Answer):
    """A refusal that is said again, to a request that has no content."""

    def __init__(self, no: No, reference: str, method: str | None) -> None:
        said = _said_before(no)
        _be_like(self, said)
        self._container = [b"" if method == "HEAD" else no.body(reference)]
        self._more = said._more.copy()  # noqa: SLF001


@lru_cache(1024)
def _said_before(no: No) -> Answer:
    return Answer(Response(no.status, no.fields, b""), None)


class Unseen(HttpResponse):  # type: ignore[misc]  # as above
    """What Django gets at a view that nobody may open: on the way out ours goes in its place."""

    def __init__(self) -> None:
        _be_like(self, _empty())
        self._container = [b""]


@lru_cache(1)
def _empty() -> HttpResponse:
    return HttpResponse()


def _be_like(made: HttpResponse, other: HttpResponse) -> None:
    """Make of an answer what Django's constructors made of another one that has no cookies. They take as long as all
    that a middleware does."""
    vars(made).update(vars(other))
    made.headers, made.cookies, made._resource_closers = ResponseHeaders({}), SimpleCookie(), []  # noqa: SLF001
    made.headers._store = other.headers._store.copy()  # noqa: SLF001 - what Django keeps them in


class _Literal(Morsel[str]):
    """A cookie that is sent as it was written."""

    def __init__(self, read_: Morsel[str], text: str) -> None:
        super().__init__()
        self.set(read_.key, read_.value, read_.coded_value)
        self.update(read_)
        self._text = text

    def output(self, attrs: object = None, header: str = "Set-Cookie:") -> str:
        """As it was written, and without the space that Django lets it begin with."""
        return f"{header} {self._text}".lstrip()


def _texts(fields: Fields) -> Iterator[tuple[str, str]]:
    return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)


def _title(name: str) -> str:
    return "WWW-Authenticate" if name == "www-authenticate" else name.title()


def answer(response: Response, request: HttpRequest) -> Answer:
    """Our answer in place of the app's; what the client still sends is read and dropped once it is out."""
    made = Answer(response, request.method)
    if not hasattr(request, "scope"):
        made._resource_closers.append(lambda: _drop(request))  # noqa: SLF001 - Django has no other place for it
    return made


def instead(response: Response, request: HttpRequest, refused: HttpResponseBase) -> Answer:
    """Our answer in place of one that the app has given, which is closed with it. What the app would accept besides, it
    goes on asking for; browsers put up a prompt for some of that."""
    return in_place(answer(response, request), refused)


def in_place(made: Answer, refused: HttpResponseBase) -> Answer:
    """The same, when it is made."""
    theirs = refused.headers.get("WWW-Authenticate", "")
    if made.status_code == 401 and theirs and theirs.split(" ")[0].lower() not in _NOT_KEPT:
        made.also("WWW-Authenticate", theirs)
    made._resource_closers.extend(refused._resource_closers)  # noqa: SLF001 - closing it now would end the request
    return made


def _drop(request: HttpRequest) -> None:
    """Read what a client still sends, within bounds: a client behind a proxy reads our answer and not a broken pipe."""
    until, dropped = monotonic() + _LONGEST_DROP, 0
    try:
        while dropped < _MOST_DROPPED and monotonic() < until:
            read_ = len(request.read(_AT_ONCE))
            if not read_:
                return
            dropped += read_
    except OSError:
        return


def answered(response: HttpResponseBase) -> Fields:
    """The fields of the app's answer, names in lower case."""
    lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
    lines += [(b"set-cookie", morsel.OutputString().encode("latin-1")) for morsel in response.cookies.values()]
    return tuple(lines)


def dress(response: HttpResponseBase, was: Fields, now: Fields) -> None:
    """Give the app's answer the fields with which it leaves."""
    if now == was:
        return
    kept: dict[str, Any] = {}
    for name, value in _texts(now):
        kept[name] = f"{kept[name]}, {value}" if name in kept else value
    for name, _ in _texts(was):
        if name != "set-cookie" and name not in kept:
            del response.headers[name]
    for name, value in kept.items():
        if name != "set-cookie" and response.headers.get(name) != value:
            response.headers[_title(name)] = value
    _cookies(response, now)


def _cookies(response: HttpResponseBase, now: Fields) -> None:
    """An app sets no cookie of ours."""
    left = {value for name, value in now if name == b"set-cookie"}
    for name, morsel in list(response.cookies.items()):
        if morsel.OutputString().encode("latin-1") not in left:
            del response.cookies[name]
    if response.headers.get("set-cookie", "").encode("latin-1") not in left:
        response.headers.pop("set-cookie", None)  # written as a field and not as a cookie
