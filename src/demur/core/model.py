"""What is passed along the one straight line: plain frozen data.

surface -> rules.plan -> source.load -> decide -> store.apply -> respond -> surface

Times are whole seconds since the epoch (UTC). Durations are whole seconds. Texts are `str`, what came
over the wire is `bytes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.reasons import Reason

Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""HTTP fields in the order of the wire; the names in lower case."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it will be passed on. The body is not here: nothing is decided by it.

    `target` is path and query, byte for byte as the upstream will read them. `host` is the authority that
    the browser asked for, in lower case, with its port if it sent one; "" when there was none or not exactly
    one. `peer` is the address of the client, behind trusted proxies the one that they vouch for; "" if unknown.
    """

    method: str
    target: bytes
    scheme: str
    host: str
    peer: str
    fields: Fields

    @property
    def path(self) -> bytes:
        """The target up to its query."""
        return self.target.partition(b"?")[0]

    def values(self, name: bytes) -> list[bytes]:
        """Every value of the field `name` (lower case), one for each field line."""
        return [value for key, value in self.fields if key == name]

    def value(self, name: bytes) -> bytes | None:
        """The value of a field that may come once; None where it is missing, the first where it is repeated."""
        for key, value in self.fields:
            if key == name:
                return value
        return None

    @property
    def is_websocket(self) -> bool:
        """Whether this is an opening handshake (RFC 6455, 4.1)."""
        return self.method == "GET" and (self.value(b"upgrade") or b"").strip().lower() == b"websocket"


# --- what a rule asks for -------------------------------------------------------------------------


class Access(StrEnum):
    """Whether somebody has to be signed in."""

    OPEN = "open"
    OPTIONAL = "optional"  # whoever can be identified is, and nobody is refused
    REQUIRED = "required"
    MARKED = "marked"  # the mark beside the view says; a view without one is closed
    APP = "app"  # the app's own checks decide, and the mark beside the view, if there is one


class Scheme(StrEnum):
    """By which way credentials come: our cookie, or a scheme of `Authorization` (RFC 6750, RFC 7617)."""

    COOKIE = "cookie"
    BEARER = "bearer"
    BASIC = "basic"


class Form(StrEnum):
    """Whom a refusal is written for."""

    PAGE = "page"
    API = "api"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a subject must hold beyond being signed in. Empty terms are met by everybody.

    `groups` means any of them, `all_groups` every one. `permission` is held through one of
    `permission_groups` (the site's `[permissions]` table, resolved at load) or through a grant. `nobody` is met
    by no one: what no rule opens is closed. `permits` is asked in place of the table: an app's own function, with the
    permission and the captures filled in.
    """

    groups: frozenset[str] = frozenset()
    all_groups: frozenset[str] = frozenset()
    permission: str | None = None
    permission_groups: frozenset[str] = frozenset()
    nobody: bool = False
    permits: Callable[[Subject], bool] | None = None


@dataclass(frozen=True, slots=True)
class Conceal:
    """A refusal here looks like a page that is not there.

    `depth` is how many path segments stand before the one that is replaced when the site is asked for an unused
    sibling. `here` are the rule's own segments up to that one, for a path of which it cannot be said which segment that
    is. `around` is what is asked for at every sibling, None if that depends on what follows.
    """

    depth: int
    here: tuple[str, ...] = ()
    around: Requirement | None = None


@dataclass(frozen=True, slots=True)
class Requirement:
    """What the rule that matched asks for. `rule` names it for logs and explanations, never for the refused.

    `accepts` are the schemes of `Authorization` that are judged here, beside our cookie. `challenge_basic` lets
    the challenge for Basic be sent to somebody who sent no credentials and is no browser. `origins` are other origins
    whose pages may send what changes something. A page `beside` something concealed takes as long as that, so the same
    is done for it; among other things it is looked up who asks, even if it is open.
    """

    access: Access
    rule: str
    terms: Terms = Terms()
    max_age: int | None = None
    acr: tuple[str, ...] = ()
    conceal: Conceal | None = None
    requestable: bool = False
    form: Form | None = None
    keeps_alive: bool = True
    accepts: frozenset[Scheme] = frozenset()
    challenge_basic: bool = False
    origins: frozenset[str] = frozenset()
    beside: Conceal | None = None


# --- credentials and what they turn out to be -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lookup:
    """What to ask a source for: for a cookie and a token its SHA-256, for Basic the decoded `name:password`."""

    kind: Scheme
    key: bytes = field(repr=False)


class Actor(StrEnum):
    """The class of whoever ended a session. Who it was belongs to the audit log."""

    SELF = "self"
    ADMINISTRATOR = "administrator"
    SYSTEM = "system"


class Ending(StrEnum):
    """How a session came to its end."""

    IDLE = "idle"
    EXPIRED = "expired"
    ENDED = "ended"
    REVOKED = "revoked"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Subject:
    """The snapshot of a person that is kept beside the sessions.

    `id` is a UUIDv7 and never reused. `grants` are permissions with the second at which each ends.
    `version` rises with every change of the person; a store never replaces a snapshot by an older one.
    """

    id: str
    name: str
    groups: frozenset[str] = frozenset()
    grants: tuple[tuple[str, int], ...] = ()
    suspended: bool = False
    version: int = 1
    display_name: str = ""
    email: str = ""


Kind: TypeAlias = Literal["session", "token", "app"]
"""What a session is: a sign-in, an API token, or a sign-in that the app behind us keeps, of which no store knows."""


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in and what has become of it. `id` is the SHA-256 of the token, never the token.

    `idle` is the inactivity limit in seconds (0: none), `expires_at` the absolute one. `last_seen` lags behind
    the truth by at most a tenth of `idle`. `device` and `network` are for the person's own list of sessions.

    An API token is a session of kind `token`: without `idle`, with a `label` for its list, and with `scopes`, the
    permissions that it is good for (None: whatever its person may). Its `last_seen` is its last use, known to ten
    minutes; 0 before the first.
    """

    id: bytes
    subject: str
    issued_at: int
    authenticated_at: int
    last_seen: int
    expires_at: int
    idle: int
    acr: str = "pwd"
    persistent: bool = False
    device: str = ""
    network: str = ""
    kind: Kind = "session"
    scopes: tuple[str, ...] | None = None
    label: str = ""

    @property
    def handle(self) -> str:
        """A short public name, enough to choose one among one's own sessions and no use as a credential."""
        return self.id[:8].hex()


@dataclass(frozen=True, slots=True)
class Absent:
    """No credentials were sent."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something was sent under our name that we never made."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An `Authorization` field that is meant for us and not well-formed, or more than one of them."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """A password that was not looked at, because too many were wrong. `retry_after` is in seconds."""

    retry_after: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """Well-formed, and neither a session nor a tombstone."""


@dataclass(frozen=True, slots=True)
class Live:
    """A session that nobody has ended. Whether its time is up is for `core.sessions` to say."""

    session: Session
    subject: Subject


@dataclass(frozen=True, slots=True)
class Ended:
    """A tombstone: a session that was, whose it was, how it ended, when, and by which class of actor."""

    how: Ending
    when: int
    actor: Actor = Actor.SYSTEM
    subject: str = ""


Evidence: TypeAlias = Absent | Malformed | Unreadable | Throttled | Unknown | Live | Ended


@dataclass(frozen=True, slots=True)
class Presented:
    """By which scheme a request brought its credentials (None: it brought none), and with which schemes an answer
    challenges. `vary` are the fields beyond the usual ones on which the challenges depend."""

    scheme: Scheme | None = Scheme.COOKIE
    challenges: tuple[Scheme, ...] = (Scheme.COOKIE,)
    vary: tuple[bytes, ...] = ()


# --- the decision ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Touch:
    """The person was seen."""

    session: bytes
    at: int


@dataclass(frozen=True, slots=True)
class Rotate:
    """The session goes on under a new id; the old one becomes a tombstone (`replaced`)."""

    session: bytes
    new: Session
    at: int


@dataclass(frozen=True, slots=True)
class End:
    """The session is over."""

    session: bytes
    how: Ending
    actor: Actor
    at: int


Change: TypeAlias = Touch | Rotate | End


@dataclass(frozen=True, slots=True)
class Ends:
    """When a session will end if nothing happens (`idle`, 0: never), and when in any case."""

    idle: int
    absolute: int


@dataclass(frozen=True, slots=True)
class Details:
    """What a refusal may tell beside its reason; each member only where it fits. `holder` is the id of the person whose
    session has ended. `beside` is told to nobody: it is how a page beside a concealed one, that is not there, would
    have been allowed."""

    subject: Subject | None = None
    detail: str | None = None
    ended_at: int | None = None
    max_age: int | None = None
    acr_values: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    retry_after: int | None = None
    scope: str = ""
    holder: str = ""
    beside: Allow | None = None


@dataclass(frozen=True, slots=True)
class Allow:
    """The request may go on, as `subject` (None: nobody in particular)."""

    subject: Subject | None = None
    session: Session | None = None
    changes: tuple[Change, ...] = ()
    ends: Ends | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The request may not go on."""

    reason: Reason
    details: Details = Details()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Preflight:
    """A CORS preflight to a restricted path: nobody is asked who they are (Fetch, 3.2.2), and nobody gets in.

    demur answers it from the site's policy; with `forward` the site does, and sees neither body nor credentials.
    """

    forward: bool


@dataclass(frozen=True, slots=True)
class Left:
    """Not decided yet: where the app's routing has found the view, or where the app knows who it is."""


Decision: TypeAlias = Allow | Refuse | Preflight | Left


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. To HEAD the surface sends `status` and `fields` only."""

    status: int
    fields: Fields
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class AskSite:
    """The surface asks the site for `target` and passes its answer on.

    `allowed` is what would have been decided there, so that the site is asked, and the answer dressed, as for any other
    request for that page.
    """

    target: bytes
    allowed: Allow


# --- what may be wrong with us --------------------------------------------------------------------


class StoreUnavailable(Exception):  # noqa: N818 - the field's own words
    """The store cannot be asked now. Always 503, never a reason to sign in. `cause` is for the log."""

    def __init__(self, cause: str, retry_after: int = 5) -> None:
        super().__init__(cause)
        self.cause = cause
        self.retry_after = retry_after


class UpstreamFailure(Exception):  # noqa: N818 - the field's own words
    """The site behind us did not answer. `reason` is one of the two of an upstream; `cause` is for the log."""

    def __init__(self, reason: Reason, cause: str) -> None:
        super().__init__(cause)
        self.reason = reason
        self.cause = cause


class ConfigError(Exception):
    """The configuration cannot be used. `place` says where ("site 1, rule 3"), `fix` what to do."""

    def __init__(self, message: str, *, place: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.fix = fix

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        then = f" {self.fix}" if self.fix else ""
        return f"{where}{self.message}{then}"


class Refused(Exception):  # noqa: N818 - the field's own words
    """For application code that finds out deep inside a view that the answer is no. `detail` is for the person, and
    `decision` is the whole of it, where demur found out."""

    def __init__(self, reason: Reason, detail: str | None = None, *, decision: Refuse | None = None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail
        self.decision = decision


@dataclass(frozen=True, slots=True)
class Key:
    """A secret of the ring, 32 bytes, and the id (0 to 255) under which tokens name it. `at` is the second at which it
    was put in front (0 for the first). Where it is not `agreed` that every node means this secret by this id, a tag
    that fails says nothing."""

    id: int
    secret: bytes = field(repr=False)
    at: int = 0
    agreed: bool = True


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a deployment, newest first: the first one makes, all of them verify."""

    keys: tuple[Key, ...]

    @property
    def current(self) -> Key:
        """The key that new tokens are made with."""
        return self.keys[0]

    def find(self, key_id: int) -> Key | None:
        """The key of that id, if we hold it."""
        return next((key for key in self.keys if key.id == key_id), None)
