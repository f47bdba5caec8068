"""What you need to test who may do what in your own app: somebody who is signed in, and refusals by their reasons.

    from demur.testing import assert_allowed, assert_refused, expired, signed_in

    def test_reports(client):
        assert_allowed(signed_in(client, "alice", groups=["staff"]).get("/reports"))
        assert_refused(signed_in(client, "bob").get("/reports"), "not-permitted")
        assert_refused(expired(client).get("/reports"), "session-expired")

- With demur's sessions a real one is issued, in the app's own store. With a bridge it is the bridge that is answered
  for: what the app's own login says of the same request stays as it is.
- A client carries a field with 256 random bits, which mean something in this process only, and only after it was asked
  for here. Nobody can get in by it from anywhere else, and without a call from here nothing is different at all.
- No cookie jar is involved, so it does not matter that a client talks http and drops `Secure` cookies, or to which host
  it thinks that it talks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from demur.testing.answers import Answer, assert_allowed, assert_refused
from demur.testing.personas import COOKIE, DAY, Persona, carried, forget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "REFUSALS",
    "Answer",
    "Persona",
    "anonymous",
    "assert_allowed",
    "assert_refused",
    "be",
    "carried",
    "ended",
    "expired",
    "forget",
    "idle",
    "invalid",
    "revoked",
    "signed_in",
    "stale",
]

C = TypeVar("C")


def signed_in(
    client: C,
    name: str = "alice",
    *,
    groups: Iterable[str] = (),
    permissions: Iterable[str] = (),
    id: object = "",  # noqa: A002 - the word for it
    ago: int = 0,
    strength: str = "pwd",
    display_name: str = "",
    email: str = "",
) -> C:
    """Have a test client be somebody who is signed in, and who showed who they are `ago` seconds ago. The client is
    given back; whoever it was before, it is not any more."""
    key = "" if id is None else str(id)
    who = Persona(name, _names(groups), _names(permissions), key, ago, strength, display_name, email)
    return be(client, who)


def _names(given: Iterable[str]) -> frozenset[str]:
    """One name is a list of one, and not of its letters."""
    return frozenset((given,) if isinstance(given, str) else given)


def stale(client: C, name: str = "alice", *, groups: Iterable[str] = (), ago: int = DAY) -> C:
    """Somebody who is signed in, but showed who they are long ago (a day): not fresh."""
    return be(client, Persona(name, _names(groups), ago=ago))


def anonymous(client: C) -> C:
    """Nobody: no credentials are sent."""
    return be(client, Persona(how="nobody"))


def invalid(client: C) -> C:
    """Credentials that never were valid."""
    return be(client, Persona(how="unknown"))


def idle(client: C, name: str = "alice", *, groups: Iterable[str] = ()) -> C:
    """Somebody whose session has ended because they did nothing for too long."""
    return be(client, Persona(name, _names(groups), how="idle"))


def expired(client: C, name: str = "alice", *, groups: Iterable[str] = ()) -> C:
    """Somebody whose session has reached its end."""
    return be(client, Persona(name, _names(groups), how="expired"))


def ended(client: C, name: str = "alice", *, groups: Iterable[str] = ()) -> C:
    """Somebody who has signed out elsewhere."""
    return be(client, Persona(name, _names(groups), how="ended"))


def revoked(client: C, name: str = "alice", *, groups: Iterable[str] = ()) -> C:
    """Somebody whose session an administrator has ended."""
    return be(client, Persona(name, _names(groups), how="revoked"))


REFUSALS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "sign-in-required": anonymous,
    "credentials-invalid": invalid,
    "session-idle": idle,
    "session-expired": expired,
    "session-ended": ended,
    "session-revoked": revoked,
}
"""Every reason for which somebody may have to sign in, and how a client comes to be refused for it."""


def be(client: C, who: Persona) -> C:
    """Have a test client be this persona. Raises TypeError for a client that is not known here: give it the field that
    `carried` makes."""
    name, key = carried(who)
    for carry in (_in_environ, _in_fields, _in_cookies, _in_jar):
        if carry(client, name, key):
            return client
    forget(key)
    message = f"{type(client).__name__} is no test client known here: have it send the field of demur.testing.carried()"
    raise TypeError(message)


def _in_environ(client: object, name: str, key: str) -> bool:
    """Flask's client."""
    environ = getattr(client, "environ_base", None)
    if not isinstance(environ, dict):
        return False
    environ[f"HTTP_{name.upper().replace('-', '_')}"] = key
    return True


def _in_fields(client: object, name: str, key: str) -> bool:
    """httpx and what is made of it (Starlette, FastAPI, Litestar), and requests."""
    headers = getattr(client, "headers", None)
    if not hasattr(type(headers), "__setitem__"):
        return False
    headers[name] = key  # type: ignore[index]
    return True


def _in_cookies(client: object, _: str, key: str) -> bool:
    """Django's two clients, which send every cookie that they have."""
    cookies = getattr(client, "cookies", None)
    if not hasattr(type(cookies), "__setitem__"):
        return False
    cookies[COOKIE] = key  # type: ignore[index]
    return True


def _in_jar(client: Any, _: str, key: str) -> bool:  # noqa: ANN401 - whatever a test has
    """Quart's client, which keeps cookies by host."""
    if not hasattr(client, "set_cookie") or not hasattr(client, "app"):
        return False
    host = (client.app.config.get("SERVER_NAME") or "localhost").partition(":")[0]
    client.set_cookie(host, COOKIE, key)
    return True
