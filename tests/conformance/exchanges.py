"""What is asked of every surface: each exchange once, and the clauses look at the answers."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field

from tests.proxies.real import PEOPLE
from tests.site.wire import NAVIGATION, SCRIPT, Answer, Pairs

PARTNER = "https://partner.example"
STRANGER = "https://stranger.example"
ISSUER = "https://issuer.example"
PERSON = "bob"
PASSWORD = PEOPLE[PERSON]
HOLDER = "ann"
"""Whose the tokens are."""

SITE = f"""\
cors = {{ origins = ["{PARTNER}"], methods = ["GET", "HEAD", "POST", "PUT"], headers = ["content-type"] }}
permissions = {{ "report:read" = ["staff"], "report:write" = ["staff"] }}
authorization_servers = ["{ISSUER}"]
"""
RULES = """
[[site.rule]]
path = "/public/**"
allow = "anyone"

[[site.rule]]
path = "/members/**"
allow = "signed-in"

[[site.rule]]
path = "/api/**"
allow = "signed-in"
accepts = ["bearer"]

[[site.rule]]
path = "/machine/**"
allow = "signed-in"
accepts = ["bearer", "basic"]

[[site.rule]]
path = "/staff/**"
allow = { groups = ["staff"] }

[[site.rule]]
path = "/reports/**"
allow = { permission = "report:read" }
accepts = ["bearer"]

[[site.rule]]
path = "/fresh/**"
allow = { fresh = "15m" }
accepts = ["bearer"]

[[site.rule]]
path = "/strong/**"
allow = { strength = "mfa" }
accepts = ["bearer"]
"""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request in the words of the table. `session` and `token` name one of those that a world prepares; `held` asks
    for the body to be held back until an answer is there, as `Expect: 100-continue` has it; `times` is how often it is
    sent at most, until `until` is the status."""

    name: str
    method: str = "GET"
    target: str = "/members/"
    fields: Pairs = field(default_factory=list)
    session: str = ""
    token: str = ""
    body: bytes = b""
    host: str = ""
    held: int = 0
    times: int = 1
    until: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """An exchange with its answer, and how often the site behind was asked meanwhile."""

    exchange: Exchange
    answer: Answer
    reached: int


def _basic(text: str) -> tuple[str, str]:
    return "Authorization", f"Basic {b64encode(text.encode()).decode()}"


JSON: Pairs = [("Content-Type", "application/json")]
FORM: Pairs = [("Content-Type", "application/x-www-form-urlencoded")]
PREFLIGHT: Pairs = [("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "content-type")]
HANDSHAKE: Pairs = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]
SOMEBODY_ELSE = ("Demur-Subject", "01920000-0000-7000-8000-000000000000")
DEAD = ("idle", "expired", "ended", "revoked", "replaced")

EXCHANGES: tuple[Exchange, ...] = (
    # nobody
    Exchange("anonymous-page", fields=NAVIGATION),
    Exchange("anonymous-page-head", "HEAD", fields=NAVIGATION),
    Exchange("anonymous-page-without-metadata", fields=[("Accept", "text/html,*/*;q=0.8")]),
    Exchange("anonymous-page-with-invalid-mode", fields=[("Accept", "text/html"), ("Sec-Fetch-Mode", "quantum")]),
    Exchange("anonymous-script", target="/api/x", fields=SCRIPT),
    Exchange("anonymous-script-head", "HEAD", "/api/x", SCRIPT),
    Exchange("anonymous-anything", target="/api/x", fields=[("Accept", "*/*")]),
    Exchange("anonymous-xml", target="/api/x", fields=[("Accept", "application/xml")]),
    Exchange(
        "anonymous-image", target="/members/map.png", fields=[("Accept", "image/*"), ("Sec-Fetch-Mode", "no-cors")]
    ),
    Exchange("anonymous-post", "POST", "/api/x", [*SCRIPT, *JSON], body=b"{}"),
    Exchange("anonymous-post-not-json", "POST", "/api/x", [*SCRIPT, *JSON], body=b"{"),
    Exchange("anonymous-delete", "DELETE", "/api/x", SCRIPT),
    Exchange("anonymous-options", "OPTIONS", "/api/x", SCRIPT),
    Exchange("anonymous-other-method", "PROPFIND", "/api/x", SCRIPT),
    Exchange("anonymous-expecting", "POST", "/api/x", [*SCRIPT, ("Expect", "100-continue")], held=100_000),
    Exchange("anonymous-conditional", fields=[*NAVIGATION, ("If-None-Match", "*")]),
    Exchange(
        "anonymous-conditional-by-date", fields=[*NAVIGATION, ("If-Modified-Since", "Fri, 31 Dec 2027 23:59:59 GMT")]
    ),
    Exchange("anonymous-match", "PUT", "/api/x", [*SCRIPT, ("If-Match", '"never"')], body=b"{}"),
    Exchange("anonymous-somebody-else", "POST", "/api/x", [*SCRIPT, SOMEBODY_ELSE], body=b"{}"),
    Exchange("anonymous-range", target="/api/x", fields=[*SCRIPT, ("Range", "bytes=0-3")]),
    Exchange("anonymous-handshake", target="/api/live", fields=[*HANDSHAKE, ("Origin", STRANGER)]),
    # a session that is over, or never was
    *(Exchange(f"session-{how}", target="/api/x", fields=SCRIPT, session=how) for how in DEAD),
    *(Exchange(f"session-{how}-page", fields=NAVIGATION, session=how) for how in DEAD),
    Exchange("session-idle-form-page", "POST", fields=[*NAVIGATION, *FORM], session="idle", body=b"note=hello"),
    Exchange("session-made-up", target="/api/x", fields=SCRIPT, session="made-up"),
    Exchange("session-twice", target="/api/x", fields=SCRIPT, session="twice"),
    Exchange("session-in-two-fields", target="/api/x", fields=[("Cookie", "theme=dark"), *SCRIPT], session="live"),
    # somebody who may not
    Exchange("forbidden-page", target="/staff/", fields=NAVIGATION, session="live"),
    Exchange("forbidden-page-head", "HEAD", "/staff/", NAVIGATION, session="live"),
    Exchange("forbidden-script", target="/staff/x", fields=SCRIPT, session="live"),
    Exchange("forbidden-conditional", target="/staff/x", fields=[*SCRIPT, ("If-None-Match", "*")], session="live"),
    Exchange("forbidden-somebody-else", target="/staff/x", fields=[*SCRIPT, SOMEBODY_ELSE], session="live"),
    Exchange("forbidden-range", target="/staff/x", fields=[*SCRIPT, ("Range", "bytes=0-3")], session="live"),
    Exchange(
        "cross-site",
        "POST",
        "/members/x",
        [("Origin", STRANGER), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")],
        session="live",
        body=b"x",
    ),
    Exchange("somebody-else", "POST", "/members/x", [*SCRIPT, SOMEBODY_ELSE], session="live", body=b"x"),
    # a fresher or stronger sign-in
    Exchange("step-up-fresh", target="/fresh/x", fields=SCRIPT, session="stale"),
    Exchange("step-up-fresh-page", target="/fresh/x", fields=NAVIGATION, session="stale"),
    Exchange("step-up-strong", target="/strong/x", fields=SCRIPT, session="live"),
    # tokens
    Exchange("bearer-live", target="/api/x", fields=SCRIPT, token="live"),
    Exchange("bearer-unknown", target="/api/x", fields=[*SCRIPT, ("Authorization", "Bearer made-up")]),
    Exchange("bearer-expired", target="/api/x", fields=SCRIPT, token="expired"),
    Exchange("bearer-revoked", target="/api/x", fields=SCRIPT, token="revoked"),
    Exchange("bearer-revoked-head", "HEAD", "/api/x", SCRIPT, token="revoked"),
    Exchange("bearer-malformed", target="/api/x", fields=[*SCRIPT, ("Authorization", "Bearer a b")]),
    Exchange("bearer-empty", target="/api/x", fields=[*SCRIPT, ("Authorization", "Bearer")]),
    Exchange("bearer-scope", target="/reports/1", fields=SCRIPT, token="narrow"),
    Exchange("bearer-scope-page", target="/reports/1", fields=NAVIGATION, token="narrow"),
    Exchange("bearer-fresh", target="/fresh/x", fields=SCRIPT, token="live"),
    Exchange("bearer-strong", target="/strong/x", fields=SCRIPT, token="live"),
    Exchange("bearer-and-cookie", target="/api/x", fields=SCRIPT, token="revoked", session="live"),
    Exchange("foreign-scheme", target="/api/x", fields=[*SCRIPT, ("Authorization", 'Digest username="bo"')]),
    Exchange("basic-live", target="/machine/x", fields=[_basic(f"{PERSON}:{PASSWORD}")]),
    Exchange("basic-wrong", target="/machine/x", fields=[_basic(f"{PERSON}:wrong")]),
    Exchange("basic-not-accepted", target="/api/x", fields=[_basic(f"{PERSON}:{PASSWORD}"), *SCRIPT]),
    Exchange("basic-malformed", target="/machine/x", fields=[("Authorization", "Basic !!!")]),
    # other origins
    Exchange("listed-origin", target="/api/x", fields=[*SCRIPT, ("Origin", PARTNER)]),
    Exchange("listed-origin-forbidden", target="/staff/x", fields=[*SCRIPT, ("Origin", PARTNER)], session="live"),
    Exchange("listed-origin-allowed", target="/api/x", fields=[*SCRIPT, ("Origin", PARTNER)], session="live"),
    Exchange("unlisted-origin", target="/api/x", fields=[*SCRIPT, ("Origin", STRANGER)]),
    Exchange("preflight-listed", "OPTIONS", "/api/x", [("Origin", PARTNER), *PREFLIGHT]),
    Exchange("preflight-unlisted", "OPTIONS", "/api/x", [("Origin", STRANGER), *PREFLIGHT]),
    # what is not a request for anything
    Exchange("malformed", target="/members/%zz"),
    Exchange("unknown-host", host="nowhere.example"),
    Exchange("wrong-method", "PUT", "/.demur/session", SCRIPT, body=b"{}"),
    # a yes
    Exchange("allowed", fields=NAVIGATION, session="live"),
    Exchange("allowed-head", "HEAD", fields=NAVIGATION, session="live"),
    Exchange("public", target="/public/x"),
    Exchange("public-with-dead-session", target="/public/x", session="ended"),
    Exchange("resource-metadata", target="/.well-known/oauth-protected-resource"),
    # signing in and out
    Exchange(
        "sign-in",
        "POST",
        "/.demur/sign-in",
        [*NAVIGATION, *FORM],
        body=f"username={PERSON}&password={PASSWORD.replace(' ', '+')}&next=%2Fmembers%2F".encode(),
    ),
    Exchange(
        "sign-in-over-a-session",
        "POST",
        "/.demur/sign-in",
        [*NAVIGATION, *FORM],
        session="second",
        body=f"username={PERSON}&password={PASSWORD.replace(' ', '+')}&next=%2Fmembers%2F".encode(),
    ),
    Exchange(
        "sign-in-wrong", "POST", "/.demur/sign-in", [*NAVIGATION, *FORM], body=f"username={PERSON}&password=no".encode()
    ),
    Exchange("sign-out", "POST", "/.demur/sign-out", [*SCRIPT, *FORM], session="third"),
    Exchange("signed-out", target="/api/x", fields=SCRIPT, session="third"),
    Exchange(
        "throttled",
        "POST",
        "/.demur/sign-in",
        [*SCRIPT, *FORM],
        body=b"username=nobody-of-that-name&password=no",
        times=60,
        until=429,
    ),
)

WITHOUT_STORE: tuple[Exchange, ...] = (
    Exchange("unavailable-script", target="/api/x", fields=SCRIPT, session="live"),
    Exchange("unavailable-page", fields=NAVIGATION, session="live"),
    Exchange("unavailable-page-head", "HEAD", fields=NAVIGATION, session="live"),
    Exchange("unavailable-token", target="/api/x", fields=SCRIPT, token="live"),
    Exchange("unavailable-anonymous", target="/api/x", fields=SCRIPT),
    Exchange("unavailable-public", target="/public/x", session="live"),
)
"""What is asked while nobody can look anything up."""
