"""Every extension point: what the core is given, and by whom it is kept.

A port raises `StoreUnavailable` when it cannot answer. It never guesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from demur.core.model import Ended, Live, Subject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from demur.core.embedded import Embedded
    from demur.core.model import Actor, Change, Ending, Evidence, KeyRing, Kind, Request, Session, Unknown
    from demur.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class Hits:
    """How often something happened within its window, and the second at which the window ends."""

    count: int
    until: int


@dataclass(frozen=True, slots=True)
class Changed:
    """Somebody's evidence may no longer be what it was: a session (by id), or all of a subject's, or, with
    neither, everything."""

    session: bytes | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A session that was, with its id."""

    id: bytes
    ended: Ended


@dataclass(frozen=True, slots=True)
class Value:
    """A value that is kept until a second (`Store.put`)."""

    key: bytes
    value: bytes
    until: int


@dataclass(frozen=True, slots=True)
class Counter:
    """How often something happened (`Store.hit`)."""

    key: bytes
    hits: Hits


Kept: TypeAlias = Subject | Live | Tombstone | Value | Counter
"""One row of what a store keeps; a session comes with its person."""


class Moment(Protocol):
    """What a store had been told until a moment."""

    def stamp(self, live: Live) -> Any:  # noqa: ANN401 - each store has its own
        """What `Store.holds` takes, for what was loaded after this moment; None if it may be changing right now."""


class Store(Protocol):
    """Sessions, tombstones, snapshots of persons, and memory that expires.

    A store is configuration until it is used: it opens lazily for each process and event loop, survives a
    fork, and needs no lifespan event. Each method is atomic: it happens whole or not at all, and what one
    process was told is done is seen by the next read of every other.
    """

    async def issue(self, session: Session, subject: Subject) -> None:
        """Keep a new session, and the snapshot of its person unless a newer version is there."""

    async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        """What is known of each id, in the order asked for, sessions with their persons, in one round trip."""

    def moment(self) -> Moment | None:
        """This moment, taken before a load; None if nobody could tell later whether that still holds. Never waits."""

    def holds(self, stamp: Any) -> bool:  # noqa: ANN401 - each store has its own
        """Whether nothing has changed (`changes`) for a session and its person since a stamp's moment. What a process
        was told is done does not hold in any other from then on. Also False when it cannot be told, and at the latest
        two seconds after the store was lost. Never waits, and may be asked from any thread."""

    async def apply(self, changes: Sequence[Change]) -> list[bool]:
        """Make the changes in one transaction; for each, whether it took effect.

        A touch never moves `last_seen` back and never revives: it has no effect on a session that is not live
        or whose idle limit had passed at `at`. A rotation has effect only on a live session: of two at once,
        one wins. An end has effect once.
        """

    async def sessions(self, subject: str | None = None, *, kind: Kind = "session") -> list[Session]:
        """The sessions of that kind that nobody has ended, of one subject or of all, newest first."""

    async def end_all(
        self,
        subject: str | None,
        how: Ending,
        actor: Actor,
        now: int,
        *,
        keep: bytes | None = None,
        kind: Kind = "session",
    ) -> int:
        """End all sessions of that kind of a subject (None: of everybody) but `keep`; how many. Who signs out
        everywhere, or changes a password, keeps their API tokens."""

    async def publish(self, subject: Subject) -> None:
        """Replace the snapshot of a person, unless a newer version is there. Unknown persons are kept too."""

    async def sweep(self, now: int) -> int:
        """Turn sessions past their limits into tombstones, dated at the limit, and forget what is over:
        tombstones after 30 days, values and hits after their time. How many rows were turned or forgotten."""

    async def put(self, key: bytes, value: bytes, until: int) -> None:
        """Keep a value until a second, in place of any other under that key."""

    async def take(self, key: bytes, now: int) -> bytes | None:
        """Get a value and forget it: of any number of takers, exactly one gets it. None if there is none."""

    async def peek(self, key: bytes, now: int) -> bytes | None:
        """Get a value and leave it there."""

    async def hit(self, key: bytes, window: int, now: int) -> Hits:
        """Count one more in a window of that many seconds, which starts at the first hit."""

    async def hits(self, key: bytes, now: int) -> Hits:
        """How often, without counting."""

    def changes(self) -> AsyncIterator[Changed]:
        """What any process changes from now on (ends, rotations, snapshots; neither issue nor touch).
        Only a hint to look again: several may arrive as one, and one may arrive twice, but none is lost."""

    async def each(self, after: bytes = b"", most: int = 500) -> tuple[list[Kept], bytes | None]:
        """All that is kept, in pages of about `most`: one page, and after what to ask for the next; None: that was all.

        What is kept from the first page to the last is in one of them, as it was at some moment in between. A row may
        come twice, and a page may be empty. `after` is good in any other process, and later.
        """

    async def adopt(self, kept: Sequence[Kept]) -> int:
        """Keep what another store kept, at most 500 rows, in one transaction; how many of them were news here.

        A person counts if none of this or a newer version is there. A session that is unknown here is kept as it is;
        of one that lives here only `last_seen` moves on; one that is ended here is not revived. A tombstone ends a
        session that lives here; its person need not be known. Values and counters take the place of what is there.
        """

    async def freeze(self, *, frozen: bool = True) -> None:
        """Close to writing, or open again, for all processes and until it is said otherwise. When this has returned,
        whatever would change anything raises `StoreUnavailable`, and nothing more is done of what was under way. Reads
        go on, and so does `check`."""

    async def check(self) -> None:
        """Ask whether reading and writing work now; for readiness. Raises `StoreUnavailable`."""

    async def aclose(self) -> None:
        """Let go of everything that this process and loop have opened. The store can be used again."""


class PasswordSource(Protocol):
    """Who a name and a password belong to, for requests that carry both (RFC 7617)."""

    async def load(self, credentials: bytes, peer: str, now: int) -> Evidence:
        """What `name:password` (UTF-8) turns out to be: `Live` with a session made up for this request, `Unknown`, or
        `Throttled`. `peer` is the client's address. Raises StoreUnavailable."""


class Keys(Protocol):
    """Where the key ring comes from."""

    def ring(self) -> KeyRing:
        """The keys, newest first; made at the first call if there are none. Raises `StoreUnavailable`."""

    def rotate(self, now: int) -> KeyRing:
        """Put a new key in front. Old ones verify as long as tombstones live (30 days), then they go."""

    async def agree(self, now: int) -> None:
        """See whether the other nodes have the same keys, where there may be others. Raises `StoreUnavailable` if they
        have not, and if nobody can tell."""


class Asserter(Protocol):
    """Says who somebody is, signed, to the app of one site."""

    def of(self, subject: Subject, session: Session | None, origin: str, now: int) -> bytes:
        """An assertion (`core.asserted`) by `origin`, the value of a field. Never waits. Raises `StoreUnavailable`."""

    def published(self) -> bytes:
        """The public keys that these can be verified with, as a JWK Set (RFC 7517, 5). Raises `StoreUnavailable`."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person as sign-in needs them: the snapshot, the encoded password hash if there is one, and whether
    an administrator has disabled the account."""

    subject: Subject
    password: str | None
    disabled: bool = False


class People(Protocol):
    """Who may sign in. demur's own accounts, or a bridge to the app's user table."""

    async def by_name(self, name: str) -> Account | None:
        """The account of that name, in whatever spelling; None if there is none."""

    async def by_id(self, subject: str) -> Account | None:
        """The account of that id."""

    async def set_password(self, subject: str, encoded: str, *, replacing: str | None = None) -> bool:
        """Store a new hash. With `replacing`, only if that one is still there (an upgrade at sign-in must not
        undo a change of password). Whether it was stored."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether a password was right, and the hash to store in place of the old one if that one is outdated."""

    right: bool
    upgrade: str | None = None


class PasswordHasher(Protocol):
    """Passwords, off the event loop, with a bound on how many at once."""

    async def verify(self, password: str, encoded: str | None) -> Verified:
        """Check a password. None as `encoded` costs the same time and is never right."""

    async def hash(self, password: str) -> str:
        """Make a hash to store."""


@dataclass(frozen=True, slots=True)
class View:
    """All that a page shows about a refusal or a sign-in. Every text is plain and is escaped by the renderer.

    `form` says which form stands in the page: "sign-in" (name and password), "confirm" (password only, the
    name is known) or None. `action` is where the form goes, `next` what was asked for. `username` was typed
    before, or is known. `message` is what went wrong with the last try. `problem` is the problem document as
    JSON text. `framed` asks for the short text with a link on top in place of a form. `switch` is where another
    account can be chosen; `home` a page to go back to. `origins` are the addresses at which sites are served
    (host-unknown only), safe to link to. `acr_values` are the kinds of sign-in that would be strong enough, the weakest
    first, and `max_age` is how old one may be in seconds (step-up-required only). `keep` offers to stay
    signed in when the browser is closed. `embedded` asks for the page inside the client's dialog: see `core.dialog`.
    `login` is the address of the app's own login, which leads back here. `kept` says that what was sent is kept for 15
    minutes, and can be sent from the page that `next` leads to.
    """

    reason: Reason | None
    status: int
    site: str
    title: str
    detail: str
    reference: str = ""
    form: str | None = None
    action: str = ""
    next: str = "/"
    username: str = ""
    message: str = ""
    person: str = ""
    missing: tuple[str, ...] = ()
    acr_values: tuple[str, ...] = ()
    max_age: int | None = None
    retry_after: int | None = None
    ended_at: int | None = None
    problem: str = ""
    framed: bool = False
    prefix: str = "/.demur"
    switch: str = ""
    home: str = "/"
    help_url: str = ""
    idle: int = 0
    keep: bool = True
    origins: tuple[str, ...] = ()
    embedded: Embedded | None = None
    kept: bool = False
    login: str = ""


class Renderer(Protocol):
    """The look of a page: a whole HTML document, with no external assets, that works under `policy`."""

    @property
    def policy(self) -> str:
        """The Content-Security-Policy under which `render`'s pages work."""

    def render(self, view: View) -> bytes:
        """The page, UTF-8."""


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision, for the log and the metrics. `seconds` is how long it took."""

    at: float
    reference: str
    origin: str
    request: Request
    outcome: str
    status: int | None
    reason: Reason | None
    rule: str
    subject: str | None
    seconds: float
    error: str = ""

    @property
    def method(self) -> str:
        """The method of the request."""
        return self.request.method

    @property
    def path(self) -> bytes:
        """Its path, without the query."""
        return self.request.path


class Common(Protocol):
    """What many decisions have in common: all of a `Decided` but when it was made, under which reference, whose it was,
    and how long it took. The same object stands for the same things."""

    @property
    def outcome(self) -> str: ...
    @property
    def reason(self) -> Reason | None: ...
    def decided(self, at: float, number: int, subject: str | None, seconds: float) -> Decided:
        """One of them. `number` is that of its reference (`observe.reference`), or 0 if nobody was told one; `subject`
        is who it was, None if all of them are the same person's or nobody's in particular."""


Noted: TypeAlias = tuple[Common, float, int, str | None, float]
"""One of them: what it has in common with others, and what `Common.decided` takes."""


class Observer(Protocol):
    """Whoever writes down what happened. Must not block and must not raise."""

    def decided(self, decided: Decided) -> None:
        """A request was allowed or refused."""

    def signed_in(self, method: str, outcome: str) -> None:
        """Somebody tried to sign in: `outcome` is "success", "failure" or "throttled"."""


class Patient(Observer, Protocol):
    """An observer that may be told of many decisions together, a moment later."""

    def several(self, noted: Sequence[Noted]) -> None:
        """Some requests were allowed or refused, in this order; for none of them a store failed to be asked."""

    def expect(self, tell: Callable[[], None]) -> None:
        """Something waits to be told: call `tell` some hundredths of a second from now, and before you are asked or
        closed."""
