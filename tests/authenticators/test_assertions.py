"""Assertions, signed and verified."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from demur.authenticators.assertions.signing import AHEAD, Assertions
from demur.authenticators.assertions.verifying import Verifier
from demur.core.asserted import BadAssertion
from demur.core.model import ConfigError, Key, KeyRing, Session, StoreUnavailable, Subject
from demur.stores.keys import FileKeys, MemoryKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = 1_800_000_000
SITE = "https://app.example.com"
ADA = Subject("0190", "ada", frozenset({"staff"}))
SESSION = Session(b"\x07" * 32, "0190", NOW - 90, NOW - 60, NOW - 30, NOW + 9000, 3600)


class Ring:
    """Keys that a test can change."""

    def __init__(self, *keys: Key) -> None:
        self.keys = keys or (Key(0, b"k" * 32),)

    def ring(self) -> KeyRing:
        return KeyRing(self.keys)

    def rotate(self, now: int) -> KeyRing:
        newest = self.keys[0].id + 1
        self.keys = (Key(newest, bytes((newest,)) * 32, now), *self.keys)
        return self.ring()

    async def agree(self, now: int) -> None:
        """Nobody else has these."""


def assertions(keys: Any = None, site: str = SITE, **more: Any) -> Assertions:
    return Assertions(keys or Ring(), site, **more)


def verifier(signer: Assertions, now: float = NOW, **more: Any) -> Verifier:
    return Verifier(SITE, keys=json.loads(signer.published()), clock=lambda: now, **more)


def part(value: bytes, index: int) -> Any:
    return json.loads(base64.urlsafe_b64decode(value.split(b".")[index] + b"=="))


# --- signing --------------------------------------------------------------------------------------


def test_there_and_back() -> None:
    """What one part of demur signs, another reads with nothing but what is published."""
    signer = assertions()
    found = verifier(signer).verify(signer.of(ADA, SESSION, SITE, NOW))
    assert (found.id, found.name, found.groups, found.audience) == ("0190", "ada", ADA.groups, (SITE,))
    assert (found.issued_at, found.expires_at) == (NOW, NOW + 60)


def test_anybody_can_verify_it() -> None:
    """With Ed25519 and JSON alone (RFC 8037): the header, the key of that name, the signature over both parts."""
    signer = assertions()
    value = signer.of(ADA, SESSION, SITE, NOW)
    head = part(value, 0)
    assert (head["alg"], head["typ"]) == ("EdDSA", "demur-assertion+jwt")
    (key,) = json.loads(signer.published())["keys"]
    assert key == key | {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": head["kid"]}
    assert "d" not in key
    signed, _, signature = value.rpartition(b".")
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    public.verify(base64.urlsafe_b64decode(signature + b"=="), signed)


def test_an_audience_and_a_life_of_its_own() -> None:
    """As the site says."""
    signer = assertions(audience="urn:shop", lasts=120)
    value = signer.of(ADA, SESSION, SITE, NOW)
    assert (part(value, 1)["aud"], part(value, 1)["exp"]) == ("urn:shop", NOW + 120)
    assert Verifier(SITE, "urn:shop", keys=json.loads(signer.published()), clock=lambda: NOW).verify(value).id == "0190"


def test_it_is_said_again_for_half_of_its_life() -> None:
    """And no longer, so that it always holds for the other half."""
    signer = assertions()
    first = signer.of(ADA, SESSION, SITE, NOW)
    assert signer.of(replace(ADA), replace(SESSION, last_seen=NOW), SITE, NOW + 29) is first
    assert part(signer.of(ADA, SESSION, SITE, NOW + 30), 1)["exp"] == NOW + 90


def test_a_clock_that_was_set_back() -> None:
    """What was made in the future is not said again until that is here."""
    signer = assertions()
    signer.of(ADA, SESSION, SITE, NOW)
    assert part(signer.of(ADA, SESSION, SITE, NOW - 3600), 1)["iat"] == NOW - 3600


@pytest.mark.parametrize(
    ("subject", "session", "origin"),
    [
        (replace(ADA, groups=frozenset()), SESSION, SITE),
        (replace(ADA, name="ada2", version=2), SESSION, SITE),
        (ADA, replace(SESSION, acr="phr"), SITE),
        (ADA, replace(SESSION, authenticated_at=NOW), SITE),
        (ADA, replace(SESSION, kind="token", scopes=("a",)), SITE),
        (ADA, replace(SESSION, id=b"\x08" * 32), SITE),
        (ADA, None, SITE),
        (ADA, SESSION, "https://other.example.com"),
        (replace(ADA, id="0191"), SESSION, SITE),
    ],
)
def test_whatever_is_different_is_said_anew(subject: Subject, session: Session | None, origin: str) -> None:
    """A group that is gone is gone from the next request on."""
    signer = assertions()
    first = signer.of(ADA, SESSION, SITE, NOW)
    other = signer.of(subject, session, origin, NOW)
    assert other != first
    assert part(other, 1)["iss"] == origin
    assert part(other, 1).get("groups", []) == sorted(subject.groups)


def test_however_many_come_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was here a moment ago is not signed for again, and nobody fills the memory."""
    monkeypatch.setattr("demur.authenticators.assertions.signing._MOST", 4)
    signer = assertions()
    first = signer.of(ADA, SESSION, SITE, NOW)
    for number in range(3):
        signer.of(ADA, replace(SESSION, id=bytes((number,)) * 32), SITE, NOW)
    signer.of(ADA, replace(SESSION, id=b"z" * 32), SITE, NOW)
    assert signer.of(ADA, SESSION, SITE, NOW) is first
    for number in range(100):
        signer.of(ADA, replace(SESSION, id=bytes((number,)) * 32), SITE, NOW)
    assert len(signer._young) + len(signer._old) <= 8


def test_each_site_has_keys_of_its_own() -> None:
    """What one site was told says nothing at another, even if that forgets to ask whom it is for."""
    ring = Ring()
    here, there = assertions(ring), assertions(ring, "https://other.example.com")
    value = there.of(ADA, SESSION, SITE, NOW)
    with pytest.raises(BadAssertion) as raised:
        verifier(here).verify(value)
    assert raised.value.reason == "key"


def test_nodes_with_one_folder_have_one_set(tmp_path: Path) -> None:
    """What one signs the other publishes; and the folder holds no more than the ring."""
    here, there = assertions(FileKeys(tmp_path)), assertions(FileKeys(tmp_path))
    assert here.published() == there.published()
    assert verifier(there).verify(here.of(ADA, SESSION, SITE, NOW)).id == "0190"
    assert [path.name for path in tmp_path.iterdir()] == ["000000.key"]


def test_a_new_key_is_published_before_it_signs() -> None:
    """As long as anybody may keep the old set; and the old key stays in the set."""
    ring = Ring()
    signer = assertions(ring)
    before = verifier(signer)
    old = signer.of(ADA, SESSION, SITE, NOW)
    ring.rotate(NOW)
    assert len(json.loads(signer.published())["keys"]) == 2
    later = signer.of(ADA, SESSION, SITE, NOW + AHEAD - 1)
    assert part(later, 0)["kid"] == part(old, 0)["kid"]
    new = signer.of(ADA, SESSION, SITE, NOW + AHEAD + 60)
    assert part(new, 0)["kid"] != part(old, 0)["kid"]
    after = verifier(signer, NOW + AHEAD + 60)
    assert after.verify(new).id == "0190"
    with pytest.raises(BadAssertion, match="not published"):
        before.verify(new)
    assert verifier(signer).verify(old).id == "0190"


def test_a_key_that_is_all_there_is_signs() -> None:
    """If the others are gone, there is nothing to wait for."""
    signer = assertions(Ring(Key(5, b"n" * 32, NOW)))
    assert verifier(signer).verify(signer.of(ADA, SESSION, SITE, NOW)).id == "0190"


def test_keys_that_went_away_go_on(tmp_path: Path) -> None:
    """A folder that cannot be read any more ends nothing in a process that has read it, and begins nothing."""
    keys = FileKeys(tmp_path)
    signer = assertions(keys)
    published = signer.published()
    (tmp_path / "000000.key").unlink()
    keys._look_at = 0.0  # it is looked at again
    with pytest.raises(StoreUnavailable):
        assertions(keys).published()
    assert signer.published() == published
    assert verifier(signer).verify(signer.of(ADA, SESSION, SITE, NOW)).id == "0190"


# --- verifying ------------------------------------------------------------------------------------


def forged(signer: Assertions, **changed: Any) -> bytes:
    """An assertion with another header or other claims, under the signature of the first."""
    head, body, signature = signer.of(ADA, SESSION, SITE, NOW).split(b".")
    said = json.loads(base64.urlsafe_b64decode(head + b"==")) | changed.pop("head", {})
    claims = json.loads(base64.urlsafe_b64decode(body + b"==")) | changed
    parts = (base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (said, claims))
    return b".".join((*parts, signature))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "missing"),
        (lambda _: "", "missing"),
        (lambda _: "x", "malformed"),
        (lambda _: "a.b.c", "malformed"),
        (lambda _: "é.b.c", "malformed"),
        (lambda _: b"A" * 20000, "type"),
        (lambda signer: forged(signer, head={"alg": "none"}), "type"),
        (lambda signer: forged(signer, head={"alg": "HS256"}), "type"),
        (lambda signer: forged(signer, head={"typ": "JWT"}), "type"),
        (lambda signer: forged(signer, head={"crit": ["b64"], "b64": False}), "type"),
        (lambda signer: forged(signer, head={"kid": "other"}), "key"),
        (lambda signer: forged(signer, head={"kid": None}), "key"),
        (lambda signer: forged(signer, sub="0191"), "signature"),
        (lambda signer: signer.of(ADA, SESSION, SITE, NOW).rpartition(b".")[0] + b".", "signature"),
        (lambda signer: signer.of(ADA, SESSION, SITE, NOW - 65), "expired"),
        (lambda signer: signer.of(ADA, SESSION, "https://other.example.com", NOW), "issuer"),
    ],
)
def test_what_is_no_assertion(make: Callable[[Assertions], Any], reason: str) -> None:
    """Nothing that it says of itself is believed before its signature is, and what is wrong is said."""
    signer = assertions()
    with pytest.raises(BadAssertion) as raised:
        verifier(signer).verify(make(signer))
    assert raised.value.reason == reason


@given(st.binary(max_size=80) | st.text(max_size=80))
def test_noise_is_never_an_error(noise: bytes | str) -> None:
    """Whatever comes is no assertion."""
    with pytest.raises(BadAssertion):
        verifier(assertions()).verify(noise)


class Published:
    """Keys at a URL, of which each fetch is counted; `down` makes it fail."""

    def __init__(self, signer: Assertions) -> None:
        self.signer = signer
        self.down = False
        self.fetched = 0

    def __call__(self, url: str) -> bytes:
        assert url == f"{SITE}/.well-known/jwks.json"
        self.fetched += 1
        if self.down:
            raise OSError("down")
        return self.signer.published()


def test_keys_are_fetched_once_and_again_when_they_are_old() -> None:
    """Five minutes for which nobody is asked."""
    clock = [float(NOW)]
    signer = assertions(lasts=300)
    there = Published(signer)
    checks = Verifier(SITE, fetch=there, clock=lambda: clock[0])
    assert there.fetched == 0
    for _ in range(5):
        assert checks.verify(signer.of(ADA, SESSION, SITE, int(clock[0]))).id == "0190"
    assert there.fetched == 1
    clock[0] += 300
    checks.verify(signer.of(ADA, SESSION, SITE, int(clock[0])))
    assert there.fetched == 2


def test_an_unknown_key_is_asked_for_and_not_more_often_than_in_ten_seconds() -> None:
    """A flood of made-up keys is no flood of questions; a key that was made in a hurry is found."""
    clock = [float(NOW)]
    ring = Ring()
    signer = assertions(ring)
    there = Published(signer)
    checks = Verifier(SITE, fetch=there, clock=lambda: clock[0])
    checks.verify(signer.of(ADA, SESSION, SITE, NOW))
    ring.keys = (Key(9, b"h" * 32),)
    value = signer.of(replace(ADA, name="bo"), SESSION, SITE, NOW)
    for _ in range(50):
        with pytest.raises(BadAssertion):
            checks.verify(value)
    assert there.fetched == 1
    clock[0] += 10
    assert checks.verify(value).name == "bo"
    assert there.fetched == 2


def test_without_keys_it_is_nobodys_fault() -> None:
    """Never fetched: unavailable. Fetched once: they go on for a day."""
    clock = [float(NOW)]
    signer = assertions()
    there = Published(signer)
    there.down = True
    checks = Verifier(SITE, fetch=there, clock=lambda: clock[0])
    with pytest.raises(StoreUnavailable, match="down"):
        checks.verify(signer.of(ADA, SESSION, SITE, NOW))
    there.down = False
    clock[0] += 10
    checks.verify(signer.of(ADA, SESSION, SITE, int(clock[0])))
    there.down = True
    clock[0] += 86390
    checks.verify(signer.of(ADA, SESSION, SITE, int(clock[0])))
    clock[0] += 20
    with pytest.raises(StoreUnavailable):
        checks.verify(signer.of(ADA, SESSION, SITE, int(clock[0])))


def test_nobody_is_asked_while_nothing_answers() -> None:
    """Before ten seconds are over, what is not known is unavailable at once."""
    signer = assertions()
    there = Published(signer)
    there.down = True
    checks = Verifier(SITE, fetch=there, clock=lambda: NOW)
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            checks.verify(signer.of(ADA, SESSION, SITE, NOW))
    assert there.fetched == 1


@pytest.mark.parametrize(
    "said", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": [{"kid": "a", "crv": "Ed25519"}]}', b"\xff"]
)
def test_what_is_no_set_of_keys(said: bytes) -> None:
    """Somebody else's page, perhaps: unavailable, and not a bad assertion."""
    checks = Verifier(SITE, fetch=lambda _: said, clock=lambda: NOW)
    with pytest.raises(StoreUnavailable):
        checks.verify(assertions().of(ADA, SESSION, SITE, NOW))


def test_other_keys_of_a_set_are_left_alone() -> None:
    """A set may hold what is for others, and a private key is nobody's to publish."""
    signer = assertions()
    ours = json.loads(signer.published())["keys"]
    others = [{"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"}, {**ours[0], "kid": "p", "d": ours[0]["x"]}, 7]
    checks = Verifier(SITE, keys={"keys": [*others, *ours]}, clock=lambda: NOW)
    assert checks.verify(signer.of(ADA, SESSION, SITE, NOW)).id == "0190"


async def test_a_loop_does_not_wait_for_keys() -> None:
    """Fetching is for another thread; whoever is known is verified here."""
    signer = assertions()
    threads: list[int] = []

    def fetch(_: str) -> bytes:
        threads.append(threading.get_ident())
        return signer.published()

    checks = Verifier(SITE, fetch=fetch, clock=lambda: NOW)
    value = signer.of(ADA, SESSION, SITE, NOW)
    found = await asyncio.gather(*(checks.averify(value) for _ in range(8)))
    assert {each.id for each in found} == {"0190"}
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, tuple[int, dict[str, str], bytes]]]]:
    """A server of documents, and what it says."""
    said: dict[str, tuple[int, dict[str, str], bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, fields, body = said[self.path]
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", said
        httpd.shutdown()
        thread.join()


def test_over_http(server: tuple[str, dict[str, tuple[int, dict[str, str], bytes]]]) -> None:
    """From where it was said, without following anybody elsewhere."""
    url, said = server
    signer = assertions()
    value = signer.of(ADA, SESSION, SITE, NOW)
    said["/keys"] = (200, {}, signer.published())
    said["/moved"] = (302, {"Location": f"{url}/keys"}, b"")
    said["/long"] = (200, {}, b" " * ((1 << 20) + 2))
    assert Verifier(SITE, keys=f"{url}/keys", clock=lambda: NOW).verify(value).id == "0190"
    for path in ("/moved", "/long"):
        with pytest.raises(StoreUnavailable):
            Verifier(SITE, keys=f"{url}{path}", clock=lambda: NOW).verify(value)


def test_keys_are_at_a_url() -> None:
    """And not in a file of this machine."""
    with pytest.raises(ConfigError):
        Verifier(SITE, keys="file:///etc/passwd")
    with pytest.raises(ConfigError):
        Verifier("app.example.com")


def test_a_memory_ring_signs() -> None:
    """For tests, and beside a memory store."""
    signer = assertions(MemoryKeys())
    assert verifier(signer).verify(signer.of(ADA, None, SITE, NOW)).session == ""
