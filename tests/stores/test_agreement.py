"""Whether nodes on one store have the same keys, and what follows if they have not."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from demur.core import sessions
from demur.core.model import Lookup, Malformed, StoreUnavailable
from demur.stores.agreement import AgreedKeys, KeysDiffer, fingerprint
from demur.stores.keys import FileKeys, MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from demur.core.model import KeyRing
    from demur.core.ports import Keys

NOW = 1_800_000_000
MONTH = 30 * 86400


def token_of(keys: Keys) -> bytes:
    return sessions.mint(b"r" * 32, keys.ring().current).encode()


def is_asked(token: bytes, ring: KeyRing) -> bool:
    """Whether the store is asked about a token."""
    return isinstance(sessions.read(token, ring), Lookup)


async def test_one_node_agrees_with_itself() -> None:
    """The first one says what it has; from then on a tag that fails is refused without asking."""
    keys = AgreedKeys(MemoryKeys(), MemoryStore())
    forged = token_of(MemoryKeys())
    assert is_asked(forged, keys.ring())
    await keys.agree(NOW)
    assert sessions.read(forged, keys.ring()) == Malformed()
    assert is_asked(token_of(keys), keys.ring())


async def test_nodes_with_rings_of_their_own_are_told() -> None:
    """The second one hears which key differs, and until that is put right nobody's token is refused there unasked."""
    store = MemoryStore()
    first, second = AgreedKeys(MemoryKeys(), store), AgreedKeys(MemoryKeys(), store)
    await first.agree(NOW)
    with pytest.raises(KeysDiffer, match="key 0 differs") as raised:
        await second.agree(NOW)
    assert raised.value.ids == {0}
    assert is_asked(token_of(first), second.ring())
    await first.agree(NOW + 1)  # the first one was there before, and nothing has changed for it
    assert sessions.read(token_of(second), first.ring()) == Malformed()


async def test_two_that_begin_at_once() -> None:
    """Both have looked before either has written: one of them hears of it in the next round."""
    store = MemoryStore()
    first, second = AgreedKeys(MemoryKeys(), store), AgreedKeys(MemoryKeys(), store)
    await first.agree(NOW)
    await second.prevail(NOW)  # as if it had read nothing
    with pytest.raises(KeysDiffer):
        await first.agree(NOW + 60)
    assert is_asked(token_of(second), first.ring())


async def test_one_folder_is_one_ring(tmp_path: Path) -> None:
    """A copy agrees, and so does one that has not heard of the newest key, or has no more than that."""
    store = MemoryStore()
    here = AgreedKeys(FileKeys(tmp_path / "here"), store)
    here.ring()
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    there = AgreedKeys(FileKeys(tmp_path / "there"), store)
    await there.agree(NOW)
    here.rotate(NOW)
    await here.agree(NOW)
    await there.agree(NOW + 1)
    assert is_asked(token_of(here), there.ring()), "a key that is not here yet is asked for"
    assert is_asked(token_of(there), here.ring())
    (tmp_path / "there" / "000000.key").unlink()
    shutil.copy(tmp_path / "here" / "000001.key", tmp_path / "there")
    await AgreedKeys(FileKeys(tmp_path / "there"), store).agree(NOW + 2)


async def test_both_were_rotated(tmp_path: Path) -> None:
    """Copies that each got a new key differ in that one, and in that one only."""
    store = MemoryStore()
    first = FileKeys(tmp_path / "a")
    old = token_of(first)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    here, there = AgreedKeys(first, store), AgreedKeys(FileKeys(tmp_path / "b"), store)
    here.rotate(NOW)
    there.rotate(NOW)
    await here.agree(NOW)
    with pytest.raises(KeysDiffer) as raised:
        await there.agree(NOW)
    assert raised.value.ids == {1}
    assert is_asked(token_of(here), there.ring())
    forged = old[:-3] + (b"AAA" if old[-3:] != b"AAA" else b"BBB")
    assert sessions.read(forged, there.ring()) == Malformed(), "what is agreed is believed"


async def test_rings_without_a_common_key_differ(tmp_path: Path) -> None:
    """No id stands for two keys, and still nothing that one signs can be verified at the other."""
    store, folder = MemoryStore(), tmp_path / "a"
    first = FileKeys(folder)
    first.rotate(NOW)
    (folder / "000000.key").unlink()
    await AgreedKeys(FileKeys(folder), store).agree(NOW)
    with pytest.raises(KeysDiffer, match="no key is shared"):
        await AgreedKeys(MemoryKeys(), store).agree(NOW)


async def test_a_key_that_nobody_has_is_forgotten() -> None:
    """Thirty days after a key was last there its id is free."""
    store = MemoryStore()
    await AgreedKeys(MemoryKeys(), store).agree(NOW)
    with pytest.raises(KeysDiffer):
        await AgreedKeys(MemoryKeys(), store).agree(NOW + MONTH - 1)
    await AgreedKeys(MemoryKeys(), store).agree(NOW + MONTH)


async def test_what_was_said_is_said_again() -> None:
    """Once an hour, not every time: then the thirty days begin anew."""
    store = MemoryStore()
    keys = AgreedKeys(MemoryKeys(), store)
    for later in (0, 60, 3599):
        await keys.agree(NOW + later)
        with pytest.raises(KeysDiffer):
            await AgreedKeys(MemoryKeys(), store).agree(NOW + MONTH - 1)
    await keys.agree(NOW + 3600)
    with pytest.raises(KeysDiffer):
        await AgreedKeys(MemoryKeys(), store).agree(NOW + MONTH + 3599)


async def test_a_store_that_takes_nothing_may_still_agree() -> None:
    """While sessions are moved, say: what stands there is enough for whom it names, and only for them."""
    store = MemoryStore()
    keys = AgreedKeys(MemoryKeys(), store)
    await keys.agree(NOW)
    await store.freeze()
    await keys.agree(NOW + 3600)
    assert keys.agreed
    other = MemoryStore()
    await other.freeze()
    with pytest.raises(StoreUnavailable):
        await AgreedKeys(MemoryKeys(), other).agree(NOW)


async def test_a_store_that_is_down_says_nothing() -> None:
    """Then nothing is believed that was not known, and nothing forgotten that was."""

    class Down(MemoryStore):
        async def peek(self, key: bytes, now: int) -> bytes | None:
            raise StoreUnavailable("down")

    keys = AgreedKeys(MemoryKeys(), Down())
    with pytest.raises(StoreUnavailable):
        await keys.agree(NOW)
    assert is_asked(token_of(MemoryKeys()), keys.ring())


async def test_what_is_written_is_no_key() -> None:
    """A digest tells keys apart and gives none away."""
    store = MemoryStore()
    keys = AgreedKeys(MemoryKeys(), store)
    await keys.agree(NOW)
    written = await store.peek(b"demur.keys", NOW)
    assert written is not None
    key = keys.ring().current
    assert fingerprint(key).encode() in written
    assert key.secret.hex().encode() not in written
    assert fingerprint(key) != fingerprint(MemoryKeys().ring().current)


async def test_a_ring_is_judged_once(tmp_path: Path) -> None:
    """As long as the ring is the same, what is given is, too: the check asks for it with every cookie."""
    keys = AgreedKeys(FileKeys(tmp_path), MemoryStore())
    await keys.agree(NOW)
    assert keys.ring() is keys.ring()


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"a": 1}', b'{"a": ["b", 1]}', b'{"0": ["b", "c"]}', b"\xff"])
async def test_what_cannot_be_read_was_never_said(value: bytes) -> None:
    """What stands in its place is replaced."""
    store = MemoryStore()
    await store.put(b"demur.keys", value, NOW + 100)
    await AgreedKeys(MemoryKeys(), store).agree(NOW)
    with pytest.raises(KeysDiffer):
        await AgreedKeys(MemoryKeys(), store).agree(NOW)
