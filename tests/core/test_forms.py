"""Forms as browsers send them: where each field stands, and nothing that could be read in two ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.core import forms

PAIRS = b"application/x-www-form-urlencoded"
PARTS = b"multipart/form-data; boundary=----WebKitFormBoundaryX"


def values(kind: bytes, content: bytes) -> list[tuple[str, bytes]]:
    return [(field.name, content[field.start : field.end]) for field in forms.read(kind, content)]


def part(name: str, value: bytes, file: str = "", kind: str = "") -> bytes:
    """One part, as Chromium, Firefox and WebKit write it."""
    about = f'; filename="{file}"\r\nContent-Type: {kind}' if kind else ""
    head = f'------WebKitFormBoundaryX\r\nContent-Disposition: form-data; name="{name}"{about}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = b"------WebKitFormBoundaryX--\r\n"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a=1", [("a", b"1")]),
        (b"a=&b=2", [("a", b""), ("b", b"2")]),
        (b"a=1&a=2", [("a", b"1"), ("a", b"2")]),
        (b"my+name=Bo+%C3%84", [("my name", b"Bo+%C3%84")]),
        (b"=nameless", [("", b"nameless")]),
        (b"%FF=1", [("�", b"1")]),  # a page in another encoding
    ],
)
def test_reads_pairs(content: bytes, found: list[tuple[str, bytes]]) -> None:
    """Names are decoded, values stay where they are."""
    assert values(PAIRS, content) == found
    assert values(PAIRS + b"; charset=UTF-8", content) == found


@pytest.mark.parametrize(
    "content", [b"", b"a", b"a=1&", b"&a=1", b"a=1;b=2", b"a=b=c", b"a=1\n", b"a=%zz", b"a=%4", b"a=\xc3", b"a=1&b"]
)
def test_refuses_what_no_browser_writes(content: bytes) -> None:
    """Some apps split at semicolons, some keep the last `=`: what two could read in two ways is not read."""
    with pytest.raises(ValueError, match="browser"):
        forms.read(PAIRS, content)


def test_reads_parts() -> None:
    """Texts, a file, and a file that nobody chose."""
    content = (
        part("title", b"Line one\r\nLine two")
        + part("empty", b"")
        + part("photo", b"\x89PNG\r\n\r\n--", "me & you.png", "image/png")
        + part("none", b"", "", "application/octet-stream")
        + part("a%22b%0D%0Ac%41", b"x")
        + END
    )
    found = forms.read(PARTS, content)
    assert [(each.name, content[each.start : each.end], each.file) for each in found] == [
        ("title", b"Line one\r\nLine two", None),
        ("empty", b"", None),
        ("photo", b"\x89PNG\r\n\r\n--", "me & you.png"),
        ("none", b"", ""),
        ('a"b\r\nc%41', b"x", None),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        END[:-2] + b"x",
        part("a", b"1"),  # no end
        part("a", b"1") + END + b"epilogue",
        b"preamble\r\n" + part("a", b"1") + END,
        part("a", b"1")[:-2] + END,
        part("a", b"1").replace(b"\r\n\r\n", b"\r\n") + END,
        part("a", b"1").replace(b'name="a"', b"name=a") + END,
        part("a", b"1").replace(b'name="a"', b'name="a"; name="b"') + END,
        part("a", b"1").replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + END,
        part('a\\"', b"1") + END,
        part("a", b"1").replace(b"BoundaryX", b"BoundaryXY", 1) + END,
    ],
)
def test_refuses_parts_that_no_browser_writes(content: bytes) -> None:
    """Readers differ about preambles, unquoted names, two names, encodings and much more."""
    with pytest.raises(ValueError, match="form"):
        forms.read(PARTS, content)


@pytest.mark.parametrize(
    "kind",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=a; boundary=b",
        b'multipart/form-data; boundary="a\\"b"',
        b"multipart/form-data; boundary=" + b"x" * 71,
        b"multipart/mixed; boundary=x",
        b"text/plain",
        b"application/json",
        b"",
    ],
)
def test_refuses_other_kinds(kind: bytes) -> None:
    """One boundary, and nothing but a form."""
    with pytest.raises(ValueError, match="form"):
        forms.read(kind, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n')


def test_too_many_fields_are_none() -> None:
    """A bound on how many there are, for both kinds."""
    many = forms.MOST_FIELDS
    assert len(forms.read(PAIRS, b"&".join([b"a=1"] * many))) == many
    assert len(forms.read(PARTS, part("a", b"1") * many + END)) == many
    with pytest.raises(ValueError, match="fields"):
        forms.read(PAIRS, b"&".join([b"a=1"] * (many + 1)))
    with pytest.raises(ValueError, match="form"):
        forms.read(PARTS, part("a", b"1") * (many + 1) + END)


@pytest.mark.parametrize("value", ["plain", "Ä & ö = 100 %", "a+b", "", "日本語", "*-._~"])
def test_what_is_encoded_is_read_again(value: str) -> None:
    """A value that is typed again is written as the rest of the form is."""
    for kind in (PAIRS, PARTS):
        assert forms.text(kind, forms.encode(kind, value)) == value
    assert values(PAIRS, b"a=" + forms.encode(PAIRS, value)) == [("a", forms.encode(PAIRS, value))]


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=8))
def test_every_form_of_a_browser_is_read(pairs: list[tuple[str, str]]) -> None:
    """Whatever it is called and whatever was typed."""
    content = b"&".join(forms.encode(PAIRS, name) + b"=" + forms.encode(PAIRS, value) for name, value in pairs)
    found = [(name, forms.text(PAIRS, value)) for name, value in values(PAIRS, content)]
    assert found == pairs


HOSTILE = st.lists(
    st.sampled_from(
        [
            END,
            part("a", b"1"),
            part("f", b"x", "f.txt", "text/plain"),
            b"--",
            b"\r\n",
            b"------WebKitFormBoundaryX",
            b"\n",
        ]
    )
    | st.binary(max_size=12),
    max_size=8,
).map(b"".join)


@given(st.sampled_from([PAIRS, PARTS, b"text/plain"]) | st.binary(max_size=60), HOSTILE)
def test_hostile_contents(kind: bytes, content: bytes) -> None:
    """Nothing but ValueError is raised; what is found lies inside, in order, and apart."""
    try:
        found = forms.read(kind, content)
    except ValueError:
        return
    ends = [0]
    for field in found:
        assert ends[-1] <= field.start <= field.end <= len(content)
        ends.append(field.end)
