"""What is looked at, one function a question. Each asks through the running proxy, and says what it saw.

A check whose fault no test has made is worth nothing: tests/doctor breaks each recipe in each way that stands here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from demur.core import fields, identity
from demur.gateway.doctor import listening, mending
from demur.gateway.doctor.asking import PAGE, SCRIPT, Answer, Line, NoAnswer, Pairs

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
    where the app listens, `check` where demur's check does (host "" for a unix socket or none). `proxy` is its name, or
    "" where it is not known.
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
    proxy: str = ""

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
    """What is wrong, and how to mend it. `recipe`: the proxy's configuration is where it has to be mended."""

    def __init__(self, said: str, fix: str = "", *, recipe: bool = True) -> None:
        super().__init__(said)
        self.said = said
        self.fix = fix
        self.recipe = recipe


class _NotSeen(Exception):  # noqa: N818 - what was not found
    """The check could not be made; the text says what it would take."""


_STAND_IN: Final = "nobody stands in for the app: stop it, and run `demur doctor --stand-in`"
_NOT_THERE: Final = "the request did not reach the app: mend what is wrong above first"
_NOBODY: Final = "demur's sessions are in its memory (sessions.store), so nobody can be signed in for a test"


def _unseen(patient: Patient) -> str:
    """Why nothing was seen of a request with a session."""
    if not patient.standin:
        return _STAND_IN
    return _NOT_THERE if patient.token else _NOBODY


def _refusal(patient: Patient) -> Answer:
    return patient.line.ask("GET", patient.restricted)


def _seen_by_the_app(patient: Patient) -> list[tuple[str, str]]:
    """Paths that the app gets to see, each with the token that takes."""
    if not patient.standin:
        raise _NotSeen(_STAND_IN)
    found = [(patient.restricted, patient.token)] if patient.token else []
    found += [(patient.open, "")] if patient.open else []
    if not found:
        raise _NotSeen(_NOBODY)
    return found


def status(patient: Patient) -> str:
    """Somebody who is not signed in is told so: 401, and nothing else."""
    answer = _refusal(patient)
    if answer.status == 401:
        return f"a request for {patient.restricted} from nobody is refused with 401"
    raise _Wrong(
        f"a request for {patient.restricted} from nobody was answered with {answer.status} instead of 401",
        "The proxy does not ask demur, or does not hand on what it answers.",
    )


def body(patient: Patient) -> str:
    """The refusal keeps its content, for programs and for people."""
    answer, page = _refusal(patient), patient.line.ask("GET", patient.restricted, PAGE)
    if answer.problem.get("reason") != "sign-in-required":
        raise _Wrong(
            "the problem that says why a program was refused is lost",
            "The proxy makes a body of its own.",
        )
    if b"application/problem+json" not in page.body or b"<form" not in page.body:
        raise _Wrong("the page with the form to sign in is lost", "The proxy makes a page of its own, or caches one.")
    return "a refusal keeps its content: a problem for programs, the form for people"


def challenge(patient: Patient) -> str:
    """Each scheme is challenged for once, on a line of its own."""
    lines = _refusal(patient).values("www-authenticate")
    try:
        schemes = [each.scheme.lower() for line in lines for each in fields.parse_challenges(line.encode("latin-1"))]
    except ValueError as wrong:
        raise _Wrong(f"the challenge cannot be read: {wrong}", "The proxy changes it.") from None
    if "cookie" not in schemes:
        raise _Wrong("the challenge is lost on the way", "A 401 needs one (RFC 9110, 15.5.2).")
    if len(schemes) != len(set(schemes)) or len(schemes) != len(lines):
        raise _Wrong(
            f"the challenge comes {len(schemes)} times, on {len(lines)} lines",
            "The check's answer and the refusal both give it, or the proxy joins lines.",
        )
    return "the challenge comes once"


def head(patient: Patient) -> str:
    """HEAD is refused as GET is."""
    answer = patient.line.ask("HEAD", patient.restricted)
    if answer.status == 401 and not answer.body:
        return "HEAD is refused as GET is"
    raise _Wrong(f"HEAD was answered with {answer.status} instead of 401")


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
        "Handshakes take another way through the proxy.",
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
            "People would be told something untrue while demur's store is down.",
        )
    when = answer.values("retry-after")
    if len(when) != 1 or not when[0].isdecimal():
        raise _Wrong("503 arrives without its Retry-After", "Clients would not know when to try again.")
    return "503 arrives as 503, with Retry-After"


def set_cookie(patient: Patient) -> str:
    """What demur sets reaches the browser."""
    if not patient.leaving:
        raise _NotSeen(_NOBODY)
    own = f"{patient.line.scheme}://{patient.line.authority}"
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    sent = (*SCRIPT, ("Origin", own), kind, patient.cookie(patient.leaving))
    answer = patient.line.ask("POST", f"{patient.site.prefix}/sign-out", sent)
    if any(line.startswith(f"{patient.site.cookie.name}=") for line in answer.values("set-cookie")):
        return "cookies that demur sets arrive"
    if answer.status >= 400:
        raise _Wrong(
            f"signing out was answered with {answer.status}",
            f"{patient.site.prefix}/ has to go to gateway.listen, with its host and scheme.",
        )
    raise _Wrong("Set-Cookie is dropped on the way", "Nobody could sign in or out.")


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
        "OPTIONS with Origin and Access-Control-Request-Method has to go to gateway.listen.",
    )


_CHECKS_AT = ("/check", "/refusal", "/demur-check", "/demur-refusal", "/auth")
_OF_THE_CHECK = ("demur-refusal", *(name.decode("ascii") for name in identity.NAMES))


def _comes_from_the_check(answer: Answer) -> bool:
    """Whether this is what only the check's own listener says: a slip, who somebody is, or what a proxy does wrong."""
    return any(answer.values(name) for name in _OF_THE_CHECK) or b"proxy has to send" in answer.body


def check_is_private(patient: Patient) -> str:
    """Nobody but the proxy reaches the check."""
    host, port = patient.check
    if host and listening.is_for_others(host):
        raise _Wrong(
            f"check_listen is {host}:{port}, where others can ask it and be believed",
            'Write check_listen = "unix:check.sock", or an address on loopback.',
            recipe=False,
        )
    asked: Pairs = (
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Proto", patient.line.scheme),
        ("X-Forwarded-Host", patient.line.authority),
        ("X-Forwarded-Uri", patient.restricted),
    )
    own = (f"{patient.site.prefix}/check", f"{patient.site.prefix}/refusal")
    # Some proxies set these fields, others pass on what a client says, or nothing.
    questions: list[tuple[str, Pairs]] = [(path, ()) for path in (*_CHECKS_AT, *own)]
    questions += [(f"{path}?answer=fields", asked) for path, _ in questions]
    for path, more in questions:
        answer = patient.line.ask("GET", path, (*SCRIPT, *more))
        if _comes_from_the_check(answer):
            raise _Wrong(
                f"{path} reaches demur's check from outside",
                "Whoever asks there says himself which request he means. Take that route away.",
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
        # no method, so that demur would say so
        "X-Forwarded-Method": "(doctor)",
    }
    for name, text in lies.items():
        answer = patient.line.ask("GET", patient.restricted, (*SCRIPT, (name, text)))
        if answer.status != 401:
            raise _Wrong(
                f"a client that sends {name} gets {answer.status} instead of 401",
                "The proxy has to put its own value in its place, or take the field away.",
            )
    return "what a client says about its own request is not believed"


def session(patient: Patient) -> str:
    """Somebody who is signed in gets in."""
    if not patient.token:
        raise _NotSeen(_NOBODY)
    answer, _ = patient.through(token=patient.token)
    if answer.status in {401, 403} or (answer.status >= 500 and answer.problem):
        raise _Wrong(
            f"somebody who is signed in gets {answer.status} at {patient.restricted}",
            "The proxy has to pass Cookie on to the check.",
        )
    return "somebody who is signed in gets in"


def forged_identity(patient: Patient) -> str:
    """Who it is, only demur tells the app."""
    lie = "nobody-you-know"
    lies = tuple((name, lie) for name in ("Remote-User", "Remote_User", "Remote-Groups", "Remote.Subject"))
    for target, token in _seen_by_the_app(patient):
        _, seen = patient.through(*lies, target=target, token=token)
        if seen is None:
            raise _NotSeen(_unseen(patient))
        passed = [
            name for name, text in seen.fields if lie in text and identity.is_identity_field(name.lower().encode())
        ]
        if passed:
            raise _Wrong(
                f"a client that sends {passed[0]} is that person for the app",
                "The proxy has to set all identity fields itself, and take other spellings away.",
            )
    return "identity fields of a client do not reach the app"


def our_cookie(patient: Patient) -> str:
    """The app sees its own cookies, and not the session's."""
    for target, token in _seen_by_the_app(patient):
        _, seen = patient.through(patient.cookie(token or "none", "app=1"), target=target)
        if seen is None:
            raise _NotSeen(_unseen(patient))
        cookies = "; ".join(seen.values("cookie"))
        if f"{patient.site.cookie.name}=" in cookies:
            raise _Wrong(
                f"the app is given demur's own cookie at {target}",
                "Whoever takes over the app, or reads its log, could be anybody.",
            )
        if "app=1" not in cookies:
            raise _Wrong(f"the app's own cookies are lost at {target}", "Only demur's own has to go.")
    return "demur's cookie does not reach the app, and others do"


def same_bytes(patient: Patient) -> str:
    """The app gets the address that was judged, byte for byte."""
    odd = f"{patient.restricted.rstrip('/')}/a%2Fb;v=1%20c?d=%2e%2e&e=%2F"
    answer, seen = patient.through(target=odd, token=patient.token)
    if seen is None:
        if answer.status == 400:
            return "an odd address is refused before it reaches the app"
        if patient.standin and patient.token and answer.status == 404:
            raise _Wrong(f"{odd} does not reach the app: 404", "Addresses have to go on as they are.")
        raise _NotSeen(_unseen(patient))
    if seen.target != odd.encode("ascii"):
        raise _Wrong(
            f"{odd} reaches the app as {seen.target.decode('latin-1')}",
            "What was judged and what is served have to be the same.",
        )
    return "the app gets addresses as they were judged"


def app_cookies(patient: Patient) -> str:
    """What the app sets reaches the browser."""
    answer, seen = patient.through(token=patient.token)
    if seen is None:
        raise _NotSeen(_unseen(patient))
    names = [line.partition("=")[0] for line in answer.values("set-cookie")]
    if not {"doctor-one", "doctor-two"} <= set(names):
        raise _Wrong("cookies that the app sets are lost", "Set-Cookie comes on lines of its own.")
    return "cookies that the app sets arrive"


def way_round(patient: Patient) -> str:
    """The app listens for the proxy and for nobody else."""
    host, port = patient.upstream
    if patient.standin:
        raise _NotSeen("somebody stands in for the app: see where it listens without --stand-in, while it runs")
    found = sorted(listening.addresses(port)) if host else []
    if not found:
        raise _NotSeen("the app is on another machine, or not running: see that only the proxy can connect to it")
    public = [address for address in found if listening.is_for_others(address)]
    if public:
        raise _Wrong(
            f"the app listens at {public[0]}, port {port}, where clients reach it without the proxy",
            "Let it listen at 127.0.0.1 or a unix socket, or close the port.",
            recipe=False,
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
    """All checks of a site, or the one finding that nobody answers there. Never raises for what it finds."""
    try:
        answer = _refusal(patient)
    except NoAnswer as none:
        return [Finding("answer", Verdict.WRONG, str(none), none.fix)]
    patient = replace(patient, proxy=patient.proxy or mending.proxy(answer.values("server")))
    return [_one(name, check, patient) for name, check in CHECKS.items()]


def _one(name: str, check: Callable[[Patient], str], patient: Patient) -> Finding:
    try:
        return Finding(name, Verdict.RIGHT, check(patient))
    except _Wrong as wrong:
        more = mending.how(name, patient.proxy) if wrong.recipe else ""
        return Finding(name, Verdict.WRONG, wrong.said, " ".join(part for part in (wrong.fix, more) if part))
    except _NotSeen as why:
        return Finding(name, Verdict.NOT_SEEN, str(why))
    except NoAnswer as none:
        return Finding(name, Verdict.WRONG, str(none), none.fix)
