"""Any sequence of anything has the same outcome in the file as in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from demur import stores
from demur.core.model import Actor, Change, End, Ending, Rotate, Session, Subject, Touch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from demur.core.model import Kind
    from demur.core.ports import Store

SEQUENCES = int(os.environ.get("DEMUR_SEQUENCES", "150"))
"""How many the long run makes up; `make nightly` sets more."""
NOW = 1_800_000_000
DAY = 86400

people = st.sampled_from(["alice", "bob", "0199c0de-0000-7000-8000-00000000000a"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
subjects = st.builds(
    Subject,
    id=people,
    name=texts,
    groups=st.frozensets(texts, max_size=3),
    grants=st.lists(st.tuples(texts, st.integers(0, 2**33)), max_size=2).map(tuple),
    suspended=st.booleans(),
    version=st.integers(1, 5),
    display_name=texts,
    email=texts,
)
moments = st.integers(0, 40).map(lambda hours: NOW + hours * 1800)
lives = st.fixed_dictionaries(
    {
        "idle": st.sampled_from([0, 600, 3600, 2 * DAY]),
        "lasts": st.sampled_from([900, 3600, DAY, 40 * DAY]),
        "acr": st.sampled_from(["pwd", "phr", "é"]),
        "persistent": st.booleans(),
        "device": texts,
        "network": texts,
        "kind": st.sampled_from(["session", "token"]),
        "scopes": st.none() | st.lists(texts, max_size=2).map(tuple),
        "label": texts,
    }
)
kinds = st.sampled_from(["session", "token"])
keys = st.sampled_from([b"", b"a", b"\x00\xff", b"k" * 100])


class Stores(RuleBasedStateMachine):
    """The memory store is the model; the file must never differ from it."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "sessions.db"
        self.memory, self.file = stores.open("memory:"), stores.open(f"sqlite:{path}")
        self.whose: dict[bytes, str] = {}

    def teardown(self) -> None:
        self.loop.run_until_complete(self.file.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.directory.cleanup()

    def both(self, ask: Callable[[Store], Coroutine[Any, Any, object]]) -> Any:
        """Ask both the same; both answer the same, or refuse in the same words."""
        return self.each(ask)[0]

    def each(self, *asked: Callable[[Store], Coroutine[Any, Any, object]]) -> list[Any]:
        """The same for several questions."""
        answers = [self.loop.run_until_complete(_answers(store, asked)) for store in (self.memory, self.file)]
        assert answers[0] == answers[1]
        return answers[0]

    def session(self, subject: str, at: int, life: dict[str, Any]) -> Session:
        key = hashlib.sha256(b"%d" % len(self.whose)).digest()
        self.whose[key] = subject
        lasts, rest = life["lasts"], {name: value for name, value in life.items() if name != "lasts"}
        return Session(key, subject, at, at, at, at + lasts, **rest)

    @initialize(target=ids)
    def nobody(self) -> Any:
        return multiple(b"n" * 32, b"")

    @rule(target=ids, subject=subjects, at=moments, life=lives)
    def issue(self, subject: Subject, at: int, life: dict[str, Any]) -> bytes:
        session = self.session(subject.id, at, life)
        self.both(lambda store: store.issue(session, subject))
        return session.id

    @rule(key=ids, subject=subjects, at=moments)
    def issue_again(self, key: bytes, subject: Subject, at: int) -> None:
        session = Session(key, subject.id, at, at, at, at + DAY, 3600)
        if key in self.whose:
            self.both(lambda store: store.issue(session, subject))

    @rule(changed=st.lists(st.tuples(ids, moments), max_size=4))
    def touch(self, changed: list[tuple[bytes, int]]) -> None:
        self.both(lambda store: store.apply([Touch(key, at) for key, at in changed]))

    @rule(target=ids, key=ids, at=moments, life=lives)
    def rotate(self, key: bytes, at: int, life: dict[str, Any]) -> bytes:
        session = self.session(self.whose.get(key, "alice"), at, life)
        self.both(lambda store: store.apply([Rotate(key, session, at)]))
        return session.id

    @rule(key=ids, other=ids, whose=people, at=moments, touched=ids)
    def rotate_wrongly(self, key: bytes, other: bytes, whose: str, at: int, touched: bytes) -> None:
        new = Session(other, whose, at, at, at, at + DAY, 3600)
        if other in self.whose and len(other) == 32:
            self.both(lambda store: store.apply([Touch(touched, at), Rotate(key, new, at)]))

    @rule(key=ids, how=st.sampled_from(Ending), actor=st.sampled_from(Actor), at=moments, again=ids)
    def end(self, key: bytes, how: Ending, actor: Actor, at: int, again: bytes) -> None:
        changes: list[Change] = [End(key, how, actor, at), Touch(key, at), End(again, how, actor, at + 1)]
        self.both(lambda store: store.apply(changes))

    @rule(
        subject=st.none() | people | st.just("nobody"),
        how=st.sampled_from(Ending),
        at=moments,
        keep=st.none() | ids,
        kind=kinds,
    )
    def end_all(self, subject: str | None, how: Ending, at: int, keep: bytes | None, kind: Kind) -> None:
        self.both(lambda store: store.end_all(subject, how, Actor.ADMINISTRATOR, at, keep=keep, kind=kind))

    @rule(subject=subjects)
    def publish(self, subject: Subject) -> None:
        self.both(lambda store: store.publish(subject))

    @rule(at=moments | st.integers(0, 80).map(lambda days: NOW + days * DAY))
    def sweep(self, at: int) -> None:
        self.both(lambda store: store.sweep(at))

    @rule(key=keys, value=st.binary(max_size=8), until=moments)
    def put(self, key: bytes, value: bytes, until: int) -> None:
        self.both(lambda store: store.put(key, value, until))

    @rule(key=keys, at=moments)
    def take(self, key: bytes, at: int) -> None:
        self.both(lambda store: store.peek(key, at))
        self.both(lambda store: store.take(key, at))
        self.both(lambda store: store.peek(key, at))

    @rule(key=keys, window=st.sampled_from([1, 60, 3600]), at=moments)
    def hit(self, key: bytes, window: int, at: int) -> None:
        self.both(lambda store: store.hit(key, window, at))
        self.both(lambda store: store.hits(key, at + window - 1))
        self.both(lambda store: store.hits(key, at + window))

    @rule()
    def begin_again(self) -> None:
        self.loop.run_until_complete(self.file.aclose())

    @rule(forgotten=consumes(ids))
    def forget(self, forgotten: bytes) -> None:
        """Leave an id alone from now on."""

    @invariant()
    def the_same_is_known(self) -> None:
        everything = [*self.whose, b"n" * 32]
        self.each(
            lambda store: store.load(everything),
            lambda store: store.load(everything[:1]),
            lambda store: store.sessions(),
            lambda store: store.sessions("alice"),
            lambda store: store.sessions(kind="token"),
        )


async def _answers(store: Store, asked: tuple[Callable[[Store], Coroutine[Any, Any, object]], ...]) -> list[object]:
    found: list[object] = []
    for ask in asked:
        try:
            found.append(await ask(store))
        except ValueError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("examples", [15, pytest.param(SEQUENCES, marks=pytest.mark.slow, id="many")])
def test_any_sequence_has_the_same_outcome(examples: int) -> None:
    """The file never differs from the model."""
    run_state_machine_as_test(
        Stores,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
