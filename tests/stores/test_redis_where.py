"""What a Redis URL says (stores.redis.where)."""

from __future__ import annotations

import pytest

from demur import stores
from demur.core.model import ConfigError
from demur.stores.redis import where

S = "secret-never-shown"


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("redis://localhost", ["Redis at localhost:6379"]),
        ("redis://", None),
        ("redis:///2", ["Redis at localhost:6379"]),
        ("redis://10.0.0.1:7000/3", ["Redis at 10.0.0.1:7000"]),
        ("redis://[::1]:7000", ["Redis at [::1]:7000"]),
        ("rediss://cache.example.com", ["Redis at cache.example.com:6379"]),
        ("valkey://localhost", ["Valkey at localhost:6379"]),
        ("valkeys://localhost", ["Valkey at localhost:6379"]),
        ("redis:///run/redis/redis.sock", ["Redis at /run/redis/redis.sock"]),
        ("redis+sentinel://a,b:1,c/site", ["Sentinel of Redis at a:26379", "Sentinel of Redis at b:1"]),
        ("redis+cluster://a:1,b:2", ["Redis at a:1", "Redis at b:2"]),
    ],
)
def test_where_it_is(url: str, places: list[str] | None) -> None:
    """A host and a port, a socket, or several."""
    if places is None:
        with pytest.raises(ConfigError, match="does not say where"):
            where.read(url)
        return
    assert [str(place) for place in where.read(url).places][: len(places)] == places


def test_all_that_a_url_may_say() -> None:
    """As whom, which database, and how."""
    read = where.read("redis://ann:a%40b@h:1/4?prefix=site:&replicas=2")
    assert (read.server.login.user, read.server.login.password()) == ("ann", "a@b")
    assert (read.server.database, read.prefix, read.replicas) == (4, b"site:", 2)
    read = where.read("rediss+sentinel://ann@h,i/main/5?password_file=/run/secret&ca=/ca.pem")
    assert (read.master, read.server.database, read.server.login.file) == ("main", 5, "/run/secret")
    assert read.server.tls is not None
    assert read.places[0].tls == read.server.tls
    assert read.places[0].login.user == ""
    assert where.read("redis:///run/r.sock?db=7").server.database == 7
    assert "a@b" not in repr(where.read("redis://ann:a%40b@h"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"redis://:{S}@h?prefx=x", 'unknown option "prefx"'),
        (f"redis://:{S}@h:port", 'has "h:port"'),
        (f"redis://:{S}@h:0", 'has "h:0"'),
        (f"redis://:{S}@h/one", '"one" for the database'),
        (f"redis://:{S}@h/1/2", "more than one database"),
        (f"redis://:{S}@h/1?db=2", "more than one database"),
        (f"redis://:{S}@a,b", "several servers"),
        (f"redis://:{S}@h?replicas=some", '"some" for replicas'),
        (f"redis://:{S}@h?replicas=", "without a value"),
        (f"redis://:{S}@h?prefix={{a}}", "prefix that cannot be used"),
        (f"redis://:{S}@h?ca=/ca.pem", "without TLS"),
        (f"rediss://:{S}@h?key=/key.pem", '"key" without "certificate"'),
        (f"redis://:{S}@h?password_file=/x", "and a file with one"),
        ("redis://ann@h", "user without a password"),
        (f"redis://:{S}@h#x", "does not say where"),
        (f"redis+sentinel://:{S}@h", "does not name the master"),
        (f"redis+cluster://:{S}@h/1", "names a database"),
        ("redis:", "does not say where"),
        ("redis:localhost", "does not say where"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, says: str) -> None:
    """With what to write, and without the password."""
    with pytest.raises(ConfigError) as caught:
        stores.open(url)
    assert says in caught.value.message
    assert caught.value.fix
    assert S not in str(caught.value)
