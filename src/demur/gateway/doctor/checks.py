"""What is looked at, one function a question. Each asks through the running proxy, and says what it saw.

A check whose fault no test has made is worth nothing: tests/doctor breaks each recipe in each way that stands here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from demur.core import fields, identity
from demur.gateway.doctor import listening
from demur.gateway.doctor.asking import PAGE, SCRIPT, Answer, Line, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from demur.core.site import Site
    from demur.gateway.doctor.standin import Seen, StandIn


class Verdict(StrEnum):
    """What became of a check."""

    RIGHT = "right"
    WRONG = "wrong"
    NOT_SEEN = "not seen"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: the check, what was seen, and how to mend it."""

    check: str
    verdict: Verdict
    said: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """A site as it is examined.

    `restricted` is a path that asks for a sign-in and that the visitor may open; `open` one that anybody may, or "".
    `token` is the visitor's, `leaving` that of a second session, which may be ended; `pass_` is a ticket. `upstream` is
    where the app listens, `check` where demur's check does (host "" for a unix socket or none).
    """

    site: Site
    line: Line
    restricted: str
    open: str
    token: str
    leaving: str
    pass_: str
    upstream: tuple[str, int]
    check: tuple[str, int]
    standin: StandIn | None

    def cookie(self, token: str, *more: str) -> tuple[str, str]:
        """The field with a session, and perhaps other cookies before it."""
        return "Cookie", "; ".join((*more, f"{self.site.cookie.name}={token}"))

    def through(self, *more: tuple[str, str], target: str = "", token: str = "") -> tuple[Answer, Seen | None]:
        """A request to the restricted path or another, and what reached the stand-in of it."""
        mark = self.standin.new_id() if self.standin else ("X-Demur-Doctor-Id", "-")
        sent = (*SCRIPT, mark, *more, *((self.cookie(token),) if token else ()))
        answer = self.line.ask("GET", target or self.restricted, sent)
        return answer, self.standin.saw(mark) if self.standin else None


class _Wrong(Exception):  # noqa: N818 - what was found
    def __init__(self, said: str, fix: str) -> None:
        super().__init__(said)
        self.said = said
        self.fix = fix


class _NotSeen(Exception):  # noqa: N818 - what was not found
    """The check could not be made; the text says what it would take."""


_AGAIN: Final = "Compare the proxy's configuration with what `demur recipe` prints."
_STAND_IN: Final = "nobody stands in for the app: stop it, and run `demur doctor --stand-in`"


def _refusal(patient: Patient) -> Answer:
    return patient.line.ask("GET", patient.restricted)


def status(patient: Patient) -> str:
    """Somebody who is not signed in is told so: 401, and nothing else."""
    answer = _refusal(patient)
    if answer.status == 401:
        return f"a request for {patient.restricted} from nobody is refused with 401"
    raise _Wrong(
        f"a request for {patient.restricted} from nobody was answered with {answer.status} instead of 401",
        f"The proxy does not ask demur, or does not hand on what it answers. {_AGAIN}",
    )


def body(patient: Patient) -> str:
    """The refusal keeps its content, for programs and for people."""
    answer, page = _refusal(patient), patient.line.ask("GET", patient.restricted, PAGE)
    if answer.problem.get("reason") != "sign-in-required":
        raise _Wrong(
            "the problem that says why a program was refused is lost",
            f"The proxy makes a body of its own. {_AGAIN}",
        )
    if b"application/problem+json" not in page.body or b"<form" not in page.body:
        raise _Wrong(
            "the page with the form to sign in is lost", f"The proxy makes a page of its own, or caches one. {_AGAIN}"
        )
    return "a refusal keeps its content: a problem for programs, the form for people"


def challenge(patient: Patient) -> str:
    """Each scheme is challenged for once, on a line of its own."""
    lines = _refusal(patient).values("www-authenticate")
    try:
        schemes = [each.scheme.lower() for line in lines for each in fields.parse_challenges(line.encode("latin-1"))]
    except ValueError as wrong:
        raise _Wrong(f"the challenge cannot be read: {wrong}", f"The proxy changes it. {_AGAIN}") from None
    if "cookie" not in schemes:
        raise _Wrong("the challenge is lost", f"A 401 needs one (RFC 9110, 15.5.2). {_AGAIN}")
    if len(schemes) != len(set(schemes)) or len(schemes) != len(lines):
        raise _Wrong(
            f"the challenge comes {len(schemes)} times, on {len(lines)} lines",
            f"The check's answer and the refusal both give it, or the proxy joins lines. {_AGAIN}",
        )
    return "the challenge comes once"


def head(patient: Patient) -> str:
    """HEAD is refused as GET is."""
    answer = patient.line.ask("HEAD", patient.restricted)
    if answer.status == 401 and not answer.body:
        return "HEAD is refused as GET is"
    raise _Wrong(f"HEAD was answered with {answer.status} instead of 401", _AGAIN)


def handshake(patient: Patient) -> str:
    """A WebSocket handshake is refused in HTTP."""
    more = (
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "ZGVtdXIgZG9jdG9yIGtleQ=="),
    )
    answer = patient.line.ask("GET", patient.restricted, (*SCRIPT, *more))
    if answer.status == 401:
        return "a WebSocket handshake from nobody is refused with 401"
    raise _Wrong(
        f"a WebSocket handshake from nobody was answered with {answer.status} instead of 401",
        f"Handshakes take another way through the proxy. {_AGAIN}",
    )


def unavailable(patient: Patient) -> str:
    """What demur says when it cannot know arrives as that: 503, when to try again, and nobody is signed out."""
    if not patient.pass_:
        raise _NotSeen("demur's keys are in its memory (sessions.store), so nobody can ask it to refuse for a test")
    answer = patient.line.ask("GET", patient.restricted, (*SCRIPT, ("Demur-Doctor", patient.pass_)))
    if answer.status == 401:
        raise _NotSeen("the proxy does not pass the field Demur-Doctor on to the check")
    if answer.status != 503:
        raise _Wrong(
            f"503 (demur cannot check access now) arrives as {answer.status}",
            f"People would be told something untrue while demur's store is down. {_AGAIN}",
        )
    when = answer.values("retry-after")
    if len(when) != 1 or not when[0].isdecimal():
        raise _Wrong("503 arrives without its Retry-After", f"Clients would not know when to try again. {_AGAIN}")
    return "503 arrives as 503, with Retry-After"


def set_cookie(patient: Patient) -> str:
    """What demur sets reaches the browser."""
    if not patient.leaving:
        raise _NotSeen("demur's sessions are in its memory (sessions.store), so nobody can be signed in for a test")
    own = f"{patient.line.scheme}://{patient.line.authority}"
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    sent = (*SCRIPT, ("Origin", own), kind, patient.cookie(patient.leaving))
    answer = patient.line.ask("POST", f"{patient.site.prefix}/sign-out", sent)
    if any(line.startswith(f"{patient.site.cookie.name}=") for line in answer.values("set-cookie")):
        return "cookies that demur sets arrive"
    if answer.status >= 400:
        raise _Wrong(
            f"signing out was answered with {answer.status}",
            f"{patient.site.prefix}/ has to go to gateway.listen, with its host and scheme. {_AGAIN}",
        )
    raise _Wrong("Set-Cookie is dropped on the way", f"Nobody could sign in or out. {_AGAIN}")


def preflight(patient: Patient) -> str:
    """A CORS preflight is answered by demur, without credentials."""
    origins = sorted(patient.site.cors.origins)
    if not origins or patient.site.cors.upstream:
        raise _NotSeen("the site lists no other origins (cors)")
    asked = (("Origin", origins[0]), ("Access-Control-Request-Method", "GET"))
    answer = patient.line.ask("OPTIONS", patient.restricted, asked)
    if 200 <= answer.status < 300 and answer.values("access-control-allow-origin") == [origins[0]]:
        return "a CORS preflight is answered"
    raise _Wrong(
        f"a CORS preflight was answered with {answer.status} and without leave",
        f"OPTIONS with Origin and Access-Control-Request-Method has to go to gateway.listen. {_AGAIN}",
    )


def check_is_private(patient: Patient) -> str:
    """Nobody but the proxy reaches the check."""
    host, port = patient.check
    if host and listening.is_for_others(host):
        raise _Wrong(
            f"check_listen is {host}:{port}, where others can ask it and be believed",
            'Write check_listen = "unix:check.sock", or an address on loopback.',
        )
    asked = (
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Proto", patient.line.scheme),
        ("X-Forwarded-Host", patient.line.authority),
        ("X-Forwarded-Uri", patient.restricted),
    )
    for path in ("/check", "/check?answer=fields", "/refusal", "/demur-check", "/demur-refusal"):
        answer = patient.line.ask("GET", path, (*SCRIPT, *asked))
        if answer.values("demur-refusal") or answer.values("remote-subject") or b"proxy has to send" in answer.body:
            raise _Wrong(
                f"{path} reaches demur's check from outside",
                f"Whoever asks there says himself which request he means. Take that route away. {_AGAIN}",
            )
    return "the check cannot be reached from outside"


def forged_address(patient: Patient) -> str:
    """What a client says about which request this is, is not believed."""
    elsewhere = patient.open or f"{patient.site.prefix}/sign-in"
    lies: Mapping[str, str] = {
        "X-Forwarded-Uri": elsewhere,
        "X-Original-URL": elsewhere,
        "X-Rewrite-URL": elsewhere,
        "X-Original-URI": elsewhere,
        "X-Forwarded-Method": "OPTIONS",
    }
    for name, text in lies.items():
        answer = patient.line.ask("GET", patient.restricted, (*SCRIPT, (name, text)))
        if answer.status != 401:
            raise _Wrong(
                f"a client that sends {name} gets {answer.status} instead of 401",
                f"The proxy has to put its own value in its place, or take the field away. {_AGAIN}",
            )
    return "what a client says about its own request is not believed"


def session(patient: Patient) -> str:
    """Somebody who is signed in gets in."""
    if not patient.token:
        raise _NotSeen("demur's sessions are in its memory (sessions.store), so nobody can be signed in for a test")
    answer, _ = patient.through(token=patient.token)
    if answer.status in {401, 403} or (answer.status >= 500 and answer.problem):
        raise _Wrong(
            f"somebody who is signed in gets {answer.status} at {patient.restricted}",
            f"The proxy has to pass Cookie on to the check. {_AGAIN}",
        )
    return "somebody who is signed in gets in"


def forged_identity(patient: Patient) -> str:
    """Who it is, only demur tells the app."""
    lie = "nobody-you-know"
    lies = tuple((name, lie) for name in ("Remote-User", "Remote_User", "Remote-Groups", "Remote.Subject"))
    for target, token in ((patient.restricted, patient.token), (patient.open, "")):
        if not target:
            continue
        _, seen = patient.through(*lies, target=target, token=token)
        if seen is None:
            raise _NotSeen(_STAND_IN)
        passed = [
            name for name, text in seen.fields if lie in text and identity.is_identity_field(name.lower().encode())
        ]
        if passed:
            raise _Wrong(
                f"a client that sends {passed[0]} is that person for the app",
                f"The proxy has to set all identity fields itself, and take other spellings away. {_AGAIN}",
            )
    return "identity fields of a client do not reach the app"


def our_cookie(patient: Patient) -> str:
    """The app sees its own cookies, and not the session's."""
    mine = (patient.cookie(patient.token, "app=1"),)
    _, seen = patient.through(*mine)
    if seen is None:
        raise _NotSeen(_STAND_IN)
    cookies = "; ".join(seen.values("cookie"))
    if patient.token in cookies:
        raise _Wrong(
            "the app is given demur's own cookie",
            f"Whoever takes over the app, or reads its log, could be anybody. {_AGAIN}",
        )
    if "app=1" not in cookies:
        raise _Wrong("the app's own cookies are lost", f"Only demur's own has to go. {_AGAIN}")
    return "demur's cookie does not reach the app, and others do"


def same_bytes(patient: Patient) -> str:
    """The app gets the address that was judged, byte for byte."""
    odd = f"{patient.restricted.rstrip('/')}/a%2Fb;v=1%20c?d=%2e%2e&e=%2F"
    answer, seen = patient.through(target=odd, token=patient.token)
    if seen is None:
        if answer.status == 400:
            return "an odd address is refused before it reaches the app"
        raise _NotSeen(_STAND_IN)
    if seen.target != odd.encode("ascii"):
        raise _Wrong(
            f"{odd} reaches the app as {seen.target.decode('latin-1')}",
            f"What was judged and what is served have to be the same. {_AGAIN}",
        )
    return "the app gets addresses as they were judged"


def app_cookies(patient: Patient) -> str:
    """What the app sets reaches the browser."""
    answer, seen = patient.through(token=patient.token)
    if seen is None:
        raise _NotSeen(_STAND_IN)
    names = [line.partition("=")[0] for line in answer.values("set-cookie")]
    if not {"doctor-one", "doctor-two"} <= set(names):
        raise _Wrong("cookies that the app sets are lost", f"Set-Cookie comes on lines of its own. {_AGAIN}")
    return "cookies that the app sets arrive"


def way_round(patient: Patient) -> str:
    """The app listens for the proxy and for nobody else."""
    host, port = patient.upstream
    found = sorted(listening.addresses(port)) if host else []
    if not found:
        raise _NotSeen("the app is on another machine, or not running: see that only the proxy can connect to it")
    public = [address for address in found if listening.is_for_others(address)]
    if public:
        raise _Wrong(
            f"the app listens at {public[0]}, port {port}, where clients reach it without the proxy",
            "Let it listen at 127.0.0.1 or a unix socket, or close the port.",
        )
    return "the app listens for this machine only"


CHECKS: Mapping[str, Callable[[Patient], str]] = {
    "status": status,
    "body": body,
    "challenge": challenge,
    "head": head,
    "handshake": handshake,
    "unavailable": unavailable,
    "set-cookie": set_cookie,
    "preflight": preflight,
    "check-is-private": check_is_private,
    "forged-address": forged_address,
    "session": session,
    "forged-identity": forged_identity,
    "our-cookie": our_cookie,
    "same-bytes": same_bytes,
    "app-cookies": app_cookies,
    "way-round": way_round,
}
"""Every check by its name, in the order of the report."""


def examine(patient: Patient) -> list[Finding]:
    """All checks of a site. Never raises for what it finds."""
    return [_one(name, check, patient) for name, check in CHECKS.items()]


def _one(name: str, check: Callable[[Patient], str], patient: Patient) -> Finding:
    try:
        return Finding(name, Verdict.RIGHT, check(patient))
    except _Wrong as wrong:
        return Finding(name, Verdict.WRONG, wrong.said, wrong.fix)
    except _NotSeen as why:
        return Finding(name, Verdict.NOT_SEEN, str(why))
    except NoAnswer as none:
        return Finding(name, Verdict.WRONG, str(none), "Start the proxy, or say where it is with --connect.")
