"""What a site says of itself to clients that look for tokens: OAuth 2.0 Protected Resource Metadata (RFC 9728).

It is there only where the site names authorization servers; otherwise the address is the site's own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from demur.core import decide, respond
from demur.core.model import Scheme

if TYPE_CHECKING:
    from demur.core.model import Request, Requirement, Response
    from demur.core.site import Site

WELL_KNOWN: Final = b"/.well-known/oauth-protected-resource"


def serves(site: Site, request: Request) -> bool:
    """Whether a request is for the metadata. Its target has to be plain."""
    return bool(site.authorization_servers) and request.path == WELL_KNOWN


def answer(site: Site, request: Request) -> Response:
    """The metadata, for anybody."""
    if decide.is_preflight(request):
        return respond.preflight(site, request)
    if request.method not in {"GET", "HEAD"}:
        return respond.plain(405, b"Only GET, HEAD can be used here.\n", (b"allow", b"GET, HEAD"))
    body = json.dumps(metadata(site, request), ensure_ascii=False, separators=(",", ":")).encode()
    readable = respond.readable(site.cors, request)
    vary = ((b"vary", b"Origin"),) if site.cors.origins else ()
    return respond.plain(200, body, *vary, *readable, kind=b"application/json")


def metadata(site: Site, request: Request) -> dict[str, object]:
    """The members of the document (RFC 9728, 2). What has no value is left out (3.2)."""
    scopes = sorted({scope for rule in site.rules.all if (scope := _scope(rule.requirement))})
    said: dict[str, object] = {
        # The same text as the one after which the address of this document is made (3.3).
        "resource": site.origin_of(request),
        "authorization_servers": list(site.authorization_servers),
        "bearer_methods_supported": ["header"],
        "resource_name": site.name,
    }
    if scopes:
        said["scopes_supported"] = scopes
    if site.help_url:
        said["resource_documentation"] = urljoin(f"{site.origin_of(request)}/", site.help_url)
    return said


def _scope(requirement: Requirement) -> str | None:
    """The scope by which a token opens what a rule guards. One with a space would be read as two (RFC 6749, 3.3)."""
    permission = requirement.terms.permission
    return permission if permission and Scheme.BEARER in requirement.accepts and " " not in permission else None
