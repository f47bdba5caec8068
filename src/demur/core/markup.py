"""The one document shell that every page is, and templates with slots that escape.

- A slot's value is escaped unless it is `Html`, which only the core's pages and autoescaping templates make.
- Templates are read once; filling one joins strings and touches nothing else.
- One style sheet and one script, both inline and named by their hash, so that the policy allows nothing else.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from html import escape
from importlib.resources import files

from demur.core import words


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


NOTHING = Html("")


def read(name: str) -> str:
    """A file of the templates."""
    return files("demur.core").joinpath("templates", name).read_text(encoding="utf-8")


def worded(name: str, lang: str) -> Template:
    """A template with the words of a language in the slots that are called after them."""
    said = words.of(lang)
    return Template(re.sub(r"\{\{(\w+)\}\}", lambda slot: escape(said.get(slot[1], slot[0])), read(name)))


def _squeeze(source: str, comment: str) -> str:
    """Drop comments and indentation: what is left is sent with every refusal."""
    lines = (line.strip() for line in re.sub(comment, "", source).splitlines())
    return "\n".join(line for line in lines if line)


def _hash(text: str) -> str:
    return "'sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


STYLE = _squeeze(read("style.css"), r"/\*[^*]*\*/")
SCRIPT = _squeeze(read("script.js"), r"(?m)^\s*//.*$| ?/\*[^*]*\*/")

POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""For every page."""

_SHELL = Template(read("shell.html").replace("{{style}}", STYLE).replace("{{script}}", SCRIPT))
_TOP = Template(read("top.html"))
_PROBLEM = Template('<script type="application/problem+json">{{json}}</script>\n')
_LANGUAGE = {"ltr": Template('lang="{{lang}}"'), "rtl": Template('lang="{{lang}}" dir="rtl"')}


def embed(problem: str) -> Html:
    """A problem document inside the page. JSON may write every `<` as an escape, and then no text in it can
    close the element (HTML, 4.12.1.3)."""
    return _PROBLEM.fill(json=Html(problem.replace("<", "\\u003c"))) if problem else NOTHING


def shell(
    title: str,
    main: str,
    *,
    site: str,
    layout: str = "wide",
    tone: str = "yes",
    nav: str = NOTHING,
    head: str = NOTHING,
    foot: str = NOTHING,
    problem: str = "",
    lang: str = words.ENGLISH,
    bare: bool = False,
    marks: str = NOTHING,
) -> bytes:
    """The one document that every page is. `title` and `site` are text, `main`, `nav`, `head` and `foot` markup, and
    `marks` attributes that the script looks for. A `bare` one goes without the site's name on top."""
    return _SHELL.fill(
        title=title,
        main=Html(main),
        site=site,
        layout=layout,
        tone=tone,
        top=NOTHING if bare else _TOP.fill(site=site, nav=Html(nav)),
        head=Html(head),
        foot=Html(foot),
        problem=embed(problem),
        language=_LANGUAGE[words.of(lang)["direction"]].fill(lang=lang),
        marks=Html(marks),
    ).encode()
