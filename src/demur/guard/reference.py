"""New references (see `demur.core.reference`): they have to be different each time and are no secrets, so they are not
worth asking the kernel for. `random` is seeded anew in every process, after a fork too."""

from __future__ import annotations

import random

from demur.core import reference

_bits = random.getrandbits


def new_number() -> int:
    """A new reference as a number, which is its 128 bits."""
    return _bits(128)


def new_reference() -> str:
    """A new reference."""
    return reference.named(_bits(128))
