"""Marks beside views: what they ask for, and that nothing about how they are written can open a view."""

from __future__ import annotations

import functools

import pytest

import demur
from demur.core import marks, rules
from demur.core.marks import marks_of, resolve
from demur.core.model import Access, ConfigError, Form


def fresh_view():
    """A view that nothing has marked yet."""

    def view() -> str:
        return "seen"

    return view


def test_a_mark_gives_the_view_back():
    """The very same object, so that no order of decorators matters."""
    view = fresh_view()
    assert demur.require("report:read")(view) is view


def test_what_is_asked_for():
    """Every argument stands in the requirement, and in the name for the log."""
    mark = demur.require("report:read", groups=["staff"], all_groups="audit", fresh="5m", strength="mfa", form="api")
    asked = mark.requirement
    assert asked.access is Access.REQUIRED
    assert asked.terms.permission == "report:read"
    assert (asked.terms.groups, asked.terms.all_groups) == (frozenset({"staff"}), frozenset({"audit"}))
    assert (asked.max_age, asked.acr, asked.form) == (300, ("mfa", "phr", "phrh"), Form.API)
    assert mark.name == "mark: report:read, groups staff, all groups audit, fresh 300 s, strength mfa phr phrh"
    assert demur.require().name == "mark: signed in"


def plain_wrapper(inner):
    """A decorator as they are written in a hurry."""

    def outer():
        return inner()

    return outer


def honest_wrapper(inner):
    """A decorator as they should be written."""

    @functools.wraps(inner)
    def outer():
        return inner()

    return outer


class Marked:
    """A class with a method, as frameworks have them for views."""

    @demur.require("a")
    def get(self):
        """Marked itself."""

    def post(self):
        """Not marked."""


@demur.require("b")
class Closed(Marked):
    """A marked class."""


class Instance:
    """What is called."""

    @demur.require("c")
    def __call__(self):
        """Marked."""


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (demur.require("x")(fresh_view()), ["x"]),
        (demur.require("x")(honest_wrapper(fresh_view())), ["x"]),
        (honest_wrapper(demur.require("x")(fresh_view())), ["x"]),
        (functools.partial(demur.require("x")(fresh_view())), ["x"]),
        (demur.require("x")(demur.require("y")(fresh_view())), ["x", "y"]),
        (Marked.get, ["a"]),
        (Marked().get, ["a"]),
        (Marked().post, []),
        (Closed, ["b"]),
        (Closed(), ["b"]),
        (Closed().get, ["a", "b"]),
        (Closed().post, ["b"]),
        (plain_wrapper(demur.require("x")(fresh_view())), []),  # closed, not open
        (fresh_view(), []),
        (None, []),
        (demur.require("x"), ["x"]),
    ],
)
def test_marks_are_found(written, found):
    """Through everything that says what it wraps, and in no other way."""
    assert sorted(mark.permission for mark in marks_of(written)) == found


def test_marks_of_several():
    """A view, its class and its router are asked together; one mark counts once."""
    one = demur.require("x")
    assert len(marks_of(one(fresh_view()), one, None, Closed)) == 2


def test_a_wrapper_that_goes_round_in_circles():
    """Whatever wraps itself ends the search."""
    view = fresh_view()
    view.__wrapped__ = view
    assert marks_of(demur.require("x")(view))


def test_open_and_closed_is_a_contradiction():
    """At the second mark, with the name of the view."""
    with pytest.raises(ConfigError, match=r"opens .*view, and another one closes it"):
        demur.public(demur.require()(fresh_view()))
    with pytest.raises(ConfigError):
        demur.require()(demur.identified(fresh_view()))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: demur.require(""), "is not a permission"),
        (lambda: demur.require(groups=[""]), "list of names"),
        (lambda: demur.require(fresh="soon"), "is not a duration"),
        (lambda: demur.require(fresh=0), "is not a duration"),
        (lambda: demur.require(strength="very"), "no strength of a sign-in"),
        (lambda: demur.require(form="xml"), "no form|not a form"),
        (lambda: demur.require()(7), "cannot be marked"),
    ],
)
def test_what_cannot_be_meant(wrong, said):
    """Is an error where it is written, with its fix."""
    with pytest.raises(ConfigError, match=said) as error:
        wrong()
    assert error.value.fix


TABLE = rules.load(
    [{"path": "/**", "allow": "marked"}, {"path": "/old/**", "allow": "app"}], {"report:read": ["staff"]}, views=True
)


def test_permissions_are_resolved():
    """A mark gets the groups that hold its permission on this site."""
    (asked,) = resolve([demur.require("report:read")], TABLE)
    assert asked.terms.permission_groups == {"staff"}


def test_a_permission_that_nobody_holds():
    """Is an error with the nearest one that somebody does; unless the app is asked."""
    with pytest.raises(ConfigError, match="No group holds the permission 'report:raed'") as error:
        resolve([demur.require("report:raed")], TABLE)
    assert error.value.fix == "Did you mean 'report:read'?"
    assert resolve([demur.require("report:raed")], TABLE, asked=True)


@pytest.mark.parametrize("word", ["marked", "app"])
def test_the_words_are_for_apps(word):
    """Where nobody knows the views, a rule cannot leave it to them."""
    with pytest.raises(ConfigError, match="for an app in whose process demur is"):
        rules.load([{"path": "/**", "allow": word}])


def test_marks_are_of_use_as_keys():
    """The same words make the same mark."""
    assert demur.require("x", fresh=60) == demur.require("x", fresh="1m")
    assert len({demur.require("x"), demur.require("x")}) == 1
    assert marks.public.requirement.access is Access.OPEN


def test_what_is_copied_from_two_decorators_is_both() -> None:
    """As Django's `method_decorator` does it with a list: each marks a function of its own, and what they have set is
    copied, one over the other."""
    first, second = demur.require("report:read"), demur.require(groups=["staff"])

    def view() -> None: ...

    for mark in (first, second):

        @mark
        def dummy() -> None: ...

        view.__dict__.update(dummy.__dict__)
    assert set(marks_of(view)) == {first, second}
