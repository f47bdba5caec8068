"""Sealed contents: whoever has the key reads them, and nobody changes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.core.sealed import NONCE, seal, unseal

KEY = bytes(range(32))


@given(st.binary(max_size=300), st.binary(min_size=NONCE, max_size=NONCE))
def test_comes_back(content: bytes, nonce: bytes) -> None:
    """With the same key, byte for byte."""
    assert unseal(KEY, seal(KEY, nonce, content)) == content


@given(st.binary(max_size=60), st.data())
def test_a_change_is_noticed(content: bytes, data: st.DataObject) -> None:
    """Any bit of it, the nonce and the tag too."""
    sealed = bytearray(seal(KEY, b"n" * NONCE, content))
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[at // 8] ^= 1 << at % 8
    assert unseal(KEY, bytes(sealed)) is None


@pytest.mark.parametrize("sealed", [b"", b"x", b"x" * 47, b"x" * 48, seal(b"other".ljust(32), b"n" * NONCE, b"hush")])
def test_nothing_else_is_opened(sealed: bytes) -> None:
    """Too short, made up, or of another key."""
    assert unseal(KEY, sealed) is None


def test_what_is_sealed_twice_looks_different() -> None:
    """The content does not show, nor that it is the same; equal stretches of it do not show either."""
    one, two = (seal(KEY, nonce * NONCE, b"a" * 4096) for nonce in (b"1", b"2"))
    assert one[NONCE:-32] != two[NONCE:-32]
    blocks = {one[at : at + 16] for at in range(NONCE, 4096, 16)}
    assert len(blocks) == 4096 // 16 - 1


SETTLED = (
    "6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e84bdd7b6889a5264865d455fe8f08e941bcfabde2eea16f9cb35e93e"
    "d252b497193aec021860967e92b640aa"
)


def test_the_seal_is_this_one() -> None:
    """What one version sealed, the next one opens: the bytes are settled."""
    assert seal(KEY, b"n" * NONCE, b"what I wrote").hex() == SETTLED


def test_a_nonce_has_its_length() -> None:
    """A short one would come again."""
    with pytest.raises(ValueError, match="16"):
        seal(KEY, b"short", b"")
