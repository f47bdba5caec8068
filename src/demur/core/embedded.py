"""What the sign-in page for a dialog was asked for: `<prefix>/sign-in?embed`, which the site's own pages may frame.

The query is anybody's, so a name is short and printable, a language is one of ours, and all else counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

from demur.core import words

if TYPE_CHECKING:
    from demur.core.model import Request
    from demur.core.site import Site

ELSEWHERE = "elsewhere"
"""The `form` of a view whose people sign in at another origin: a link to it."""
NOT_KEPT = "not_kept"
"""The `message` of a view to somebody who has signed in and whose browser came back without our cookie."""
LONGEST_NAME = 256
"""Characters of a name that is filled in."""
_MOST = 32


@dataclass(frozen=True, slots=True)
class Embedded:
    """The page inside a dialog, in the language `lang`, with `username` filled in.

    `popup` is the same page in a window of its own. `done` is the page after signing in. `other` asks for the whole
    form where somebody is signed in already.
    """

    lang: str = words.ENGLISH
    username: str = ""
    popup: bool = False
    done: bool = False
    other: bool = False

    def address(self, prefix: str) -> str:
        """Where this page is."""
        marks = ["embed", *(name for name in ("popup", "done", "other") if getattr(self, name))]
        values = [("lang", self.lang if self.lang != words.ENGLISH else ""), ("username", self.username)]
        return f"{prefix}/sign-in?" + "&".join(
            [*marks, *(f"{name}={quote(value, safe='')}" for name, value in values if value)]
        )


def asked(site: Site, request: Request) -> Embedded | None:
    """What a request to a sign-in page asks for, if it is for the one in a dialog."""
    path, _, query = request.target.partition(b"?")
    if path != f"{site.prefix}/sign-in".encode("ascii"):
        return None
    said = parameters(query)
    if "embed" not in said:
        return None
    return Embedded(
        lang=words.language(said.get("lang", "")),
        username=_name(said.get("username", "")),
        popup="popup" in said,
        done="done" in said,
        other="other" in said,
    )


def parameters(query: bytes) -> dict[str, str]:
    """The parameters of a query, of several with one name the first; none at all if there are too many."""
    try:
        pairs = parse_qs(query.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=_MOST)
    except ValueError:
        return {}
    return {name: values[0] for name, values in pairs.items()}


def _name(text: str) -> str:
    return text if len(text) <= LONGEST_NAME and text.isprintable() else ""
