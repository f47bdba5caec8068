"""What a request tells about the browser that sent it: by `Sec-Fetch-*`, `Origin` and `Accept`, never by its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from demur.core.fields.abnf import OWS, QUOTED, TOKEN
from demur.core.fields.target import origin as read_origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from demur.core.model import Request

_MODES = frozenset({b"cors", b"navigate", b"no-cors", b"same-origin", b"websocket", b"webtransport"})
_FRAMES = frozenset({b"iframe", b"frame", b"embed", b"object", b"fencedframe"})

_PARAM = OWS + rb";" + OWS + rb"(?:(" + TOKEN + rb")=(" + TOKEN + rb"|" + QUOTED + rb"))?"
_PARAMS = re.compile(_PARAM)
_RANGE = re.compile(OWS + rb"(" + TOKEN + rb")/(" + TOKEN + rb")((?:" + _PARAM + rb")*)" + OWS + rb"(?:,|\Z)")
_EMPTY = re.compile(OWS + rb"(?:,|\Z)")
_QVALUE = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def is_navigation(request: Request) -> tuple[bool, tuple[bytes, ...]]:
    """Whether somebody looks at the answer in a window of their own, and the names of the fields that said so
    (for `Vary`)."""
    mode = (request.value(b"sec-fetch-mode") or b"").strip(b" \t")
    if mode in _MODES:
        return mode == b"navigate", (b"Sec-Fetch-Mode",)
    # Browsers leave Sec-Fetch-* out towards plain http (Fetch Metadata, 2); "servers SHOULD ignore this header if it
    # contains an invalid value" (2.2).
    return prefers_html(request.values(b"accept")), (b"Sec-Fetch-Mode", b"Accept")


def in_frame(request: Request) -> bool:
    """Whether the answer will be shown inside another page."""
    return (request.value(b"sec-fetch-dest") or b"").strip(b" \t") in _FRAMES


def cross_site(request: Request, origin: str) -> bool:
    """Whether a request that a cookie authorizes has to be taken for another site's (True: refuse it).

    To be asked about unsafe methods and WebSocket handshakes. `origin` is the site's own, serialized.
    """
    sites = request.values(b"sec-fetch-site")
    if sites:
        # `same-site` is refused too: a neighbour on another subdomain is another site to us.
        return len(sites) > 1 or sites[0].strip(b" \t") not in (b"same-origin", b"none")
    origins = request.values(b"origin")
    if origins:
        return len(origins) > 1 or not _is_origin(origins[0], origin)
    # Browsers name the origin of every unsafe request and of every WebSocket handshake (Fetch, 3.2; RFC 6455,
    # 4.1), so this is no browser, unless it shows one of a browser's marks: then something took the field out,
    # or the browser is too old to be sure. Scripts cannot set `Sec-*`, and tools have no reason to.
    return any(
        name == b"referer" or (name.startswith(b"sec-") and not name.startswith(b"sec-websocket-"))
        for name, _ in request.fields
    )


def same_origin(request: Request, origin: str) -> bool:
    """Whether a page of this site sent an unsafe request: a browser says so, in fields that no script can set. Unlike
    with `cross_site`, what says nothing about itself is not taken for ours. `origin` is the site's own, serialized."""
    sites = request.values(b"sec-fetch-site")
    if sites:
        return [site.strip(b" \t") for site in sites] == [b"same-origin"]
    origins = request.values(b"origin")
    return len(origins) == 1 and _is_origin(origins[0], origin)


def from_own_page(request: Request, origin: str) -> bool:
    """Whether a page of this site led here: followed, redirected or submitted, and not typed or linked elsewhere.

    Unlike `cross_site`, what says nothing about itself is not taken for ours. `origin` is the site's own, serialized.
    """
    sites = request.values(b"sec-fetch-site")
    if sites:
        return [site.strip(b" \t") for site in sites] == [b"same-origin"]
    # Browsers leave Sec-Fetch-* out towards plain http (Fetch Metadata, 2), and our own pages send a whole Referer
    # to this site.
    referers = request.values(b"referer")
    return len(referers) == 1 and referers[0].startswith(f"{origin}/".encode("ascii"))


def _is_origin(value: bytes, origin: str) -> bool:
    try:
        return read_origin(value) == origin
    except ValueError:
        return False


def prefers_html(values: Iterable[bytes]) -> bool:
    """Whether `Accept` puts a page above JSON (RFC 9110, 12.5.1): a higher weight, or the same and named more
    exactly. `*/*` alone is what API clients send, so it is no page; a malformed field is none either."""
    html = json = (0, 0)
    named_html = named_json = False
    ranges = _ranges(b",".join(values))
    if ranges is None:
        return False
    # The most exact range for a kind decides, so they are looked at from the least exact to the most.
    for kind, exactness, weight in sorted(ranges, key=lambda one: one[1]):
        if kind in (b"text/html", b"application/xhtml+xml"):
            html, named_html = max(html, (weight, 2)) if named_html else (weight, 2), True
        elif kind == b"application/json" or kind.endswith(b"+json"):
            json, named_json = max(json, (weight, 2)) if named_json else (weight, 2), True
        elif kind == b"text/*":
            html = (weight, exactness)
        elif kind == b"application/*":
            json = (weight, exactness)
        elif kind == b"*/*":
            html = json = (weight, exactness)
    return html[0] > 0 and html > json


def _ranges(value: bytes) -> list[tuple[bytes, int, int]] | None:
    """Each media range, how exact it is (0 to 2) and its weight in thousandths; None if the field is malformed."""
    ranges = []
    at = 0
    while at < len(value):
        found = _RANGE.match(value, at)
        if found is None:
            empty = _EMPTY.match(value, at)
            if empty is None:
                return None
            at = empty.end()
            continue
        weight = _weight(found[3])
        if weight is None:
            return None
        exactness = 2 - (found[2] == b"*") - (found[1] == b"*")
        ranges.append((b"%b/%b" % (found[1].lower(), found[2].lower()), exactness, weight))
        at = found.end()
    return ranges


def _weight(params: bytes) -> int | None:
    for param in _PARAMS.finditer(params):
        if param[1] in (b"q", b"Q"):
            if not _QVALUE.fullmatch(param[2]):
                return None
            whole, _, part = param[2].partition(b".")
            return int(whole) * 1000 + int(part.ljust(3, b"0"))
    return 1000
