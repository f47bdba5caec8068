"""What a path operation asks for, as a dependency: `Depends(require("report:read"))`.

- It is judged where the route has been found, before the body is read and before any dependency runs; here the view is
  only told who it is.
- Should it not have been judged there, it is judged here: an override or a detour opens nothing.
- It is a security scheme for OpenAPI, too; which one it is in an app is said by `described`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Unpack

from fastapi.openapi.models import APIKey
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI reads the types

from demur.adapters.starlette.routes import MARKS
from demur.core import marks
from demur.core.model import ConfigError

if TYPE_CHECKING:
    from demur.adapters.passed import Asked, Passed
    from demur.core.marks import Mark
    from demur.core.model import Session, Subject

SCHEME: Final = "demur"
"""What the scheme is called in an app's document, until it is known which one it is."""
_MOST_KNOWN = 1024


@dataclass(frozen=True, slots=True)
class Principal:
    """Who it is. `id` never changes, `name` is what people call the account. `authenticated_at` is the second at which
    they last showed who they are, 0 if that is not known, and `acr` says how (RFC 9470)."""

    id: str
    name: str
    groups: frozenset[str] = frozenset()
    display_name: str = ""
    email: str = ""
    authenticated_at: int = 0
    acr: str = ""


class _Dependency(SecurityBase):
    def __init__(self, mark: Mark) -> None:
        mark(self)
        self.mark = mark
        self.scheme_name = SCHEME
        self.model = APIKey.model_validate({"in": "cookie", "name": "__Host-demur"})


class Require(_Dependency):
    """Somebody who holds what is asked for."""

    def __init__(self, permission: str | None = None, **more: Unpack[Asked]) -> None:
        super().__init__(marks.require(permission, **more))
        self._permission, self._more = permission, more

    async def __call__(self, connection: HTTPConnection) -> Principal:
        """Who it is."""
        passed = _passed(connection)
        if self.mark not in connection.scope.get(MARKS, ()):
            await passed.arequire(self._permission, **self._more)
        found = principal(passed)
        assert found is not None  # noqa: S101 - a mark of `require` lets nobody in who is nobody
        return found


class Identified(_Dependency):
    """Whoever can be identified, and anybody else."""

    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        """Who it is, None for nobody in particular."""
        return principal(_passed(connection))


class Public:
    """Anybody."""

    def __init__(self) -> None:
        marks.public(self)

    async def __call__(self, connection: HTTPConnection) -> None:
        """Nobody is looked up."""
        _passed(connection)


_known: dict[int, tuple[Subject, Session, Principal]] = {}


def require(permission: str | None = None, **more: Unpack[Asked]) -> Require:
    """For `Depends`: somebody who is signed in, and who holds what is asked for. See `demur.require`."""
    return Require(permission, **more)


identified: Final = Identified(marks.identified)
"""For `Depends`: anybody; whoever can be identified is."""
public: Final = Public()
"""For `Depends`, of a whole router: anybody."""


def principal(passed: Passed) -> Principal | None:
    """Who was allowed; None for nobody in particular."""
    allow = passed.allow
    subject, session = allow.subject, allow.session
    if subject is None or session is None:
        return None
    if not passed.given:
        return _made(subject, session)
    # Of somebody who is known by heart subject and session are the same objects each time, until anything changes.
    kept = _known.get(id(session))
    if kept is None or kept[0] is not subject or kept[1] is not session:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        kept = _known[id(session)] = (subject, session, _made(subject, session))
    return kept[2]


def _made(subject: Subject, session: Session) -> Principal:
    return Principal(
        subject.id,
        subject.name,
        subject.groups,
        subject.display_name,
        subject.email,
        session.authenticated_at,
        session.acr,
    )


def _passed(connection: HTTPConnection) -> Passed:
    passed: Passed | None = connection.scope.get("demur")
    if passed is None:
        message = "A path operation asks for somebody, and nobody looks who it is."
        raise ConfigError(
            message, place="demur.adapters.fastapi", fix="Add the middleware: app.add_middleware(Demur, …)."
        )
    return passed
