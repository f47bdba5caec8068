"""What a program does with a store from day to day, in short: to see that it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.core.model import Actor, End, Ended, Ending, Live, Rotate, Touch, Unknown

if TYPE_CHECKING:
    from tests.stores.conftest import Make

    from demur.core.model import Change
    from demur.core.ports import Store

NOW = 1_800_000_000


async def live(store: Store, make: Make) -> None:
    """Everything that changes anything, once, and that it did."""
    await store.check()
    await store.issue(make.session(1), make.subject())
    await store.issue(make.session(2, "bob"), make.subject("bob"))
    await store.issue(make.token(3), make.subject())
    await store.publish(make.subject("bob", version=2))
    changes: list[Change] = [Touch(make.id(1), NOW + 600), Rotate(make.id(2), make.session(4, "bob"), NOW + 5)]
    assert await store.apply(changes) == [True, True]
    assert await store.load([make.id(n) for n in (1, 2, 3, 4, 9)]) == [
        Live(make.session(1, last_seen=NOW + 600), make.subject()),
        Ended(Ending.REPLACED, NOW + 5, Actor.SYSTEM, "bob"),
        Live(make.token(3), make.subject()),
        Live(make.session(4, "bob"), make.subject("bob", version=2)),
        Unknown(),
    ]
    assert await store.sessions() == [make.session(4, "bob"), make.session(1, last_seen=NOW + 600)]
    assert await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW + 7)]) == [True]
    assert await store.end_all("bob", Ending.REVOKED, Actor.ADMINISTRATOR, NOW + 8) == 1
    await store.put(b"key", b"value", NOW + 10)
    assert await store.take(b"key", NOW) == b"value"
    assert (await store.hit(b"key", 10, NOW)).count == 1
    kept, _ = await store.each()
    assert await store.adopt(kept) == 0
    await store.freeze()
    await store.freeze(frozen=False)
    assert await store.sweep(NOW + 86400) == 2
