"""The two forms of signing in, for every page that has one, in every language."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from demur.core.markup import NOTHING, Html, Template, worded
from demur.core.words import ENGLISH

if TYPE_CHECKING:
    from demur.core.ports import View

NOTE = Template('<p class="note">{{text}}</p>\n')
_ALERT = Template('<p class="alert" role="alert" id="error">{{text}}</p>\n')
_WRONG = Html(' aria-invalid="true" aria-describedby="error"')
_ABOUT = Html(' aria-describedby="error"')
_WHY = Html(' aria-describedby="why"')
_form = cache(worded)


def alert(view: View) -> Html:
    """What went wrong with the last try."""
    return _ALERT.fill(text=view.message) if view.message else NOTHING


def sign_in(view: View, note: Html, lang: str = ENGLISH, *, wrong: bool = True) -> Html:
    """Name and password. `note` stands below. `wrong` says that a message is about what was typed."""
    return _form("sign_in.html", lang).fill(
        alert=alert(view),
        action=view.action,
        next=view.next,
        username=view.username,
        describe_name=_described(view, wrong=wrong),
        describe_password=_described(view, wrong=wrong) if view.message else NOTHING,
        keep=_form("keep.html", lang).fill() if view.keep else NOTHING,
        note=note,
    )


def confirm(view: View, note: Html, lang: str = ENGLISH, *, wrong: bool = True) -> Html:
    """The password of somebody who is known."""
    person = view.person or view.username
    return _form("confirm.html", lang).fill(
        alert=alert(view),
        action=view.action,
        next=view.next,
        username=view.username,
        person=person,
        initial=person[:1].upper(),
        describe_password=_described(view, wrong=wrong),
        note=note,
    )


def _described(view: View, *, wrong: bool) -> Html:
    return _WHY if not view.message else _WRONG if wrong else _ABOUT
