"""Where a request goes: the target, the host, and the origin."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address

LONGEST_TARGET = 8192
"""Bytes. RFC 9110, 4.1, asks for at least 8000."""

# Well-formed UTF-8 beyond ASCII, percent-encoded (RFC 3629, 4; so neither overlong forms nor surrogates).
_UTF8 = (
    rb"%(?:[cC][2-9a-fA-F]|[dD][0-9a-fA-F])%[89abAB][0-9a-fA-F]"
    rb"|%[eE]0%[abAB][0-9a-fA-F]%[89abAB][0-9a-fA-F]"
    rb"|%[eE][1-9abcefABCEF]%[89abAB][0-9a-fA-F]%[89abAB][0-9a-fA-F]"
    rb"|%[eE][dD]%[89][0-9a-fA-F]%[89abAB][0-9a-fA-F]"
    rb"|%[fF]0%[9abAB][0-9a-fA-F](?:%[89abAB][0-9a-fA-F]){2}"
    rb"|%[fF][1-3](?:%[89abAB][0-9a-fA-F]){3}"
    rb"|%[fF]4%8[0-9a-fA-F](?:%[89abAB][0-9a-fA-F]){2}"
)
# No byte can be read in two ways, so there is nothing to try twice. Only single characters repeat possessively: before
# Python 3.11.5 a group that does so keeps what its failed last turn has consumed, and "//" and "/.." would be plain.
_PLAIN = (
    rb"(?=/)"
    # segments that are neither empty nor `.` nor `..`; only the last may be empty
    rb"(?:/(?=[^/?])(?!\.\.?(?:[/?]|\Z))[A-Za-z0-9._~-]*+(?:(?:%20|" + _UTF8 + rb")[A-Za-z0-9._~-]*+)*)*/?"
)
_PLAIN_PATH = re.compile(_PLAIN + rb"\Z")
# Browsers send more in a query than RFC 3986, 3.4, has (`[`, `|`, a lone `%`), and nothing is decided by it.
# A `#` would end it for some readers.
_QUERY = rb"(?:\?[\x21\x22\x24-\x7e]*+)?\Z"
_PLAIN_QUERY = re.compile(rb"[\x21\x22\x24-\x7e]*+\Z")
_PLAIN_TARGET = re.compile(_PLAIN + _QUERY)

_AUTHORITY = re.compile(
    rb"(?P<host>\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2}){1,255})"
    rb"(?::(?P<port>[0-9]{0,5}))?"
)
_ORIGIN = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#@\s\\]*)")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def plain_target(target: bytes) -> bool:
    """Whether there is only one way to read the path of this request target.

    That is: origin-form, at most 8 kB, a path of unreserved characters, `/`, `%20` and percent-encoded UTF-8
    beyond ASCII, without dot segments and without empty segments but the last; any query.
    """
    return len(target) <= LONGEST_TARGET and _PLAIN_TARGET.match(target) is not None


def plain_path(path: bytes) -> bool:
    """The same for a path alone."""
    return len(path) <= LONGEST_TARGET and _PLAIN_PATH.match(path) is not None


def plain_query(query: bytes) -> bool:
    """Whether a query is one that no reader takes for more than a query: it may have any visible character but `#`."""
    return _PLAIN_QUERY.match(query) is not None


@lru_cache(maxsize=1024)
def host(value: bytes, scheme: str) -> str:
    """The authority in a `Host` field as browsers serialize it in an origin: in lower case, without the port if
    it is the scheme's own. Raises ValueError if it is not an authority (RFC 3986, 3.2) or has no host."""
    found = _AUTHORITY.fullmatch(value.strip(b" \t"))
    if found is None:
        raise ValueError("the host is not a valid authority")
    name = found["host"].decode("ascii").lower()
    if found["v6"]:
        name = f"[{_ipv6(found['v6'].decode('ascii'))}]"
    port = int(found["port"] or 0)
    if port > 65535 or (found["port"] and port == 0):
        raise ValueError("the port of the host is out of range")
    return f"{name}:{port}" if port and port != _DEFAULT_PORTS.get(scheme) else name


def _ipv6(text: str) -> str:
    try:
        return IPv6Address(text).compressed
    except ValueError:
        raise ValueError("the host is not a valid IPv6 address") from None


def origin(value: bytes) -> str | None:
    """The origin in an `Origin` field, serialized as browsers do it (RFC 6454, 6.1); None for `null`.

    Raises ValueError for anything else, a list of origins included.
    """
    value = value.strip(b" \t")
    if value == b"null":
        return None
    found = _ORIGIN.fullmatch(value)
    if found is None:
        raise ValueError("the origin is not a serialized origin")
    scheme = found[1].decode("ascii").lower()
    return f"{scheme}://{host(found[2], scheme)}"
