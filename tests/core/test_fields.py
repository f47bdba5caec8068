"""HTTP fields are read strictly, written well-formed, and never surprise anybody with another exception."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.core import fields
from demur.core.fields import Challenge, Credentials, Facts, Hop, Node
from demur.core.model import Ends, Request

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = b"__Host-demur"


def request(method: str = "GET", **values: str | list[str]) -> Request:
    """A request with these fields; `_` in a name stands for `-`."""
    lines = []
    for name, value in values.items():
        key = name.replace("_", "-").encode()
        lines += [(key, one.encode("latin-1")) for one in ([value] if isinstance(value, str) else value)]
    return Request(method, b"/", "https", "app.example.com", "192.0.2.1", tuple(lines))


# --- cookies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        ([], []),
        ([b""], []),
        ([b"a=b"], []),
        ([b"__Host-demur=x"], [b"x"]),
        ([b"a=b; __Host-demur=x; c=d"], [b"x"]),
        ([b"a=b;__Host-demur=x"], [b"x"]),
        ([b"a=b;\t __Host-demur=x \t"], [b"x"]),
        ([b"__Host-demur="], [b""]),
        ([b'__Host-demur="x"'], [b'"x"']),  # quotes belong to the value (rfc6265bis, 4.1.1)
        ([b"__Host-demur=x=y=="], [b"x=y=="]),
        ([b"__Host-demur=x; __Host-demur=y"], [b"x", b"y"]),
        ([b"__Host-demur=x", b"a=b; __Host-demur=y"], [b"x", b"y"]),  # HTTP/2 splits the field
        ([b"__host-demur=x"], []),
        ([b"x__Host-demur=x"], []),
        ([b"x __Host-demur=x"], []),
        ([b"a=__Host-demur=x"], []),
        ([b"a=__Host-demur=x; __Host-demur=y"], [b"y"]),
        ([b"__Host-demur2=x"], []),
        ([b"__Host-demur"], []),
        ([b'a="; __Host-demur=x; b="'], [b"x"]),  # quotes of another cookie hide nothing
    ],
)
def test_cookie_values(lines: list[bytes], values: list[bytes]) -> None:
    """Every value of our cookie is found, and nothing that only looks like it."""
    assert fields.cookie_values(lines, OURS) == values


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"", b""),
        (b"a=b", b"a=b"),
        (b"__Host-demur=x", b""),
        (b"__Host-demur=x; a=b", b"a=b"),
        (b"a=b; __Host-demur=x", b"a=b"),
        (b"a=b; __Host-demur=x; c=d", b"a=b; c=d"),
        (b"a=b;c=d;__Host-demur=x", b"a=b;c=d"),
        (b"__Host-demur=x; __Host-demur=y", b""),
        (b"demur-dev=x; a=b", b"a=b"),
        (b" __Host-demur =x; a=b", b"a=b"),  # some servers trim before the `=`
        (b"__Host-demur; a=b", b"a=b"),
        (b'a="; __Host-demur=x; b="', b'a="; b="'),
        (b"a=__Host-demur=x;  b", b"a=__Host-demur=x;  b"),
    ],
)
def test_without_cookies(value: bytes, left: bytes) -> None:
    """Our cookies are taken out, and the others stay as they were."""
    assert fields.without_cookies(value, {OURS, b"demur-dev"}) == left


_pair = st.from_regex(rb"[A-Za-z_][A-Za-z0-9_-]{0,8}=[!-+\--:<-~]{0,12}", fullmatch=True)


@given(st.lists(_pair, max_size=6), st.integers(0, 6))
def test_removal_preserves_the_rest(pairs: list[bytes], at: int) -> None:
    """Whatever the other cookies are, they come out byte for byte, and ours is gone."""
    others = [pair for pair in pairs if not pair.startswith(OURS + b"=")]
    with_ours = [*others[:at], OURS + b"=secret", *others[at:]]
    left = fields.without_cookies(b"; ".join(with_ours), {OURS})
    assert left == b"; ".join(others)
    assert fields.cookie_values([b"; ".join(with_ours)], OURS) == [b"secret"]


@given(st.binary(max_size=200))
def test_nothing_is_left_of_ours(noise: bytes) -> None:
    """After the removal our cookie cannot be read, whatever surrounds it."""
    assert fields.cookie_values([fields.without_cookies(noise + b";__Host-demur=x;" + noise, {OURS})], OURS) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"name": "__Host-demur", "value": "x", "secure": True},
            b"__Host-demur=x; Path=/; Secure; HttpOnly; SameSite=Lax",
        ),
        (
            {"name": "demur-dev", "value": "x", "secure": False, "max_age": 60},
            b"demur-dev=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
        ),
        (
            {"name": "a", "value": "", "secure": True, "path": "/x", "http_only": False, "same_site": "None"},
            b"a=; Path=/x; Secure; SameSite=None",
        ),
    ],
)
def test_set_cookie(arguments: dict[str, object], expected: bytes) -> None:
    """A cookie is set with the attributes that were asked for, the safe ones by default."""
    assert fields.set_cookie(**arguments) == expected  # type: ignore[arg-type]


def test_expired_cookie() -> None:
    """The deletion repeats Path and Secure: without them a browser keeps a `__Host-` cookie."""
    assert (
        fields.expired_cookie("__Host-demur", secure=True)
        == b"__Host-demur=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "", "value": "x", "secure": True},
        {"name": "a b", "value": "x", "secure": True},
        {"name": "a\r\nb", "value": "x", "secure": True},
        {"name": "a", "value": "x;y", "secure": True},
        {"name": "a", "value": "x\n", "secure": True},
        {"name": "a", "value": "é", "secure": True},
        {"name": "a", "value": "x", "secure": True, "path": "/;x"},
        {"name": "a", "value": "x", "secure": True, "path": "x"},
        {"name": "__Host-demur", "value": "x", "secure": False},
        {"name": "__HOST-demur", "value": "x", "secure": True, "path": "/x"},
        {"name": "__Secure-demur", "value": "x", "secure": False},
        {"name": "a", "value": "x", "secure": False, "same_site": "None"},
    ],
)
def test_set_cookie_refuses(arguments: dict[str, object]) -> None:
    """What a browser would drop or misread is an error here."""
    with pytest.raises(ValueError, match=r"cookie"):
        fields.set_cookie(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "name", "ours"),
    [
        (b"a=b; Path=/", b"a", False),
        (b" __Host-demur = x; Path=/", b"__Host-demur", True),
        (b"__HOST-demur=x", b"__HOST-demur", True),
        (b"=__Host-demur=x", b"__Host-demur", True),  # nameless: comes back as `__Host-demur=x`
        (b"__Host-demur", b"__Host-demur", True),
        (b"a=__Host-demur=x", b"a", False),
        (b"", b"", False),
        (b"x; __Host-demur=y", b"x", False),
    ],
)
def test_set_cookie_name(value: bytes, name: bytes, ours: bool) -> None:
    """An upstream's cookie is known by the name under which it would come back."""
    assert fields.set_cookie_name(value) == name
    assert fields.sets_cookie(value, {OURS}) is ours


# --- Authorization and WWW-Authenticate -----------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Bearer dmr_abc.def-1~+/==", Credentials("bearer", "dmr_abc.def-1~+/==")),
        (b"  BASIC   dXNlcjpwYXNz ", Credentials("basic", "dXNlcjpwYXNz")),
        (b"Negotiate", Credentials("negotiate")),
        (
            b'Digest username="Mufasa", realm="a, b=\\"c\\"", nc=00000001',
            Credentials("digest", None, (("username", "Mufasa"), ("realm", 'a, b="c"'), ("nc", "00000001"))),
        ),
        (b'Digest USERNAME = "x"', Credentials("digest", None, (("username", "x"),))),
        (b"a b=", Credentials("a", "b=")),
        (b"a b=c", Credentials("a", None, (("b", "c"),))),
        (b"", None),
        (b"Bearer a b", None),
        (b"Bearer a,b", None),
        (b"Bearer a, Basic b", None),
        (b'Digest a="x", a="y"', None),
        (b'Digest a="x', None),
        (b"Digest a=", Credentials("digest", "a=")),
        (b"Bearer\ta", None),
        (b"Bearer: a", None),
        (b"(a) b", None),
        (b"Bearer \xc3\xa9", None),
    ],
)
def test_credentials(value: bytes, expected: Credentials | None) -> None:
    """`Authorization` is one scheme with a token68 or parameters, and anything else is malformed."""
    assert fields.credentials(value) == expected


@pytest.mark.parametrize(
    ("challenge", "expected"),
    [
        (Challenge("Negotiate"), b"Negotiate"),
        (Challenge("Negotiate", (), "abc=="), b"Negotiate abc=="),
        (
            Challenge("Cookie", (("realm", 'The "best" \\ site'), ("cookie-name", "__Host-demur"))),
            rb'Cookie realm="The \"best\" \\ site", cookie-name="__Host-demur"',
        ),
        # RFC 6750, 3: neither quotes nor backslashes, nor anything that would need them
        (
            Challenge("Bearer", (("error_description", 'no "x" \\ é'), ("error", "invalid_token"))),
            b'Bearer error_description="no \'x\' / ?", error="invalid_token"',
        ),
        (Challenge("Bearer", (("realm", "Café\r\nSet-Cookie: a=b"),)), b'Bearer realm="Caf???Set-Cookie: a=b"'),
    ],
)
def test_challenge_encode(challenge: Challenge, expected: bytes) -> None:
    """Parameters are quoted, and what cannot be said is replaced, so that a field stays one field."""
    assert challenge.encode() == expected


@pytest.mark.parametrize(
    "challenge",
    [
        Challenge(""),
        Challenge("Bearer"),
        Challenge("bearer"),
        Challenge("a b", (("realm", "x"),)),
        Challenge("a", (("r m", "x"),)),
        Challenge("a", (("é", "x"),)),
        Challenge("a", (("realm", "x"), ("Realm", "y"))),
        Challenge("a", (), "é"),
        Challenge("a", (), ""),
        Challenge("a", (("realm", "x"),), "abc"),
    ],
)
def test_challenge_encode_refuses(challenge: Challenge) -> None:
    """What no text could make valid is an error: a bare Bearer, a parameter twice, a name that is none."""
    with pytest.raises(ValueError, match=r"."):
        challenge.encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b" , ,", []),
        (b"Basic", [Challenge("Basic")]),
        (b'Basic realm="simple"', [Challenge("Basic", (("realm", "simple"),))]),
        # RFC 9110, 11.6.1
        (
            b'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
            [
                Challenge("Basic", (("realm", "simple"),)),
                Challenge("Newauth", (("realm", "apps"), ("type", "1"), ("title", 'Login to "apps"'))),
            ],
        ),
        (
            b'Negotiate, Basic realm="x", Negotiate abc==, NTLM',
            [
                Challenge("Negotiate"),
                Challenge("Basic", (("realm", "x"),)),
                Challenge("Negotiate", (), "abc=="),
                Challenge("NTLM"),
            ],
        ),
        (b"Negotiate ,Basic", [Challenge("Negotiate"), Challenge("Basic")]),
        (b'a ,, REALM\t= "x, y" ,,b', [Challenge("a", (("realm", "x, y"),)), Challenge("b")]),
        (b'a b="\xe9"', [Challenge("a", (("b", "é"),))]),
    ],
)
def test_parse_challenges(value: bytes, expected: list[Challenge]) -> None:
    """Commas between parameters and commas between challenges are told apart."""
    assert fields.parse_challenges(value) == expected


@pytest.mark.parametrize(
    ("value", "position"),
    [
        (b'realm="x"', 5),
        (b'Basic, realm="x"', 12),
        (b'Basic realm="x', 6),
        (b'Basic realm="x" type=1', 6),
        (b"Basic\ta", 5),
        (b'Basic realm="x", realm="y"', 17),
        (b'Basic realm="x", ?', 17),
        (b"a b c", 2),
        (b'a b="\x00"', 2),
        (b"/login", 0),
    ],
)
def test_parse_challenges_refuses(value: bytes, position: int) -> None:
    """A fault is named with its position."""
    with pytest.raises(ValueError, match=rf"position {position}\b"):
        fields.parse_challenges(value)


_token = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}", fullmatch=True)
_text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
_params = st.lists(
    st.tuples(_token.map(str.lower).filter(lambda name: not name.startswith(("error", "scope"))), _text),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one[0],
)


@given(st.lists(st.tuples(_token, _params), max_size=4))
def test_challenges_round_trip(challenges: list[tuple[str, list[tuple[str, str]]]]) -> None:
    """What is written can be read again, alone and in a list with others."""
    built = [Challenge(scheme, tuple(params)) for scheme, params in challenges]
    assert fields.parse_challenges(b", ".join(challenge.encode() for challenge in built)) == built


# --- Accept, and where a request comes from -------------------------------------------------------

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ([], False),
        ([""], False),
        ([CHROME], True),
        (["text/html"], True),
        (["TEXT/HTML ; charset=utf-8"], True),
        (["text/*"], True),
        (["application/xhtml+xml"], True),
        (["text/html, */*;q=0.01"], True),
        (["text/html;q=0.9, */*;q=0.1"], True),
        (["text/html, */*"], True),  # named more exactly
        (["text/html", "*/*;q=0.1"], True),
        (["application/json, text/html;q=0.9"], False),
        (["application/problem+json;q=0.2, text/html;q=0.3"], True),
        (["application/vnd.api+json, text/html;q=0.9"], False),
        (["text/html, application/json"], False),  # no preference: the safer answer for a script
        (["*/*"], False),
        (["*/*, text/html;q=0.5"], False),
        (["application/*, text/*;q=0.9"], False),
        (["text/html;q=0, */*;q=0.5"], False),
        (["text/html;q=0"], False),
        (["image/png"], False),
        (['text/html;x=";q=0"'], True),
        ([",, text/html ;; q=0.5 ,"], True),
        # malformed
        (["text/html, application/json;q=2"], False),
        (["text/html;q=0.1234"], False),
        (["text/html;q=-1"], False),
        (["text/html application/json"], False),
        (["text"], False),
        (["text/html, *"], False),
        (['text/html;x="'], False),
    ],
)
def test_prefers_html(accept: list[str], html: bool) -> None:
    """A page goes to whoever prefers HTML by weight or by name, and JSON to everybody else."""
    assert fields.prefers_html([value.encode() for value in accept]) is html


@pytest.mark.parametrize(
    ("values", "navigation", "read"),
    [
        ({"sec_fetch_mode": "navigate", "accept": "*/*"}, True, (b"Sec-Fetch-Mode",)),
        ({"sec_fetch_mode": "cors", "accept": CHROME}, False, (b"Sec-Fetch-Mode",)),
        # not a mode that there is, so it is as if it were not there
        ({"sec_fetch_mode": "nested-navigate"}, False, (b"Sec-Fetch-Mode", b"Accept")),
        ({"sec_fetch_mode": "quantum", "accept": CHROME}, True, (b"Sec-Fetch-Mode", b"Accept")),
        ({"accept": CHROME}, True, (b"Sec-Fetch-Mode", b"Accept")),
        ({"accept": "*/*"}, False, (b"Sec-Fetch-Mode", b"Accept")),
        ({"accept": ["application/json", CHROME]}, False, (b"Sec-Fetch-Mode", b"Accept")),
        ({}, False, (b"Sec-Fetch-Mode", b"Accept")),
    ],
)
def test_is_navigation(values: dict[str, str], navigation: bool, read: tuple[bytes, ...]) -> None:
    """`Sec-Fetch-Mode` decides where it is sent, `Accept` where it is not, and `Vary` learns which was read."""
    assert fields.is_navigation(request(**values)) == (navigation, read)


@pytest.mark.parametrize(
    ("values", "framed"),
    [
        ({"sec_fetch_dest": "iframe"}, True),
        ({"sec_fetch_dest": "frame"}, True),
        ({"sec_fetch_dest": "embed"}, True),
        ({"sec_fetch_dest": "object"}, True),
        ({"sec_fetch_dest": "document"}, False),
        ({}, False),
    ],
)
def test_in_frame(values: dict[str, str], framed: bool) -> None:
    """The destination says whether the answer will stand inside another page."""
    assert fields.in_frame(request(**values)) is framed


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"sec_fetch_site": "same-origin"}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"sec_fetch_site": "same-site"}, True),
        ({"sec_fetch_site": "cross-site"}, True),
        ({"sec_fetch_site": ""}, True),
        ({"sec_fetch_site": ["same-origin", "same-origin"]}, True),
        ({"sec_fetch_site": "cross-site", "origin": "https://app.example.com"}, True),
        ({"origin": "https://app.example.com"}, False),
        ({"origin": "HTTPS://APP.example.com:443"}, False),
        ({"origin": "http://app.example.com"}, True),
        ({"origin": "https://app.example.com:8443"}, True),
        ({"origin": "https://app.example.com.evil.test"}, True),
        ({"origin": "https://evil.test"}, True),
        ({"origin": "null"}, True),
        ({"origin": ""}, True),
        ({"origin": "https://app.example.com https://evil.test"}, True),
        ({"origin": ["https://app.example.com", "https://evil.test"]}, True),
        ({}, False),
        ({"user_agent": "curl/8"}, False),
        ({"upgrade": "websocket", "sec_websocket_key": "x", "sec_websocket_version": "13"}, False),
        # a browser's marks without a word about the origin
        ({"referer": "https://app.example.com/"}, True),
        ({"sec_fetch_mode": "cors"}, True),
        ({"sec_ch_ua": '"x"'}, True),
    ],
)
def test_cross_site(values: dict[str, str], refused: bool) -> None:
    """Only what is known to come from the site itself, or from no browser at all, passes."""
    assert fields.cross_site(request("POST", **values), "https://app.example.com") is refused


@pytest.mark.parametrize(
    ("values", "ours"),
    [
        ({}, False),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": " same-origin\t"}, True),
        ({"sec_fetch_site": ["same-origin", "same-origin"]}, False),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"sec_fetch_site": "", "referer": "https://app.example.com/"}, False),
        ({"sec_fetch_site": "cross-site", "referer": "https://app.example.com/"}, False),
        ({"referer": "https://app.example.com/a?b"}, True),
        ({"referer": "https://app.example.com"}, False),
        ({"referer": "https://app.example.com.evil.example/"}, False),
        ({"referer": "https://app.example.com:444/"}, False),
        ({"referer": "http://app.example.com/"}, False),
        ({"referer": ["https://app.example.com/", "https://app.example.com/"]}, False),
    ],
)
def test_from_own_page(values: dict[str, Any], *, ours: bool) -> None:
    """Only what says that a page of this origin led here is taken for that."""
    assert fields.from_own_page(request(**values), "https://app.example.com") is ours


@pytest.mark.parametrize(
    ("values", "ours"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),  # a page with `no-referrer`
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site", "origin": "https://app.example.com"}, False),
        ({"origin": "https://app.example.com"}, True),
        ({"origin": "https://app.example.com:8443"}, False),
        ({"origin": "null"}, False),
        ({"referer": "https://app.example.com/form"}, False),
        ({}, False),
    ],
)
def test_same_origin(values: dict[str, Any], *, ours: bool) -> None:
    """A form of ours is known by what a browser says, and never by what is missing."""
    assert fields.same_origin(request(**values), "https://app.example.com") is ours


# --- Forwarded ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b"for=192.0.2.60;proto=http;by=203.0.113.43", [Hop(Node("192.0.2.60"), Node("203.0.113.43"), None, "http")]),
        (b'For="[2001:DB8:cafe::17]:4711"', [Hop(Node("2001:DB8:cafe::17", "4711"))]),
        (b"for=192.0.2.43, for=198.51.100.17", [Hop(Node("192.0.2.43")), Hop(Node("198.51.100.17"))]),
        (b"for=unknown ; host=a.example", [Hop(Node("unknown"), host="a.example")]),
        (b'for="_gazonk:_p", ;, host="a:8"', [Hop(Node("_gazonk", "_p")), Hop(host="a:8")]),
        (b'for=1.2.3.4;secret="a,b;c"', [Hop(Node("1.2.3.4"))]),
    ],
)
def test_forwarded(value: bytes, expected: list[Hop]) -> None:
    """Every element of RFC 7239 is read: quoted, in brackets, obfuscated."""
    assert fields.forwarded(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"for",
        b"for=",
        b"for=1.2.3.4;for=1.2.3.4",
        b"for=1.2.3",
        b"for=300.2.3.4",
        b'for="[::g]"',
        b"for=[::1]",  # brackets have to be quoted
        b"for=2001:db8::1",
        b'for="1.2.3.4',
        b"for=1.2.3.4 proto=http",
        b"for=1.2.3.4 = x",
        b'for="hidden"',
    ],
)
def test_forwarded_refuses(value: bytes) -> None:
    """A malformed field is an error that says where."""
    with pytest.raises(ValueError, match=r"Forwarded: "):
        fields.forwarded(value)


TRUSTED = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("peer", "values", "expected"),
    [
        # strangers are not believed, not even to be wrong
        ("192.0.2.1", {"x_forwarded_for": "1.1.1.1", "x_forwarded_proto": "x"}, Facts("192.0.2.1")),
        ("192.0.2.1", {"forwarded": "for=1.1.1.1;;=="}, Facts("192.0.2.1")),
        ("", {"x_forwarded_for": "1.1.1.1"}, Facts("")),
        ("nonsense", {"x_forwarded_for": "1.1.1.1"}, Facts("nonsense")),
        # a trusted peer that says nothing
        ("10.0.0.1", {}, Facts("10.0.0.1")),
        ("10.0.0.1", {"x_forwarded_for": ""}, Facts("10.0.0.1")),
        # one proxy
        (
            "10.0.0.1",
            {"x_forwarded_for": "192.0.2.7", "x_forwarded_proto": "https", "x_forwarded_host": "App.example.com:443"},
            Facts("192.0.2.7", "https", "app.example.com"),
        ),
        ("::ffff:10.0.0.1", {"x_forwarded_for": "192.0.2.7"}, Facts("192.0.2.7")),
        ("2001:db8::1%eth0", {"x_forwarded_for": "192.0.2.7"}, Facts("192.0.2.7")),
        ("10.0.0.1", {"x_forwarded_for": "192.0.2.7:5123"}, Facts("192.0.2.7")),
        ("10.0.0.1", {"x_forwarded_for": "[2001:db9::1]:5123"}, Facts("2001:db9::1")),
        ("10.0.0.1", {"x_forwarded_for": "2001:db9::1"}, Facts("2001:db9::1")),
        ("10.0.0.1", {"x_forwarded_for": "unknown"}, Facts("")),
        ("10.0.0.1", {"x_forwarded_proto": "wss"}, Facts("10.0.0.1", "https")),  # as Traefik says it
        # several: from the right, past those that are trusted, and no further
        ("10.0.0.1", {"x_forwarded_for": "6.6.6.6, 192.0.2.7, 10.0.0.2"}, Facts("192.0.2.7")),
        ("10.0.0.1", {"x_forwarded_for": "<script>, 192.0.2.7"}, Facts("192.0.2.7")),
        ("10.0.0.1", {"x_forwarded_for": ["6.6.6.6", "192.0.2.7, 2001:db8::1"]}, Facts("192.0.2.7")),
        ("10.0.0.1", {"x_forwarded_for": "10.0.0.3, 10.0.0.2"}, Facts("10.0.0.3")),
        # RFC 7239
        (
            "10.0.0.1",
            {
                "forwarded": "for=6.6.6.6;proto=http;host=evil.test, "
                "for=192.0.2.7;proto=https;host=a.example, for=10.0.0.2"
            },
            Facts("192.0.2.7", "https", "a.example"),
        ),
        ("10.0.0.1", {"forwarded": 'for="[2001:db9::1]"'}, Facts("2001:db9::1")),
        ("10.0.0.1", {"forwarded": "for=_hidden"}, Facts("")),
        ("10.0.0.1", {"forwarded": "proto=https"}, Facts("10.0.0.1", "https")),
        # both, and of one mind
        (
            "10.0.0.1",
            {"forwarded": "for=192.0.2.7", "x_forwarded_for": "192.0.2.7", "x_forwarded_proto": "https"},
            Facts("192.0.2.7", "https"),
        ),
        ("10.0.0.1", {"forwarded": "proto=https", "x_forwarded_for": "192.0.2.7"}, Facts("192.0.2.7", "https")),
    ],
)
def test_client(peer: str, values: dict[str, str], expected: Facts) -> None:
    """Forwarding fields are believed from trusted peers, and only as far as those wrote them."""
    assert fields.client(peer, request(**values).fields, TRUSTED) == expected


def test_client_over_a_unix_socket() -> None:
    """A peer without an address is believed only if the configuration says so."""
    sent = request(x_forwarded_for="192.0.2.7").fields
    assert fields.client("", sent, [], trust_local=True) == Facts("192.0.2.7")
    assert fields.client("", sent, TRUSTED) == Facts("")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x_forwarded_proto": ["https", "https"]}, "X-Forwarded-Proto has more than one value"),
        ({"x_forwarded_proto": "https, http"}, "X-Forwarded-Proto has more than one value"),
        ({"x_forwarded_proto": "gopher"}, "X-Forwarded-Proto: 'gopher' is neither http nor https"),
        ({"x_forwarded_host": ["a", "b"]}, "X-Forwarded-Host has more than one value"),
        ({"x_forwarded_host": "a/b"}, "the host is not a valid authority"),
        ({"x_forwarded_for": "fe80::1%<b>"}, "X-Forwarded-For: 'fe80::1%<b>' is not an address"),
        ({"x_forwarded_for": "nonsense"}, "X-Forwarded-For: 'nonsense' is not an address"),
        ({"forwarded": "for=1.1.1.1;for=2.2.2.2"}, "Forwarded: for is given twice"),
        ({"forwarded": "proto=ftp"}, "Forwarded: 'ftp' is neither http nor https"),
        (
            {"forwarded": "for=1.1.1.1", "x_forwarded_for": "2.2.2.2"},
            "contradict each other about the client's address",
        ),
        ({"forwarded": "proto=http", "x_forwarded_proto": "https"}, "contradict each other about the scheme"),
        ({"forwarded": "host=a", "x_forwarded_host": "b"}, "contradict each other about the host"),
    ],
)
def test_client_refuses(values: dict[str, str], message: str) -> None:
    """A trusted proxy that says something twice, nonsense or two things at once is not guessed about."""
    with pytest.raises(ValueError, match=re.escape(message)):
        fields.client("10.0.0.1", request(**values).fields, TRUSTED)


# --- target, host, origin -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        (b"/", True),
        (b"/members/reports", True),
        (b"/members/", True),
        (b"/a/b.c~d_e-f/...", True),
        (b"/..a/.b", True),
        (b"/a%20b", True),
        (b"/%C3%A9t%c3%a9", True),
        (b"/%E2%82%AC/%F0%9F%98%80", True),
        (b"/?", True),
        (b"/a?b=c&d[]=e|%&f=//../..", True),
        (b"/a?%2e%2e%00", True),
        (b"/" + b"a" * 8191, True),
        (b"/" + b"a" * 8192, False),
        (b"", False),
        (b"*", False),
        (b"a", False),
        (b"?a", False),
        (b"http://app.example.com/", False),
        (b"//", False),
        (b"//a", False),
        (b"/a//b", False),
        (b"/a//", False),
        (b"/.", False),
        (b"/..", False),
        (b"/a/./b", False),
        (b"/a/../b", False),
        (b"/a/..?b", False),
        (b"/%2e%2e/a", False),
        (b"/a%2Fb", False),
        (b"/a%5cb", False),
        (b"/a%00", False),
        (b"/%41", False),
        (b"/a%", False),
        (b"/a%2", False),
        (b"/a%zz", False),
        (b"/%C3", False),
        (b"/%C0%AF", False),  # an overlong `/`
        (b"/%E0%80%AF", False),
        (b"/%ED%A0%80", False),  # a surrogate
        (b"/%F4%90%80%80", False),  # beyond Unicode
        (b"/%FF", False),
        (b"/\xc3\xa9", False),
        (b"/a;b", False),
        (b"/a:b", False),
        (b"/a@b", False),
        (b"/a+b", False),
        (b"/a\\b", False),
        (b"/a b", False),
        (b"/a\n", False),
        (b"/a?b\n", False),
        (b"/a#b", False),
        (b"/a?b#c", False),
        (b"/a?b c", False),
        (b"/a?\x7f", False),
        (b"/a?\xe9", False),
    ],
)
def test_plain_target(target: bytes, plain: bool) -> None:
    """A target is plain if its path has one reading only."""
    assert fields.plain_target(target) is plain


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8))
def test_plain_target_knows_utf8(text: str) -> None:
    """Any text beyond ASCII is plain once it is percent-encoded, and no text of ASCII becomes so."""
    encoded = "".join(f"%{byte:02X}" for byte in text.encode()).encode()
    assert fields.plain_target(b"/" + encoded) is all(char == " " or ord(char) > 0x7F for char in text)


@pytest.mark.parametrize(
    ("value", "scheme", "expected"),
    [
        (b"App.Example.com", "https", "app.example.com"),
        (b"app.example.com:443", "https", "app.example.com"),
        (b"app.example.com:443", "http", "app.example.com:443"),
        (b"app.example.com:0080", "http", "app.example.com"),
        (b"app.example.com:", "https", "app.example.com"),
        (b" localhost:8000 ", "http", "localhost:8000"),
        (b"127.0.0.1:8000", "http", "127.0.0.1:8000"),
        (b"[::1]", "http", "[::1]"),
        (b"[0:0:0:0:0:0:0:1]:8000", "http", "[::1]:8000"),
        (b"a_b.example", "https", "a_b.example"),
    ],
)
def test_host(value: bytes, scheme: str, expected: str) -> None:
    """A host comes out as browsers write it in an origin."""
    assert fields.host(value, scheme) == expected


@pytest.mark.parametrize(
    "value",
    [b"", b":80", b"a b", b"a/b", b"a?b", b"a#b", b"u@a", b"a:b", b"a:99999", b"a:0", b"a:1:2", b"::1", b"[::1",
     b"[v1.x]", b"[::g]", b"[1:2]", b"a\\b", b"\xc3\xa9", b"%zz", b"a\r\nb", b"a,b c", b"x/abc?"],
)  # fmt: skip
def test_host_refuses(value: bytes) -> None:
    """What is no authority with a host is an error."""
    with pytest.raises(ValueError, match=r"host"):
        fields.host(value, "https")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"null", None),
        (b"https://app.example.com", "https://app.example.com"),
        (b"HTTPS://App.example.com:443", "https://app.example.com"),
        (b"http://localhost:8000", "http://localhost:8000"),
        (b"chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_origin(value: bytes, expected: str | None) -> None:
    """An origin comes out serialized, `null` as None."""
    assert fields.origin(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Null",
        b"app.example.com",
        b"https://",
        b"https://a/",
        b"https://a?b",
        b"https://u@a",
        b"https://a https://b",
    ],
)
def test_origin_refuses(value: bytes) -> None:
    """What is not exactly one serialized origin is an error."""
    with pytest.raises(ValueError, match=r"origin|host"):
        fields.origin(value)


# --- structured fields, lists, dates --------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "token", "params"),
    [
        (b"not-permitted", "not-permitted", {}),
        (b" a ; b ", None, None),
        (b'a;b="c \\"d\\" \\\\";e=5;f=-3;g=?1;h=?0;i;j=*k/l', "a",
         {"b": 'c "d" \\', "e": 5, "f": -3, "g": True, "h": False, "i": True, "j": "*k/l"}),
        (b"a;  b=1;b=2", "a", {"b": 2}),  # "replaced" (RFC 9651, 4.2.3.2)
        (b'a;d=%"f%c3%bcr"', "a", {"d": "für"}),
        (b"", None, None),
        (b'"a"', None, None),
        (b"5", None, None),
        (b"a,b", None, None),
        (b"a b", None, None),
        (b"a;", None, None),
        (b"a;B=1", None, None),
        (b"a;b=", None, None),
        (b"a;b= 1", None, None),
        (b"a;b=1.5", None, None),
        (b"a;b=1234567890123456", None, None),
        (b"a;b=:YQ==:", None, None),
        (b"a;b=@1", None, None),
        (b'a;b="c', None, None),
        (b'a;b="\\c"', None, None),
        (b'a;b="\xc3\xa9"', None, None),
        (b'a;b=%"%ff"', None, None),
        (b'a;b=%"%C3%A9"', None, None),
        (b'a;b="c"d', None, None),
    ],
)  # fmt: skip
def test_item(value: bytes, token: str | None, params: dict[str, object] | None) -> None:
    """A structured item is a token with parameters, read as RFC 9651 says."""
    if params is None:
        with pytest.raises(ValueError, match=r"position|utf-8"):
            fields.item(value)
    else:
        read = fields.item(value)
        assert (read.token, read.params) == (token, params)
        assert [type(one) for one in read.params.values()] == [type(one) for one in params.values()]


@pytest.mark.parametrize(
    ("existing", "names", "expected"),
    [
        (None, [b"Accept"], b"Accept"),
        (b"", [b"Accept", b"Cookie"], b"Accept, Cookie"),
        (b"accept,Origin", [b"Accept", b"Cookie"], b"accept, Origin, Cookie"),
        (b" a ,, b ", [], b"a, b"),
        (b"*", [b"Accept"], b"*"),
        (b"a, *", [b"Accept"], b"*"),
    ],
)
def test_list_add(existing: bytes | None, names: list[bytes], expected: bytes) -> None:
    """Names are added once, in whatever case they were there."""
    assert fields.list_add(existing, *names) == expected


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (Ends(idle=1900, absolute=29800), b'session;dur=900;desc="28800"'),
        (Ends(idle=0, absolute=29800), b'session;dur=28800;desc="28800"'),
        (Ends(idle=50000, absolute=29800), b'session;dur=28800;desc="28800"'),
        (Ends(idle=900, absolute=950), b'session;dur=0;desc="0"'),
    ],
)
def test_session_timing(ends: Ends, expected: bytes) -> None:
    """A page learns whom it was made for and when the session ends, and never a time that has passed."""
    assert fields.session_timing(ends, "0192-bo", 1000) == expected + b', subject;desc="0192-bo"'


def test_session_timing_is_a_field_whatever_an_id_is() -> None:
    """Ids of an app's own people end neither the text nor the field."""
    value = fields.session_timing(Ends(0, 1000), 'a"b\\c\r\nd é', 1000)
    assert value == b'session;dur=0;desc="0", subject;desc="abcd "'


def test_retry_after() -> None:
    """Nobody is told to come back at once."""
    assert [fields.retry_after(seconds) for seconds in (-1, 0, 1, 90)] == [b"1", b"1", b"1", b"90"]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (784111777, b"Sun, 06 Nov 1994 08:49:37 GMT"),  # RFC 9110, 5.6.7
        (1709208000, b"Thu, 29 Feb 2024 12:00:00 GMT"),
    ],
)
def test_imf_fixdate(now: int, expected: bytes) -> None:
    """Dates are written as HTTP writes them."""
    assert fields.imf_fixdate(now) == expected


@pytest.mark.parametrize(
    ("values", "packed"),
    [
        ([], False),
        ([b""], False),
        ([b"gzip"], True),
        ([b"GZip , br"], True),
        ([b"br", b"gzip;q=0.001"], True),
        ([b"x-gzip"], True),  # RFC 9110, 8.4.1.3: "SHOULD consider [...] to be equivalent"
        ([b"gzip;q=0"], False),
        ([b"gzip;q=0.000, *"], False),
        ([b"*, gzip;q=0"], False),
        ([b"*"], True),
        ([b"*;q=0"], False),
        ([b"identity, deflate"], False),
        ([b"gzip;q=2"], False),
        ([b"gzip;q=1.000"], True),
        ([b"gzip;q"], False),
        ([b"notgzip"], False),
    ],
)
def test_accepts_gzip(values: list[bytes], packed: bool) -> None:
    """Nobody gets what they did not ask for."""
    assert fields.accepts_gzip(values) is packed


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ([], False),
        ([b'"a"'], True),
        ([b'W/"a"'], True),
        ([b'"b", "a"'], True),
        ([b'"b"', b'"a"'], True),
        ([b" * "], True),
        ([b"a"], False),
        ([b'"b"'], False),
        ([b'"b,"a"'], False),  # the tag "b," and a rest
        ([b'"*"'], False),
    ],
)
def test_none_match(values: list[bytes], same: bool) -> None:
    """Only the very tag, or any."""
    assert fields.none_match(values, b'"a"') is same


# --- whatever comes -------------------------------------------------------------------------------

_hostile = st.one_of(
    st.binary(max_size=120),
    st.text("abAB:;,=\"\\/ \t[]%1.?*-_'()@", max_size=60).map(str.encode),
)


@given(_hostile)
def test_only_value_errors(value: bytes) -> None:
    """No input makes a reader raise anything but ValueError, and those that answer always do."""
    lenient = (
        lambda: fields.credentials(value),
        lambda: fields.prefers_html([value]),
        lambda: fields.plain_target(value),
        lambda: fields.cookie_values([value], OURS),
        lambda: fields.set_cookie_name(value),
        lambda: fields.list_add(value, b"Accept"),
        lambda: fields.accepts_gzip([value]),
        lambda: fields.none_match([value], b'"a"'),
        lambda: fields.cross_site(request("POST", origin=value.decode("latin-1")), "https://a"),
        lambda: fields.from_own_page(request(referer=value.decode("latin-1")), "https://a"),
        lambda: fields.same_origin(request(origin=value.decode("latin-1")), "https://a"),
    )
    for read in lenient:
        read()
    strict: tuple[Callable[[], object], ...] = (
        lambda: fields.parse_challenges(value),
        lambda: fields.forwarded(value),
        lambda: fields.host(value, "https"),
        lambda: fields.origin(value),
        lambda: fields.item(value),
        lambda: fields.client("10.0.0.1", ((b"x-forwarded-for", value),), TRUSTED),
        lambda: fields.client("10.0.0.1", ((b"x-forwarded-proto", value),), TRUSTED),
        lambda: fields.client("10.0.0.1", ((b"x-forwarded-host", value),), TRUSTED),
    )
    for read_strictly in strict:
        try:
            read_strictly()
        except ValueError:
            continue


@pytest.mark.parametrize(
    "piece", [b"; ", b" ;", b",", b", ", b"a=b, ", b'a="', b"\\", b"a ", b"%20/", b"a", b" ", b"a=b;"]
)
def test_hostile_repetition_is_linear(piece: bytes) -> None:
    """Hundreds of kilobytes of one piece cost no more than their length; anything worse would not come to an end."""
    for start, end in ((b"", b"!"), (b"a/b", b"!"), (b"a ", b"\x00"), (b'a b="', b"")):
        value = start + piece * (200_000 // len(piece)) + end
        fields.credentials(value)
        fields.prefers_html([value])
        fields.plain_target(b"/" + value[:8000])
        fields.cookie_values([value], b"a")
        fields.accepts_gzip([value])
        fields.none_match([value], b'"a"')
        for read in (fields.parse_challenges, fields.forwarded, fields.item):
            try:
                read(value)
            except ValueError:
                continue
