"""What the guide to Redis says can be used as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from tests.servers.redis import Server

from demur import stores
from demur.stores.redis import where

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "redis.md").read_text()
FILL = {"HOST": "h", "PORT": "1", "DB": "2", "NAME": "n"}


BLOCKS = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_every_configuration_names_a_store() -> None:
    """And none of them is opened by that."""
    urls = [tomllib.loads(block)["sessions"]["store"] for block in BLOCKS]
    assert len(urls) == 2
    for url in urls:
        stores.open(url)


def test_every_form_of_a_url_is_one() -> None:
    """With each word filled in."""
    forms = re.findall(r"^\| `(redis.*?://.*?)` \|", PAGE, re.MULTILINE)
    assert len(forms) == 5
    for form in forms:
        where.read(re.sub("HOST|PORT|DB|NAME", lambda word: FILL[word[0]], form))


def test_every_option_is_there() -> None:
    """Those that there are, and no others."""
    rows = re.findall(r"^\| (`\w+=.*?`) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)=", row)}
    assert named == set(where.OPTIONS) - {"db"}


@pytest.mark.redis
def test_a_server_takes_every_setting() -> None:
    """As they are written."""
    lines = re.findall(r"^((?:maxmemory|append|min-replicas)\S*) (\S+)$", PAGE, re.MULTILINE)
    assert len(lines) == 4
    with Server(settings=dict(lines)) as server:
        assert server.say("CONFIG", "GET", "appendonly") == [b"appendonly", b"yes"]
