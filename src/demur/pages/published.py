"""The public keys with which assertions are verified, for whoever wants them: a JWK Set (RFC 7517, 5).

It is there only where the site has assertions; otherwise the address is the site's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demur.core import asserted, decide, respond
from demur.core.model import Response, StoreUnavailable

if TYPE_CHECKING:
    from demur.core.model import Request
    from demur.core.site import Site

WELL_KNOWN: Final = b"/.well-known/jwks.json"


def serves(site: Site, request: Request) -> bool:
    """Whether a request is for the keys. Its target has to be plain."""
    return site.assertions is not None and request.path == WELL_KNOWN


def answer(site: Site, request: Request) -> Response:
    """The keys, for anybody: there is nothing in them that anybody should not know."""
    assert site.assertions is not None  # noqa: S101 - see `serves`
    if decide.is_preflight(request):
        return respond.preflight(site, request)
    if request.method not in {"GET", "HEAD"}:
        return respond.plain(405, b"Only GET, HEAD can be used here.\n", (b"allow", b"GET, HEAD"))
    try:
        body = site.assertions.published()
    except StoreUnavailable as down:
        again = str(down.retry_after).encode("ascii")
        return respond.plain(503, b"The keys cannot be read right now.\n", (b"retry-after", again))
    lines = (
        (b"content-type", b"application/jwk-set+json"),
        (b"cache-control", b"public, max-age=%d" % asserted.KEYS_KEPT_FOR),
        (b"x-content-type-options", b"nosniff"),
        (b"access-control-allow-origin", b"*"),
        (b"content-length", str(len(body)).encode("ascii")),
    )
    return Response(200, lines, body)
