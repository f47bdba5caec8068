"""At which addresses somebody listens on this machine, as the kernel tells (proc(5), /proc/net/tcp)."""

from __future__ import annotations

import ipaddress
from pathlib import Path

_LISTENING = "0A"


def addresses(port: int) -> frozenset[str]:
    """The addresses at which somebody listens on a TCP port; empty if nobody does, or if it cannot be known."""
    found = set()
    for table, length in (("/proc/net/tcp", 4), ("/proc/net/tcp6", 16)):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            host, _, number = local.partition(":")
            if state == _LISTENING and int(number, 16) == port:
                found.add(_address(bytes.fromhex(host), length))
    return frozenset(found)


def _address(raw: bytes, length: int) -> str:
    # each group of four bytes is in the order of the machine, which is little-endian wherever this runs
    swapped = b"".join(raw[at : at + 4][::-1] for at in range(0, length, 4))
    return str(ipaddress.ip_address(swapped))


def is_for_others(address: str) -> bool:
    """Whether other machines can connect to an address."""
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return not (mapped or parsed).is_loopback
