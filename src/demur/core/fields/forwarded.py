"""`Forwarded` (RFC 7239) and `X-Forwarded-*`: what proxies say about the request that they received.

Anybody can send these fields, so they are read only from peers that the configuration names, and only as far
to the left as those were the ones who wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, TypeAlias

from demur.core.fields.abnf import OWS, QUOTED, TOKEN, unquote
from demur.core.fields.target import host as read_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.model import Fields

Network: TypeAlias = IPv4Network | IPv6Network

_PAIR = re.compile(rb"(" + TOKEN + rb")=(" + TOKEN + rb"|" + QUOTED + rb")")
_END = re.compile(OWS + rb"(,|;|\Z)" + OWS)
_NODE = re.compile(
    r"(?P<name>\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9]{1,3}(?:\.[0-9]{1,3}){3})|unknown|_[A-Za-z0-9._\-]+)"
    r"(?::(?P<port>[0-9]{1,5}|_[A-Za-z0-9._\-]+))?",
    re.IGNORECASE,
)

# Traefik names the WebSocket schemes for a handshake, which is http like any other.
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Node:
    """Who took part (RFC 7239, 6). `name` is an address (IPv6 without brackets), `unknown`, or an obfuscated
    `_name`; `port` a number or an obfuscated `_port`."""

    name: str
    port: str | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One element of `Forwarded`: what one proxy said."""

    for_: Node | None = None
    by: Node | None = None
    host: str | None = None
    proto: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is to be believed about where a request came from. `peer` is the client's address, "" if unknown;
    `scheme` and `host` are None where no trusted proxy said anything else than what the connection shows."""

    peer: str
    scheme: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class _Said:
    """Facts of which none need be there."""

    peer: str | None
    scheme: str | None
    host: str | None


def forwarded(value: bytes) -> list[Hop]:
    """Every element of a `Forwarded` field, the first proxy's first. Raises ValueError with the position of the
    first fault, a parameter given twice included."""
    hops: list[Hop] = []
    pairs: dict[str, str] = {}
    at = len(value) - len(value.lstrip(b" \t"))
    while at < len(value):
        pair = _PAIR.match(value, at)
        if pair is not None:
            name = pair[1].decode("ascii").lower()
            if name in pairs:
                # "Each parameter MUST NOT occur more than once per field-value" (RFC 7239, 4)
                raise ValueError(f"Forwarded: {name} is given twice, again at position {at}")
            pairs[name] = unquote(pair[2])
            at = pair.end()
        end = _END.match(value, at)
        if end is None:
            raise ValueError(f"Forwarded: a parameter, a comma or a semicolon is expected at position {at}")
        if end[1] != b";":
            if pairs:
                hops.append(_hop(pairs))
            pairs = {}
        at = end.end()
    if pairs:
        hops.append(_hop(pairs))
    return hops


def _hop(pairs: dict[str, str]) -> Hop:
    return Hop(
        for_=_node(pairs["for"], "Forwarded") if "for" in pairs else None,
        by=_node(pairs["by"], "Forwarded") if "by" in pairs else None,
        host=pairs.get("host"),
        proto=pairs.get("proto"),
    )


def _node(text: str, field: str) -> Node:
    found = _NODE.fullmatch(text)
    address = found and (found["v6"] or found["v4"])
    if found is None or (address and _address(address) is None):
        raise ValueError(f"{field}: {text!r} is not an address")
    return Node(address or found["name"].lower(), found["port"])


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        # What follows a `%` could be anything, and means something on another machine only.
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def client(peer: str, fields: Fields, trusted: Sequence[Network], *, trust_local: bool = False) -> Facts:
    """Who the client is, and what it asked for, as far as trusted proxies vouch for it.

    `peer` is the address at the other end of the connection, "" for a unix socket, which is believed only with
    `trust_local`. What nobody says stays as the connection shows it. Raises ValueError, with a sentence for the
    answer, where a trusted proxy says something twice, contradicts itself, or cannot be understood.
    """
    if not _trusts(peer, trusted, local=trust_local):
        return Facts(peer)
    said = _from_x_forwarded(fields, trusted)
    lines = [value for name, value in fields if name == b"forwarded"]
    if lines:
        new = _from_forwarded(forwarded(b", ".join(lines)), trusted)
        said = _Said(
            _agreed("the client's address", said.peer, new.peer),
            _agreed("the scheme", said.scheme, new.scheme),
            _agreed("the host", said.host, new.host),
        )
    return Facts(peer if said.peer is None else said.peer, said.scheme, said.host)


def _agreed(what: str, old: str | None, new: str | None) -> str | None:
    if old is not None and new is not None and old != new:
        raise ValueError(f"Forwarded and X-Forwarded-* contradict each other about {what}")
    return old if new is None else new


def _trusts(peer: str, trusted: Sequence[Network], *, local: bool = False) -> bool:
    if not peer:
        return local
    address = _address(peer.partition("%")[0]) if trusted else None
    if address is None:
        return False
    # A socket that listens for both families shows IPv4 peers as ::ffff:192.0.2.1.
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in trusted)


def _from_x_forwarded(fields: Fields, trusted: Sequence[Network]) -> _Said:
    scheme = _only(fields, b"x-forwarded-proto", "X-Forwarded-Proto")
    if scheme is not None:
        scheme = _scheme(scheme, "X-Forwarded-Proto")
    name = _only(fields, b"x-forwarded-host", "X-Forwarded-Host")
    if name is not None:
        name = read_host(name.encode("latin-1"), scheme or "")
    # Each proxy appends, so the walk goes from the right, and what stands left of the first address that we do
    # not trust was written by nobody we know: it is not even looked at.
    addresses = b",".join(value for key, value in fields if key == b"x-forwarded-for")
    peer = None
    for element in reversed(addresses.split(b",")):
        text = element.strip(b" \t").decode("latin-1")
        if text:
            peer = _client_address(text)
            if not _trusts(peer, trusted):
                break
    return _Said(peer, scheme, name)


def _client_address(text: str) -> str:
    """An element of X-Forwarded-For: an address, by some proxies with brackets or a port; "" for `unknown`."""
    if _address(text) is not None:
        return text
    node = _node(text, "X-Forwarded-For")
    return node.name if _address(node.name) is not None else ""


def _from_forwarded(hops: Sequence[Hop], trusted: Sequence[Network]) -> _Said:
    peer = scheme = name = None
    for hop in reversed(hops):
        # Further to the left is nearer to the browser: that is whose scheme and host count.
        if hop.proto is not None:
            scheme = _scheme(hop.proto, "Forwarded")
        if hop.host is not None:
            name = hop.host
        if hop.for_ is None:
            break
        peer = hop.for_.name if _address(hop.for_.name) is not None else ""
        if not _trusts(peer, trusted):
            break
    return _Said(peer, scheme, None if name is None else read_host(name.encode("latin-1"), scheme or ""))


def _only(fields: Fields, name: bytes, label: str) -> str | None:
    values = [value for key, value in fields if key == name]
    if not values:
        return None
    if len(values) > 1 or b"," in values[0]:
        raise ValueError(f"{label} has more than one value")
    return values[0].strip(b" \t").decode("latin-1")


def _scheme(text: str, label: str) -> str:
    scheme = _SCHEMES.get(text.lower())
    if scheme is None:
        raise ValueError(f"{label}: {text!r} is neither http nor https")
    return scheme
