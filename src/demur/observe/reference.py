"""References: the UUIDs under which decisions stand in the log (RFC 9562, 5.4).

They have to be different each time and are no secrets, so they are not worth asking the kernel for (`random` is seeded
anew in every process, after a fork too). Most of them nobody ever reads, and a number is cheaper than its name: half of
a name is the process's own, and the other half is the number, 62 random bits.
"""

from __future__ import annotations

import random
from typing import Final

_bits = random.getrandbits
_VARIANT: Final = 1 << 63
_first = f"{_bits(60):015x}"
OF_PROCESS: Final = f"{_first[:8]}-{_first[8:12]}-4{_first[12:]}-"
"""What they all begin with."""


def new_number() -> int:
    """A new one, before it has a name."""
    return _bits(62) | _VARIANT


def named(number: int) -> str:
    """The UUID of a number, in this process."""
    return OF_PROCESS + number.to_bytes(8, "big").hex("-", 6)


def new_reference() -> str:
    """A new one."""
    return named(_bits(62) | _VARIANT)
