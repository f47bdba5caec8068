"""httplint, asked about one answer together with the request that it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httplint import HttpRequestLinter, HttpResponseLinter, levels
from tests.judges.exceptions import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.judges.answers import Seen


def lint(seen: Seen) -> Iterator[Finding]:
    """What is bad, and what it warns of. It sees the request too, so that it knows of HEAD and of preflights."""
    asked = HttpRequestLinter(no_content=True)
    asked.process_request_topline(seen.method.encode(), seen.target.encode(), b"1.1")
    asked.process_headers(seen.request)
    asked.finish_content(complete=True)
    linter = HttpResponseLinter(start_time=seen.at, _related=asked)
    linter.is_head_response = seen.method == "HEAD"
    version, status, *phrase = seen.start.split(b" ", 2)
    linter.process_response_topline(version.removeprefix(b"HTTP/"), status, b"".join(phrase))
    linter.process_headers(seen.fields)
    if seen.body:
        linter.feed_content(seen.body)
    linter.finish_content(complete=True)
    for note in linter.notes:
        for said in (note, *note.subnotes):
            if said.level in {levels.BAD, levels.WARN}:
                yield Finding(seen.name, f"{said.level.name} {type(said).__name__}: {said.summary}")
