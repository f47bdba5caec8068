"""Which refused forms are kept, and what is kept of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import NOW, SITE, TOKEN, make_live, make_request

from demur.core import forms, kept
from demur.core.kept import Entry, Kept, Sending
from demur.core.model import (
    Absent,
    Access,
    Details,
    Ended,
    Ending,
    Form,
    Malformed,
    Presented,
    Refuse,
    Requirement,
    Scheme,
    Unknown,
)
from demur.core.reasons import Reason
from demur.core.site import Site

if TYPE_CHECKING:
    from demur.core.model import Request

PAIRS = "application/x-www-form-urlencoded"
BROWSER = {
    "content_type": PAIRS,
    "content_length": "40",
    "sec_fetch_site": "same-origin",
    "sec_fetch_mode": "navigate",
    "sec_fetch_dest": "document",
    "origin": "https://app.example.com",
}
IDLE = Ended(Ending.IDLE, NOW - 60, subject="0192-bo")
ASKED = Requirement(Access.REQUIRED, "/members/**")
COOKIE = Presented()


def sent(method: str = "POST", /, **fields: str | None) -> Request:
    """A form as a browser sends it, with other fields; None leaves one out."""
    lines = {name: value for name, value in {**BROWSER, **fields}.items() if value is not None}
    return make_request(method, "/members/new", **lines)


def whose(request: Request, **more: Any) -> str:
    """For whom it is kept."""
    known = {
        "site": SITE,
        "refuse": Refuse(Reason.SESSION_IDLE),
        "evidence": IDLE,
        "requirement": ASKED,
        "presented": COOKIE,
    }
    return kept.whose(request=request, **{**known, **more})


@pytest.mark.parametrize(
    "reason",
    [
        Reason.SESSION_IDLE, Reason.SESSION_EXPIRED, Reason.SESSION_ENDED, Reason.SESSION_REVOKED,
        Reason.SESSION_REPLACED,
    ],
)  # fmt: skip
def test_is_kept_for_whom_the_tombstone_names(reason: Reason) -> None:
    """However the session ended."""
    assert whose(sent(), refuse=Refuse(reason)) == "0192-bo"


def test_is_kept_for_whom_a_fresher_sign_in_is_asked_of() -> None:
    """The session lives, the typing would be lost all the same; and one whose time is up is a tombstone to be."""
    assert whose(sent(), refuse=Refuse(Reason.STEP_UP_REQUIRED), evidence=make_live()) == "0192-bo"
    assert whose(sent(), evidence=make_live(age=90000)) == "0192-bo"


@pytest.mark.parametrize(
    "fields",
    [
        {"content_type": "multipart/form-data; boundary=x"},
        {"content_type": PAIRS + "; charset=UTF-8"},
        {"content_length": None, "transfer_encoding": "chunked"},
        {"content_length": str(256 * 1024)},
        {"origin": None},
        {"origin": "null"},  # the page says `no-referrer`
        # Towards plain http a browser leaves Sec-Fetch-* out.
        {"sec_fetch_site": None, "sec_fetch_mode": None, "sec_fetch_dest": None, "accept": "text/html,*/*;q=0.8"},
    ],
)
def test_is_kept(fields: dict[str, str | None]) -> None:
    """Every way in which a page of the site sends a form."""
    assert whose(sent(**fields)) == "0192-bo"


@pytest.mark.parametrize(
    "fields",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "made-up"},
        {"sec_fetch_site": None, "origin": None},  # not disproved, and not proved either
        {"sec_fetch_site": None, "origin": "https://evil.example"},
        {"sec_fetch_site": None, "origin": "null"},
        {"sec_fetch_site": None, "origin": None, "referer": "https://app.example.com/members/"},
        {"sec_fetch_mode": "cors"},
        {"sec_fetch_mode": None, "accept": "application/json"},
        {"sec_fetch_mode": None, "accept": "*/*"},
        {"content_type": "application/json"},
        {"content_type": "text/plain"},
        {"content_type": None},
        {"content_type": PAIRS + "x"},
        {"content_length": str(256 * 1024 + 1)},
        {"content_length": "0"},
        {"content_length": "-1"},
        {"expect": "100-continue"},
        {"content_encoding": "gzip"},
    ],
)
def test_is_not_kept(fields: dict[str, str | None]) -> None:
    """What another site, a script or a program sent, what is no form, too long, or not here."""
    assert not whose(sent(**fields))


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
def test_only_posts_are_kept(method: str) -> None:
    """A form has no other method that sends its content."""
    assert not whose(sent(method))


@pytest.mark.parametrize(
    "more",
    [
        {"evidence": Absent(), "refuse": Refuse(Reason.SIGN_IN_REQUIRED)},
        {"evidence": Unknown(), "refuse": Refuse(Reason.CREDENTIALS_INVALID)},
        {"evidence": Malformed(), "refuse": Refuse(Reason.CREDENTIALS_INVALID)},
        {"evidence": Absent()},
        {"evidence": Unknown()},
        {"evidence": replace(IDLE, subject="")},
        {"evidence": make_live(), "refuse": Refuse(Reason.NOT_PERMITTED)},
        {"evidence": make_live(), "refuse": Refuse(Reason.CROSS_SITE_REFUSED)},
        {"refuse": Refuse(Reason.UNAVAILABLE)},
        {"refuse": Refuse(Reason.NOT_FOUND)},
        {"refuse": Refuse(Reason.TOKEN_EXPIRED)},
        {"refuse": Refuse(Reason.STEP_UP_REQUIRED, Details(acr_values=("mfa",))), "evidence": make_live()},
        {"presented": Presented(Scheme.BEARER)},
        {"presented": Presented(Scheme.BASIC)},
        {"presented": Presented(None)},
        {"requirement": replace(ASKED, form=Form.API)},
        {"site": replace(SITE, keep_forms=False)},
    ],
)
def test_is_kept_for_nobody_else(more: dict[str, Any]) -> None:
    """Not for strangers, not for forged cookies, not for tokens, not where coming back would not help."""
    assert not whose(sent(), **more)


def test_any_host_of_a_star_is_its_own_origin() -> None:
    """A neighbour under the same star is another site."""
    site = replace(SITE, origin="https://*.example.com")
    assert whose(sent(), site=site)
    assert not whose(sent(sec_fetch_site=None, origin="https://other.example.com"), site=site)


# --- what is kept -----------------------------------------------------------------------------------


PARTS = b"multipart/form-data; boundary=b"
FORM = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="f"; filename="%b"\r\nContent-Type: text/plain\r\n\r\n%b\r\n'


def keep(kind: bytes, content: bytes, **more: Any) -> Kept:
    """That form, kept."""
    left, gaps = kept.without_secrets(kind, content)
    known = {"subject": "0192-bo", "origin": SITE.origin, "target": "/members/new", "page": "/members/form", "at": NOW}
    return Kept(**{**known, "kind": kind.decode(), "content": left, "gaps": gaps, **more})


def test_a_form_goes_on_byte_for_byte() -> None:
    """Nothing in it is changed, the token against forgery least of all."""
    content = b"csrf_token=abc%2Fdef0123456789&note=a+b%0D%0Ac&empty="
    form = keep(PAIRS.encode(), content)
    assert kept.filled(kept.unpack(kept.pack(form)), ()) == content
    assert kept.entries(form) == (
        Entry("csrf_token", "abc/def0123456789", of_the_page=True),
        Entry("note", "a b\r\nc"),
        Entry("empty"),
    )


def test_files_are_kept() -> None:
    """With their names and their bytes, whatever they are called."""
    content = (
        FORM % (b"note", b"hello") + FILE % (b"password.txt", bytes(range(256))) + FILE % (b"", b"") + b"--b--\r\n"
    )
    form = keep(PARTS, content)
    assert kept.filled(kept.unpack(kept.pack(form)), ()) == content
    assert kept.entries(form)[1:] == (Entry("f", file="password.txt", size=256), Entry("f", file=""))


@pytest.mark.parametrize(
    ("kind", "content", "again"),
    [
        (PAIRS.encode(), b"name=Bo&password=hush&pin=42x&note=hi", b"name=Bo&password=n%C3%A4w+%26&pin=&note=hi"),
        (
            PARTS,
            FORM % (b"name", b"Bo") + FORM % (b"password", b"hush") + FORM % (b"pin", b"42x") + b"--b--\r\n",
            FORM % (b"name", b"Bo") + FORM % (b"password", "näw &".encode()) + FORM % (b"pin", b"") + b"--b--\r\n",
        ),
    ],
)
def test_secrets_are_gaps(kind: bytes, content: bytes, again: bytes) -> None:
    """They are typed again, in their places."""
    form = keep(kind, content)
    assert b"hush" not in kept.pack(form)
    assert b"42x" not in kept.pack(form)
    assert [(entry.name, entry.gap) for entry in kept.entries(form)][:3] == [
        ("name", False),
        ("password", True),
        ("pin", True),
    ]
    assert kept.filled(form, ("näw &", "")) == again
    for typed in ((), ("one",), ("one", "two", "three")):
        with pytest.raises(ValueError, match="typed"):
            kept.filled(form, typed)


@pytest.mark.parametrize("content", [b"", b"a=&b=", b"a", b"password=hush&x", b"{}"])
def test_nothing_entered_or_nothing_that_can_be_read(content: bytes) -> None:
    """Then there is nothing to keep."""
    with pytest.raises(ValueError, match=r"\w"):
        kept.without_secrets(PAIRS.encode(), content)


def test_a_site_names_what_is_never_kept() -> None:
    """Beside what is known by its name."""
    left, gaps = kept.without_secrets(PAIRS.encode(), b"diagnosis=flu&note=hi", ("diagnosis",))
    assert (left, gaps) == (b"diagnosis=&note=hi", (10,))


@given(
    st.lists(
        st.tuples(st.sampled_from(["note", "password", "pin_code", "a[b]"]), st.text(max_size=12)),
        min_size=1,
        max_size=6,
    )
)
def test_what_is_typed_again_alike_is_the_form_that_was(pairs: list[tuple[str, str]]) -> None:
    """Whatever stands where."""
    kind = PAIRS.encode()
    content = b"&".join(forms.encode(kind, name) + b"=" + forms.encode(kind, value) for name, value in pairs)
    try:
        form = keep(kind, content)
    except ValueError:
        assert not any(value for _, value in pairs)
        return
    gone = [value for (_, value), entry in zip(pairs, kept.entries(form), strict=True) if entry.gap]
    assert kept.filled(form, gone) == content


# --- where it is found, and how it is sent ----------------------------------------------------------


def test_a_handle_leads_there_and_nothing_else_does() -> None:
    """It is made of the token, and tells neither the token nor the session's id."""
    handle = kept.handle(TOKEN.encode())
    place, key = kept.opened(handle) or (b"", b"")
    assert handle == kept.handle(TOKEN.encode()) != kept.handle(b"other")
    assert place.startswith(b"kept:")
    assert key not in place
    assert len(key) == 32


@pytest.mark.parametrize("text", ["", "x", "a" * 42, "a" * 44, "a" * 42 + "=", "a" * 43 + "\n", "ä" * 43])
def test_what_is_no_handle(text: str) -> None:
    """Whatever stands in the address."""
    assert kept.opened(text) is None


def test_the_address_names_the_page_to_go_on_to() -> None:
    """Escaped, whatever stands in it."""
    assert kept.address(SITE, "h", "/a?b=c&d") == "/.demur/kept?of=h&next=%2Fa%3Fb%3Dc%26d"


SENDING = {"content_type": "text/plain", "content_length": "90"}


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, True),
        ({"content_type": "text/plain; charset=UTF-8"}, True),
        ({"content_length": "9000"}, False),
        ({"content_length": None}, False),
        ({"content_type": PAIRS}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_mode": "cors"}, False),
        ({"expect": "100-continue"}, False),
    ],
)
def test_what_may_be_the_word_to_send(fields: dict[str, str | None], *, may: bool) -> None:
    """A short text that a page of the site sends in a window."""
    assert kept.may_be_sending(SITE, sent(**{**SENDING, **fields})) is may


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"demur-kept=h.s\r\n", Sending("h", "s")),
        (b"demur-kept=h.s\r\ndemur-typed=a=b\r\ndemur-typed=\r\n", Sending("h", "s", ("a=b", ""))),
        (b"demur-kept=\r\n", Sending("", "")),
        (b"", None),
        (b"note=hello\r\ndemur-kept=h.s\r\n", None),
        (b"demur-keptx=h.s", None),
    ],
)
def test_the_word_to_send(content: bytes, says: Sending | None) -> None:
    """Its first field is ours, or it is a form of the site's own."""
    assert kept.read_sending(content) == says


@given(st.binary(max_size=80))
def test_any_text_is_read(content: bytes) -> None:
    """Nothing is raised, whatever is sent as text."""
    kept.read_sending(content)
    kept.read_sending(b"demur-kept=" + content)


def test_a_site_keeps_forms_unless_it_says_otherwise() -> None:
    """The safe default for the person who types."""
    assert Site("https://app.example.com", "Sample", SITE.rules).keep_forms
