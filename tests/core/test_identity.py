"""What a site is told about a person, and what nobody else may tell it."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.core.identity import NAMES, identity_fields, is_identity_field, plain, told
from demur.core.model import Allow, Subject
from demur.core.rules import load
from demur.core.site import Site


@pytest.mark.parametrize(
    "name",
    [
        *NAMES,
        b"Remote-User",
        b"REMOTE_USER",
        b"remote.user",
        b"Remote_Groups",
        b"Demur-Subject",
        b"demur_subject",
        b"rEmOtE-_~name",
        b"remote-assertion",
        b"Remote|Email",
    ],
)
def test_look_alikes_are_known(name: bytes) -> None:
    """Every spelling that some server turns into one of our fields is recognised."""
    assert is_identity_field(name)


@pytest.mark.parametrize("name", [b"remote", b"x-remote-user", b"remoteuser", b"cookie", b"", b"accept"])
def test_other_fields_are_left_alone(name: bytes) -> None:
    """A field that cannot be taken for ours is not ours."""
    assert not is_identity_field(name)


@given(st.binary(max_size=40))
def test_plain_is_idempotent_and_keeps_the_length(name: bytes) -> None:
    """Reading a name carelessly twice changes nothing more, and joins nothing."""
    once = plain(name)
    assert plain(once) == once
    assert len(once) == len(name)


def test_a_person_is_told_in_full() -> None:
    """Id, name, display name, address and groups each have their field, groups in alphabetical order."""
    ada = Subject("0190", "ada", frozenset({"staff", "admins"}), display_name="Ada Lovelace", email="ada@example.com")
    assert identity_fields(ada) == (
        (b"remote-subject", b"0190"),
        (b"remote-user", b"ada"),
        (b"remote-name", b"Ada%20Lovelace"),
        (b"remote-email", b"ada@example.com"),
        (b"remote-groups", b"admins,staff"),
    )


def test_nobody_has_no_fields() -> None:
    """Nobody in particular is told by silence, not by empty fields."""
    assert identity_fields(None) == ()


def test_empty_values_are_left_out() -> None:
    """What is not known is not said."""
    assert [name for name, _ in identity_fields(Subject("1", "ada"))] == [b"remote-subject", b"remote-user"]


@given(st.text(max_size=30), st.sets(st.text(min_size=1, max_size=8), max_size=4))
def test_no_text_breaks_a_field(name: str, groups: set[str]) -> None:
    """Whatever a person is called, values are visible ASCII and can be read back."""
    name, groups = name.encode("utf-8", "replace").decode(), {g.encode("utf-8", "replace").decode() for g in groups}
    fields = dict(identity_fields(Subject("1", "ada", frozenset(groups), display_name=name)))
    assert all(0x21 <= byte <= 0x7E for value in fields.values() for byte in value)
    assert unquote(fields.get(b"remote-name", b"").decode()) == name
    told = fields.get(b"remote-groups", b"").decode()
    assert {unquote(group) for group in told.split(",") if group} == groups


class Says:
    """Asserts by saying what it was asked."""

    def of(self, subject: Subject, session: object, origin: str, now: int) -> bytes:
        return f"{subject.id} at {origin}, {now}".encode()

    def published(self) -> bytes:
        return b"{}"


def test_who_asks_is_said_once_more_and_signed() -> None:
    """Where the site wants that, and of somebody only."""
    plain_one = Site("https://a.example.com", "A", load([]))
    signed = Site("https://a.example.com", "A", load([]), assertions=Says())
    ada = Allow(Subject("1", "ada"))
    assert told(plain_one, ada, "https://a.example.com", 7) == identity_fields(ada.subject)
    fields = told(signed, ada, "https://a.example.com", 7)
    assert fields == (*identity_fields(ada.subject), (b"remote-assertion", b"1 at https://a.example.com, 7"))
    assert told(signed, Allow(), "https://a.example.com", 7) == ()
