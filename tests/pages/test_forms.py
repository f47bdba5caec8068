"""What comes in the body of a request to one of our own pages."""

from __future__ import annotations

import pytest
from tests.core.support import make_request

from demur.pages import forms

JSON, FORM = "application/json", "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("kind", "body", "read"),
    [
        (JSON, b'{"username": "al", "keep": true}', {"username": "al", "keep": "on"}),
        (JSON, b'{"username": "\\ud83d\\ude00", "keep": false}', {"username": "\U0001f600", "keep": ""}),
        (FORM, b"username=al&password=", {"username": "al", "password": ""}),
        (FORM + "; charset=utf-8", b"username=%C3%A5", {"username": "\u00e5"}),
        ("text/plain", b"", {}),
    ],
)
def test_what_is_read(kind: str, body: bytes, read: dict[str, str]) -> None:
    """A form and a JSON object say the same."""
    assert forms.read(make_request(content_type=kind), body) == read


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b'{"username": "al"}'),
        (FORM, b"username=al&username=bo"),
        (FORM, b"username=%FF"),
        (FORM, b"&".join(b"a%d=" % number for number in range(33))),
        (JSON, b'["al"]'),
        (JSON, b"[" * 50_000),
        (JSON, b'{"username": 1}'),
        # half of a pair is no character, and there is no way to write it into an answer (RFC 7493, 2.1)
        (JSON, b'{"username": "\\ud800"}'),
        (JSON, b'{"\\ud800": "al"}'),
    ],
)
def test_what_is_not_read(kind: str, body: bytes) -> None:
    """Whatever cannot be read is the request's fault, and said in a sentence that can be sent."""
    with pytest.raises(forms.UnreadableError) as wrong:
        forms.read(make_request(content_type=kind), body)
    assert str(wrong.value).encode("utf-8").endswith(b".")
