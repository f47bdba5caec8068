"""HTTP's field grammar: what comes in is read strictly or refused, what goes out is well-formed.

Kept by every function here:
- bytes of the wire come in; nothing is guessed, and nothing but `ValueError` is raised about them;
- the cost is linear in the length of the input, whatever the input.
"""

from demur.core.fields.browser import cross_site, from_own_page, in_frame, is_navigation, prefers_html, same_origin
from demur.core.fields.cookies import (
    cookie_values,
    expired_cookie,
    set_cookie,
    set_cookie_name,
    sets_cookie,
    without_cookies,
)
from demur.core.fields.credentials import Challenge, Credentials, credentials, parse_challenges
from demur.core.fields.forwarded import Facts, Hop, Network, Node, client, forwarded
from demur.core.fields.plain import (
    Item,
    accepts_gzip,
    imf_fixdate,
    item,
    list_add,
    none_match,
    quotable,
    retry_after,
    session_timing,
    timing_of,
)
from demur.core.fields.target import (
    LONGEST_TARGET,
    host,
    origin,
    plain_path,
    plain_query,
    plain_target,
)

__all__ = [
    "LONGEST_TARGET",
    "Challenge",
    "Credentials",
    "Facts",
    "Hop",
    "Item",
    "Network",
    "Node",
    "accepts_gzip",
    "client",
    "cookie_values",
    "credentials",
    "cross_site",
    "expired_cookie",
    "forwarded",
    "from_own_page",
    "host",
    "imf_fixdate",
    "in_frame",
    "is_navigation",
    "item",
    "list_add",
    "none_match",
    "origin",
    "parse_challenges",
    "plain_path",
    "plain_query",
    "plain_target",
    "prefers_html",
    "quotable",
    "retry_after",
    "same_origin",
    "session_timing",
    "set_cookie",
    "set_cookie_name",
    "sets_cookie",
    "timing_of",
    "without_cookies",
]
