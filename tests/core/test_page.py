"""Pages as data: what they say, what they escape, and what their policy allows."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from demur.core import markup, page, words
from demur.core.ports import View
from demur.core.reasons import REASONS, Reason

HOSTILE = "</script><script>alert(1)</script>\"'&"


def view(reason: Reason | None = Reason.SIGN_IN_REQUIRED, **more: object) -> View:
    row = REASONS[reason] if reason else None
    known: dict[str, object] = {
        "reason": reason,
        "status": row.status if row else 200,
        "site": "Harbour",
        "title": row.title if row else "Sign in",
        "detail": row.detail if row else "",
    }
    return View(**{**known, **more})  # type: ignore[arg-type]


class Tree(HTMLParser):
    """The elements with their attributes, and the text outside of scripts and styles."""

    def __init__(self, document: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self._inside = ""
        self.feed(document.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in self.raw else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.raw[self._inside].append(data)
        elif data.strip():
            self.texts.append(" ".join(data.split()))

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key.replace("_", "-")) == value for key, value in attributes.items())
        ]

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def show(shown: View) -> Tree:
    return Tree(page.DEFAULT.render(shown))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_page(reason: Reason) -> None:
    """Each reason makes one document with a language, a title and one heading that says it."""
    tree = show(view(reason, reference="0192-ref"))
    assert tree.all("html", lang="en")
    assert len(tree.all("h1")) == 1
    assert "Harbour" in "".join(tree.raw["title"])
    assert "0192-ref" in tree.text
    assert f"{REASONS[reason].status} {reason.value}" in tree.text


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (view(Reason.SESSION_IDLE, idle=1800), "You were signed out after 30 minutes without activity."),
        (view(Reason.SESSION_IDLE, idle=1800, ended_at=0), "without activity, on 1 January 1970, 00:00 UTC ."),
        (view(Reason.SESSION_IDLE), REASONS[Reason.SESSION_IDLE].detail),
        (view(Reason.SESSION_EXPIRED, ended_at=0), "1 January 1970, 00:00 UTC"),
        (view(Reason.SESSION_ENDED, ended_at=1795356300), "22 November 2026, 14:05 UTC"),
        (view(Reason.SESSION_REVOKED), "An administrator or a security measure"),
        (view(Reason.CREDENTIALS_INVALID, form="sign-in"), "Please sign in again"),
        (view(Reason.CREDENTIALS_INVALID, form="sign-in", message="Not right."), "Sign in to continue"),
        (view(form="sign-in", idle=3600), "You will be signed out after 1 hour without activity."),
        (view(Reason.NOT_PERMITTED, missing=("group",)), "What is needed Membership of a group that this account is"),
        (view(Reason.NOT_PERMITTED, missing=("group", "permission")), "A permission that this account does not have"),
        (view(Reason.NOT_PERMITTED, missing=("a signed form",)), "What is needed a signed form"),
        (view(Reason.NOT_PERMITTED, detail="Only in March."), "Only in March."),
        (view(Reason.TOO_MANY_ATTEMPTS, retry_after=45), "Please wait 45 seconds before you try again."),
        (view(Reason.UNAVAILABLE, retry_after=5), "You are still signed in."),
        (view(Reason.UNAVAILABLE, retry_after=5), "Try again in 5 seconds"),
        (view(Reason.CROSS_SITE_REFUSED), "Nothing was changed."),
        (view(Reason.HOST_UNKNOWN, origins=("http://localhost:8000",)), "Open http://localhost:8000"),
        (view(Reason.NOT_FOUND), "Go to the start page"),
    ],
)
def test_it_says_which_it_was(shown: View, said: str) -> None:
    """The reason is told in plain words, as exactly as the view knows it."""
    assert said in show(shown).text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (view(Reason.NOT_PERMITTED), ["/"]),
        (view(Reason.NOT_PERMITTED, help_url="/why"), ["/", "/why"]),
        (view(Reason.UNAVAILABLE, next="/a?b"), ["/a?b", "/"]),
        (view(Reason.UNAVAILABLE, next="/"), ["/"]),
        (view(Reason.UPSTREAM_TIMEOUT, next="//elsewhere.example/"), ["/"]),
        (view(Reason.UPSTREAM_TIMEOUT, next="/\\elsewhere.example/"), ["/"]),
        (view(Reason.UPSTREAM_TIMEOUT, next="javascript:alert(1)"), ["/"]),
        (view(Reason.CROSS_SITE_REFUSED, next="/form"), ["/form", "/"]),
        (view(Reason.HOST_UNKNOWN, origins=("https://a.example", "https://b.example")), ["https://a.example", "https://b.example"]),
        (view(Reason.HOST_UNKNOWN), []),
        (view(form="sign-in", action="/s"), []),
        (view(Reason.STEP_UP_REQUIRED, form="confirm", action="/s"), []),
    ],
)  # fmt: skip
def test_where_it_leads(shown: View, expected: list[str]) -> None:
    """Each page leads somewhere, and only where it should."""
    assert [link.get("href") for link in show(shown).all("a")] == expected


def test_the_sign_in_form() -> None:
    """A form that browsers and password managers understand, with what was typed and asked for kept."""
    tree = show(view(form="sign-in", action="/.demur/sign-in", next="/a?b=1&c=2", username="alma"))
    assert tree.all("form", method="post", action="/.demur/sign-in")
    assert tree.all("input", name="next", type="hidden", value="/a?b=1&c=2")
    (name,) = tree.all("input", name="username", autocomplete="username", value="alma")
    (password,) = tree.all("input", name="password", type="password", autocomplete="current-password")
    assert "value" not in password
    for field in (name, password, *tree.all("input", type="checkbox")):
        assert tree.all("label", **{"for": field["id"] or ""})
    assert not any(key.startswith("on") for _, attributes in tree.elements for key in attributes)


def test_the_confirm_form() -> None:
    """Confirming asks for the password only, and shows whose."""
    tree = show(view(Reason.STEP_UP_REQUIRED, form="confirm", username="alma", person="Alma Reyes"))
    assert "Signed in as Alma Reyes" in tree.text
    (name,) = tree.all("input", name="username", value="alma", autocomplete="username")
    assert "hidden" in name
    assert not tree.all("input", type="checkbox")


@pytest.mark.parametrize("form", [None, "confirm"])
def test_another_account(form: str | None) -> None:
    """Leaving an account is a form, never a link, and leads back to what was asked for."""
    reason = Reason.STEP_UP_REQUIRED if form else Reason.NOT_PERMITTED
    shown = view(reason, form=form, person="Alma", switch="/.demur/sign-out", next="/admin/?a")
    tree = show(shown)
    assert tree.all("form", method="post", action="/.demur/sign-out")
    assert tree.all("input", name="next", type="hidden", value="/admin/?a")
    assert "Use another account" in tree.text
    assert "Use another account" not in show(view(reason, form=form)).text


def test_a_failed_try_is_announced() -> None:
    """What went wrong is an alert, is in the title, and is tied to the fields."""
    tree = show(view(Reason.CREDENTIALS_INVALID, form="sign-in", message="The name or the password is not right."))
    (alert,) = tree.all("p", role="alert")
    fields = tree.all("input", aria_invalid="true", aria_describedby=alert["id"] or "")
    assert [field["name"] for field in fields] == ["username", "password"]
    assert "".join(tree.raw["title"]).startswith("Not signed in: The name or the password is not right.")


def test_a_frame_gets_a_link_and_no_form() -> None:
    """In a frame there is nothing to type into and nothing about anybody, only a link that opens on top."""
    tree = show(view(form="sign-in", framed=True, next="/deep", person="Alma"))
    assert not tree.all("form")
    assert tree.all("a", href="/deep", target="_top")
    assert "Alma" not in tree.text
    assert "frame-ancestors 'none'" in markup.POLICY


@pytest.mark.parametrize(
    "shown",
    [
        *(view(reason, form=form) for reason in Reason for form in (None, "sign-in", "confirm")),
        view(None, form="sign-in"),
        view(framed=True),
    ],
)
def test_hostile_text_stays_text(shown: View) -> None:
    """No text of a view becomes markup, wherever it stands."""
    texts = ("site", "title", "detail", "reference", "action", "next", "username", "message", "person")
    more = ("switch", "home", "help_url", "prefix")
    known = dict.fromkeys((*texts, *more), HOSTILE)
    hostile = View(
        **{  # type: ignore[arg-type]
            **known,
            "reason": shown.reason,
            "status": shown.status,
            "form": shown.form,
            "framed": shown.framed,
            "missing": (HOSTILE, HOSTILE),
            "origins": (HOSTILE,),
            "problem": json.dumps({"detail": HOSTILE}),
        }
    )
    for document in (page.DEFAULT.render(hostile), page.signed_out(hostile)):
        tree = Tree(document)
        assert tree.raw["script"] == [json.dumps({"detail": HOSTILE}).replace("<", "\\u003c"), markup.SCRIPT]
        assert b"<script>alert" not in document


def test_the_problem_is_embedded_as_it_is() -> None:
    """The problem in the page is the same JSON, with every `<` written as an escape."""
    problem = {"reason": "not-permitted", "detail": "a <b> & </script> <!-- x"}
    document = page.DEFAULT.render(view(Reason.NOT_PERMITTED, problem=json.dumps(problem)))
    found = re.findall(rb'<script type="application/problem\+json">(.*?)</script>', document)
    assert [json.loads(text) for text in found] == [problem]
    assert b"problem+json" not in page.DEFAULT.render(view(Reason.NOT_PERMITTED))


def test_the_policy_names_what_is_inline() -> None:
    """The policy's hashes are those of the one style sheet and the one script, and nothing else may load."""
    tree = show(view(form="sign-in"))
    policy = dict(part.strip().split(" ", 1) for part in page.DEFAULT.policy.split(";"))
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        digest = hashlib.sha256("".join(tree.raw[tag]).encode()).digest()
        assert policy[directive] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert policy["default-src"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert not any("style" in attributes for _, attributes in tree.elements)
    assert not tree.all("script", src="")
    assert all((link["href"] or "").startswith("data:") for link in tree.all("link"))


def test_signed_out() -> None:
    """The page after signing out loads the one sheet that clears the browser's cache, and its policy lets it."""
    tree = Tree(page.signed_out(view(None, title="", detail="", prefix="/.demur")))
    assert tree.all("link", rel="stylesheet", href="/.demur/cleared.css")
    assert "You are signed out" in tree.text
    assert "style-src 'self' 'sha256-" in page.SIGNED_OUT_POLICY
    assert [link["href"] for link in tree.all("a")] == ["/.demur/sign-in", "/"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1 second"),
        (1, "1 second"),
        (45, "45 seconds"),
        (60, "1 minute"),
        (61, "61 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (121, "3 minutes"),
        (1800, "30 minutes"),
        (3600, "1 hour"),
        (5400, "1 hour 30 minutes"),
        (86400, "24 hours"),
        (172800, "2 days"),
        (172801, "3 days"),
    ],
)
def test_durations(seconds: int, said: str) -> None:
    """A duration in words is never shorter than the real one."""
    assert words.duration(seconds) == said


def test_a_missing_value_is_an_error() -> None:
    """A template that is filled without one of its slots does not make a page with a hole."""
    with pytest.raises(KeyError):
        markup.Template("<p>{{a}}{{b}}</p>").fill(a="x")


def test_the_shell_keeps_markup_and_escapes_text() -> None:
    """`shell` takes markup as its body and plain text as title and site."""
    document = markup.shell("A & B", "<p>body</p>", site="<S>")
    assert b"<title>A &amp; B &middot; &lt;S&gt;</title>" in document
    assert b"<p>body</p>" in document


def test_the_login_of_an_app() -> None:
    """Where the app signs people in, a link leads there; the reference stands below, as beside a form."""
    view = View(
        reason=Reason.SIGN_IN_REQUIRED,
        status=401,
        site="Club",
        title="Sign in to continue",
        detail="",
        reference="ae4b58df-7b07-4823-90ec-c18de2c641cc",
        login="/login?next=/a%3Fb&c",
    )
    shown = page.render(view).decode()
    assert 'href="/login?next=/a%3Fb&amp;c"' in shown
    assert "<form" not in shown
    assert "Reference, to quote" not in shown
    assert "ae4b58df-7b07-4823-90ec-c18de2c641cc" in shown.partition("<footer")[2]
