"""What the guide to PostgreSQL says can be used as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.servers.postgres import PASSWORD, ROLE

from demur import accounts, stores

if TYPE_CHECKING:
    from tests.servers.postgres import Server

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "postgresql.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


async def use(url: str) -> None:
    """Sessions and people, at one address."""
    store, people = stores.open(url), accounts.open(url)
    try:
        await store.check()
        await people.check()
    finally:
        await store.aclose()
        await people.aclose()


def test_every_configuration_names_a_store() -> None:
    """And none of them is opened by that."""
    tables = [tomllib.loads(block) for block in blocks("toml")]
    assert len(tables) == 2
    for table in tables:
        stores.open(table["sessions"]["store"])
    accounts.open(tables[0]["accounts"]["database"])


@pytest.mark.postgres
async def test_the_owner_of_a_database_gives_what_is_needed(postgres: Server) -> None:
    """That, and nothing else: the role is not the owner."""
    (block,) = blocks("sql")
    postgres.sql("CREATE DATABASE shop", database="postgres")
    try:
        postgres.sql("REVOKE ALL ON DATABASE shop FROM PUBLIC", database="shop")
        postgres.sql(*(statement for statement in block.split(";") if statement.strip()), database="shop")
        await use(postgres.url("shop"))
    finally:
        postgres.drop("shop")


@pytest.mark.postgres
@pytest.mark.parametrize("way", ["passfile", "PGPASSFILE", "PGPASSWORD", "service"])
async def test_every_place_for_a_password_works(
    postgres: Server, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """As the table says."""
    assert f"`{way}" in PAGE or f"?{way}=" in PAGE
    assert postgres_url  # what is made there goes with it
    url = postgres.tcp(password=None)
    if way == "PGPASSWORD":
        monkeypatch.setenv(way, PASSWORD)
    elif way == "service":
        file = tmp_path / "pg_service.conf"
        words = {"host": "127.0.0.1", "port": postgres.port, "dbname": ROLE, "user": ROLE, "password": PASSWORD}
        file.write_text("[demur]\n" + "".join(f"{key}={word}\n" for key, word in words.items()))
        monkeypatch.setenv("PGSERVICEFILE", str(file))
        url = "postgresql://?service=demur"
    else:
        file = tmp_path / "pgpass"
        file.write_text(f"127.0.0.1:{postgres.port}:{ROLE}:{ROLE}:{PASSWORD}\n")
        file.chmod(0o600)
        if way == "passfile":
            url += f"?passfile={file}"
        else:
            monkeypatch.setenv(way, str(file))
    await use(url)
