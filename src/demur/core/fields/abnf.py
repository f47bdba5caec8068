"""The pieces that many fields are made of (RFC 9110, 5.6), as source for regular expressions over bytes.

Every repetition of a character is possessive: what one has taken it never gives back. Groups are not (before Python
3.11.5 their last, failed turn counts); they begin with what the turn before could not take, so no input makes a
pattern try twice.
"""

import re

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
"""RFC 9110, 5.6.2."""

_TEXT = rb"[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]*+"
QUOTED = rb'"' + _TEXT + rb"(?:\\[\t \x21-\x7e\x80-\xff]" + _TEXT + rb')*"'
"""RFC 9110, 5.6.4."""

OWS = rb"[ \t]*+"
"""RFC 9110, 5.6.3."""

TOKEN68 = rb"[A-Za-z0-9\-._~+/]++=*+"
"""RFC 9110, 11.2."""

_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


def unquote(value: bytes) -> str:
    """The text of a token or of a quoted-string. Bytes beyond ASCII become the characters of the same number."""
    if value[:1] == b'"':
        value = _QUOTED_PAIR.sub(rb"\1", value[1:-1])
    return value.decode("latin-1")
