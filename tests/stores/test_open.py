"""Which store a URL names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from demur import stores
from demur.core.model import ConfigError
from demur.stores.memory import MemoryStore
from demur.stores.sqlite import SQLiteStore


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:sessions.db", Path.cwd() / "sessions.db"),
        ("sqlite:./data/sessions.db", Path.cwd() / "data" / "sessions.db"),
        ("sqlite:/var/lib/demur/sessions.db", Path("/var/lib/demur/sessions.db")),
        ("sqlite:a b?c#d%20.db", Path.cwd() / "a b?c#d%20.db"),  # a path, not a URL's
    ],
)
def test_a_file_is_named_by_its_path(url: str, path: Path) -> None:
    """Relative to where the process was when the store was made, or absolute."""
    store = stores.open(url)
    assert isinstance(store, SQLiteStore)
    assert store._file.path == path


async def test_a_path_with_signs_of_a_url_is_used_as_it_is(tmp_path: Path) -> None:
    """Whatever a file name may have in it."""
    store = stores.open(f"sqlite:{tmp_path / 'a b?mode=memory#c%20d.db'}")
    await store.check()
    assert (tmp_path / "a b?mode=memory#c%20d.db").exists()
    await store.aclose()


def test_memory_is_a_new_store_each_time() -> None:
    """Nothing is shared by name."""
    one, other = stores.open("memory:"), stores.open("memory:")
    assert isinstance(one, MemoryStore)
    assert one is not other


@pytest.mark.parametrize(
    "url",
    ["", "memory", "memory:name", "sqlite", "sqlight:x", "mongodb://localhost", "mysql://h/d", "/x.db", "SQLITE:x"],
)
def test_anything_else_is_refused(url: str) -> None:
    """And the refusal says what is supported."""
    with pytest.raises(ConfigError) as caught:
        stores.open(url)
    assert url in caught.value.message
    assert "memory:" in caught.value.fix
    assert "sqlite:PATH" in caught.value.fix


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:///x.db", "sqlite://x.db", "sqlite:data/", "sqlite::memory:"])
def test_a_url_without_a_file_is_refused(url: str) -> None:
    """Also those of which people disagree where they point."""
    with pytest.raises(ConfigError, match="does not name a file") as caught:
        stores.open(url)
    assert "sqlite:sessions.db" in caught.value.fix


def test_a_password_in_a_url_is_not_repeated() -> None:
    """Errors are logged."""
    with pytest.raises(ConfigError) as caught:
        stores.open("mysql://user:secret@host/db")
    assert "secret" not in str(caught.value)
    assert "host/db" in str(caught.value)


def test_what_is_not_used_is_not_loaded() -> None:
    """A memory store needs no SQLite."""
    code = "from demur import stores; import sys; stores.open('memory:'); print('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
