"""How the tables in PostgreSQL come to be and grow, and what is said if they cannot be used."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.servers.postgres import PASSWORD, Server, certificate
from tests.stores.life import live

from demur import stores
from demur.core.model import ConfigError, Live, StoreUnavailable, Touch, Unknown
from demur.stores.postgres import schema
from demur.stores.postgres.line import Failed, open_line
from demur.stores.postgres.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.stores.conftest import Make

    from demur.core.ports import Store

pytestmark = pytest.mark.postgres

NOW = 1_800_000_000
DAY = 86400


@pytest.fixture(scope="module")
def server(postgres_template: Path) -> Iterator[Server]:
    """One that may be stopped and paused."""
    with Server(template=postgres_template) as made:
        yield made


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    """An empty store on the server of all tests."""
    opened = stores.open(postgres_url)
    yield opened
    await opened.aclose()


async def one(store: Store, key: bytes) -> object:
    return (await store.load([key]))[0]


async def works(store: Store, within: float = 5.0) -> None:
    """Wait until it does."""
    async with asyncio.timeout(within):
        while True:
            try:
                return await store.check()
            except StoreUnavailable:
                await asyncio.sleep(0.02)


# --- the tables -----------------------------------------------------------------------------------


async def test_many_nodes_make_the_tables_at_once(postgres_url: str, make: Make) -> None:
    """One of them does, the others wait, and nobody fails."""
    nodes = [stores.open(postgres_url) for _ in range(10)]
    await asyncio.gather(*map(works, nodes))
    await nodes[0].issue(make.session(), make.subject())
    assert [await one(node, make.id(1)) for node in nodes] == [make.live(1)] * 10
    await asyncio.gather(*(node.aclose() for node in nodes))


async def test_the_tables_of_the_next_version_are_used(postgres: Server, store: Store, make: Make) -> None:
    """Nodes are upgraded one by one: the next version may have been here first, and what it added can be left out."""
    await store.check()
    await store.aclose()
    postgres.sql(
        f"ALTER TABLE {SCHEMA}.session ADD COLUMN colour text, ADD COLUMN weight integer NOT NULL DEFAULT 7",
        f"ALTER TABLE {SCHEMA}.person ADD COLUMN nickname text NOT NULL DEFAULT ''",
        f"CREATE TABLE {SCHEMA}.novelty (number integer)",
        f"CREATE INDEX ON {SCHEMA}.session (colour)",
        f"UPDATE {SCHEMA}.meta SET version = {schema.VERSION + 1}",
    )
    await live(store, make)
    assert postgres.sql(f"SELECT version FROM {SCHEMA}.meta") == [(schema.VERSION + 1,)]


async def test_tables_that_are_too_new_are_left_alone(postgres: Server, store: Store, make: Make) -> None:
    """And it is said what to do."""
    await store.check()
    await store.aclose()
    postgres.sql(f"UPDATE {SCHEMA}.meta SET version = {schema.VERSION + 2}")
    with pytest.raises(StoreUnavailable, match=f"version {schema.VERSION + 2}, made by a newer demur.*Run the newer"):
        await store.load([make.id(1)])


async def test_older_tables_are_moved_on_by_one_node(
    postgres: Server, postgres_url: str, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    """With what is in them, while others wait, and while a node of the version before works on."""
    before = stores.open(postgres_url)
    await before.issue(make.session(), make.subject())
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, f"CREATE TABLE {SCHEMA}.novelty (number integer)"))
    monkeypatch.setattr(schema, "VERSION", 2)
    nodes = [stores.open(postgres_url) for _ in range(5)]
    await asyncio.gather(*map(works, nodes))
    assert await one(nodes[0], make.id(1)) == await one(before, make.id(1)) == make.live(1)
    assert postgres.sql(f"SELECT version FROM {SCHEMA}.meta") == [(2,)]
    await asyncio.gather(*(node.aclose() for node in (*nodes, before)))


async def test_a_migration_that_fails_changes_nothing(
    postgres: Server, store: Store, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    """And it is tried again."""
    await store.issue(make.session(), make.subject())
    await store.aclose()
    steps = schema.STEPS
    monkeypatch.setattr(schema, "STEPS", (*steps, f"CREATE TABLE {SCHEMA}.novelty (n int); SELECT 1 / 0"))
    monkeypatch.setattr(schema, "VERSION", 2)
    with pytest.raises(StoreUnavailable, match="division by zero"):
        await store.check()
    assert postgres.sql(f"SELECT version, to_regclass('{SCHEMA}.novelty') FROM {SCHEMA}.meta") == [(1, None)]
    monkeypatch.setattr(schema, "STEPS", (*steps, f"CREATE TABLE {SCHEMA}.novelty (n int)"))
    assert await one(store, make.id(1)) == make.live(1)


@pytest.mark.parametrize("how", ["gone", "empty"])
async def test_another_database_is_not_taken_for_ours(postgres: Server, store: Store, make: Make, how: str) -> None:
    """A session is not unknown because its table has vanished, or an empty one lies in its place."""
    await store.issue(make.session(), make.subject())
    postgres.sql(f"DROP SCHEMA {SCHEMA} CASCADE")
    if how == "empty":
        other = stores.open(postgres.url())
        await other.check()
        await other.aclose()
    with pytest.raises(StoreUnavailable, match=r"put it back|put them back"):
        await store.load([make.id(1)])
    with pytest.raises(StoreUnavailable):
        await store.check()


async def test_tables_beside_others(postgres: Server, store: Store, make: Make) -> None:
    """Somebody else's tables of the same names are not in the way, whatever the search path."""
    postgres.sql("CREATE TABLE public.session (x int)", "CREATE TABLE public.person (x int)")
    try:
        await live(store, make)
    finally:
        postgres.sql("DROP TABLE public.session", "DROP TABLE public.person")


async def test_a_session_takes_less_than_300_bytes(postgres: Server, store: Store, make: Make) -> None:
    """Row, indexes and the room between them; persons apart. A touch adds nothing: it stays on its page."""
    people = [make.subject(f"01890a5d-ac96-774b-bcce-b302099{number:05}") for number in range(1000)]
    kept = [Live(make.session(n, people[n % 1000].id), people[n % 1000]) for n in range(10_000)]
    for start in range(0, len(kept), 500):
        await store.adopt(kept[start : start + 500])
    seen = Random(5).sample(range(len(kept)), len(kept))  # people are not seen in the order in which they signed in
    for start in range(0, len(kept), 500):
        await store.apply([Touch(make.id(n), NOW + 600) for n in seen[start : start + 500]])
    ((size,),) = postgres.sql(f"SELECT pg_total_relation_size('{SCHEMA}.session')")
    assert isinstance(size, int)
    assert size / len(kept) < 300


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (lambda server: server.tcp(password="wrong one"), "password authentication failed.*pgpass"),
        (lambda server: server.tcp(password=None), "no password supplied.*pgpass"),
        (lambda server: server.tcp("nothing"), 'database "nothing" does not exist.*createdb --owner'),
        (lambda server: server.tcp(port=1), "refused.*Is PostgreSQL running there"),
        (lambda server: "postgresql:///x?host=/nowhere", "No such file.*Is PostgreSQL running there"),
        (lambda server: "postgresql://no.such.host.invalid/x", 'no address for "no.such.host.invalid"'),
        (lambda server: server.url(role="guest"), f'"guest" may not make the tables.*CREATE SCHEMA .*{SCHEMA}'),
        (lambda server: server.tcp(more="sslmode=require"), "does not support SSL.*Turn on ssl"),
        (lambda server: server.url(more="&service=nowhere"), "definition of service"),
    ],
)
async def test_what_is_wrong_is_said_with_what_helps(
    server: Server, monkeypatch: pytest.MonkeyPatch, make: Make, url: Callable[[Server], str], says: str
) -> None:
    """Each names the place and the fix, and never a password."""
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    server.sql("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")
    store = stores.open(url(server))
    with pytest.raises(StoreUnavailable, match=f"(?s)sessions: PostgreSQL at .*{says}") as unavailable:
        await load_in_time(store, make.id(1))
    for secret in ("wrong one", "wrong%20one", PASSWORD, PASSWORD.replace(" ", "%20")):
        assert secret not in unavailable.value.cause
    await store.aclose()


async def load_in_time(store: Store, key: bytes) -> None:
    """A name server may take its time."""
    for _ in range(3):
        try:
            await store.load([key])
        except StoreUnavailable as error:
            if "no answer" not in str(error):
                raise


async def test_a_password_may_be_in_a_file(server: Server, tmp_path: Path, make: Make) -> None:
    """libpq's own ways, so that a URL has no secret in it."""
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:*:*:demur:{PASSWORD}\n")
    file.chmod(0o600)
    store = stores.open(server.tcp(password=None, more=f"passfile={file}"))
    assert await one(store, make.id(1)) == Unknown()
    await store.aclose()
    server.empty("demur")


@pytest.mark.parametrize("expired", [False, True])
async def test_tls(postgres_template: Path, tmp_path: Path, make: Make, expired: bool) -> None:
    """As libpq does it: the certificate is looked at if the URL says so."""
    paths = certificate(tmp_path, expired=expired)
    with Server(template=postgres_template, tls=paths) as server:
        store = stores.open(server.tcp(more=f"sslmode=verify-full&sslrootcert={paths[0]}"))
        if expired:
            with pytest.raises(StoreUnavailable, match="certificate"):
                await store.check()
        else:
            await live(store, make)
        await store.aclose()


@pytest.mark.parametrize(
    "url", ["postgresql://role:sec%ret@host/x", "postgresql://host/x?sec=ret", "postgresql://role:sec:ret@[host/x"]
)
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    """It may have a password in it; how to write it is said."""
    with pytest.raises(ConfigError, match=r"PostgreSQL understands.*postgresql://ROLE@HOST") as wrong:
        stores.open(url)
    assert "role:sec" not in str(wrong.value)
    assert "sec%ret" not in str(wrong.value)


async def test_a_statement_that_fails_leaves_the_connection(postgres: Server) -> None:
    """And the next one is answered."""
    line = await open_line(postgres.url().encode())
    with pytest.raises(Failed, match="division by zero") as failed:
        await line.ask("SELECT 1 / $1::int", 0)
    assert failed.value.state == "22012"
    assert await line.ask("SELECT 1 / $1::int", 1) == [(1,)]
    assert await line.ask("SELECT $1::bytea[], $2::text[], $3::bigint[]", [], ["é", ""], [-1, 2**40]) == [
        ([], ["é", ""], [-1, 2**40])
    ]
    line.close()
