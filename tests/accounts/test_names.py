"""Names of persons and groups."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.accounts import names
from demur.accounts.names import Rejected


@pytest.mark.parametrize(
    ("typed", "kept", "key"),
    [
        ("alice", "alice", "alice"),
        ("Alice", "Alice", "alice"),
        (" alice ", "alice", "alice"),
        ("\uff21lice", "Alice", "alice"),  # a wide letter
        ("a.b_c-d@example.com", "a.b_c-d@example.com", "a.b_c-d@example.com"),
        ("007", "007", "007"),
        ("A" * 64, "A" * 64, "a" * 64),
        # Unicode's Kelvin sign is canonically the letter K
        ("\u212aate", "Kate", "kate"),
    ],
)
def test_names_that_are_possible(typed: str, kept: str, key: str) -> None:
    """A name is kept as it was written, and found in every spelling."""
    assert names.spelled(typed) == kept
    assert names.key(typed) == key


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("", "must not be empty"),
        ("  ", "must not be empty"),
        ("al ice", "a blank is not possible"),
        ("\u00e5sa", '"\u00e5" is not possible'),
        ("\ufb01n", '"\ufb01" is not possible'),
        ("a,b", '"," is not possible'),
        ("a/b", '"/" is not possible'),
        ("a\tb", "U+0009 is not possible"),
        ("a\x1b[31mb", "U+001B is not possible"),
        ("\u0430lice", "is not possible"),  # Cyrillic
        ("a" * 65, "it has 65 characters"),
        ("..", "dots only"),
    ],
)
def test_names_that_are_not(typed: str, fault: str) -> None:
    """The error says what is wrong with the name, and can be shown on a terminal; nobody is found under it."""
    with pytest.raises(Rejected, match=re.escape(fault)) as rejected:
        names.spelled(typed)
    assert str(rejected.value).isprintable()
    assert names.key(typed) is None


def test_a_text_that_is_much_too_long_costs_nothing() -> None:
    """Anybody may type a name; one out of thousands of combining marks must not keep everybody else waiting."""
    began = time.thread_time()
    assert names.key("a" + "\u0315\u0327" * 15_000) is None
    assert time.thread_time() - began < 0.05


@given(st.text(max_size=70))
def test_whatever_can_be_kept_can_be_found(typed: str) -> None:
    """A name is either kept, travels in a header as it is and is found again, or it is rejected."""
    try:
        kept = names.spelled(typed)
    except Rejected:
        assert names.key(typed) is None
        return
    assert re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", kept)
    assert names.key(kept) == names.key(typed) == kept.lower()


@pytest.mark.parametrize("group", ["admins", "Admins", "team.a", "a@b", "x" * 64])
def test_groups_are_compared_as_they_are(group: str) -> None:
    """Groups are part of the configuration and are not mapped."""
    assert names.group(group) == group


@pytest.mark.parametrize("group", ["", " admins", "a b", "a,b", "\u00e5", "x" * 65, "."])
def test_groups_that_are_not_possible(group: str) -> None:
    """A group that could not travel in `Remote-Groups` is rejected."""
    with pytest.raises(Rejected, match="name of a group"):
        names.group(group)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("Alice  Smith ", "Alice Smith"), ("A\u030asa", "\u00c5sa"), ("", ""), ("\u674e\u56db", "\u674e\u56db")],
)
def test_display_names_are_for_people(typed: str, kept: str) -> None:
    """Any script is possible; blanks are put in order."""
    assert names.display(typed) == kept


@pytest.mark.parametrize("typed", ["a\x00b", "a\x1bb", "\ud800", "x" * 201])
def test_display_names_that_are_not_possible(typed: str) -> None:
    """What cannot be shown is rejected."""
    with pytest.raises(Rejected):
        names.display(typed)


@pytest.mark.parametrize(("typed", "kept"), [("", ""), (" a@example.com ", "a@example.com"), ("a+b@c", "a+b@c")])
def test_addresses(typed: str, kept: str) -> None:
    """An address may be missing; otherwise it has two parts."""
    assert names.email(typed) == kept


@pytest.mark.parametrize("typed", ["alice", "a@", "@b", "a@b@c", "a b@c", "a@b\r\nX: y", "\u00e5@b", "a@" + "b" * 254])
def test_addresses_that_are_not_possible(typed: str) -> None:
    """What could not travel in `Remote-Email` is rejected."""
    with pytest.raises(Rejected, match="no e-mail address"):
        names.email(typed)
