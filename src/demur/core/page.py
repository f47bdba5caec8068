"""The look of every page: one document shell, filled by escaped slots.

- A slot's value is escaped unless it is `Html`, which only this module and autoescaping templates make.
- Templates are read once, at import; filling one joins strings and touches nothing else.
- One style sheet and one script, both inline and named by their hash, so that the policy allows nothing else.
- Everything works without the script.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from demur.core.reasons import REASONS, Reason, Remedy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from demur.core.ports import Renderer, View


class Html(str):
    """Text that is markup already. Everything else is escaped where it is filled in."""

    __slots__ = ()


class Template:
    """Markup with slots, `{{name}}`, split once."""

    __slots__ = ("_slots", "_texts")

    def __init__(self, source: str) -> None:
        pieces = re.split(r"\{\{(\w+)\}\}", source)
        self._texts = tuple(pieces[0::2])
        self._slots = tuple(pieces[1::2])

    def fill(self, **values: str) -> Html:
        """The markup with every slot filled. KeyError if a value is missing."""
        out = [self._texts[0]]
        for slot, text in zip(self._slots, self._texts[1:], strict=True):
            value = values[slot]
            out.append(value if type(value) is Html else escape(value))
            out.append(text)
        return Html("".join(out))


_NOTHING = Html("")


def _read(name: str) -> str:
    return files("demur.core").joinpath("templates", name).read_text(encoding="utf-8")


def _squeeze(source: str, comment: str) -> str:
    """Drop comments and indentation: what is left is sent with every refusal."""
    lines = (line.strip() for line in re.sub(comment, "", source).splitlines())
    return "\n".join(line for line in lines if line)


def _hash(text: str) -> str:
    return "'sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


STYLE = _squeeze(_read("style.css"), r"/\*[^*]*\*/")
SCRIPT = _squeeze(_read("script.js"), r"(?m)^\s*//.*$")

POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""For every page."""
SIGNED_OUT_POLICY = POLICY.replace("style-src ", "style-src 'self' ")
"""For the page after signing out, which loads one style sheet for the sake of a field in the answer."""

_SHELL = Template(_read("shell.html").replace("{{style}}", STYLE).replace("{{script}}", SCRIPT))
_SPLIT = Template(_read("split.html"))
_SIGN_IN = Template(_read("sign_in.html"))
_KEEP = Html(_read("keep.html").rstrip())
_CONFIRM = Template(_read("confirm.html"))
_SIGN_OUT = Template(_read("sign_out.html"))
_ALERT = Template('<p class="alert" role="alert" id="error">{{text}}</p>\n')
_MORE = Template('<p class="more">{{text}}</p>\n')
_NOTE = Template('<p class="note">{{text}}</p>\n')
_FACT = Template("<div><dt>{{name}}</dt><dd>{{value}}</dd></div>\n")
_FACTS = Template('<dl class="facts">\n{{facts}}</dl>\n')
_COPY = Template('<code class="copy" translate="no">{{text}}</code>')
_LINK = Template('<a class="{{look}}" href="{{to}}">{{text}}</a>\n')
_TOP = Template('<p class="do"><a class="button" href="{{to}}" target="_top">{{text}}</a></p>')
_SWITCH = Template(
    '<form class="{{look}}" method="post" action="{{to}}">{{before}}<input type="hidden" name="next" value="{{next}}">'
    '<button type="submit" class="{{button}}">Use another account</button></form>\n'
)
_HELP = Template('<p class="links"><a href="{{to}}" rel="help">Help from {{site}}</a></p>\n')
_DO = Template('<div class="do">\n{{links}}</div>\n')
_TIME = Template('<time datetime="{{exact}}">{{words}}</time>')
_ITEM = Template("<li>{{text}}</li>")
_FOOT = Template('<footer class="foot">{{parts}}</footer>\n')
_PART = Template("<span>{{text}}</span>")
_PROBLEM = Template('<script type="application/problem+json">{{json}}</script>\n')
_ENDED = Template("That was on {{time}}.")
_IDLE = Template("You were signed out after {{idle}} without activity{{when}}.")
_LATER = Template(", on {{time}}")


def duration(seconds: int) -> str:
    """A length of time in words, never shorter than it is: "45 seconds", "1 hour 30 minutes", "3 days"."""
    seconds = max(seconds, 1)
    if seconds < 120 and seconds % 60:
        return _count(seconds, "second")
    minutes = -(-seconds // 60)
    if minutes < 60:
        return _count(minutes, "minute")
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        return _count(hours, "hour") + (f" {_count(rest, 'minute')}" if rest else "")
    return _count(-(-minutes // (24 * 60)), "day")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def time(at: int) -> Html:
    """A moment, for people in UTC, for the script as it is, so that it can show the local time."""
    when = datetime.fromtimestamp(at, UTC)
    words = f"{when.day} {_MONTHS[when.month - 1]} {when.year}, {when:%H:%M} UTC"
    return _TIME.fill(exact=f"{when:%Y-%m-%dT%H:%M:%SZ}", words=words)


def embed(problem: str) -> Html:
    """A problem document inside the page. JSON may write every `<` as an escape, and then no text in it can
    close the element (HTML, 4.12.1.3)."""
    return _PROBLEM.fill(json=Html(problem.replace("<", "\\u003c"))) if problem else _NOTHING


def shell(
    title: str,
    main: str,
    *,
    site: str,
    layout: str = "wide",
    tone: str = "yes",
    nav: str = _NOTHING,
    head: str = _NOTHING,
    foot: str = _NOTHING,
    problem: str = "",
) -> bytes:
    """The one document that every page is. `title` and `site` are text, `main`, `nav`, `head` and `foot` markup."""
    return _SHELL.fill(
        title=title,
        main=Html(main),
        site=site,
        layout=layout,
        tone=tone,
        nav=Html(nav),
        head=Html(head),
        foot=Html(foot),
        problem=embed(problem),
    ).encode()


# --- what is said ---------------------------------------------------------------------------------


def _attempts(view: View) -> str:
    wait = duration(view.retry_after) if view.retry_after else "a little"
    return f"Please wait {wait} before you try again. Sessions that are already open are not affected."


def _elsewhere(view: View) -> str:
    if not view.origins:
        return "A site is served here, but not under this address. Check the address."
    return "You have reached the right machine under a name that it does not serve. Open it under its own address."


def _invalid(view: View) -> str:
    return "Check both, and try again." if view.message else "What your browser sent to identify you is not valid here."


def _stronger(view: View) -> str:
    return "This part of the site asks for a stronger sign-in than yours." if view.acr_values else ""


_TOLD: Mapping[Reason, Callable[[View], str]] = {
    Reason.STEP_UP_REQUIRED: _stronger,
    Reason.CREDENTIALS_INVALID: _invalid,
    Reason.TOO_MANY_ATTEMPTS: _attempts,
    Reason.HOST_UNKNOWN: _elsewhere,
}
"""What can be said more exactly than the table of reasons does, which knows neither the site nor the times."""


def _lede(view: View) -> str:
    reason = view.reason
    if reason is None or view.detail not in {"", REASONS[reason].detail}:
        return view.detail
    told = _TOLD.get(reason)
    return (told and told(view)) or REASONS[reason].detail


_NOT_YOU = (
    "This has nothing to do with your account. If you sent something, see whether it arrived before you send it again."
)
_REASSURE: Mapping[Reason, str] = {
    Reason.UPSTREAM_UNREACHABLE: _NOT_YOU,
    Reason.UPSTREAM_TIMEOUT: _NOT_YOU,
    Reason.UNAVAILABLE: "There is nothing that you have to do. Your session is kept.",
    Reason.CROSS_SITE_REFUSED: "Nothing was changed. If it was you who wanted this, open the page and do it again.",
}


_NO_SUCH = (
    "The sign-in page here takes a name and a password, which is not enough for it. Nothing that you could type would "
    "open it: ask whoever runs the site how to sign in with more."
)


def _more(view: View) -> Html:
    if view.acr_values:
        return _MORE.fill(text=_NO_SUCH)
    if view.reason is Reason.SESSION_IDLE and view.idle:
        when = _NOTHING if view.ended_at is None else _LATER.fill(time=time(view.ended_at))
        return _MORE.fill(text=_IDLE.fill(idle=duration(view.idle), when=when))
    if view.ended_at is not None:
        return _MORE.fill(text=_ENDED.fill(time=time(view.ended_at)))
    if view.reason is Reason.UNAVAILABLE and view.detail not in {"", REASONS[view.reason].detail}:
        return _NOTHING  # what was said instead is all that is known
    text = _REASSURE.get(view.reason) if view.reason else None
    return _MORE.fill(text=text) if text else _NOTHING


_TONES: Mapping[int, str] = {400: "we", 403: "no", 404: "we", 421: "we", 429: "no", 502: "we", 503: "we", 504: "we"}


def _tone(view: View) -> str:
    return "no" if view.message else _TONES.get(view.status, "yes")


def _title(view: View) -> str:
    # A wrong password and a cookie that nobody made have one reason; the person who typed needs other words.
    if view.reason is Reason.CREDENTIALS_INVALID and view.form and view.title == REASONS[view.reason].title:
        return "Sign in to continue" if view.message else "Please sign in again"
    if view.acr_values and view.reason is Reason.STEP_UP_REQUIRED:
        return "A password is not enough here"
    return view.title


# --- the slip: what to do next --------------------------------------------------------------------


def _local(path: str, home: str) -> str:
    """A link target on this site and nowhere else."""
    inside = path.startswith("/") and path[1:2] not in {"/", "\\"}
    return path if inside else home


def _alert(view: View) -> Html:
    return _ALERT.fill(text=view.message) if view.message else _NOTHING


_WRONG = Html(' aria-invalid="true" aria-describedby="error"')
_WHY = Html(' aria-describedby="why"')


def _sign_in(view: View) -> Html:
    # "Users are warned of the duration of any user inactivity that could cause data loss" (WCAG 2.2, 2.2.6)
    limit = f"You will be signed out after {duration(view.idle)} without activity." if view.idle else ""
    return _SIGN_IN.fill(
        alert=_alert(view),
        action=view.action,
        next=view.next,
        username=view.username,
        describe_name=_WRONG if view.message else _WHY,
        describe_password=_WRONG if view.message else _NOTHING,
        keep=_KEEP if view.keep else _NOTHING,
        note=_NOTE.fill(text=limit) if limit else _NOTHING,
    )


def _confirm(view: View) -> Html:
    person = view.person or view.username
    return _CONFIRM.fill(
        alert=_alert(view),
        action=view.action,
        next=view.next,
        username=view.username,
        person=person,
        initial=person[:1].upper(),
        describe_password=_WRONG if view.message else _WHY,
        note=_switch(view, look="note", button="link", before="Not you? ") if view.switch else _NOTHING,
    )


def _sign_out(view: View) -> Html:
    return _SIGN_OUT.fill(action=view.action, person=view.person, initial=view.person[:1].upper(), home=view.home)


def _switch(view: View, *, look: str, button: str, before: str = "") -> Html:
    # A form: leaving an account changes something, and no link of another site should be able to do it.
    return _SWITCH.fill(look=look, to=view.switch, next=view.next, button=button, before=before)


_STRENGTHS: Mapping[str, str] = {
    "pwd": "A sign-in with a password",
    "mfa": "A sign-in with two factors",
    "phr": "A sign-in that nobody can phish, such as one with a passkey",
    "phrh": "A sign-in that nobody can phish, with a key on a device of its own",
}


def _strength(view: View) -> str:
    """The weakest sign-in that would do, and how recent it has to be."""
    words = _STRENGTHS.get(view.acr_values[0], f"A sign-in of the kind {view.acr_values[0]}")
    return words if view.max_age is None else f"{words}, within the last {duration(view.max_age)}"


_LACKING: Mapping[str, str] = {
    "group": "Membership of a group that this account is not in",
    "permission": "A permission that this account does not have",
}


def _missing(kinds: tuple[str, ...]) -> Html:
    texts = [_LACKING.get(kind, kind) for kind in kinds]
    items = Html("".join(_ITEM.fill(text=text) for text in texts))
    return Html(f"<ul>{items}</ul>") if len(texts) > 1 else Html(escape(texts[0]))


def _facts(view: View) -> Html:
    rows: list[tuple[str, str]] = []
    if view.person:
        rows.append(("Signed in as", Html(f"<strong>{escape(view.person)}</strong>")))
    if view.missing:
        rows.append(("What is needed", _missing(view.missing)))
    if view.acr_values:
        rows.append(("What is needed", _strength(view)))
    if view.retry_after and view.status != 429:
        rows.append(("Try again in", duration(view.retry_after)))
    if view.reference:
        rows.append(("Reference, to quote when you ask about this", _COPY.fill(text=view.reference)))
    if not rows:
        return _NOTHING
    return _FACTS.fill(facts=Html("".join(_FACT.fill(name=name, value=value) for name, value in rows)))


def _links(view: View) -> list[tuple[str, str]]:
    """Where to go from here, the most useful first."""
    if view.reason is Reason.HOST_UNKNOWN:
        return [(origin, f"Open {origin}") for origin in view.origins]
    home = (view.home, "Go to the start page")
    again = _local(view.next, view.home)
    remedy = REASONS[view.reason].remedy if view.reason else Remedy.NONE
    text = "Try again" if remedy in {Remedy.RETRY_LATER, Remedy.WAIT} else "Open the page"
    if remedy in _WORTH_REPEATING or view.status == 429:
        return [(again, text)] if again == view.home else [(again, text), home]
    return [home]


_WORTH_REPEATING = frozenset((Remedy.RETRY_LATER, Remedy.RELOAD, Remedy.REPEAT))


def _next_steps(view: View) -> Html:
    links = _links(view)
    # Another account helps where this one is the trouble, and not where the request is (another site, a fault of ours).
    other = bool(view.switch) and view.status == 403 and len(links) == 1
    looks = ("quiet" if other else "button", *("quiet" for _ in links))
    made = [_LINK.fill(look=look, to=to, text=text) for look, (to, text) in zip(looks, links, strict=False)]
    if other:
        made.insert(0, _switch(view, look="", button="quiet"))
    return Html(_facts(view) + _DO.fill(links=Html("".join(made))) + _help(view))


def _help(view: View) -> Html:
    return _HELP.fill(to=view.help_url, site=view.site) if view.help_url else _NOTHING


_FORMS: Mapping[str | None, tuple[str, Callable[[View], Html]]] = {
    "sign-in": ("Sign in", _sign_in),
    "confirm": ("Confirm that it is you", _confirm),
    "sign-out": ("Sign out", _sign_out),
}


def _slip(view: View) -> tuple[str, Html]:
    if view.form in _FORMS:
        label, make = _FORMS[view.form]
        return label, Html(make(view) + _help(view))
    return "What you can do", Html(_alert(view) + _next_steps(view))


def _foot(view: View) -> Html:
    parts = [_PART.fill(text=f"{view.status} {view.reason.value}")] if view.reason else []
    if view.reference and view.form:
        parts.append(_PART.fill(text=Html("Reference " + _COPY.fill(text=view.reference))))
    return _FOOT.fill(parts=Html("".join(parts))) if parts else _NOTHING


# --- the pages ------------------------------------------------------------------------------------


def render(view: View) -> bytes:
    """The page for a view."""
    if view.framed:
        return _framed(view)
    title = _title(view)
    label, slip = _slip(view)
    main = _SPLIT.fill(title=title, lede=_lede(view), more=_more(view), label=label, slip=slip)
    return shell(
        # A screen reader reads the title first, and so a failed try is known before anything else.
        f"Not signed in: {view.message}" if view.message and view.form else title,
        main,
        site=view.site,
        layout="split",
        tone=_tone(view),
        foot=_foot(view),
        problem=view.problem,
    )


def _framed(view: View) -> bytes:
    title = _title(view)
    main = _SPLIT.fill(
        title=title,
        lede="This part of the page belongs to a site that asks who you are. It does so in a window of its own only.",
        more=_NOTHING,
        label="What you can do",
        slip=_TOP.fill(to=_local(view.next, view.home), text=f"Open {view.site}"),
    )
    return shell(title, main, site=view.site, layout="split", problem=view.problem)


def signed_out(view: View) -> bytes:
    """The page after signing out; served under `SIGNED_OUT_POLICY`.

    It loads `<prefix>/cleared.css`, whose answer carries `Clear-Site-Data: "cache"`. In the answer to the
    sign-out itself that field would come too early: the page being left is not in the cache yet.
    """
    said = replace(
        view,
        title=view.title or "You are signed out",
        detail=view.detail or f"Your session at {view.site} has ended, here and on the server.",
    )
    links = [(view.action or f"{view.prefix}/sign-in", "Sign in again", "button"), (view.home, "Start page", "quiet")]
    made = Html("".join(_LINK.fill(look=look, to=to, text=text) for to, text, look in links))
    main = _SPLIT.fill(
        title=said.title,
        lede=said.detail,
        more=_MORE.fill(text="On a shared computer, close this window too."),
        label="What you can do",
        slip=_DO.fill(links=made),
    )
    head = f'<link rel="stylesheet" href="{escape(view.prefix)}/cleared.css">\n'
    return shell(said.title, main, site=view.site, layout="split", head=head, problem=view.problem)


@dataclass(frozen=True, slots=True)
class Page:
    """The look that comes with the package."""

    policy: str = POLICY

    def render(self, view: View) -> bytes:
        """The page, UTF-8."""
        return render(view)


DEFAULT: Renderer = Page()
