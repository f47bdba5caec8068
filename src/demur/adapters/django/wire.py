"""Requests out of Django's, and answers of ours as Django's.

- A path is judged as Django will read it: decoded once by the server, and encoded again.
- A field may have several lines in an answer; Django's own responses have one for each name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http.cookies import CookieError, Morsel, SimpleCookie
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from django.core.exceptions import DisallowedHost
from django.http import HttpResponse

from demur.core.fields import without_cookies
from demur.core.model import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from demur.adapters.passed import Passed
    from demur.core.model import Fields, Response

_OWN_FIELDS = {"CONTENT_TYPE": b"content-type", "CONTENT_LENGTH": b"content-length"}
_MOST_DROPPED = 64 * 1024 * 1024
_LONGEST_DROP = 30.0
_AT_ONCE = 64 * 1024
_NEVER_ENCODED = "/:@!$&'()*+,;=~"
_PLAIN = re.compile(r"[A-Za-z0-9/:@!$&'()*+,;=~._-]*")


def read(request: HttpRequest) -> Request:
    """The facts of a request, as Django reads them. The host is "" unless Django lets it in."""
    query = request.META.get("QUERY_STRING", "")
    target = _path(request)
    return Request(
        method=request.method or "GET",
        target=f"{target}?{query}".encode("latin-1", "replace") if query else target.encode("ascii"),
        scheme=request.scheme or "http",
        host=_host(request),
        peer=request.META.get("REMOTE_ADDR") or "",
        fields=_fields(request),
    )


def _path(request: HttpRequest) -> str:
    path: str = request.path
    if _PLAIN.fullmatch(path):
        return path
    if "\ufffd" in path and (raw := getattr(request, "scope", {}).get("raw_path")):
        return bytes(raw).decode("latin-1")  # no text, and the server has put that in its place
    return quote(path, safe=_NEVER_ENCODED)


def _host(request: HttpRequest) -> str:
    try:
        return str(request.get_host()).lower()
    except DisallowedHost:
        return ""


def _fields(request: HttpRequest) -> Fields:
    scope = getattr(request, "scope", None)
    if scope is not None:
        return tuple((bytes(name), bytes(value)) for name, value in scope["headers"])
    return tuple(
        (name, value.encode("latin-1", "replace"))
        for key, value in request.META.items()
        if value and (name := _name(key)) is not None
    )


@lru_cache(1024)
def _name(key: str) -> bytes | None:
    """The name of a field as CGI spells it (RFC 3875, 4.1.18)."""
    if key.startswith("HTTP_"):
        return key[5:].replace("_", "-").lower().encode("latin-1", "replace")
    return _OWN_FIELDS.get(key)


def retarget(request: HttpRequest, target: Request) -> None:
    """Ask the app for something else than the client did: what is concealed looks like a page that is not there."""
    script = request.path.removesuffix(request.path_info.removeprefix("/")).removesuffix("/")
    request.path = unquote(target.path.decode("ascii", "replace"))
    request.path_info = request.path.removeprefix(script)
    request.method = target.method
    request.META.update(PATH_INFO=request.path_info, REQUEST_METHOD=target.method)


def withhold(request: HttpRequest, passed: Passed) -> None:
    """Take from a request what is not for the app: our cookie, an `Authorization` that was for us, and what could pass
    for identity."""
    surface, meta = passed.surface, request.META
    gone = [key for key in meta if (name := _name(key)) is not None and surface.keeps_out(name)]
    if "HTTP_AUTHORIZATION" in meta and surface.consumed(passed.checked, passed.request):
        gone.append("HTTP_AUTHORIZATION")
    for key in gone:
        del meta[key]
    cookie, ours = meta.get("HTTP_COOKIE", ""), [name.decode("ascii") for name in surface.names]
    if cookie and any(own in cookie for own in ours):
        meta["HTTP_COOKIE"] = without_cookies(cookie.encode("latin-1", "replace"), surface.names).decode("latin-1")
        gone.append("HTTP_COOKIE")
        for own in ours:
            request.COOKIES.pop(own, None)
    if gone:
        vars(request).pop("headers", None)  # kept by whoever looked at them first


def body(request: HttpRequest, most: int) -> bytes | None:
    """The whole body, or None if it is longer than `most` bytes."""
    content: bytes = request.read(most + 1)
    return content if len(content) <= most else None


# --- answers ---------------------------------------------------------------------------------------


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

    def items(self) -> Iterator[tuple[str, str]]:
        """Each line, for whoever sends them."""
        yield from super().items()
        yield from self._more

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
    """Our answer in place of one that the app has given, which is closed with it."""
    made = answer(response, request)
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
