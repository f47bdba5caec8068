"""The hot path: a request in, a decision out, with at most one read of the store and no write.

- What the store said of a live session is kept for as long as it holds, so mostly there is no read (`cache`).
- A surface without an event loop decides in its own thread; only what has to be asked goes through the portal.

The guard joins the pure core with a store, a clock and chance; nobody else decides anything.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from demur.core import credentials, decide, sessions
from demur.core.model import (
    Absent,
    Allow,
    ConfigError,
    Details,
    Left,
    Live,
    Lookup,
    Preflight,
    Refuse,
    Requirement,
    Scheme,
    StoreUnavailable,
    Touch,
)
from demur.core.ports import Decided
from demur.core.reasons import REASONS, Reason
from demur.guard import asking
from demur.guard.cache import Cache
from demur.guard.checked import (
    RETRY_AFTER,
    UNPLANNED,
    Checked,
    Said,
    failed,
    session_of,
    store_down,
    strictly,
    without_store,
)
from demur.guard.portal import PORTAL
from demur.observe import by_patience
from demur.observe.gathered import Gathered
from demur.observe.reference import new_reference

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from demur.core.model import Evidence, Request
    from demur.core.ports import Keys, Observer, PasswordSource, Store
    from demur.core.site import Permits, Site
    from demur.guard.asking import Who
    from demur.guard.known import Known

FLUSH_AFTER = 1.0
"""Seconds for which what was seen is gathered before it is written."""
_MOST_UNWRITTEN = 10_000
# Neither says that somebody may not: how fresh a sign-in was counts at the beginning, and a password that was not
# looked at is not wrong.
_GOES_ON = frozenset((Reason.STEP_UP_REQUIRED, Reason.TOO_MANY_ATTEMPTS))


_log = logging.getLogger("demur")


@dataclass(frozen=True, slots=True)
class _Open:
    """What cannot be decided yet: somebody has to be asked for."""

    plan: decide.Plan
    asked: Lookup


@dataclass(slots=True)
class _Seen:
    """Who was seen since the last write, for one event loop."""

    loop: asyncio.AbstractEventLoop
    at: dict[bytes, int] = field(default_factory=dict)
    flush: asyncio.Task[None] | None = None


class Guard:
    """Checks the requests of one site. Configuration until it is used: it may be made before a fork and be used in one
    event loop after another. `passwords` is who knows names and passwords, for rules that accept Basic. With `bridged`
    the app behind knows who somebody is: whatever depends on that is left until it says so (`ajudge`), and the store is
    asked nothing. Guards of one store may share one `cache`. `house` is called now and then, off the path of
    the check, where no gateway keeps house."""

    def __init__(
        self,
        site: Site,
        store: Store,
        keys: Keys,
        *,
        passwords: PasswordSource | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.time,
        bridged: bool = False,
        cache: Cache | None = None,
        house: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        if passwords is None and not bridged and Scheme.BASIC in site.rules.accepts:
            message = "A rule accepts Basic, and nobody knows any passwords."
            raise ConfigError(message, place=site.origin, fix="Give the guard a source of passwords.")
        self.site = site
        self.store = store
        self.keys = keys
        self.clock = clock
        self._passwords = passwords
        self.observer = observer
        patient, self.others = by_patience(observer) if observer is not None else (None, None)
        self.gathered = Gathered(patient) if patient is not None else None
        self.bridged = bridged
        self._house = house
        self.cache = cache if cache is not None else Cache(store)
        self.portal = PORTAL
        self._seen: _Seen | None = None

    async def acheck(self, request: Request) -> Checked:
        """Decide about a request, and note the decision. Never raises: a store that cannot be asked is a refusal with
        its own reason (and a yes to whoever need not be known), and so is a fault of ours."""
        began = time.perf_counter()
        at = self.clock()
        reference, now = new_reference(), int(at)
        try:
            said = self._at_once(request, reference, now)
            if isinstance(said, _Open):
                plan = said.plan
                try:
                    said = self._decided(request, plan, await self._load(said.asked, request, now), reference, now)
                except StoreUnavailable as down:
                    said = store_down(plan, down, reference, now)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it must become neither a yes nor "please sign in"
            said = failed(request, fault, reference, now)
        return self._checked(said, request, at, began)

    def at_once(self, request: Request) -> Checked | None:
        """The same, if nobody has to be asked for it; else None, and nothing is noted. Never waits."""
        began = time.perf_counter()
        at = self.clock()
        reference, now = new_reference(), int(at)
        try:
            said = self._at_once(request, reference, now)
        except Exception as fault:  # noqa: BLE001 - as in acheck
            said = failed(request, fault, reference, now)
        return None if isinstance(said, _Open) else self._checked(said, request, at, began)

    def check(self, request: Request) -> Checked:
        """The same for a surface without an event loop, in whichever thread."""
        began = time.perf_counter()
        at = self.clock()
        reference, now = new_reference(), int(at)
        try:
            said = self._at_once(request, reference, now)
            if isinstance(said, _Open):
                plan = said.plan
                try:
                    found = self.portal.run(self._load(said.asked, request, now))
                    said = self._decided(request, plan, found, reference, now)
                except StoreUnavailable as down:
                    said = store_down(plan, down, reference, now)
        except Exception as fault:  # noqa: BLE001 - as in acheck
            said = failed(request, fault, reference, now)
        return self._checked(said, request, at, began)

    def _checked(self, said: Said, request: Request, at: float, began: float) -> Checked:
        checked, error = said
        if isinstance(checked.decision, Left):
            return checked
        return self._told(checked, request, at, began, error)

    async def ajudge(
        self,
        checked: Checked,
        request: Request,
        marks: Sequence[Requirement],
        *,
        who: Who | None = None,
        permits: Permits | None = None,
        closed: bool = True,
    ) -> Checked:
        """Decide what was left, now that the view is known: its marks are met, and what the rules ask for.

        `who` asks the app who it is, if the app knows, and is called only if that matters; `permits` is asked who holds
        a permission. Where a rule leaves it to the mark and there is none, it is closed, unless there is no view at all
        (not `closed`). Never raises: see `acheck`.
        """
        joined = self._joined(checked, request, marks, closed=closed)
        if joined is None:
            return checked
        began, at, plan = time.perf_counter(), self.clock(), joined.plan
        assert plan is not None  # noqa: S101 - for the type checker
        try:
            found = self._known(checked, plan, who)
            if inspect.isawaitable(found):
                found = await found
            judged = self._judged(joined, request, plan, found, permits)
            if judged is None:
                asked = self._asked(request, plan)
                found = await self._load(asked, request, checked.now) if isinstance(asked, Lookup) else asked
                judged = self._judging(joined, request, plan, found, permits)
            error = ""
        except Exception as fault:  # noqa: BLE001 - as in acheck
            judged, error = self._unjudged(joined, request, plan, fault)
        return self._told(judged, request, at, began, error)

    def judge(
        self,
        checked: Checked,
        request: Request,
        marks: Sequence[Requirement],
        *,
        who: Who | None = None,
        permits: Permits | None = None,
        closed: bool = True,
    ) -> Checked:
        """The same for a surface without an event loop, in whichever thread."""
        joined = self._joined(checked, request, marks, closed=closed)
        if joined is None:
            return checked
        began, at, plan = time.perf_counter(), self.clock(), joined.plan
        assert plan is not None  # noqa: S101 - for the type checker
        try:
            known = self._known(checked, plan, who)
            found = self.portal.run(known) if inspect.iscoroutine(known) else known
            judged = self._judged(joined, request, plan, found, permits)
            if judged is None:
                asked = self._asked(request, plan)
                if isinstance(asked, Lookup):
                    asked = self.portal.run(self._load(asked, request, checked.now))
                judged = self._judging(joined, request, plan, asked, permits)
            error = ""
        except Exception as fault:  # noqa: BLE001 - as in acheck
            judged, error = self._unjudged(joined, request, plan, fault)
        return self._told(judged, request, at, began, error)

    def _joined(
        self, checked: Checked, request: Request, marks: Sequence[Requirement], *, closed: bool
    ) -> Checked | None:
        """What is to be judged, with its plan; None if the view changes nothing."""
        if checked.plan is None or not (marks or isinstance(checked.decision, Left)):
            return None
        plan = checked.plan.joined(marks, closed=closed)
        if plan.looks:
            asked = plan.matches[0].requirement
            plan = replace(plan, presented=credentials.presented(self.site, request, asked, plan.accepts))
        return replace(checked, plan=plan, presented=plan.presented)

    def _known(self, checked: Checked, plan: decide.Plan, who: Who | None) -> Any:  # noqa: ANN401 - perhaps to be awaited
        """Who it is, without asking the store; None if that is not known."""
        before = checked.plan
        if not isinstance(checked.decision, Left) and before is not None and before.looks:
            return checked.evidence
        if not plan.looks:
            return Absent()
        if not self.bridged:
            return None
        if who is None:
            message = "nobody said who it is: the app's own login has to be read before a view is judged"
            raise RuntimeError(message)
        return asking.ask(who)

    def _judged(
        self, checked: Checked, request: Request, plan: decide.Plan, found: Evidence | None, permits: Permits | None
    ) -> Checked | None:
        """The decision, if it can be made of what is known; None if the store has to be asked."""
        if found is None:
            asked = self._asked(request, plan)
            found = self._kept(asked, checked.now) if isinstance(asked, Lookup) else asked
            if found is None:
                return None
        judged = self._judging(checked, request, plan, found, permits)
        return None if self._may_be_old(judged) else judged

    def _judging(
        self, checked: Checked, request: Request, plan: decide.Plan, found: Evidence, permits: Permits | None
    ) -> Checked:
        decision, match = decide.strictest(self.site, request, plan, found, checked.now, permits)
        return replace(checked, decision=decision, requirement=match.requirement, evidence=found)

    def _may_be_old(self, checked: Checked) -> bool:
        """Whether this is a no that was made of what is kept, which may only say yes."""
        return (
            isinstance(checked.decision, Refuse)
            and isinstance(checked.evidence, Live)
            and not self.bridged
            and checked.presented.scheme is not Scheme.BASIC
        )

    def _unjudged(self, checked: Checked, request: Request, plan: decide.Plan, fault: Exception) -> tuple[Checked, str]:
        """It cannot be judged: neither a yes to what is closed, nor "please sign in"."""
        if isinstance(fault, StoreUnavailable):
            decision, requirement = without_store(plan, fault)
            return replace(checked, decision=decision, requirement=requirement, blind=True), fault.cause
        _log.error("demur could not decide about %s", request.path, exc_info=fault)
        refuse = Refuse(Reason.UNAVAILABLE, Details(retry_after=RETRY_AFTER))
        return replace(checked, decision=refuse), repr(fault)

    def _told(self, judged: Checked, request: Request, at: float, began: float, error: str) -> Checked:
        if isinstance(judged.decision, Allow):
            self.seen(judged.decision)
        self.note(judged, request, at=at, seconds=time.perf_counter() - began, error=error)
        return judged

    def known(self, requirement: Requirement, key: bytes, now: int) -> Known | None:
        """Whoever holds a cookie's key, if it is known that they meet a requirement and there is nothing to be written:
        a yes for a request that brings nothing else that matters (`learn`). Nothing is noted. Never waits."""
        known = self.cache.known(key, now)
        return known if known is not None and known.meets(requirement, now) else None

    def recall(self, requirement: Requirement, mark: bytes, now: int) -> Known | None:
        """The same for whoever left a mark."""
        return self.cache.recall(mark, requirement, now)

    def learn(self, checked: Checked, mark: bytes = b"") -> None:
        """Remember for `known` what was decided about a request, if it was a yes to a cookie alone; for `recall`, too,
        if there is a mark: it is made of what the cookie holds, and nobody makes the same who does not hold it."""
        plan, allow, live = checked.plan, checked.decision, checked.evidence
        if plan is None or len(plan.matches) != 1 or plan.left or plan.pretends or self.bridged:
            return
        # The app's own function may say something else the next time: where it is asked, the requirement is a new one.
        if checked.requirement is not plan.matches[0].requirement:
            return
        if isinstance(allow, Allow) and isinstance(live, Live) and checked.presented.scheme is Scheme.COOKIE:
            self.cache.learn(allow, live, checked.requirement, mark, checked.now)

    def _at_once(self, request: Request, reference: str, now: int) -> Said | _Open:
        """The decision, if it can be made of what is known here. Never waits."""
        plan = decide.plan(self.site, request)
        if not isinstance(plan, decide.Plan):
            return Checked(plan, UNPLANNED, Absent(), reference, now), ""
        if plan.left or (self.bridged and plan.looks):
            return Checked(Left(), plan.matches[0].requirement, Absent(), reference, now, plan.presented, plan), ""
        try:
            asked = self._asked(request, plan)
        except StoreUnavailable as down:
            return store_down(plan, down, reference, now)
        if not isinstance(asked, Lookup):
            return self._decided(request, plan, asked, reference, now)
        kept = self._kept(asked, now)
        if kept is None:
            return _Open(plan, asked)
        said = self._decided(request, plan, kept, reference, now)
        # A page beside a concealed one has to take as long as that, which is asked about before it is refused.
        return _Open(plan, asked) if plan.pretends or self._may_be_old(said[0]) else said

    def _decided(self, request: Request, plan: decide.Plan, found: Evidence, reference: str, now: int) -> Said:
        decided, match = decide.strictest(self.site, request, plan, found, now)
        if not plan.looks:
            found = Absent()
        return Checked(decided, match.requirement, found, reference, now, plan.presented, plan), ""

    def _asked(self, request: Request, plan: decide.Plan) -> Lookup | Evidence:
        """What the request's credentials say by themselves. Raises StoreUnavailable, if the keys cannot be read."""
        if not plan.looks and not plan.pretends:
            return Absent()
        return credentials.read(self.site, request, self.keys.ring, plan.accepts)

    def _kept(self, asked: Lookup, now: int) -> Live | None:
        """Who that is, if it is known here that they still are."""
        return None if asked.kind is Scheme.BASIC else self.cache.get(asked.key, now)

    async def _load(self, asked: Lookup, request: Request, now: int) -> Evidence:
        """What the request's credentials turn out to be: the one read. Raises StoreUnavailable."""
        if asked.kind is Scheme.BASIC:
            assert self._passwords is not None  # noqa: S101 - seen to when the guard was made
            return await self._passwords.load(asked.key, request.peer, now)
        return await self.cache.load(asked.key, now)

    async def still(self, open_: Sequence[tuple[Checked, Request]]) -> list[tuple[Refuse | None, int]]:
        """What was allowed to somebody and lasts longer than a request, judged again: for each, why it may not go on
        (None: it may), and the second until which only a change can end it. One read for all that came with a session
        or a token. Raises StoreUnavailable."""
        now = int(self.clock())
        ids = list({key for checked, _ in open_ if (key := session_of(checked)) is not None})
        known = dict(zip(ids, await self.store.load(ids), strict=True)) if ids else {}
        return [await self._still(checked, request, known, now) for checked, request in open_]

    async def _still(
        self, checked: Checked, request: Request, known: Mapping[bytes, Evidence], now: int
    ) -> tuple[Refuse | None, int]:
        plan = decide.plan(self.site, request)
        if not isinstance(plan, decide.Plan):
            return (plan if isinstance(plan, Refuse) else None), now + sessions.DAY
        if plan.left and checked.plan is not None:
            plan = checked.plan  # what the marks of the view asked for, too
        key = session_of(checked)
        evidence = known[key] if key is not None else await self._found(request, plan, now)
        # Who had it open knows that it is there, and who was known is told why not any more.
        plan = replace(plan, matches=tuple(strictly(match) for match in plan.matches))
        decision, _ = decide.strictest(self.site, request, plan, evidence, now)
        if isinstance(decision, Refuse) and decision.reason not in _GOES_ON:
            return decision, now
        return None, sessions.certain_until(evidence, now) if isinstance(evidence, Live) else now + sessions.DAY

    async def _found(self, request: Request, plan: decide.Plan, now: int) -> Evidence:
        asked = self._asked(request, plan)
        return await self._load(asked, request, now) if isinstance(asked, Lookup) else asked

    async def find(self, lookup: Lookup) -> Evidence:
        """What the store says now, whatever is kept. Raises StoreUnavailable."""
        (evidence,) = await self.store.load((lookup.key,))
        return evidence

    async def identify(self, request: Request) -> Evidence:
        """Whoever a request comes from, whatever it asks for. Raises StoreUnavailable."""
        found = credentials.read(self.site, request, self.keys.ring)
        return await self.find(found) if isinstance(found, Lookup) else found

    def note(
        self, checked: Checked, request: Request, *, at: float | None = None, seconds: float = 0.0, error: str = ""
    ) -> None:
        """Tell the observer of a decision, after those that wait to be told."""
        if self.gathered is not None:
            self.gathered.tell()
        if self.observer is not None:
            self.observer.decided(self.told(checked, request, at=at, seconds=seconds, error=error))

    def told(
        self, checked: Checked, request: Request, *, at: float | None = None, seconds: float = 0.0, error: str = ""
    ) -> Decided:
        """What an observer is told of a decision."""
        decision, evidence = checked.decision, checked.evidence
        refused = decision.reason if isinstance(decision, Refuse) else None
        subject = evidence.subject.id if isinstance(evidence, Live) else None
        return Decided(
            at=self.clock() if at is None else at,
            reference=checked.reference,
            origin=self.site.origin,
            request=request,
            outcome="refuse" if refused else "preflight" if isinstance(decision, Preflight) else "allow",
            status=REASONS[refused].status if refused else None,
            reason=refused,
            rule=checked.requirement.rule,
            subject=subject,
            seconds=seconds,
            error=error,
        )

    # --- who was seen ---------------------------------------------------------------------------------

    def seen(self, allowed: Allow) -> None:
        """Gather what a yes has to write; it is written together, off the path of the check. What a crash loses of it
        costs people a moment of their idle time and nothing else."""
        if not allowed.changes:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.portal.call(self.seen, allowed)
            return
        if self._seen is None or self._seen.loop is not loop:
            self._seen = _Seen(loop)
        seen = self._seen
        if len(seen.at) < _MOST_UNWRITTEN:
            seen.at.update((change.session, change.at) for change in allowed.changes if isinstance(change, Touch))
        if seen.flush is None or seen.flush.done():
            seen.flush = loop.create_task(self._flush_soon(seen))

    async def _flush_soon(self, seen: _Seen) -> None:
        while seen.at:
            await asyncio.sleep(FLUSH_AFTER)
            await self._flush(seen)
            if self._house is not None:
                await self._house()

    async def _flush(self, seen: _Seen) -> None:
        written, seen.at = seen.at, {}
        try:
            done = await self.store.apply([Touch(session, at) for session, at in written.items()])
        except StoreUnavailable:
            # Kept for the next time; whoever was seen since then was seen later.
            seen.at = written | seen.at
            return
        for (session, at), moved in zip(written.items(), done, strict=True):
            self.cache.seen(session, at, moved=moved)

    async def aclose(self) -> None:
        """Write what is still to be written. The store is closed by whoever opened it."""
        seen, self._seen = self._seen, None
        if seen is None or seen.loop is not asyncio.get_running_loop():
            return
        if seen.flush is not None:
            seen.flush.cancel()
        if seen.at:
            await self._flush(seen)
