"""What a request says where it comes as CGI has it (RFC 3875): WSGI, and Django's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demur.adapters.short.no import Noes

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAID = (
    *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "wsgi.url_scheme"),
    *("CONTENT_TYPE", "CONTENT_LENGTH", "wsgi.input_terminated"),
    *("demur.method", "demur.path"),  # as a framework has them, if others may have changed them there
)


class CgiNoes(Noes):
    """`Noes` of environs."""

    def told(self, cookie: str) -> tuple[bytes | None, str]:
        """Whose session a cookie names, and what is left of it for the app: see `whose`. Raises UnicodeEncodeError."""
        sent = cookie.encode("latin-1")
        # A browser asks for many things with one cookie, and to hash its token takes as long as all else in `enter`.
        key, left = self._told.get(sent) or self._told_by(sent)
        return key, left.decode("latin-1")

    def said(self, came: Mapping[str, Any]) -> tuple[object, ...]:
        """All that a request says."""
        return (*map(came.get, _SAID), *[line for line in came.items() if line[0].startswith("HTTP_")])
