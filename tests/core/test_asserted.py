"""What an assertion says, there and back."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from demur.core import asserted
from demur.core.asserted import BadAssertion
from demur.core.model import Session, Subject

NOW = 1_800_000_000
SITE = "https://app.example.com"
ADA = Subject("0190", "ada", frozenset({"staff", "admins"}), display_name="Ada Lovelace", email="ada@example.com")
SESSION = Session(b"\x07" * 32, "0190", NOW - 90, NOW - 60, NOW - 30, NOW + 9000, 3600)
TOKEN = replace(SESSION, kind="token", idle=0, scopes=("report:read", "a:b"))


def claims(session: Session | None = SESSION, subject: Subject = ADA, **changed: Any) -> dict[str, Any]:
    said = asserted.claims(subject, session, issuer=SITE, audience=SITE, now=NOW, lasts=60)
    return {name: value for name, value in (said | changed).items() if value is not None}


def read(said: dict[str, Any], now: int = NOW) -> asserted.Asserted:
    return asserted.read(json.loads(json.dumps(said)), issuer=SITE, audience=SITE, now=now, leeway=5)


def test_there_and_back() -> None:
    """Whatever is said of a person and a sign-in is read again."""
    found = read(claims())
    assert (found.id, found.name, found.display_name, found.email) == ("0190", "ada", "Ada Lovelace", "ada@example.com")
    assert found.groups == {"staff", "admins"}
    assert (found.acr, found.authenticated_at, found.scopes) == ("pwd", NOW - 60, None)
    assert (found.issuer, found.audience, found.issued_at, found.expires_at) == (SITE, (SITE,), NOW, NOW + 60)


def test_the_claims_have_the_standard_names() -> None:
    """Those of RFC 7519, OpenID Connect Core and RFC 9068, and no others."""
    names = {"iss", "sub", "aud", "iat", "exp", "preferred_username", "name", "email", "groups", "acr", "auth_time"}
    assert claims().keys() == names | {"sid"}
    assert claims(TOKEN).keys() == names | {"scope"}
    assert claims(None).keys() == names - {"acr", "auth_time"}
    assert claims(subject=Subject("1", "bo")).keys() == names - {"name", "email", "groups"} | {"sid"}


def test_the_name_of_a_session_is_no_credential() -> None:
    """It is neither the id under which a store keeps it nor a part of that, and stays the same."""
    name = asserted.sid(SESSION)
    assert name == asserted.sid(replace(SESSION, last_seen=NOW, acr="phr"))
    assert name != asserted.sid(replace(SESSION, id=b"\x08" * 32))
    raw = base64.urlsafe_b64decode(name + "==")
    assert len(raw) == 16
    assert raw not in SESSION.id


@pytest.mark.parametrize(("scopes", "found"), [((), ()), (("a",), ("a",)), (("a", "b:c"), ("a", "b:c")), (None, None)])
def test_no_scopes_are_not_all_of_them(scopes: tuple[str, ...] | None, found: tuple[str, ...] | None) -> None:
    """A token that is good for nothing is read as that."""
    assert read(claims(replace(TOKEN, scopes=scopes))).scopes == found


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "https://other.example.com"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": "https://other.example.com"}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": 7}, "audience"),
        ({"exp": NOW - 5}, "expired"),
        ({"iat": NOW + 6, "exp": NOW + 60}, "early"),
        ({"exp": NOW + 301}, "malformed"),
        ({"exp": None}, "malformed"),
        ({"exp": "soon"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"iat": None}, "malformed"),
        ({"sub": None}, "malformed"),
        ({"sub": ""}, "malformed"),
        ({"sub": 7}, "malformed"),
        ({"groups": "staff"}, "malformed"),
        ({"groups": [1]}, "malformed"),
        ({"scope": ["a"]}, "malformed"),
        ({"auth_time": "1"}, "malformed"),
        ({"sid": 1}, "malformed"),
    ],
)
def test_what_is_not_for_us_or_not_now(changed: dict[str, Any], reason: str) -> None:
    """One word says what is wrong, and a sentence says it to whoever has to mend it."""
    with pytest.raises(BadAssertion) as raised:
        read(claims(**changed))
    assert raised.value.reason == reason
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize(("changed", "now"), [({"exp": NOW - 4}, NOW), ({"iat": NOW + 5, "exp": NOW + 65}, NOW)])
def test_clocks_may_differ_a_little(changed: dict[str, Any], now: int) -> None:
    """Within the leeway, both ways."""
    assert read(claims(**changed), now).id == "0190"


def test_several_audiences() -> None:
    """One of them has to be the one that asks."""
    assert read(claims(aud=["https://b.example.com", SITE])).audience == ("https://b.example.com", SITE)


def test_a_person_for_a_bridge() -> None:
    """What an adapter of demur's takes for somebody that the app knows."""
    live = read(claims(TOKEN)).person()
    assert (live.subject.id, live.subject.name, live.subject.groups) == ("0190", "ada", ADA.groups)
    assert (live.session.kind, live.session.expires_at, live.session.scopes) == ("app", NOW + 60, TOKEN.scopes)
    assert live.session.authenticated_at == NOW - 60
