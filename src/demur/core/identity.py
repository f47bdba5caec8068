"""The fields by which a site learns who somebody is.

- A site believes them, so no request may bring them along: whatever could be read as one of ours, in any
  spelling, is removed from every incoming request.
- Nobody in particular has none of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demur.core.model import Allow, Fields, Subject
    from demur.core.site import Site

SUBJECT = b"remote-subject"
USER = b"remote-user"
NAME = b"remote-name"
EMAIL = b"remote-email"
GROUPS = b"remote-groups"
ASSERTION = b"remote-assertion"

_OF_PERSON = (SUBJECT, USER, NAME, EMAIL, GROUPS)
NAMES = (*_OF_PERSON, ASSERTION)
"""What we tell a site, in the order in which we send it."""

# "HTTP_" and the name in upper case with "-" replaced by "_" is what CGI hands to a program (RFC 3875, 4.1.18),
# and some servers replace every other mark as well. So Remote_User and Remote.User arrive as Remote-User would.
_PLAIN = bytes(
    byte if 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39 else byte + 0x20 if 0x41 <= byte <= 0x5A else 0x2D
    for byte in range(256)
)

# Ids, names and most of the rest.
_AS_IT_IS = re.compile(rb"[A-Za-z0-9._@-]*")


def plain(name: bytes) -> bytes:
    """A field name as the most careless reader sees it: lower case, and every mark a hyphen."""
    return name.translate(_PLAIN)


def is_identity_field(name: bytes) -> bool:
    """Whether a site could take this field for one that we set. The whole family `Remote-` is ours, and what a client
    says of whom its request is meant for is none of the site's business."""
    look = plain(name)
    return look.startswith(b"remote-") or look == b"demur-subject"


def identity_fields(subject: Subject | None) -> Fields:
    """What a site is told about `subject`: nothing about nobody, and no field without a value."""
    if subject is None:
        return ()
    groups = b",".join(_visible(group, keep=b"") for group in sorted(subject.groups))
    values = (
        _visible(subject.id),
        _visible(subject.name),
        _visible(subject.display_name),
        _visible(subject.email),
        groups,
    )
    return tuple((name, value) for name, value in zip(_OF_PERSON, values, strict=True) if value)


def told(site: Site, allow: Allow, origin: str, now: int) -> Fields:
    """All that a site is told of whoever asks, at the origin that they asked for: the same once more and signed, where
    the site wants that. Raises `StoreUnavailable` if nothing can be signed."""
    said = identity_fields(allow.subject)
    if site.assertions is None or allow.subject is None:
        return said
    return (*said, (ASSERTION, site.assertions.of(allow.subject, allow.session, origin, now)))


def _visible(text: str, keep: bytes = b",") -> bytes:
    """UTF-8, and percent-encoded what is not visible ASCII, so that no field can be broken and none is ambiguous."""
    data = text.encode("utf-8", "replace")
    if _AS_IT_IS.fullmatch(data):
        return data
    return b"".join(
        bytes((byte,)) if 0x21 <= byte <= 0x7E and byte != 0x25 and (byte != 0x2C or keep) else b"%%%02X" % byte
        for byte in data
    )
