"""References: the UUIDs under which decisions stand in the log (RFC 9562, 5.4).

Most of them nobody ever reads, and a number is cheaper than its name.
"""

from __future__ import annotations

_RANDOM = (1 << 128) - 1 ^ 0xF << 76 ^ 0x3 << 62
_VERSION_AND_VARIANT = 0x4 << 76 | 0x2 << 62


def named(number: int) -> str:
    """The UUID of version 4 that is made of 128 random bits."""
    name = f"{number & _RANDOM | _VERSION_AND_VARIANT:032x}"
    return f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"
