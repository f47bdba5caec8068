"""`demur keys`: what all nodes share."""

import asyncio
import json
import shutil
import time

import pytest

from demur import stores
from demur.core import sessions
from demur.core.model import Lookup, Session, Subject
from demur.stores.keys import FileKeys

CONFIG = '[sessions]\nstore = "sqlite:sessions.db"\nkeys = "{keys}"\n'


@pytest.fixture
def node(write):
    """Write the configuration of a node with keys of its own."""

    def make(name: str):
        return write(CONFIG.format(keys=f"{name}-keys"), f"{name}.toml")

    return make


def test_rotating_puts_a_key_in_front(run, node, folder):
    """Of which every node may see by its digest that it has the same one."""
    one = node("one")
    done = run("keys", "rotate", "--config", str(one))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("Key 1 makes tokens from now on, and signs assertions from 2")
    listed = json.loads(run("keys", "list", "--config", str(one), "--json").stdout)
    assert [(key["id"], key["since"] is None) for key in listed] == [(1, False), (0, True)]
    shutil.copytree(folder / "one-keys", folder / "two-keys")
    assert json.loads(run("keys", "list", "--config", str(node("two")), "--json").stdout) == listed
    secrets = [key.secret.hex() for key in FileKeys(folder / "one-keys").ring().keys]
    said = run("keys", "list", "--config", str(one)).stdout
    assert listed[0]["digest"] in said
    assert not any(secret in said for secret in secrets)


def test_keys_of_its_own_are_told(run, node):
    """By check-config, and by rotating, which would make it worse."""
    one, two = node("one"), node("two")
    assert run("keys", "rotate", "--config", str(one)).exit_code == 0
    run("keys", "list", "--config", str(two))  # makes them
    done = run("keys", "rotate", "--config", str(two))
    assert done.exit_code == 2
    assert "not those of the other nodes" in done.stderr


def test_check_config_looks_and_writes_nothing(run, write, folder):
    """Before a node starts, it is told that its keys are not those of the others."""
    site = '[[site]]\norigin = "http://localhost:8000"\nupstream = "http://127.0.0.1:9"\n'
    site += '[[site.rule]]\npath = "/**"\nallow = "signed-in"\n'
    one = write(CONFIG.format(keys="one-keys") + site, "one.toml")
    two = write(CONFIG.format(keys="two-keys") + site, "two.toml")
    assert run("check-config", "--config", str(two)).exit_code == 0
    assert not (folder / "sessions.db").exists()
    assert not (folder / "two-keys").exists()
    run("keys", "rotate", "--config", str(one))
    assert run("check-config", "--config", str(two)).exit_code == 0, "there are no keys yet that could differ"
    run("keys", "list", "--config", str(two))
    done = run("check-config", "--config", str(two))
    assert done.exit_code == 2
    assert "two.toml:4: error: sessions.keys: the keys here are not those of the other nodes" in done.stdout
    assert "Copy the folder" in done.stdout
    assert run("check-config", "--offline", "--config", str(two)).exit_code == 0


def test_lost_keys_are_replaced_and_nobody_is_signed_out(run, node, folder):
    """A token of a lost key is asked of the store, and is as good as before."""
    one = node("one")
    run("keys", "rotate", "--config", str(one))
    lost = FileKeys(folder / "one-keys").ring()
    tokens = [sessions.mint(bytes((key.id,)) * 32, key) for key in lost.keys]
    now = int(time.time())

    async def keep() -> None:
        store = stores.open(f"sqlite:{folder / 'sessions.db'}")
        for token in tokens:
            session = Session(sessions.identify(token), "bo", now, now, now, now + 900, 600)
            await store.issue(session, Subject("bo", "bo"))
        await store.aclose()

    asyncio.run(keep())
    shutil.rmtree(folder / "one-keys")
    run("keys", "list", "--config", str(one))  # as a start would, new ones are made in their place
    assert run("keys", "rotate", "--config", str(one)).exit_code == 2
    done = run("keys", "replace", "--config", str(one))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("Key 2 is the only one now.")
    ring = FileKeys(folder / "one-keys").ring()
    assert [key.id for key in ring.keys] == [2]
    assert all(isinstance(sessions.read(token.encode(), ring), Lookup) for token in tokens)
    assert run("keys", "rotate", "--config", str(one)).exit_code == 0


def test_keys_in_memory_are_nobodys(run, write):
    """There is nothing to look at."""
    done = run("keys", "list", "--config", str(write('[sessions]\nstore = "memory:"\n')))
    assert done.exit_code == 2
    assert "memory" in done.stderr
