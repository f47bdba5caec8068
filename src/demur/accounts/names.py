"""Names of persons and groups, and the texts beside them.

- Two spellings that people take for one name are one name: RFC 8265, 3.3 (UsernameCaseMapped), which maps wide
  forms, lower-cases and composes. It is shown as it was written when the account was made.
- What remains is `[A-Za-z0-9._@-]`, up to 64 characters, because names and groups travel to the site behind in
  `Remote-User` and `Remote-Groups`, where nothing has to be escaped and nothing can be taken for something else.
- A name of dots only is refused: there are sites that keep a folder for each person.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from precis_i18n import get_profile

MAX_LENGTH: Final = 64
MAX_TEXT: Final = 200
MAX_EMAIL: Final = 254  # RFC 3696, erratum 1690

_ALLOWED = re.compile(r"[A-Za-z0-9._@-]")
_EMAIL = re.compile(r"[!-?A-~]+@[!-?A-~]+")
_MAPPED = get_profile("UsernameCaseMapped")
_PRESERVED = get_profile("UsernameCasePreserved")


class Rejected(Exception):  # noqa: N818 - the field's own words
    """People cannot be changed like this. The message says what is wrong and what to do; it may be shown."""


def key(name: str) -> str | None:
    """What two spellings of one name have in common; None where no account can have that name.

    Blanks around are left out: phones put one behind a completed word.
    """
    stripped = name.strip()
    # No mapping makes a text of allowed characters out of more than it has, and to put the marks of a long one in
    # order takes seconds.
    if len(stripped) > MAX_LENGTH:
        return None
    try:
        mapped = str(_MAPPED.enforce(stripped))
    except UnicodeError:
        return None
    return mapped if _fault(mapped) is None else None


def spelled(name: str) -> str:
    """The name as it is kept and shown. Raises `Rejected`."""
    stripped = name.strip()
    if not stripped:
        raise Rejected("A name must not be empty.")
    try:
        kept = str(_PRESERVED.enforce(stripped))
    except UnicodeError:
        kept = stripped
    if fault := _fault(kept):
        raise Rejected(f'"{shown(stripped)}" cannot be a name: {fault}')
    return kept


def group(name: str) -> str:
    """The name of a group, which is compared as it is. Raises `Rejected`."""
    if not name:
        raise Rejected("The name of a group must not be empty.")
    if fault := _fault(name):
        raise Rejected(f'"{shown(name)}" cannot be the name of a group: {fault}')
    return name


def display(text: str) -> str:
    """A name as people write it, of any characters that can be seen. Raises `Rejected`."""
    kept = " ".join(unicodedata.normalize("NFC", text).split())
    if len(kept) > MAX_TEXT:
        raise Rejected(f"A display name has at most {MAX_TEXT} characters.")
    if any(unicodedata.category(one) in {"Cc", "Cs", "Cn", "Co"} for one in kept):
        raise Rejected(f'"{shown(kept)}" has a character that cannot be shown; leave it out.')
    return kept


def email(text: str) -> str:
    """An e-mail address, or "" for none. It is passed on to the site and not used by us. Raises `Rejected`."""
    kept = text.strip()
    if kept and (len(kept) > MAX_EMAIL or not _EMAIL.fullmatch(kept)):
        raise Rejected(f'"{shown(kept)}" is no e-mail address: write it as somebody@example.com, without blanks.')
    return kept


def _fault(name: str) -> str | None:
    if len(name) > MAX_LENGTH:
        return f"it has {len(name)} characters, and at most {MAX_LENGTH} are possible."
    if wrong := next((one for one in name if not _ALLOWED.match(one)), None):
        return f"{_called(wrong)} is not possible. Use letters a to z, digits, and . _ @ -"
    if not name.strip("."):
        return "it consists of dots only, which some sites take for a folder."
    return None


def _called(character: str) -> str:
    if character == " ":
        return "a blank"
    if character.isprintable():
        return f'"{character}"'
    return f"the character U+{ord(character):04X}"


def shown(text: str) -> str:
    """The text, safe to print: a terminal obeys control characters."""
    short = text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in short)
