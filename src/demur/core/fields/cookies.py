"""Cookies, as browsers send and keep them (RFC 6265bis).

A `;` always ends a cookie, inside quotes too: a server that thinks otherwise can be made to take one cookie
for a part of another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")  # cookie-octet, RFC 6265bis, 4.1.1
_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_DOMAIN = re.compile(r"[a-z0-9_.-]+")


def cookie_values(cookie_fields: Iterable[bytes], name: bytes) -> list[bytes]:
    """Every value of the cookie `name` on all `Cookie` field lines, in their order, quotes and all.

    The name is compared byte for byte: to a browser `__host-demur` is another cookie than `__Host-demur`.
    """
    found = []
    needle = name + b"="
    for line in cookie_fields:
        at = line.find(needle)
        while at >= 0:
            end = line.find(b";", at)
            if end < 0:
                end = len(line)
            # Only whitespace may stand between the pair's beginning and its name.
            if not line[line.rfind(b";", 0, at) + 1 : at].strip(b" \t"):
                found.append(line[at + len(needle) : end].strip(b" \t"))
            at = line.find(needle, end)
    return found


def without_cookies(value: bytes, names: Collection[bytes]) -> bytes:
    """A `Cookie` field without the cookies of these names, the others byte for byte; b"" if none is left."""
    if not any(name in value for name in names):
        return value
    pairs = value.split(b";")
    kept = [pair for pair in pairs if pair.partition(b"=")[0].strip(b" \t") not in names]
    if len(kept) == len(pairs):
        return value
    return b";".join(kept).strip(b" \t")


def set_cookie(
    name: str,
    value: str,
    *,
    secure: bool,
    max_age: int | None = None,
    path: str = "/",
    domain: str = "",
    http_only: bool = True,
    same_site: Literal["Strict", "Lax", "None"] = "Lax",
) -> bytes:
    """The value of a `Set-Cookie` field. `max_age` in seconds; None: until the browser is closed. With a `domain` every
    host below it gets the cookie."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name for a cookie")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the value of cookie {name} has characters that a cookie cannot carry")
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} is not a path for a cookie")
    if domain and not _DOMAIN.fullmatch(domain):
        raise ValueError(f"{domain!r} is not a domain for a cookie")
    if same_site == "None" and not secure:
        raise ValueError(f"cookie {name} needs Secure")
    _as_browsers_ask(name, secure=secure, bound=path == "/" and not domain)
    parts = [f"{name}={value}", f"Path={path}"]
    if domain:
        parts.append(f"Domain={domain}")
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    if secure:
        parts.append("Secure")
    if http_only:
        parts.append("HttpOnly")
    parts.append(f"SameSite={same_site}")
    return "; ".join(parts).encode("ascii")


def _as_browsers_ask(name: str, *, secure: bool, bound: bool) -> None:
    """A browser drops a cookie that its prefix forbids without a word (RFC 6265bis, 5.7), so say it here."""
    if name.lower().startswith("__host-") and not (secure and bound):
        raise ValueError(f"cookie {name} needs Secure, the path / and no domain")
    if name.lower().startswith("__secure-") and not secure:
        raise ValueError(f"cookie {name} needs Secure")


def expired_cookie(name: str, *, secure: bool, path: str = "/", domain: str = "") -> bytes:
    """The value of a `Set-Cookie` field that makes a browser forget the cookie.

    Path, domain and Secure have to be those that it was set with: without Secure a browser ignores even the deletion
    of a `__Host-` cookie.
    """
    return set_cookie(name, "", secure=secure, max_age=0, path=path, domain=domain)


def set_cookie_name(value: bytes) -> bytes:
    """The name under which the cookie of a `Set-Cookie` field will come back.

    A cookie without a name comes back as its bare value (RFC 6265bis, 5.8.3): `Set-Cookie: =a=b` is sent as
    `Cookie: a=b`, and so it is a cookie called `a` to whoever reads it.
    """
    name, _, rest = value.partition(b";")[0].partition(b"=")
    return name.strip(b" \t") or rest.partition(b"=")[0].strip(b" \t")


def sets_cookie(value: bytes, names: Collection[bytes]) -> bool:
    """Whether a `Set-Cookie` field sets one of these cookies, in whatever spelling of case.

    Browsers compare the prefix `__Host-` without regard to case (RFC 6265bis, 5.7), and some servers whole names.
    """
    name = set_cookie_name(value).lower()
    return any(name == ours.lower() for ours in names)
