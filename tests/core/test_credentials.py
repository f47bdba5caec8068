"""What a request carries for us, and what an answer challenges with."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from tests.core.support import NOW, RING, TOKEN, make_live, make_request, make_site

from demur.core import credentials, decide, page, respond, rules, sessions
from demur.core.fields import parse_challenges
from demur.core.model import (
    Absent,
    Allow,
    Details,
    Ended,
    Ending,
    Evidence,
    Live,
    Lookup,
    Malformed,
    Refuse,
    Request,
    Scheme,
    Throttled,
    Unknown,
    Unreadable,
)
from demur.core.reasons import REASONS, Reason
from demur.core.site import Cors, Site, covers

API_TOKEN = sessions.mint_api_token(b"t" * 32, RING.current)
COOKIE = {"cookie": f"__Host-demur={TOKEN}"}
FROM_COOKIE = Lookup(Scheme.COOKIE, sessions.identify(TOKEN))
FROM_TOKEN = Lookup(Scheme.BEARER, sessions.identify(API_TOKEN))
BEARER, BASIC = frozenset((Scheme.BEARER,)), frozenset((Scheme.BASIC,))
NONE: frozenset[Scheme] = frozenset()

TABLE: list[dict[str, Any]] = [
    {"path": "/machine/**", "allow": "signed-in", "accepts": ["basic"], "challenge": "basic"},
    {"path": "/both/**", "allow": "signed-in", "accepts": ["bearer", "basic"]},
    {"path": "/people/**", "allow": "signed-in", "accepts": []},
    {"path": "/reports/**", "allow": {"permission": "report:read"}},
    {"path": "/fresh/**", "allow": {"fresh": "15m"}},
    {"path": "/strong/**", "allow": {"strength": "mfa"}},
    {"path": "/friends/**", "allow": "signed-in", "origins": ["https://friend.example"]},
    {"path": "/quiet/vault/**", "allow": {"permission": "report:read"}, "conceal": True},
    {"path": "/**", "allow": "signed-in"},
]


def site(**more: Any) -> Site:
    """A site that accepts tokens."""
    loaded = rules.load(TABLE, {"report:read": ["readers"]}, accepts=[Scheme.BEARER])
    return make_site(**{"rules": loaded, "cors": Cors(), **more})


def basic(text: bytes) -> str:
    """The field for a name and a password."""
    return f"Basic {base64.b64encode(text).decode()}"


def token(scopes: tuple[str, ...] | None = None, **more: Any) -> Live:
    """An API token."""
    live = make_live(idle=0, **more)
    return replace(live, session=replace(live.session, kind="token", scopes=scopes))


def judge(request: Request, evidence: Evidence, where: Site | None = None) -> Allow | Refuse:
    """Plan and decide."""
    plan = decide.plan(where or site(), request)
    assert isinstance(plan, decide.Plan)
    return decide.strictest(where or site(), request, plan, evidence, NOW)[0]


def challenges(request: Request, evidence: Evidence, where: Site | None = None) -> tuple[int, list[str]]:
    """Status and challenges of the answer, each line as it is sent."""
    served = where or site()
    plan = decide.plan(served, request)
    assert isinstance(plan, decide.Plan)
    said, _ = decide.strictest(served, request, plan, evidence, NOW)
    assert isinstance(said, Refuse)
    answer = respond.refuse(respond.Refusal(served, request, said, "r", presented=plan.presented), page.DEFAULT)
    return answer.status, [value.decode() for name, value in answer.fields if name == b"www-authenticate"]


@pytest.mark.parametrize(
    ("sent", "accepts", "found"),
    [
        ({}, NONE, Absent()),
        ({"cookie": "other=1"}, NONE, Absent()),
        (COOKIE, NONE, FROM_COOKIE),
        ({"cookie": f"a=b; __Host-demur={TOKEN}; c=d"}, NONE, FROM_COOKIE),
        ({"cookie": f"__Host-demur={TOKEN}; __Host-demur={TOKEN}"}, NONE, Malformed()),
        ({"cookie": "__Host-demur="}, NONE, Malformed()),
        ({"cookie": f"__Host-demur={TOKEN[:-1]}"}, NONE, Malformed()),
        # another spelling is another cookie, and somebody else's credentials are not ours
        ({"cookie": f"__host-demur={TOKEN}"}, NONE, Absent()),
        ({"authorization": "Bearer abc"}, NONE, Absent()),
        ({"authorization": "Digest a=b"}, BEARER | BASIC, Absent()),
        ({"authorization": basic(b"bo:pw")}, BEARER, Absent()),
        ({"authorization": "Bearer abc", **COOKIE}, NONE, FROM_COOKIE),
        # ours are judged, and never fall back to the cookie
        ({"authorization": f"Bearer {API_TOKEN}"}, BEARER, FROM_TOKEN),
        ({"authorization": f"bearer   {API_TOKEN}", **COOKIE}, BEARER, FROM_TOKEN),
        ({"authorization": "Bearer abc", **COOKIE}, BEARER, Malformed()),
        ({"authorization": f"Bearer {API_TOKEN}", **COOKIE}, NONE, Malformed()),
        ({"authorization": f"Bearer {API_TOKEN[:-1]}"}, BEARER, Malformed()),
        # neither kind of token passes for the other
        ({"authorization": f"Bearer {TOKEN}"}, BEARER, Malformed()),
        ({"authorization": f"Bearer demur_{TOKEN}"}, BEARER, Malformed()),
        ({"cookie": f"__Host-demur={API_TOKEN}"}, BEARER, Malformed()),
        ({"cookie": f"__Host-demur={API_TOKEN.removeprefix('demur_')}"}, BEARER, Malformed()),
        # not well-formed is the client's mistake, and another answer (RFC 6750, 3.1)
        ({"authorization": "Bearer"}, BEARER, Unreadable()),
        ({"authorization": "Bearer a b"}, BEARER, Unreadable()),
        ({"authorization": f"Bearer\t{API_TOKEN}", **COOKIE}, NONE, Unreadable()),
        ({"authorization": 'Bearer token="abc"'}, BEARER, Unreadable()),
        ({"authorization": f"Bearer {API_TOKEN}, Bearer {API_TOKEN}"}, BEARER, Unreadable()),
        ({"authorization": basic("böse:schlüssel".encode())}, BASIC, Lookup(Scheme.BASIC, "böse:schlüssel".encode())),
        ({"authorization": basic(b"bo:")}, BASIC, Lookup(Scheme.BASIC, b"bo:")),
        ({"authorization": basic(b"bo:a:b")}, BASIC, Lookup(Scheme.BASIC, b"bo:a:b")),
        ({"authorization": basic(b"no colon")}, BASIC, Unreadable()),
        ({"authorization": basic(b"bo:\x00")}, BASIC, Unreadable()),
        ({"authorization": basic(b"bo:\xff")}, BASIC, Unreadable()),
        ({"authorization": "Basic !!!"}, BASIC, Unreadable()),
    ],
)
def test_what_is_carried(sent: dict[str, str], accepts: frozenset[Scheme], found: object) -> None:
    """At most one look-up comes out of a request, and none where there is nothing to choose between."""
    assert credentials.read(site(), make_request(**sent), lambda: RING, accepts) == found


def test_two_fields_are_none() -> None:
    """Of two Authorization fields, one of them ours, neither is taken."""
    request = make_request()
    lines = ((b"authorization", b"Digest a=b"), (b"authorization", f"Bearer {API_TOKEN}".encode()))
    two = Request("GET", b"/", "https", request.host, "", lines)
    assert credentials.read(site(), two, lambda: RING, BEARER) == Unreadable()
    assert credentials.consumed(two, NONE)


ENDED = Ended(Ending.REVOKED, NOW - 10)


@pytest.mark.parametrize(
    ("target", "evidence", "reason", "error"),
    [
        ("/x", Unknown(), Reason.CREDENTIALS_INVALID, "invalid_token"),
        ("/x", Malformed(), Reason.CREDENTIALS_INVALID, "invalid_token"),
        ("/x", Unreadable(), Reason.CREDENTIALS_MALFORMED, "invalid_request"),
        ("/x", Ended(Ending.EXPIRED, NOW - 10), Reason.TOKEN_EXPIRED, "invalid_token"),
        ("/x", token(age=90000), Reason.TOKEN_EXPIRED, "invalid_token"),
        ("/x", ENDED, Reason.TOKEN_REVOKED, "invalid_token"),
        ("/x", token(suspended=True), Reason.TOKEN_REVOKED, "invalid_token"),
        ("/x", token(("report:read",)), Reason.SCOPE_INSUFFICIENT, "insufficient_scope"),
        ("/reports/1", token((), groups=["readers"]), Reason.SCOPE_INSUFFICIENT, "insufficient_scope"),
        ("/fresh/x", token(), Reason.STEP_UP_REQUIRED, "insufficient_user_authentication"),
        ("/strong/x", token(), Reason.STEP_UP_REQUIRED, "insufficient_user_authentication"),
        # a session's id is no token, whatever way it came by
        ("/x", make_live(), Reason.CREDENTIALS_INVALID, "invalid_token"),
    ],
)
def test_a_token_is_refused(target: str, evidence: Evidence, reason: Reason, error: str) -> None:
    """Each refusal of a token has its reason, and its code in the challenge for Bearer alone."""
    request = make_request(target=target, authorization=f"Bearer {API_TOKEN}")
    decision = judge(request, evidence)
    assert isinstance(decision, Refuse)
    assert decision.reason is reason
    status, lines = challenges(request, evidence)
    assert status == REASONS[reason].status
    (said,) = [
        dict(each.params) for line in lines for each in parse_challenges(line.encode()) if each.scheme == "Bearer"
    ]
    assert said["error"] == error
    assert all("error" not in line for line in lines if line.startswith("Cookie "))
    assert [line.split()[0] for line in lines] == (["Cookie", "Bearer"] if status == 401 else ["Bearer"])


def test_the_scope_is_named() -> None:
    """What the token would need stands in the challenge and in the problem, where one scope would do."""
    request = make_request(target="/reports/1", authorization=f"Bearer {API_TOKEN}")
    _, (line,) = challenges(request, token(("other",), groups=["readers"]))
    assert 'scope="report:read"' in line
    _, (line,) = challenges(make_request(authorization=f"Bearer {API_TOKEN}"), token(("report:read",)))
    assert "scope=" not in line


@pytest.mark.parametrize(
    ("target", "evidence"),
    [
        ("/x", token()),
        ("/reports/1", token(groups=["readers"])),
        ("/reports/1", token(("report:read",), groups=["readers"])),
    ],
)
def test_a_token_is_good(target: str, evidence: Live) -> None:
    """Without scopes a token is good for what its person may, with scopes for what they name; never for more."""
    allowed = judge(make_request(target=target, authorization=f"Bearer {API_TOKEN}"), evidence)
    assert isinstance(allowed, Allow)
    assert allowed.subject == evidence.subject


def test_a_scope_gives_nothing_that_the_person_has_not() -> None:
    """A token's scope is no permission."""
    request = make_request(target="/reports/1", authorization=f"Bearer {API_TOKEN}")
    decision = judge(request, token(("report:read",), groups=["guests"]))
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.NOT_PERMITTED
    # the token "does not enable access", so there is a challenge; and no error that another token would mend
    assert challenges(request, token(("report:read",), groups=["guests"])) == (403, ['Bearer realm="Sample"'])


def test_a_token_is_not_sent_by_a_browser_of_itself() -> None:
    """What changes something may come from anywhere with a token, and with Basic or a cookie from the site only."""
    said = {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}
    with_token = make_request("POST", "/both/x", authorization=f"Bearer {API_TOKEN}", **said)
    assert isinstance(judge(with_token, token()), Allow)
    for sent in (COOKIE, {"authorization": basic(b"bo:pw")}):
        decision = judge(make_request("POST", "/both/x", **sent, **said), make_live())
        assert isinstance(decision, Refuse)
        assert decision.reason is Reason.CROSS_SITE_REFUSED


@pytest.mark.parametrize(
    ("target", "origin", "allowed"),
    [
        ("/friends/x", "https://friend.example", True),
        ("/friends/x", "https://friend.example.evil.example", False),
        ("/x", "https://friend.example", False),
        ("/x", "https://reader.example", True),  # may read with credentials, so may write
        ("/x", "null", False),
    ],
)
def test_friends_may_send(target: str, origin: str, *, allowed: bool) -> None:
    """Origins that a rule lists, or that may read answers with credentials, may send what changes something."""
    served = site(cors=Cors(frozenset(("https://reader.example",))))
    request = make_request("POST", target, origin=origin, sec_fetch_site="cross-site", **COOKIE)
    assert isinstance(judge(request, make_live(), served), Allow) is allowed


def test_throttled() -> None:
    """Too many wrong passwords are 429 with the time to wait, and no challenge."""
    request = make_request(target="/both/x", authorization=basic(b"bo:pw"))
    decision = judge(request, Throttled(30))
    assert decision == Refuse(Reason.TOO_MANY_ATTEMPTS, Details(retry_after=30))
    assert challenges(request, Throttled(30)) == (429, [])


@pytest.mark.parametrize(
    ("target", "sent", "schemes"),
    [
        ("/x", {}, ["Cookie", "Bearer"]),
        ("/people/x", {}, ["Cookie"]),
        ("/both/x", {}, ["Cookie", "Bearer"]),
        ("/both/x", {"authorization": basic(b"bo:pw")}, ["Cookie", "Bearer", "Basic"]),
        ("/machine/x", {}, ["Cookie", "Basic"]),
        ("/machine/x", {"accept": "*/*", "user_agent": "curl/8"}, ["Cookie", "Basic"]),
        # a browser shows a prompt of its own for Basic, on images and scripts' requests too
        ("/machine/x", {"sec_fetch_mode": "navigate"}, ["Cookie"]),
        ("/machine/x", {"origin": "https://app.example.com"}, ["Cookie"]),
        ("/machine/x", {"cookie": "a=b"}, ["Cookie"]),
    ],
)
def test_challenges(target: str, sent: dict[str, str], schemes: list[str]) -> None:
    """Each scheme that would be accepted has a challenge of its own line, and Basic never reaches a browser."""
    status, lines = challenges(make_request(target=target, **sent), Unknown() if "authorization" in sent else Absent())
    assert status == 401
    assert [line.split()[0] for line in lines] == schemes
    assert [len(parse_challenges(line.encode())) for line in lines] == [1] * len(schemes)


def test_basic_is_asked_for_over_tls_only() -> None:
    """A rule that asks for Basic does not on an origin where the password could be read."""
    plain = site(origin="http://localhost:8000")
    assert [line.split()[0] for line in challenges(make_request(target="/machine/x"), Absent(), plain)[1]] == ["Cookie"]


def test_nothing_sent_is_no_error() -> None:
    """Without credentials no challenge has an error (RFC 6750, 3.1)."""
    _, lines = challenges(make_request(target="/both/x"), Absent())
    assert all("error" not in line for line in lines)


def test_resource_metadata() -> None:
    """With an authorization server, the challenge leads to what the site says of itself (RFC 9728, 5.1)."""
    served = site(authorization_servers=("https://issuer.example",))
    _, (_, line) = challenges(make_request(), Absent(), served)
    where = "https://app.example.com/.well-known/oauth-protected-resource"
    assert line == f'Bearer realm="Sample", resource_metadata="{where}"'


def test_concealed_from_a_token_with_scopes() -> None:
    """What is concealed is to a token with scopes just what the page beside it is: no scope would be enough."""
    asked = {"authorization": f"Bearer {API_TOKEN}"}
    narrow = token(("other",), groups=["readers"])
    hidden, beside = (
        challenges(make_request(target=target, **asked), narrow) for target in ("/quiet/vault/1", "/quiet/none/1")
    )
    assert hidden == beside
    whole = judge(make_request(target="/quiet/vault/1", **asked), token())
    assert isinstance(whole, Refuse)
    assert whole.reason is Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("pattern", "origin", "covered"),
    [
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "https://b.example", False),
        ("https://*.example", "https://a.example", True),
        ("https://*.example", "https://a.b.example", False),
        ("https://*.example", "https://.example", False),
        ("https://*.example", "https://example", False),
        ("https://*.example", "http://a.example", False),
        ("https://*.example", "https://a.example:8443", False),
        ("https://*.example:8443", "https://a.example:8443", True),
    ],
)
def test_a_wildcard_is_one_label(pattern: str, origin: str, *, covered: bool) -> None:
    """`*.` stands for exactly one label, of the same scheme and port."""
    assert covers(pattern, origin) is covered


def test_what_one_reading_does_not_accept_is_not_judged() -> None:
    """Where a path may be read under two rules, a scheme counts if both accept it; another is the site's own affair."""
    foreign = make_request(target="/both/..%2fpeople/x", authorization="Bearer of-the-app", **COOKIE)
    assert isinstance(judge(foreign, make_live()), Allow)
    _, lines = challenges(make_request(target="/both/..%2fpeople/x"), Absent())
    assert [line.split()[0] for line in lines] == ["Cookie"]
