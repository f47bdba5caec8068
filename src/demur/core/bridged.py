"""Who somebody is, as the app's own login says it: what a bridge gives back.

An app that keeps its login tells demur four things apart: nobody sent anything (`nobody`), what was sent is not valid
(`unknown`), it was valid once (`ended`), it is (`person`). What it cannot tell apart it says as `unknown`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from demur.core.model import Absent, ConfigError, Ended, Ending, Live, Session, Subject, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

nobody = Absent()
"""No credentials were sent."""
unknown = Unknown()
"""Something was sent that is not valid, or not any more, and nobody can say which."""


def person(
    id: object,  # noqa: A002 - the word for it
    name: str = "",
    groups: Iterable[str] = (),
    *,
    display_name: str = "",
    email: str = "",
    authenticated_at: float = 0,
    expires_at: float = 0,
    acr: str = "pwd",
    suspended: bool = False,
) -> Live:
    """Somebody who is signed in.

    `id` never changes and is never given to somebody else; `name` is what people call the account, the id if there is
    none. `authenticated_at` is the second at which they last showed who they are, 0 if the app does not know: then
    nothing is fresh. `expires_at` is the second at which it is over in any case, 0 if the app does not say. `acr` says
    how strongly they showed it (RFC 9470). `suspended` people are known and refused.
    """
    text = str(id)
    if not text or id is None:
        message = "Somebody who is signed in has an id."
        raise ConfigError(message, place="a bridge", fix="Return demur.nobody, or demur.unknown, for nobody.")
    key, since, until = hashlib.sha256(b"demur app\n" + text.encode()).digest(), int(authenticated_at), int(expires_at)
    session = Session(key, text, since, since, since, until, 0, acr=acr, kind="app")
    subject = Subject(text, name or text, frozenset(groups), (), suspended, 1, display_name, email)
    return Live(session, subject)


def ended(how: str, at: float) -> Ended:
    """A sign-in that was, and how it ended: "idle", "expired", "ended" (signed out), "revoked"; `at` in seconds since
    the epoch. To be said only to whoever brings what was valid once."""
    try:
        return Ended(Ending(how), int(at))
    except ValueError:
        known = ", ".join(f'"{each}"' for each in Ending)
        message = f"{how!r} is not how a sign-in ends."
        raise ConfigError(message, place="a bridge", fix=f"Known are {known}.") from None
