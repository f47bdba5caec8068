"""References: the UUIDs under which decisions stand in the log (RFC 9562, 5.4).

They have to be different each time and are no secrets, so they are not worth asking the kernel for. Most of them nobody
ever reads, and a number is cheaper than its name: half of a name is the process's own, and the other half is the
number. Numbers follow one another from one that is random in every process, so that names of some together are cheap.
"""

from __future__ import annotations

import os
import random
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_bits = random.getrandbits
_VARIANT: Final = 1 << 63
_first = f"{_bits(60):015x}"
OF_PROCESS: Final = f"{_first[:8]}-{_first[8:12]}-4{_first[12:]}-"
"""What they all begin with."""

_numbers: Iterator[int]


def _begin() -> None:
    """`random` is seeded anew in every process, after a fork too. They never come to the second bit of the variant."""
    global _numbers  # noqa: PLW0603 - one for the process
    _numbers = count(_bits(61) | _VARIANT)


_begin()
os.register_at_fork(after_in_child=_begin)


def new_number() -> int:
    """A new one, before it has a name."""
    return next(_numbers)


def named(number: int) -> str:
    """The UUID of a number, in this process."""
    return OF_PROCESS + number.to_bytes(8, "big").hex("-", 6)


def new_reference() -> str:
    """A new one."""
    return named(next(_numbers))
