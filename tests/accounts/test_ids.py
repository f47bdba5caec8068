"""Ids of persons."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from demur.accounts.ids import uuid7


def test_the_example_of_the_standard() -> None:
    """RFC 9562, appendix A.6: the time 0x17F22E279B0, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F."""
    random = bytes.fromhex("0cc318c4dc0c0c07398f")
    assert uuid7(0x17F22E279B0, random) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=16))
def test_every_id_is_a_version_seven(milliseconds: int, random: bytes) -> None:
    """Whatever the bytes, version and variant are right, and the time stands in front."""
    made = uuid.UUID(uuid7(milliseconds, random))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == milliseconds


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10), st.binary(min_size=10))
def test_ids_sort_by_time(milliseconds: int, one: bytes, other: bytes) -> None:
    """A later id comes later."""
    assert uuid7(milliseconds, one) < uuid7(milliseconds + 1, other)
