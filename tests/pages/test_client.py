"""The files of the browser client: to everybody alike, and nothing that is not one of them."""

from __future__ import annotations

import gzip
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.core.support import SITE, make_request

from demur.core import page
from demur.core.model import StoreUnavailable
from demur.guard import Guard
from demur.pages import client
from demur.pages.router import Pages
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.model import Ended, Live, Response, Unknown

STATIC = Path(str(files("demur.pages"))) / "static"
NAMES = sorted(
    path.relative_to(STATIC).as_posix()
    for path in [*STATIC.glob("client.js"), *STATIC.glob("client/**/*")]
    if path.suffix in {".js", ".css"}
)
REASONS = "client/reasons.js"


class Broken(MemoryStore):
    """A store that cannot be asked."""

    async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        raise StoreUnavailable("down")


async def ask(path: str, method: str = "GET", **fields: str) -> tuple[Response, dict[bytes, bytes]]:
    """The answer at an address below the prefix, and its fields by name."""
    pages = Pages(Guard(SITE, Broken(), MemoryKeys(), clock=lambda: 0.0), page.DEFAULT, {})

    async def read(most: int) -> bytes | None:
        return b""

    answer = await pages.answer(make_request(method, f"/.demur/{path}", **fields), read)
    return answer, dict(answer.fields)


@pytest.mark.parametrize("name", NAMES)
async def test_each_file_of_the_folder_is_there(name: str) -> None:
    """Under its own name, as it is, with its type; and a browser asks each time whether it still is."""
    answer, fields = await ask(name)
    assert (answer.status, answer.body) == (200, (STATIC / name).read_bytes())
    kind = {"js": b"text/javascript", "css": b"text/css"}[name.rpartition(".")[2]]
    assert fields[b"content-type"] == kind + b"; charset=utf-8"
    assert fields[b"content-length"] == b"%d" % len(answer.body)
    assert fields[b"cache-control"] == b"no-cache"
    assert fields[b"vary"] == b"Accept-Encoding"
    assert fields[b"x-content-type-options"] == b"nosniff"
    assert b"content-encoding" not in fields


@pytest.mark.parametrize("name", NAMES)
async def test_a_browser_gets_it_packed(name: str) -> None:
    """With a tag of its own: the bytes are others."""
    plain, packed = await ask(name), await ask(name, accept_encoding="gzip, deflate, br, zstd")
    assert gzip.decompress(packed[0].body) == plain[0].body
    assert packed[1][b"content-encoding"] == b"gzip"
    assert packed[1][b"content-length"] == b"%d" % len(packed[0].body)
    assert packed[1][b"etag"] != plain[1][b"etag"]
    assert not packed[1][b"etag"].startswith(b"W/")


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_what_is_still_the_same_is_not_sent_again(coding: str) -> None:
    """304, with what a 200 would say of caching (RFC 9110, 15.4.5), and only for the very same bytes."""
    first, fields = await ask(REASONS, accept_encoding=coding)
    tag = fields[b"etag"].decode()
    for given in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again, about = await ask(REASONS, accept_encoding=coding, if_none_match=given)
        assert (again.status, again.body) == (304, b"")
        assert {b"etag", b"cache-control", b"vary"} <= about.keys()
        assert b"content-length" not in about
    other, _ = await ask(REASONS, accept_encoding="" if coding else "gzip", if_none_match=tag)
    assert other.status == 200
    assert first.status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"cookie": "__Host-demur=x"},
        {"cookie": "__Host-demur=x; __Host-demur=y"},
        {"authorization": "Bearer x"},
        {"demur_subject": "somebody"},
        {"sec_fetch_site": "cross-site"},
    ],
)
async def test_it_is_the_same_for_everybody(fields: dict[str, str]) -> None:
    """Whoever asks, with whatever; the store may be down."""
    assert (await ask(REASONS, **fields))[0] == (await ask(REASONS))[0]


@pytest.mark.parametrize(
    "path",
    [
        "client",
        "client/",
        "client.js/",
        "client.ts",
        "client/nothing.js",
        "client//reasons.js",
        "client/lang/../reasons.js",
        "client/%72easons.js",
        "client/../../router.py",
        "client/Reasons.js",
        "static/client/reasons.js",
        "reasons.js",
    ],
)
async def test_nothing_else_is(path: str) -> None:
    """No other name is anything, and none is ever read as a path."""
    answer, fields = await ask(path)
    assert (answer.status, fields[b"content-type"]) == (404, b"application/problem+json")
    other, _ = await ask("nothing")
    assert re.sub(rb"urn:uuid:[^\"]*", b"", answer.body) == re.sub(rb"urn:uuid:[^\"]*", b"", other.body)


async def test_a_file_is_only_read() -> None:
    """HEAD is GET; no other method does anything."""
    assert (await ask(REASONS, "HEAD"))[0] == (await ask(REASONS))[0]
    answer, fields = await ask(REASONS, "POST", sec_fetch_site="same-origin")
    assert (answer.status, fields[b"allow"]) == (405, b"GET, HEAD")


def test_each_address_names_its_files() -> None:
    """What the description of the addresses is made from."""
    named = [address.removesuffix("*") + name for address in client.ADDRESSES for name in client.names(address)]
    assert sorted(["client.js", *named]) == sorted({"client.js", *NAMES})
