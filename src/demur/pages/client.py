"""The browser client: `<prefix>/client.js`, and what that imports from `<prefix>/client/`.

- What can be asked for is a table of the files in the package, made once. Nothing of a request is ever a path.
- Nobody is identified and the store is not touched: the files are the same for everybody.
- Browsers ask each time whether a file is still the same (`no-cache`), which is 304 and no content: with files of two
  versions, after an upgrade, the client would not work.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from demur.core import fields, respond
from demur.core.model import Refuse, Response
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

    from demur.core.model import Fields
    from demur.pages.visit import Visit

ADDRESSES: Final = ("client.js", "client/*", "client/lang/*", "client/hands/*")
"""The addresses below the prefix: of the client itself, and of each folder of what it imports."""
_KINDS: Final = {
    ".js": b"text/javascript; charset=utf-8",  # RFC 9239, 6
    ".css": b"text/css; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class _Coded:
    """A file in one content coding, with the fields that go with it. Each coding has a tag of its own (RFC 9110,
    8.8.3.3)."""

    etag: bytes
    about: Fields
    body: bytes


@dataclass(frozen=True, slots=True)
class _File:
    plain: _Coded
    gzip: _Coded


def names(address: str) -> list[str]:
    """What is there at an address, for the last part of it: the names of the files of a folder."""
    folder = address.removesuffix("*")
    return sorted(name.removeprefix(folder) for name in _found() if name.rpartition("/")[0] + "/" == folder)


async def show(visit: Visit) -> Response:
    """A file, to whoever asks."""
    file = _files().get(visit.request.path[len(visit.site.prefix) + 1 :].decode("latin-1"))
    if file is None:
        return visit.refuse(respond.Refusal(visit.site, visit.request, Refuse(Reason.NOT_FOUND), visit.reference))
    coded = file.gzip if fields.accepts_gzip(visit.request.values(b"accept-encoding")) else file.plain
    always = (
        (b"etag", coded.etag),
        (b"cache-control", b"no-cache"),
        (b"vary", b"Accept-Encoding"),
        (b"x-content-type-options", b"nosniff"),
    )
    if fields.none_match(visit.request.values(b"if-none-match"), coded.etag):
        return Response(304, always)
    return Response(200, (*coded.about, *always, (b"content-length", b"%d" % len(coded.body))), coded.body)


@cache
def _files() -> Mapping[str, _File]:
    return {name: _made(name, found.read_bytes()) for name, found in _found().items()}


@cache
def _found() -> Mapping[str, Traversable]:
    static = files("demur.pages") / "static"
    found = {"client.js": static / "client.js"}
    for folder in (address.removesuffix("*") for address in ADDRESSES if address.endswith("*")):
        there = static / folder
        found |= {folder + each.name: each for each in _inside(there) if _suffix(each.name) in _KINDS}
    return found


def _inside(folder: Traversable) -> Iterator[Traversable]:
    yield from folder.iterdir() if folder.is_dir() else ()


def _made(name: str, body: bytes) -> _File:
    # Without a time in it, so that it is the same on every node.
    packed = gzip.compress(body, 9, mtime=0)
    tag, kind = hashlib.sha256(body).hexdigest()[:32].encode("ascii"), (b"content-type", _KINDS[_suffix(name)])
    return _File(
        plain=_Coded(b'"%b"' % tag, (kind,), body),
        gzip=_Coded(b'"%b-gzip"' % tag, (kind, (b"content-encoding", b"gzip")), packed),
    )


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
