"""Requests out of Django's.

A path is judged as Django will read it: decoded once by the server, and encoded again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from django.core.exceptions import DisallowedHost

from demur.core.fields import without_cookies
from demur.core.model import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from demur.adapters.passed import Passed
    from demur.adapters.surface import Surface
    from demur.core.model import Fields

_OWN_FIELDS = {"CONTENT_TYPE": b"content-type", "CONTENT_LENGTH": b"content-length"}
_NEVER_ENCODED = "/:@!$&'()*+,;=~"
_PLAIN = re.compile(r"[A-Za-z0-9/:@!$&'()*+,;=~._-]*")


def read(request: HttpRequest, came: Mapping[str, Any] | None = None) -> Request:
    """The facts of a request, as Django reads them. The host is "" unless Django lets it in. `came` is what it brought,
    if some of that has been taken from it."""
    meta = request.META if came is None else came
    query = meta.get("QUERY_STRING", "")
    target = _path(request)
    return Request(
        method=request.method or "GET",
        target=f"{target}?{query}".encode("latin-1", "replace") if query else target.encode("ascii"),
        scheme=request.scheme or "http",
        host=_host(request),
        peer=meta.get("REMOTE_ADDR") or "",
        fields=_fields(request, meta),
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


def _fields(request: HttpRequest, meta: Mapping[str, Any]) -> Fields:
    scope = getattr(request, "scope", None)
    if scope is not None:
        return tuple((bytes(name), bytes(value)) for name, value in scope["headers"])
    return tuple(
        (name, value.encode("latin-1", "replace"))
        for key, value in meta.items()
        if value and (name := _name(key)) is not None
    )


@lru_cache(1024)
def _name(key: str) -> bytes | None:
    """The name of a field as CGI spells it (RFC 3875, 4.1.18)."""
    if key.startswith("HTTP_"):
        return key[5:].replace("_", "-").lower().encode("latin-1", "replace")
    return _OWN_FIELDS.get(key)


def name_of(key: str) -> bytes:
    """The name of a field; b"" for what is none."""
    return _name(key) or b""


def retarget(request: HttpRequest, target: Request) -> None:
    """Ask the app for something else than the client did: what is concealed looks like a page that is not there."""
    script = request.path.removesuffix(request.path_info.removeprefix("/")).removesuffix("/")
    request.path = unquote(target.path.decode("ascii", "replace"))
    request.path_info = request.path.removeprefix(script)
    request.method = target.method
    request.META.update(PATH_INFO=request.path_info, REQUEST_METHOD=target.method)


@lru_cache(4096)
def _kept_out(key: str, surface: Surface) -> bool:
    name = _name(key)
    return name is not None and surface.keeps_out(name)


def withhold(request: HttpRequest, passed: Passed) -> None:
    """Take from a request what is not for the app: our cookie, an `Authorization` that was for us, and what could pass
    for identity."""
    surface, meta = passed.surface, request.META
    gone = [key for key in meta if _kept_out(key, surface)]
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
