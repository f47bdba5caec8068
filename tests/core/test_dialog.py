"""The sign-in page for a dialog as data: every reason in every language, and nothing unescaped."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.core.test_page import HOSTILE, Tree, view

from demur.core import dialog, markup, page, words
from demur.core.embedded import ELSEWHERE, Embedded
from demur.core.reasons import REASONS, Reason

LANGUAGES = pytest.mark.parametrize("lang", list(words.LANGUAGES))
FORMS = pytest.mark.parametrize("form", ["sign-in", "confirm", ELSEWHERE])


@LANGUAGES
@FORMS
def test_every_reason_has_a_page(lang: str, form: str) -> None:
    """Whatever a refusal's reason is, there is one heading and the form, in a document that names its language."""
    for reason in (None, *Reason):
        shown = view(reason, form=form, action="https://login.example/x", person="Alma", retry_after=90, idle=60)
        tree = Tree(page.DEFAULT.render(replace(shown, embedded=Embedded(lang))))
        assert tree.all("html", lang=lang)
        assert len(tree.all("h1")) == 1
        assert "data-embedded" in tree.all("body")[0]
        assert len(tree.all("input", name="password")) == (0 if form == ELSEWHERE else 1)
        assert not tree.all("header")
        assert not tree.all("footer")
        if lang != "en" and reason is not None:
            assert REASONS[reason].title not in tree.text
            assert REASONS[reason].detail not in tree.text


def test_done_has_no_form() -> None:
    """The page after signing in has a word for people, and what the script needs."""
    tree = Tree(page.DEFAULT.render(view(None, embedded=Embedded("en", popup=True, done=True))))
    (body,) = tree.all("body")
    assert body["data-says"] == "signed-in"
    assert "data-closes" in body
    assert not tree.all("form")
    assert "You are signed in You can close this window." in tree.text


@FORMS
@pytest.mark.parametrize("reason", [Reason.SIGN_IN_REQUIRED, Reason.CREDENTIALS_INVALID, Reason.UNAVAILABLE])
def test_hostile_text_stays_text(form: str, reason: Reason) -> None:
    """No text of a view becomes markup, and what was typed or sent is in no link but its own value."""
    texts = ("site", "title", "detail", "reference", "action", "next", "username", "message", "person", "help_url")
    hostile = view(reason, **dict.fromkeys(texts, HOSTILE), form=form, problem=json.dumps({"detail": HOSTILE}))
    document = page.DEFAULT.render(replace(hostile, embedded=Embedded("ar", HOSTILE, other=True)))
    assert Tree(document).raw["script"] == [json.dumps({"detail": HOSTILE}).replace("<", "\\u003c"), markup.SCRIPT]
    assert b"<script>alert" not in document


def test_what_is_typed_cannot_fill_a_slot() -> None:
    """A name that looks like one of our slots is a name."""
    for text in ("{person}", "{{next}}", "{time}", "{message}"):
        shown = view(Reason.SIGN_IN_REQUIRED, form="sign-in", person=text, username=text, embedded=Embedded(other=True))
        tree = Tree(page.DEFAULT.render(shown))
        assert f"Stay with {text}" in tree.text
        assert tree.all("input", name="username", value=text)


def test_a_view_of_another_page() -> None:
    """Only a view that is embedded has this page."""
    with pytest.raises(ValueError, match="embedded"):
        dialog.render(view())
