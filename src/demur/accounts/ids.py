"""Ids of persons: UUIDv7 (RFC 9562, 5.7), which sort by the time they were made and are never used twice."""

from __future__ import annotations

import uuid


def uuid7(milliseconds: int, random: bytes) -> str:
    """An id made at that time (since the epoch) from at least 10 unguessable bytes.

    "unix_ts_ms (48 bits), ver (4), rand_a (12), var (2), rand_b (62)"; nothing is kept between two calls, so two
    ids of one millisecond come in no order.
    """
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(random[:10], "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0b11 << 62) | 0b10 << 62
    return str(uuid.UUID(int=value))
