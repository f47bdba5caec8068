"""What a proxy asks: about which request, and what it will make of the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demur.core import fields
from demur.core.model import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.model import Fields
    from demur.guard import Guard

SLIP = b"demur-refusal"
"""The field in which a slip travels."""

_FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_ONCE = (b"x-forwarded-method", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-uri")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Way:
    """What a proxy makes of our answer.

    `whole`: it hands a refusal on; otherwise it gets a slip. `any_2xx`: it takes any 2xx for a yes, and not only 200.
    `empty`: a field without a value overwrites what the client sent. Where one does not, the proxy has taken the
    client's away before, or takes away what the field `removes` names.
    """

    whole: bool = True
    any_2xx: bool = True
    empty: bool = True
    removes: bytes = b""


WAYS = {
    b"": Way(),
    b"answer=fields": Way(whole=False),
    b"for=nginx": Way(whole=False, empty=False),
    b"for=envoy": Way(any_2xx=False, empty=False, removes=b"x-envoy-auth-headers-to-remove"),
    b"for=traefik": Way(empty=False),
}
"""How `/check` may be asked, by its query."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the proxy asks about, and the guard of its site."""

    request: Request
    guard: Guard


def read(sent: Request, trusted: Sequence[fields.Network]) -> Request:
    """The request that the proxy asks about. Raises ValueError with a sentence for the operator."""
    for name in _ONCE:
        values = sent.values(name)
        if len(values) != 1:
            raise ValueError(f"The proxy has to send {_title(name)} once, and sent it {len(values)} times.")
    method, uri = sent.values(b"x-forwarded-method")[0], sent.values(b"x-forwarded-uri")[0]
    if not _METHOD.fullmatch(method):
        raise ValueError("X-Forwarded-Method is not a method.")
    # Whoever may connect here is believed. `Forwarded` is not read: not every proxy takes a client's own away.
    vouched = tuple((name, value) for name, value in sent.fields if name in _FORWARDED)
    said = fields.client("", vouched, trusted, trust_local=True)
    host = said.host or ""
    return Request(method.decode("ascii"), uri, said.scheme or "", host, said.peer, _fields(sent, host))


def _fields(sent: Request, host: str) -> Fields:
    """The client's own fields, among those that the proxy sent."""
    kept = [(name, value) for name, value in sent.fields if name not in (b"host", SLIP)]
    kept = [(name, value) for name, value in kept if not name.startswith(b"x-forwarded-")]
    kept.append((b"host", host.encode("ascii")))
    # A proxy takes `Upgrade` away from what it passes on (RFC 9110, 7.6.1), and with it the mark of a WebSocket
    # handshake, which other sites must not be able to open. Only a handshake has this field (RFC 6455, 11.3.1).
    if sent.value(b"sec-websocket-key") is not None:
        kept = [(name, value) for name, value in kept if name != b"upgrade"]
        kept.append((b"upgrade", b"websocket"))
    return tuple(kept)


def _title(name: bytes) -> str:
    return name.decode("ascii").title()
