"""How changes are said to the scripts, and what their answers mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demur.core.model import End, Ended, Live, Rotate, Touch, Unknown
from demur.stores.redis import codec

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from demur.core.model import Change
    from demur.stores.redis.wire import Word


def found(keys: Sequence[bytes], answer: list[bytes | None]) -> dict[bytes, Live | Ended | Unknown]:
    """What the script that loads says of these ids."""
    if answer[0] != keys[0][: codec.HALF]:
        raise ValueError("that is the answer to another question")
    rows = iter(answer[1:])
    return {key: _evidence(key, row, who) for key, row, who in zip(keys, rows, rows, strict=True)}


def _evidence(key: bytes, row: bytes | None, who: bytes | None) -> Live | Ended | Unknown:
    if row is None or codec.rest_of_id(row) != key[codec.HALF :]:
        return Unknown()
    if not codec.is_live(row):
        return codec.read_tombstone(row)
    if who is None:
        raise ValueError("a session without a person")
    return Live(codec.read_session(key[: codec.HALF], row)[0], codec.read_snapshot(who))


def value(row: bytes | None, now: int) -> bytes | None:
    """A value whose time is not over."""
    given, until = codec.read_value(row) if row is not None else (None, 0)
    return given if now < until else None


def words(change: Change, used: Collection[bytes] = ()) -> tuple[Word, ...]:
    """How a change is said to the script; `used` are ids that are known to be used in another bucket."""
    half, rest = change.session[: codec.HALF], change.session[codec.HALF :]
    match change:
        case Touch(at=at):
            return "t", half, rest, codec.double(at), "", ""
        case End(how=how, actor=actor, at=at):
            return "e", half, rest, codec.head(how, actor, at), "", ""
        case Rotate(new=new, at=at):
            letter = "x" if new.id in used else "r"
            return letter, half, rest, codec.replaced(at), new.id[: codec.HALF], codec.session(new)


def effects(done: Any) -> list[bool]:  # noqa: ANN401 - what the script returned
    """Which changes took effect. Raises ValueError if they contradict what is there."""
    if done == -1:
        raise ValueError("a session goes on as the same person's")
    if done == -2:
        raise ValueError("a session id is used once")
    return [effect == 1 for effect in done]
