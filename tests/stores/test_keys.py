"""The key ring, in files and in memory."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from demur.core.model import StoreUnavailable
from demur.stores.keys import FileKeys, MemoryKeys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demur.core.ports import Keys

NOW = 1_800_000_000
MONTH = 30 * 86400

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory that is not there yet."""
    return tmp_path / "state" / "keys"


@pytest.fixture(params=["memory", "files"])
def keys(request: pytest.FixtureRequest, directory: Path) -> Keys:
    """Each kind of ring."""
    return MemoryKeys() if request.param == "memory" else FileKeys(directory)


def test_the_first_ring_has_one_key(keys: Keys) -> None:
    """It is made when it is asked for, has 32 bytes, and stays."""
    ring = keys.ring()
    assert [(key.id, len(key.secret)) for key in ring.keys] == [(0, 32)]
    assert keys.ring() == ring


def test_a_new_key_goes_in_front(keys: Keys) -> None:
    """The old ones stay, newest first."""
    first = keys.ring().current
    second = keys.rotate(NOW).current
    ring = keys.rotate(NOW + 1)
    assert ring == keys.ring()
    assert [key.id for key in ring.keys] == [2, 1, 0]
    assert ring.keys[1:] == (second, first)
    assert len({key.secret for key in ring.keys}) == 3


def test_a_key_goes_thirty_days_after_its_successor_came(keys: Keys) -> None:
    """However old it is itself: until then it has made tokens."""
    keys.rotate(NOW)
    keys.rotate(NOW + 10)
    assert [key.id for key in keys.rotate(NOW + MONTH - 1).keys] == [3, 2, 1, 0]
    assert [key.id for key in keys.rotate(NOW + MONTH).keys] == [4, 3, 2, 1]
    assert [key.id for key in keys.rotate(NOW + 3 * MONTH).keys] == [5, 4]


def test_ids_begin_again_after_256(directory: Path) -> None:
    """An id is one byte of the token; no two keys of a ring share one."""
    memory = MemoryKeys()
    for turn in range(1, 299):
        memory.rotate(NOW + turn * MONTH)
    assert [key.id for key in memory.rotate(NOW + 299 * MONTH).keys] == [299 % 256, 298 % 256]
    directory.mkdir(parents=True)
    (directory / "000255.key").write_text(json.dumps({"secret": "0" * 64, "at": 0}))
    files = FileKeys(directory)
    assert [key.id for key in files.ring().keys] == [255]
    assert [key.id for key in files.rotate(NOW).keys] == [0, 255]


def test_two_memory_rings_differ() -> None:
    """Each process makes its own."""
    assert MemoryKeys().ring() != MemoryKeys().ring()


def test_nothing_is_made_before_it_is_needed(directory: Path) -> None:
    """Then only its owner can read it, and no draft is left."""
    keys = FileKeys(directory)
    assert not directory.exists()
    keys.ring()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {"000000.key": 0o600}


def test_a_ring_is_shared(directory: Path) -> None:
    """A second start has the same keys; and a secret is never shown."""
    one, other = FileKeys(directory), FileKeys(str(directory))
    assert one.ring() == other.ring()
    ring = one.rotate(NOW)
    assert FileKeys(directory).ring() == ring
    assert ring.current.secret.hex() not in repr(ring)


def test_a_key_of_another_process_is_found(directory: Path) -> None:
    """Its directory is looked at again after a moment."""
    one, other = FileKeys(directory), FileKeys(directory)
    one.ring()
    ring = other.rotate(NOW)
    one._look_at = 0.0
    assert one.ring() == ring


def test_processes_that_start_together_agree(
    directory: Path, in_children: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    """One of them makes the first key, and so with each rotation."""
    first = in_children(8, lambda _: FileKeys(directory).ring())
    assert [len(ring.keys) for ring in first] == [1] * 8
    assert len(set(first)) == 1
    rotated = in_children(8, lambda _: FileKeys(directory).rotate(NOW))
    assert FileKeys(directory).ring() == max(rotated, key=lambda ring: len(ring.keys))
    assert first[0].current == FileKeys(directory).ring().keys[-1]


def test_others_files_are_left_alone(directory: Path) -> None:
    """A draft of a process that died, or a note, is no key."""
    directory.mkdir(parents=True)
    (directory / ".123-draft").write_text("half a k")
    (directory / "README").write_text("do not delete")
    keys = FileKeys(directory)
    assert len(keys.ring().keys) == 1
    assert len(keys.rotate(NOW).keys) == 2
    assert (directory / "README").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"secret": "00", "at": 0}',
        b'{"secret": 5, "at": 0}',
        b'{"secret": "' + b"z" * 64 + b'", "at": 0}',
        b'{"secret": "' + b"0" * 64 + b'", "at": "now"}',
    ],
)
@pytest.mark.parametrize("started", [False, True], ids=["at the start", "later"])
def test_a_garbled_key_is_unavailable(directory: Path, content: bytes, started: bool) -> None:
    """Never a new key in its place: the file stays as it is, and when it is mended the ring is as before."""
    keys = FileKeys(directory)
    ring = keys.rotate(NOW)
    path = directory / "000001.key"
    before = path.read_bytes()
    path.write_bytes(content)
    if started:
        keys._look_at = 0.0
    else:
        keys = FileKeys(directory)
    for ask in (keys.ring, lambda: keys.rotate(NOW + 1), lambda: keys.rotate(NOW + 9 * MONTH)):
        with pytest.raises(StoreUnavailable, match=r"000001\.key: is not a key"):
            ask()
    assert path.read_bytes() == content
    path.write_bytes(before)
    assert keys.ring() == ring


def test_a_lost_ring_is_unavailable(directory: Path) -> None:
    """Who had keys does not make new ones by itself."""
    keys = FileKeys(directory)
    ring = keys.ring()
    aside = directory.rename(directory.with_name("aside"))
    keys._look_at = 0.0
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="has lost its keys"):
            keys.ring()
    assert not directory.exists()
    aside.rename(directory)
    assert keys.ring() == ring


def test_a_place_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    """The cause names it."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    for place, words in [(blocked, "Not a directory"), (blocked / "keys", "Not a directory")]:
        with pytest.raises(StoreUnavailable, match=words) as caught:
            FileKeys(place).ring()
        assert str(place) in caught.value.cause


def test_a_key_that_may_not_be_read_is_unavailable(
    common: Path, in_child: Callable[[Callable[[], None]], None]
) -> None:
    """Nor is it replaced."""
    common.chmod(0o755)
    FileKeys(common).ring()
    (common / "000000.key").chmod(0o000)

    def read() -> None:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        with pytest.raises(StoreUnavailable, match=r"000000\.key: Permission denied"):
            FileKeys(common).ring()

    in_child(read)


def test_there_is_room_for_256_keys(directory: Path) -> None:
    """Of less than 30 days; then rotating is refused, and the ring stays."""
    directory.mkdir(parents=True)
    for number in range(300, 556):
        content = {"secret": f"{number:064}", "at": NOW}
        (directory / f"{number:06}.key").write_text(json.dumps(content))
    keys = FileKeys(directory)
    ring = keys.ring()
    assert {key.id for key in ring.keys} == set(range(256))
    with pytest.raises(StoreUnavailable, match="256 keys"):
        keys.rotate(NOW)
    assert FileKeys(directory).ring() == ring
