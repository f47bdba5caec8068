"""Filling texts in, and the names that every recipe has to deal with."""

from __future__ import annotations

import json
import re

from demur.core import identity
from demur.core.reasons import BASE, REASONS, Reason
from demur.pages import published, resource

IDENTITY = tuple(name.decode("ascii").title() for name in identity.NAMES)
"""The fields by which an app learns who it is: overwritten on every request, with nothing where nobody is known."""

GIVEN = (*IDENTITY, "Cookie", "Authorization")
"""What the app gets from the answer of the check and never from the client: the cookies and the Authorization are the
client's own without what was meant for demur."""

CLEARED = (
    "Forwarded",
    "Proxy",
    "X-Real-Ip",
    "X-Original-Method",
    "X-Original-Uri",
    "X-Original-Url",
    "X-Rewrite-Url",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Method",
    "X-Forwarded-Path",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "Demur-Refusal",
    "Demur-Refuse",
    "Demur-Processed",
)
"""What a client says and only a proxy may: taken away before the app, by name where a proxy knows no patterns.
X-Forwarded-For, -Host and -Proto are set instead."""

MEANT_FOR = "Demur-Subject"
"""What a client says to demur alone: taken away after the check."""

OVERRIDES = ("X-Http-Method", "X-Http-Method-Override", "X-Method-Override")
"""Fields by which some apps take another method than the one that was judged. Taken away where a rule has methods."""

HIDDEN = ("Demur-Processed", "Demur-Refuse")
"""What an app's answer may not say to a client: that nothing was processed, and what demur alone puts into words."""

RESOURCE = resource.WELL_KNOWN.decode("ascii")
"""Where demur says where to get tokens (RFC 9728)."""

KEYS = published.WELL_KNOWN.decode("ascii")
"""Where demur publishes the keys with which its assertions are verified."""

_ROW = REASONS[Reason.UNAVAILABLE]

DOWN = json.dumps(
    {
        "type": f"{BASE}{Reason.UNAVAILABLE}",
        "title": _ROW.title,
        "status": _ROW.status,
        "detail": _ROW.detail,
        "reason": Reason.UNAVAILABLE,
        "processed": False,
    }
)
"""What a proxy says while demur does not answer: the problem (RFC 9457) that demur would say while its store does not.
ASCII on one line, without an apostrophe, so that it can stand in quotes."""

LOST = DOWN.replace(', "processed": false', "")
"""The same about one of demur's own pages: nobody knows how far demur came with it."""

RETRY_AFTER = "5"
"""Seconds after which to try again then."""

_SLOT = re.compile(r"<<([a-z_]+)>>")


def fill(template: str, **values: str) -> str:
    """The template with each `<<name>>` replaced; a value of several lines keeps the indentation of its slot.

    Raises KeyError for a slot without a value.
    """

    def value(found: re.Match[str]) -> str:
        line = template[: found.start()].rpartition("\n")[2]
        indent = line if not line.strip() else ""
        return values[found[1]].replace("\n", f"\n{indent}")

    text = _SLOT.sub(value, template)
    return "\n".join(line.rstrip() for line in text.split("\n"))
