"""What is PostgreSQL's own about the accounts: many nodes, a server that goes and comes, and what is said of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from tests.noise import NOISE
from tests.servers.postgres import Server

from demur import accounts
from demur.accounts import schema
from demur.accounts.database import Database
from demur.accounts.people import New
from demur.accounts.postgres import SCHEMA, PostgresDatabase
from demur.core.model import ConfigError, Ending, StoreUnavailable, Subject
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

pytestmark = pytest.mark.postgres


def nothing(connection: Connection) -> None:
    """A job that does nothing."""


@pytest.fixture(scope="module")
def server(postgres_template: Path) -> Iterator[Server]:
    """One that may be stopped."""
    with Server(template=postgres_template) as made:
        yield made


async def test_migrations_lead_to_the_tables(postgres_url: str) -> None:
    """What the migrations make is what the program reads and writes."""

    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        return list(compare_metadata(context, schema.metadata))

    made = PostgresDatabase(postgres_url)
    assert await made.read(compare) == []
    await made.aclose()


async def test_many_nodes_open_it_at_once(postgres_url: str) -> None:
    """Whoever comes first makes the tables; the others wait and find them."""
    many = [PostgresDatabase(postgres_url) for _ in range(10)]
    await asyncio.gather(*(one.write(nothing, long=True) for one in many))
    await asyncio.gather(*(one.aclose() for one in many))


@pytest.mark.parametrize(("version", "runs"), [("0002", True), ("0003", False)])
async def test_tables_of_the_next_version_are_used(
    postgres: Server, postgres_url: str, version: str, runs: bool
) -> None:
    """Nodes are upgraded one by one: the next version may have been here first; the one after it is too new."""
    made = PostgresDatabase(postgres_url)
    await made.write(nothing)
    await made.aclose()
    postgres.sql(
        f"UPDATE {SCHEMA}.{schema.VERSION_TABLE} SET version_num = '{version}'",
        f"ALTER TABLE {SCHEMA}.person ADD COLUMN nickname text NOT NULL DEFAULT ''",
    )
    people = accounts.open(postgres_url)
    if runs:
        await people.add(New("alice"), by="test")
        assert (await people.get("alice")).name == "alice"
    else:
        with pytest.raises(StoreUnavailable, match=r"newer demur \(schema 0003"):
            await people.everybody()
    await people.aclose()


class Slow(MemoryStore):
    """A store that notes what it was told, and gives way while it is."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int] = []

    async def publish(self, subject: Subject) -> None:
        """See `Store.publish`."""
        await asyncio.sleep(0)
        self.told.append(subject.version)
        await super().publish(subject)


async def test_many_nodes_deliver_at_once(postgres_url: str) -> None:
    """Everything is told, each version after the one before it, however many tell it."""
    store = Slow()
    alone = accounts.open(postgres_url)
    await alone.add(New("alice"), by="test")
    for number in range(20):
        await alone.set_groups("alice", add=[f"g{number}"], by="test")
    assert await alone.pending() == 20
    nodes = [accounts.open(postgres_url, store) for _ in range(4)]
    await asyncio.gather(*(node.deliver() for node in nodes))
    assert await alone.pending() == 0
    assert set(store.told) == set(range(2, 22))
    first = [store.told.index(version) for version in range(2, 22)]
    assert first == sorted(first)
    await asyncio.gather(*(node.aclose() for node in (*nodes, alone)))


async def test_an_end_is_not_told_again_by_a_node_that_was_late(postgres_url: str) -> None:
    """Somebody who has signed in again since is not signed out by what another node has told already."""
    ended: list[Ending] = []

    class Late(MemoryStore):
        async def publish(self, subject: Subject) -> None:
            if subject.version == 2:
                await other.deliver()
            await super().publish(subject)

        async def end_all(self, *args: object, **more: object) -> int:
            ended.append(Ending.REVOKED)
            return await super().end_all(*args, **more)  # type: ignore[arg-type]

    alone = accounts.open(postgres_url)
    await alone.add(New("alice"), by="test")
    await alone.disable("alice", by="test")
    other = accounts.open(postgres_url, MemoryStore())
    late = accounts.open(postgres_url, Late())
    await late.deliver()
    assert ended == []
    await asyncio.gather(*(node.aclose() for node in (alone, other, late)))


async def test_a_restart_is_not_noticed(server: Server) -> None:
    """A connection that was open before is not taken for a failure."""
    made = PostgresDatabase(server.url())
    await made.write(nothing)
    await made.read(nothing)
    server.restart()
    await made.read(nothing)
    server.restart()
    await made.write(nothing)
    await made.aclose()


async def test_a_server_that_does_not_answer_is_our_failure_soon(server: Server) -> None:
    """Every call ends, also those that come after all threads wait, and none of them waits for ever."""
    made = PostgresDatabase(server.url())
    await made.write(nothing)
    server.pause()
    begun = time.monotonic()
    asked = await asyncio.gather(*(made.read(work) for _ in range(8)), return_exceptions=True)
    assert time.monotonic() - begun < 1.5 + NOISE
    assert {type(each) for each in asked} == {StoreUnavailable}
    assert "no answer within" in str(asked[0])
    server.resume()
    async with asyncio.timeout(20):
        while True:
            try:
                await made.read(work)
                break
            except StoreUnavailable:
                await asyncio.sleep(0.05)
    await made.aclose()


def work(connection: Connection) -> None:
    """Something to ask."""
    connection.exec_driver_sql("SELECT 1")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (lambda server: server.tcp(password="wrong"), "password authentication failed.*pgpass"),
        (lambda server: server.tcp(password=None), "no password supplied.*pgpass"),
        (lambda server: server.tcp("nothing"), 'database "nothing" does not exist.*createdb'),
        (lambda server: server.tcp(role="nobody"), "password authentication failed"),
        (lambda server: server.tcp(port=1), "refused.*Is PostgreSQL running there"),
        (lambda server: server.url(role="guest"), f"permission denied for database demur.*CREATE SCHEMA {SCHEMA}"),
    ],
)
async def test_what_is_wrong_is_said_with_what_helps(
    server: Server, monkeypatch: pytest.MonkeyPatch, url: object, says: str
) -> None:
    """Each names the place and the fix, and never a password."""
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    server.sql("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN", f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    made = PostgresDatabase(url(server))  # type: ignore[operator]
    with pytest.raises(StoreUnavailable, match=f"accounts: PostgreSQL at .*{says}") as unavailable:
        await made.write(nothing)
    for secret in ("wrong", "kept"):
        assert secret not in unavailable.value.cause.replace("The role or its password is wrong", "")
    await made.aclose()


def test_a_url_that_is_none_is_not_repeated() -> None:
    """It may have a password in it."""
    with pytest.raises(ConfigError, match="PostgreSQL understands") as wrong:
        accounts.open("postgresql://role:sec%ret@host/x")
    assert "sec" not in str(wrong.value)


def test_other_databases_are_files() -> None:
    """What is not PostgreSQL is as it was."""
    assert type(accounts.database_of("sqlite:x.db")) is Database
