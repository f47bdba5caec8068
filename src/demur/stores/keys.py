"""The key ring, in files or in memory.

- One file a key, written whole and then given its name, once: of several processes that start together, one makes
  the first key and all use it.
- A key that was there is never made anew: a file that cannot be read, or a directory that has become empty, is
  `StoreUnavailable`. A new key in its place would call every cookie forged.
- The file with the highest number is the newest key. Its id is that number modulo 256.
- A key goes 30 days after its successor came: as long as tombstones live.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demur.core.model import Key, KeyRing, StoreUnavailable
from demur.core.sessions import TOMBSTONES_LAST

if TYPE_CHECKING:
    from collections.abc import Collection

_SECRET = 32
_IDS = 256
_NAME = re.compile(r"([0-9]{6})\.key")
_FRESH = 1.0
"""For how many seconds a ring is used before the directory is looked at again. A token made with a key that is not
known yet is looked up in the store like any other, so nothing hangs on it."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A key, its number in the row of all keys, and the second at which it was put in front (0 for the first)."""

    number: int
    secret: bytes
    at: int

    @property
    def key(self) -> Key:
        return Key(self.number % _IDS, self.secret, self.at)


def _ring(made: list[_Made]) -> KeyRing:
    return KeyRing(tuple(one.key for one in sorted(made, key=lambda one: -one.number)))


def _retired(made: list[_Made], now: int) -> list[_Made]:
    ordered = sorted(made, key=lambda one: one.number)
    return [old for old, successor in itertools.pairwise(ordered) if successor.at + TOMBSTONES_LAST <= now]


class MemoryKeys:
    """A ring that lasts as long as the process; for tests, and beside a memory store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made = [_Made(0, secrets.token_bytes(_SECRET), 0)]

    def ring(self) -> KeyRing:
        """See `Keys.ring`."""
        return _ring(self._made)

    def rotate(self, now: int) -> KeyRing:
        """See `Keys.rotate`."""
        with self._lock:
            newest = max(one.number for one in self._made)
            made = [*self._made, _Made(newest + 1, secrets.token_bytes(_SECRET), now)]
            gone = _retired(made, now)
            self._made = [one for one in made if one not in gone][-_IDS:]
        return self.ring()

    async def agree(self, now: int) -> None:
        """See `Keys.agree`: nobody else has these."""


class FileKeys:
    """A ring in a directory of its own, shared by all processes that are given the same directory.

    The directory is made with mode 0700 and each file with 0600. Nothing is read before the first call.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory).absolute()
        self._held: KeyRing | None = None
        self._look_at = 0.0

    def ring(self) -> KeyRing:
        """See `Keys.ring`."""
        if self._held and time.monotonic() < self._look_at:
            return self._held
        try:
            self._held = self._load_or_make()
        except OSError as error:
            raise self._unavailable(self._directory, error.strerror or str(error)) from error
        self._look_at = time.monotonic() + _FRESH
        return self._held

    def rotate(self, now: int) -> KeyRing:
        """See `Keys.rotate`. Of several processes that rotate at once one makes the key, and all put it in front."""
        try:
            self._load_or_make()
            made = self._load()
            newest = max(one.number for one in made)
            gone = _retired(made, now)
            if len(made) - len(gone) >= _IDS:
                raise self._unavailable(
                    self._directory, f"holds {_IDS} keys of the last 30 days, and has room for no more"
                )
            self._write(_Made(newest + 1, secrets.token_bytes(_SECRET), now))
            for one in _retired(self._load(), now):
                self._file(one.number).unlink(missing_ok=True)
            self._look_at = 0.0
        except OSError as error:
            raise self._unavailable(self._directory, error.strerror or str(error)) from error
        return self.ring()

    def replace(self, now: int, taken: Collection[int]) -> KeyRing:
        """Have one new key in place of all others, under an id that is not `taken`: what was made with keys that are
        lost is then asked of the store."""
        try:
            made = self._load()
            first = max((one.number for one in made), default=-1) + 1
            number = next((each for each in range(first, first + _IDS) if each % _IDS not in taken), None)
            if number is None:
                raise self._unavailable(self._directory, "cannot have a key whose id nobody has used for 30 days")
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(_Made(number, secrets.token_bytes(_SECRET), now))
            for one in made:
                self._file(one.number).unlink(missing_ok=True)
            self._look_at = 0.0
        except OSError as error:
            raise self._unavailable(self._directory, error.strerror or str(error)) from error
        return self.ring()

    async def agree(self, now: int) -> None:
        """See `Keys.agree`: who has them is for `agreement.AgreedKeys` to find out."""

    def _load_or_make(self) -> KeyRing:
        made = self._load()
        if not made:
            if self._held:
                raise self._unavailable(
                    self._directory, "has lost its keys; put them back, or restart to make new ones"
                )
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(_Made(0, secrets.token_bytes(_SECRET), 0))
            made = self._load()
        return _ring(made)

    def _load(self) -> list[_Made]:
        try:
            names = [path.name for path in self._directory.iterdir()]
        except FileNotFoundError:
            return []
        return [self._read(name) for name in names if _NAME.fullmatch(name)]

    def _read(self, name: str) -> _Made:
        path = self._directory / name
        try:
            content = json.loads(path.read_bytes())
            secret, at = bytes.fromhex(content["secret"]), content["at"]
        except OSError as error:
            raise self._unavailable(path, error.strerror or str(error)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._unavailable(path, "is not a key; restore it from a backup") from error
        if len(secret) != _SECRET or type(at) is not int:
            raise self._unavailable(path, "is not a key; restore it from a backup")
        return _Made(int(name[:6]), secret, at)

    def _write(self, made: _Made) -> None:
        """Give a whole file its name, unless another process was first; then its key is as good as ours."""
        draft = self._directory / f".{os.getpid()}-{secrets.token_hex(8)}"
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps({"secret": made.secret.hex(), "at": made.at}).encode())
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, self._file(made.number))
        finally:
            draft.unlink(missing_ok=True)
        self._settle()

    def _settle(self) -> None:
        """Make the new name as durable as the file: cookies will be made with this key."""
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _file(self, number: int) -> Path:
        return self._directory / f"{number:06}.key"

    def _unavailable(self, place: Path, what: str) -> StoreUnavailable:
        return StoreUnavailable(f"keys: {place}: {what}")
