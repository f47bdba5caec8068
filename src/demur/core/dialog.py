"""The sign-in page inside the client's dialog, and in a window of its own: the form, why it is there, and little else.

- It speaks the language that it was asked for in. What the reasons' table and the site say in English stays unsaid.
- A failed try is the same page with the form, whatever the trouble was.
- What only makes sense inside a dialog is hidden until the script has seen that it is inside one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from demur.core import slips, words
from demur.core.embedded import ELSEWHERE, NOT_KEPT
from demur.core.markup import NOTHING, Html, Template, read, shell
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demur.core.embedded import Embedded
    from demur.core.ports import View

SIGNED_OUT = ' data-says="signed-out"'
"""For the page after signing out: the script tells the other tabs to look."""

_TO_QUOTE = frozenset((Reason.UNAVAILABLE, Reason.CROSS_SITE_REFUSED, Reason.REQUEST_MALFORMED))
_PAGE = Template(read("dialog.html"))
_DONE = Template('<h1>{{title}}</h1>\n<p class="lede" role="status">{{text}}</p>')
_LEDE = Template('<p class="lede" id="why">{{text}}</p>\n')
# With `rel="opener"` the new window may be closed by its own script.
_WINDOW = Template('<a class="{{look}}" href="{{to}}" target="_blank" rel="opener" data-popup>{{text}}</a>\n')
_LINK = Template('<p class="note">{{before}}<a href="{{to}}">{{text}}</a></p>\n')
_HELP = Template('<p class="note"><a href="{{to}}" rel="help noopener" target="_blank">{{text}}</a></p>\n')
_REFERENCE = Template('<p class="note">{{label}} <code class="copy" translate="no">{{text}}</code></p>\n')


def render(view: View) -> bytes:
    """The page for a view that is `embedded`."""
    asked = view.embedded
    if asked is None:
        message = "this page is for a view that is embedded"
        raise ValueError(message)
    said = words.of(asked.lang)
    if asked.done:
        return _done(view, asked, said)
    message = _message(view, asked, said)
    view = replace(view, message=message)
    title = said[f"title.{_why(view, said)}"]
    return shell(
        # A screen reader reads the title first, and so a failed try is known before anything else.
        said["failed"].replace("{message}", message) if message else title,
        _PAGE.fill(
            title=title,
            lede=_lede(view, said),
            slip=_slip(view, asked, said),
            not_now=said["not_now"],
            own_window=NOTHING if asked.popup or view.form == ELSEWHERE else _own_window(view, asked, said),
        ),
        site=view.site,
        layout="embedded",
        tone="no" if message else "yes",
        problem=view.problem,
        lang=asked.lang,
        bare=True,
        marks=" data-embedded",
    )


def _own_window(view: View, asked: Embedded, said: Mapping[str, str]) -> Html:
    """For identity providers and password managers that do not work inside a frame."""
    to = replace(asked, popup=True, username=view.username).address(view.prefix)
    return _WINDOW.fill(look="link", to=to, text=said["own_window"])


def _done(view: View, asked: Embedded, said: Mapping[str, str]) -> bytes:
    """Told to every tab, and to people in words: without a script, somebody has to close the window."""
    main = _DONE.fill(title=said["title.done"], text=said["text.done"])
    marks = ' data-embedded data-says="signed-in"' + (" data-closes" if asked.popup else "")
    return shell(said["title.done"], main, site=view.site, layout="embedded", lang=asked.lang, bare=True, marks=marks)


def _why(view: View, said: Mapping[str, str]) -> str:
    """Which title says why the form is there."""
    if view.form == "confirm" and view.reason is not Reason.TOO_MANY_ATTEMPTS:
        return "confirm"
    # A wrong password and a cookie that nobody made have one reason.
    wrong = view.reason is Reason.CREDENTIALS_INVALID and view.message
    reason = Reason.SIGN_IN_REQUIRED if view.reason is None or wrong else view.reason
    return reason.value if f"title.{reason.value}" in said else Reason.SIGN_IN_REQUIRED.value


def _lede(view: View, said: Mapping[str, str]) -> Html:
    if view.form == ELSEWHERE:
        return _LEDE.fill(text=said["elsewhere"].replace("{host}", _host(view)))
    text = said.get(f"text.{_why(view, said)}", "")
    return _LEDE.fill(text=text) if text and not view.message else NOTHING


def _message(view: View, asked: Embedded, said: Mapping[str, str]) -> str:
    """What went wrong with the last try, in the page's own language."""
    if view.reason is Reason.TOO_MANY_ATTEMPTS:
        if not view.retry_after:
            return said["message.wait_a_little"]
        return said["message.wait"].replace("{time}", words.duration(view.retry_after, asked.lang))
    if view.reason is Reason.CREDENTIALS_INVALID and view.message:
        return said["message.wrong_password" if view.form == "confirm" else "message.wrong"]
    if view.message == NOT_KEPT:
        return said["message.not_kept"]
    return said.get(f"message.{view.reason.value}", "") if view.reason else ""


def _slip(view: View, asked: Embedded, said: Mapping[str, str]) -> Html:
    if view.form == ELSEWHERE:
        text = said["sign_in_at"].replace("{host}", _host(view))
        link = _WINDOW.fill(look="button", to=view.action, text=text)
        return Html(f'{slips.alert(view)}<p class="do">{link}</p>{_more(view, said)}')
    note = Html(_limit(view, asked, said) + _accounts(view, asked, said) + _more(view, said))
    form = slips.confirm if view.form == "confirm" else slips.sign_in
    return form(view, note, asked.lang, wrong=view.reason is Reason.CREDENTIALS_INVALID)


def _limit(view: View, asked: Embedded, said: Mapping[str, str]) -> Html:
    # "Users are warned of the duration of any user inactivity that could cause data loss" (WCAG 2.2, 2.2.6)
    if not view.idle:
        return NOTHING
    return slips.NOTE.fill(text=said["idle"].replace("{time}", words.duration(view.idle, asked.lang)))


def _accounts(view: View, asked: Embedded, said: Mapping[str, str]) -> Html:
    """For whoever is signed in, the way to another account and back. Nobody is signed out by it."""
    if not view.person:
        return NOTHING
    if view.form == "confirm":
        to = replace(asked, other=True, username="").address(view.prefix)
        return _LINK.fill(before=said["not_you"] + " ", to=to, text=said["other_account"])
    to = replace(asked, other=False, username="").address(view.prefix)
    return _LINK.fill(before="", to=to, text=said["same_account"].replace("{person}", view.person))


def _more(view: View, said: Mapping[str, str]) -> Html:
    reference = view.reference if view.reason in _TO_QUOTE else ""
    return Html(
        (_HELP.fill(to=view.help_url, text=said["help"].replace("{site}", view.site)) if view.help_url else "")
        + (_REFERENCE.fill(label=said["reference"], text=reference) if reference else "")
    )


def _host(view: View) -> str:
    return urlsplit(view.action).netloc
