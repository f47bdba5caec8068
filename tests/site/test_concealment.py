"""A concealed page and one that is not there cannot be told apart: pairs of both, through a real gateway.

"An origin server that wishes to "hide" the current existence of a forbidden target resource MAY instead respond with a
status code of 404" (RFC 9110, 15.5.4), and that hides something only if the answer is what it would have been.
"""

from __future__ import annotations

import itertools
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.site.houses import SAMPLE, Process, running
from tests.site.missing import MANNERS
from tests.site.wire import NAVIGATION, SCRIPT

from demur.core.model import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.site.houses import Example, House
    from tests.site.wire import Answer, Pairs

RULES = """
[[site.rule]]
path = "/open/**"
allow = "anyone"

[[site.rule]]
path = "/known/**"
allow = "anyone"
identify = true

[[site.rule]]
path = "/inside/**"
allow = "signed-in"

[[site.rule]]
path = "/inside/{manner}/shelf/{number}/vault/**"
allow = { groups = ["keepers"] }
conceal = true

[[site.rule]]
path = "/mixed/**"
allow = "signed-in"

[[site.rule]]
path = "/mixed/{manner}/*"
allow = "anyone"

[[site.rule]]
path = "/mixed/{manner}/*/notes"
allow = { groups = ["staff"] }
"""
ZONES = ("open", "known", "inside", "mixed")
CONCEALED = """
[[site.rule]]
path = "/{zone}/{{manner}}/vault/**"
allow = {{ groups = ["keepers"] }}
conceal = true
"""

# What follows the concealed name, and what is sent along.
BENEATH = ("", "/", "/gold", "/gold/", "/gold.html", "/2026/11/stream", "/gold%20and%20silver", "/notes", "/notes/7")
ALONG: tuple[tuple[str, Pairs], ...] = (
    ("", []),
    ("?page=2", []),
    ("?format=json&format=xml", []),
    ("", [("Accept-Encoding", "gzip")]),
    ("", [("Accept-Language", "de")]),
    ("", [("If-None-Match", '"app"')]),
    ("", [("If-Modified-Since", "Mon, 02 Nov 2026 00:00:00 GMT")]),
    ("", [("Range", "bytes=0-9")]),
    ("", [("Cookie", "sitesession=1; colour=blue")]),
)
METHODS = [("GET", beneath) for beneath in BENEATH] + [("HEAD", beneath) for beneath in BENEATH[::3]]
WHO = ("nobody", "member", "away", "ended", "garbage")


@dataclass(frozen=True, slots=True)
class Pair:
    """One request, once for what is concealed and once for what is not there."""

    concealed: str
    missing: str
    method: str
    who: str
    fields: Pairs

    def __str__(self) -> str:
        return f"{self.who} {self.method} {self.concealed} {self.fields}"


def pairs(zone: str, manner: str) -> Iterator[Pair]:
    """Everybody, with every method, at every address, and with everything that is sent along; not each with each."""
    names = itertools.cycle(("nothing", "a", "vaults", "Vault-", "x.y", "n%C3%A9ant"))
    along = itertools.cycle(ALONG)
    styles = itertools.cycle((NAVIGATION, SCRIPT, [("Accept", "*/*")]))
    for who, (method, beneath) in itertools.product(WHO, METHODS):
        query, fields = next(along)
        tail = f"{beneath}{query}"
        start = f"/{zone}/{manner}"
        if zone == "inside" and beneath.startswith("/notes"):
            start = f"/inside/{manner}/shelf/9"  # concealed behind a capture
        yield Pair(f"{start}/vault{tail}", f"{start}/{next(names)}{tail}", method, who, [*next(styles), *fields])


# Where one has to be signed in, and where that differs from page to page, the site is asked as it is elsewhere.
SOME = ("plain", "greeting", "cookie", "everything", "echoing")
ALL = [(zone, manner) for zone in ZONES for manner in (MANNERS if zone in ("known", "inside") else SOME)]


def site(example: Example, folder: Path, port: int) -> Process:
    """The site on which nothing is."""
    command = (sys.executable, "-m", "uvicorn", "missing:app", "--port", str(port), "--log-level", "warning")
    return Process(command, Path(__file__).parent, folder / "site.log")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway before it, with rules that conceal in four surroundings."""

    def rules(text: str) -> str:
        kept = text.partition("[[site.rule]]")[0].replace("0.0.0.0", "127.0.0.1")
        return kept + RULES + "".join(CONCEALED.format(zone=zone) for zone in ZONES)

    with running(SAMPLE, tmp_path_factory.mktemp("missing"), rules, site=site) as here:
        yield here


@pytest.fixture(scope="module")
def tokens(empty: House) -> dict[str, str | None]:
    """What each of those who ask has: nothing, a session, one in which nothing happened for a while, one that is over,
    and noise."""
    over, session = empty.session("bob")
    empty.end(session, Ending.ENDED)
    away, _ = empty.session("bob", last_seen=session.last_seen - 900, issued_at=session.issued_at - 900)
    return {"nobody": None, "member": empty.session("bob")[0], "away": away, "ended": over, "garbage": "x.y"}


# --- comparing ------------------------------------------------------------------------------------

# What differs between two answers about two pages that are not there: the moment, and what is drawn by lot.
BY_LOT = {
    "date": r".+",
    "x-request-id": r"[0-9a-f]{32}",
    "set-cookie": r"sitesession=[0-9a-f]{16}; Path=/; HttpOnly",
}
REFERENCE = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def masked(answer: Answer, target: str) -> tuple[int, Pairs, bytes]:
    """An answer without that. A refusal repeats the address that was asked for, and has its own reference."""
    fields = [
        (name, "(by lot)" if name in BY_LOT and re.fullmatch(BY_LOT[name], value) else value)
        for name, value in answer.fields
        if name not in {"server-timing", "content-length"}
    ]
    body = answer.body
    if answer.status in {401, 403}:
        text = re.sub(REFERENCE, "(reference)", answer.text)
        asked = target.replace("&", "&amp;")
        body = text.replace(asked, "(address)").encode()
    else:
        fields += [("content-length", value) for value in answer.values("content-length")]
    return answer.status, fields, body


def ends(answer: Answer) -> list[int]:
    """The seconds until the session ends, which go by between one answer and the next."""
    return [int(number) for number in re.findall(r"[0-9]+", "".join(answer.values("server-timing")))]


def differences(house: House, pair: Pair, token: str | None) -> list[str]:
    """In what a pair can be told apart."""

    def ask(target: str) -> Answer:
        cookies = [value for name, value in pair.fields if name == "Cookie"]
        cookies += [f"{house.cookie}={token}"] if token else []
        fields = [field for field in pair.fields if field[0] != "Cookie"]
        return house.ask(pair.method, target, [*fields, *([("Cookie", "; ".join(cookies))] if cookies else [])])

    one, other = ask(pair.concealed), ask(pair.missing)
    first, second = masked(one, pair.concealed), masked(other, pair.missing)
    found = [f"{pair}: {left!r} is not {right!r}" for left, right in zip(first, second, strict=True) if left != right]
    timing = list(zip(ends(one), ends(other), strict=False))
    if len(ends(one)) != len(ends(other)) or any(abs(left - right) > 2 for left, right in timing):
        found.append(f"{pair}: {ends(one)} seconds are not {ends(other)}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("zone", "manner"), ALL)
def test_pairs(empty, tokens, zone, manner):
    """Status, fields, their order and the body are the same; what repeats the address repeats another one."""
    for pair in pairs(zone, manner):
        found = differences(empty, pair, tokens[pair.who])
        if manner == "echoing":
            found = [each for each in found if "Cannot" not in each and "content-length" not in each]
        assert found == []


def test_there_are_many():
    """Each pair is another request."""
    seen = {str(pair) for zone, manner in ALL for pair in pairs(zone, manner)}
    assert len(seen) >= 200


EXAMPLES = {
    "sample": [
        *(("/vault", "/nothing"), ("/vault/", "/nothing/"), ("/vault/gold", "/nothing/gold")),
        *(("/vault/gold?a=1", "/vaults/gold?a=1"), ("/vault/a/b/c", "/va/a/b/c")),
    ],
    # PHP's server for development repeats the address, so these are as long as those that demur asks for.
    "php": [
        *(("/members/keys", "/members/nothing-in-there"), ("/members/keys/", "/members/nothing-in-there/")),
        ("/members/keys/codes.php", "/members/nothing-in-there/codes.php"),
        ("/members/keys/x?n=1", "/members/nothing-in-there/x?n=1"),
    ],
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("person", ["", "member"])
def test_examples(house, method, person):
    """The example sites conceal what they say they conceal, with the pages that they really have."""
    token = house.session(house.example.member)[0] if person else None
    for concealed, missing in EXAMPLES[house.example.name]:
        for fields in (NAVIGATION, SCRIPT):
            found = differences(house, Pair(concealed, missing, method, person, fields), token)
            assert [each for each in found if 'The requested resource <code class="url">' not in each] == []
    if token:
        assert house.page(house.example.concealed, token).status == 404
