"""What a page handler is given, and what it gives back: the same on every surface."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from demur.core.model import Evidence, Live, Request, Response
    from demur.core.respond import Refusal
    from demur.core.site import Site


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody at one of demur's own pages.

    `live` is their session if it is alive, with their snapshot; `evidence` is what was found in any case.
    `body` is whole, at most 64 kB. `reference` names this visit in the log, and `refuse` is how a page says no: it
    notes the refusal there and puts it into words.
    """

    request: Request
    site: Site
    evidence: Evidence
    live: Live | None
    body: bytes
    now: int
    reference: str
    refuse: Callable[[Refusal], Response]


Handler: TypeAlias = Callable[[Visit], Awaitable["Response"]]
