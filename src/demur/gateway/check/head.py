"""The head of an answer, in the bytes in which the public listener writes one, too."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demur.core.model import Fields, Response


@lru_cache(maxsize=64)
def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode("ascii"))


def lines(status: int, fields: Fields) -> bytes:
    """The first line and those of the fields."""
    return _status_line(status) + more(fields)


def more(fields: Fields) -> bytes:
    """The lines of further fields."""
    return b"".join([b"%b: %b\r\n" % line for line in fields])


class _Dates:
    """The end of a head, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def end(self, second: int) -> bytes:
        """The date, without which no answer leaves (RFC 9110, 6.6.1), and the empty line."""
        if second != self._second:
            self._second, self._text = second, b"date: %b\r\n\r\n" % formatdate(second, usegmt=True).encode("ascii")
        return self._text


end = _Dates().end


def begun(response: Response) -> bytes:
    """The first line of an answer and its fields, with its length."""
    said = lines(response.status, response.fields)
    if response.status != HTTPStatus.NO_CONTENT and all(name != b"content-length" for name, _ in response.fields):
        said += b"content-length: %d\r\n" % len(response.body)
    return said


def whole(response: Response, *, close: bool, bodiless: bool) -> bytes:
    """A whole answer. `close` says that it is the last one, `bodiless` that it is to a HEAD request."""
    said = begun(response)
    if close:
        said += b"connection: close\r\n"
    return said + end(int(time.time())) + (b"" if bodiless else response.body)
