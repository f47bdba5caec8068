"""The look of every page: what is said, and what to do next. Everything works without the script."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from demur.core import dialog, slips
from demur.core.markup import NOTHING, POLICY, Html, Template, read, shell
from demur.core.reasons import REASONS, Reason, Remedy
from demur.core.words import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from demur.core.ports import Renderer, View

SIGNED_OUT_POLICY = POLICY.replace("style-src ", "style-src 'self' ")
"""For the page after signing out, which loads one style sheet for the sake of a field in the answer."""

_SPLIT = Template(read("split.html"))
_SIGN_OUT = Template(read("sign_out.html"))
_MORE = Template('<p class="more">{{text}}</p>\n')
_KEPT = Template('<p class="more"><strong>{{text}}</strong></p>\n')
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
_ENDED = Template("That was on {{time}}.")
_IDLE = Template("You were signed out after {{idle}} without activity{{when}}.")
_LATER = Template(", on {{time}}")


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def time(at: int) -> Html:
    """A moment, for people in UTC, for the script as it is, so that it can show the local time."""
    when = datetime.fromtimestamp(at, UTC)
    words = f"{when.day} {_MONTHS[when.month - 1]} {when.year}, {when:%H:%M} UTC"
    return _TIME.fill(exact=f"{when:%Y-%m-%dT%H:%M:%SZ}", words=words)


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
    Reason.SUBJECT_CHANGED: "Nothing was done. Open the page again, and it is made for you.",
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
        when = NOTHING if view.ended_at is None else _LATER.fill(time=time(view.ended_at))
        return _MORE.fill(text=_IDLE.fill(idle=duration(view.idle), when=when))
    if view.ended_at is not None:
        return _MORE.fill(text=_ENDED.fill(time=time(view.ended_at)))
    if view.reason is Reason.UNAVAILABLE and view.detail not in {"", REASONS[view.reason].detail}:
        return NOTHING  # what was said instead is all that is known
    text = _REASSURE.get(view.reason) if view.reason else None
    return _MORE.fill(text=text) if text else NOTHING


_FIRST: Mapping[str | None, str] = {"sign-in": "sign in", "confirm": "confirm that it is you"}


def _kept(view: View) -> Html:
    """That nothing is lost, before anybody despairs. Only a form that is kept for its person gets this far."""
    if not view.kept:
        return NOTHING
    first = _FIRST.get(view.form, "open the page")
    return _KEPT.fill(text=f"What you entered is kept for 15 minutes: {first}, and you can send it.")


_TONES: Mapping[int, str] = {
    **dict.fromkeys((403, 412, 429), "no"),
    **dict.fromkeys((400, 404, 421, 502, 503, 504), "we"),
}


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


def _sign_in(view: View) -> Html:
    # "Users are warned of the duration of any user inactivity that could cause data loss" (WCAG 2.2, 2.2.6)
    limit = f"You will be signed out after {duration(view.idle)} without activity." if view.idle else ""
    return slips.sign_in(view, slips.NOTE.fill(text=limit) if limit else NOTHING)


def _confirm(view: View) -> Html:
    return slips.confirm(
        view, _switch(view, look="note", button="link", before="Not you? ") if view.switch else NOTHING
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
    if view.reference and not view.login:
        rows.append(("Reference, to quote when you ask about this", _COPY.fill(text=view.reference)))
    if not rows:
        return NOTHING
    return _FACTS.fill(facts=Html("".join(_FACT.fill(name=name, value=value) for name, value in rows)))


def _links(view: View) -> list[tuple[str, str]]:
    """Where to go from here, the most useful first."""
    if view.reason is Reason.HOST_UNKNOWN:
        return [(origin, f"Open {origin}") for origin in view.origins]
    if view.login:
        return [(view.login, "Sign in"), (view.home, "Go to the start page")]
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
    return _HELP.fill(to=view.help_url, site=view.site) if view.help_url else NOTHING


_FORMS: Mapping[str | None, tuple[str, Callable[[View], Html]]] = {
    "sign-in": ("Sign in", _sign_in),
    "confirm": ("Confirm that it is you", _confirm),
    "sign-out": ("Sign out", _sign_out),
}


def _slip(view: View) -> tuple[str, Html]:
    if view.form in _FORMS:
        label, make = _FORMS[view.form]
        return label, Html(make(view) + _help(view))
    return "What you can do", Html(slips.alert(view) + _next_steps(view))


def _foot(view: View) -> Html:
    parts = [_PART.fill(text=f"{view.status} {view.reason.value}")] if view.reason else []
    if view.reference and (view.form or view.login):
        parts.append(_PART.fill(text=Html("Reference " + _COPY.fill(text=view.reference))))
    return _FOOT.fill(parts=Html("".join(parts))) if parts else NOTHING


# --- the pages ------------------------------------------------------------------------------------


def render(view: View) -> bytes:
    """The page for a view."""
    if view.embedded:
        return dialog.render(view)
    if view.framed:
        return _framed(view)
    title = _title(view)
    label, slip = _slip(view)
    main = _SPLIT.fill(title=title, lede=_lede(view), more=Html(_more(view) + _kept(view)), label=label, slip=slip)
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
        more=NOTHING,
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
    return shell(
        said.title, main, site=view.site, layout="split", head=head, problem=view.problem, marks=dialog.SIGNED_OUT
    )


@dataclass(frozen=True, slots=True)
class Page:
    """The look that comes with the package."""

    policy: str = POLICY

    def render(self, view: View) -> bytes:
        """The page, UTF-8."""
        return render(view)


DEFAULT: Renderer = Page()
