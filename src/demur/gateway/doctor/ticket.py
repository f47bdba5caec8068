"""A ticket with which the doctor has demur refuse, so that it can be seen what a proxy makes of that refusal.

It is signed with a key of the ring, for one host and some seconds, and can do nothing but refuse the request that
brings it.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from demur.core.model import Absent, Access, Details, Refuse, Requirement, StoreUnavailable
from demur.core.reasons import Reason
from demur.guard import Checked, new_reference

if TYPE_CHECKING:
    from demur.core.model import Key, Request
    from demur.guard import Guard

FIELD = b"demur-doctor"
"""The field in which a ticket is sent."""
LASTS = 60
"""Seconds."""

_RETRY_AFTER = 5
_PURPOSE = b"demur doctor ticket, version 1\n"
_ASKED = Requirement(Access.REQUIRED, "(the doctor)")


def write(host: str, key: Key, now: int) -> str:
    """A ticket for requests to that host (as in `Host`)."""
    until = now + LASTS
    return f"{key.id}.{until}.{_tag(host, until, key)}"


def refused(guard: Guard, request: Request) -> Checked | None:
    """The refusal that a ticket asks for: "unavailable". None without a valid ticket, which is almost always."""
    sent = request.value(FIELD)
    if sent is None:
        return None
    now = int(guard.clock())
    if not _is_good(sent.decode("latin-1"), guard, request.host, now):
        return None
    refuse = Refuse(Reason.UNAVAILABLE, Details(retry_after=_RETRY_AFTER))
    checked = Checked(refuse, _ASKED, Absent(), new_reference(), now)
    guard.note(checked, request)
    return checked


def _is_good(sent: str, guard: Guard, host: str, now: int) -> bool:
    key_id, _, rest = sent.partition(".")
    until, _, tag = rest.partition(".")
    if not (key_id.isdecimal() and until.isdecimal() and sent.isascii() and len(sent) < 100):
        return False
    try:
        key = guard.keys.ring().find(int(key_id))
    except StoreUnavailable:
        return False
    if key is None or not now <= int(until) <= now + LASTS:
        return False
    return hmac.compare_digest(tag, _tag(host, int(until), key))


def _tag(host: str, until: int, key: Key) -> str:
    return hmac.new(key.secret, _PURPOSE + f"{until} {host}".encode(), "sha256").hexdigest()[:32]
