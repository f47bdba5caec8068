"""What every adapter has to do, beside the golden files: one row a case.

A case is asked in each of its worlds. `sessions`: demur keeps the sessions; `login`: the app's own login is read by a
bridge; `permits`: the same, and a function of the app says who holds a permission; `down`: demur keeps the sessions,
and their store cannot be asked; `plain`: a bridge and nothing else, no rules and no origin.
"""

from __future__ import annotations

from dataclasses import dataclass

ADAPTERS = {
    "asgi": "ASGI",
    "wsgi": "WSGI",
    "starlette": "Starlette",
    "fastapi": "FastAPI",
    "flask": "Flask",
    "quart": "Quart",
    "litestar": "Litestar",
    "django": "Django (WSGI)",
    "django-async": "Django (ASGI)",
}
"""Everything that is asked, and what people call it."""

AS_BARE = 0
"""The status that the app gives without demur."""
BOTH = ("sessions", "login")
SESSIONS = ("sessions",)
LOGIN = ("login",)
DOWN = ("down",)
PERMITS = ("permits",)
PLAIN = ("plain",)
FAILING = ("broken", "nonsense")
ASYNC = ("async",)


@dataclass(frozen=True, slots=True)
class Case:
    """One request, and what becomes of it. `reason` is that of the refusal; without one, the app's own answer is
    expected. `ran` says whether the view has run. `same` that the answer is what the app says without demur."""

    name: str
    path: str
    status: int = 200
    reason: str = ""
    who: str = ""
    ran: bool | None = None
    method: str = "GET"
    page: bool = False
    body: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    worlds: tuple[str, ...] = BOTH
    says: str = ""
    same: bool = False

    @property
    def runs(self) -> bool:
        """Whether the view has run: it has if nothing else is said and nothing was refused."""
        return not self.reason if self.ran is None else self.ran


PARTNER = ("origin", "https://partner.example.org")
JSON = (("content-type", "application/json"),)
FORM = (("content-type", "application/x-www-form-urlencoded"), ("origin", "https://app.example.com"))

# fmt: off
MARKS = (
    Case("a page that is marked open is open", "/open", says="/open for nobody"),
    Case("an open page does not ask who it is", "/open", who="bo", says="/open for nobody"),
    Case("an open page opens for whoever was signed out", "/open", who="revoked"),
    Case("a page that identifies tells who it is", "/maybe", who="bo", says="/maybe for bo"),
    Case("a page that identifies refuses nobody", "/maybe", says="/maybe for nobody"),
    Case("a page that identifies refuses no dead session", "/maybe", who="expired", says="/maybe for nobody"),
    Case("nobody is asked to sign in", "/member", 401, "sign-in-required"),
    Case("nobody gets the form as a page", "/member", 401, "sign-in-required", page=True),
    Case("a marked page opens", "/member", who="bo", says="/member for bo"),
    Case("a permission opens", "/report", who="anna", says="/report for anna"),
    Case("who lacks a permission is known and refused", "/report", 403, "not-permitted", who="bo"),
    Case("nobody is no one without a permission", "/report", 401, "sign-in-required"),
    Case("a group opens", "/staff-only", who="anna", says="/staff-only for anna"),
    Case("who lacks a group is refused", "/staff-only", 403, "not-permitted", who="bo"),
    Case("a fresh sign-in opens", "/fresh", who="bo"),
    Case("a stale sign-in is asked to confirm", "/fresh", 401, "step-up-required", who="stale"),
    Case("a mark fixes the form of a refusal", "/page-only", 401, "sign-in-required"),
    Case("an unmarked page is closed to nobody in particular", "/unmarked", 401, "sign-in-required"),
    Case("an unmarked page is closed to whoever is signed in", "/unmarked", 403, "not-permitted", who="anna"),
    Case("what is posted by nobody is refused", "/posted", 401, "sign-in-required", method="POST", fields=FORM),
    Case("what is posted goes in", "/posted", who="bo", method="POST", fields=FORM, says="/posted for bo"),
)

ENDED = (
    *(
        Case(f"a session that is {how} says so", "/member", 401, f"session-{how}", who=how)
        for how in ("idle", "expired", "ended", "revoked")
    ),
    Case("what was never issued is not valid", "/member", 401, "credentials-invalid", who="unknown"),
    Case("a dead session on an unmarked page says so", "/unmarked", 401, "session-expired", who="expired"),
    Case("a suspended person is told", "/member", 403, "account-suspended", who="suspended", worlds=LOGIN),
    Case("a suspended person is told on an unmarked page", "/unmarked", 403, "account-suspended", "suspended",
         worlds=LOGIN),
)

ORDER = (
    Case("a decorator around the mark keeps it", "/order/kept", 403, "not-permitted", who="bo"),
    Case("a decorator around the mark lets in", "/order/kept", who="anna"),
    Case("decorators on both sides keep the mark", "/order/kept-twice", 403, "not-permitted", who="bo"),
    Case("decorators on both sides let in", "/order/kept-twice", who="anna"),
    Case("a mark counts around a decorator that hides", "/order/outermost", 403, "not-permitted", who="bo"),
    Case("a mark lets in around a decorator that hides", "/order/outermost", who="anna"),
    Case("a hidden mark closes", "/order/lost", 401, "sign-in-required"),
    Case("a hidden mark closes to everybody", "/order/lost", 403, "not-permitted", who="anna"),
    Case("a hidden mark that opens does not", "/order/lost-open", 401, "sign-in-required"),
    Case("a hidden mark that opens does not for anybody", "/order/lost-open", 403, "not-permitted", who="anna"),
    Case("a class is open by its mark", "/class/open", says="/class/open for nobody"),
    Case("a class is closed by its mark", "/class/report", 401, "sign-in-required"),
    Case("a class lets in by its mark", "/class/report", who="anna", says="/class/report for anna"),
    Case("a class refuses by its mark", "/class/report", 403, "not-permitted", who="bo"),
    Case("an unmarked class is closed", "/class/unmarked", 401, "sign-in-required"),
    Case("an unmarked class is closed to everybody", "/class/unmarked", 403, "not-permitted", who="anna"),
    Case("a marked method is closed", "/method/report", 401, "sign-in-required"),
    Case("a marked method refuses", "/method/report", 403, "not-permitted", who="bo"),
    Case("a marked method lets in", "/method/report", who="anna", says="/method/report for anna"),
)

BEFORE = (
    Case("malformed JSON from nobody is no matter of JSON", "/json", 401, "sign-in-required", method="POST", body="{",
         fields=JSON),
    Case("malformed JSON from a dead session is none", "/json", 401, "session-idle", "idle", method="POST", body="{",
         fields=JSON),
    Case("a wrong kind of content from nobody is none", "/json", 401, "sign-in-required", method="POST", body="x=1",
         fields=FORM),
    Case("JSON that fits goes in", "/json", who="bo", method="POST", body='{"title": "x"}', fields=JSON,
         says="/json for bo"),
    Case("malformed JSON from a person is the framework's matter", "/json", AS_BARE, who="bo", method="POST",
         body='{"name": 1}', fields=JSON, same=True),
    Case("another method than there is says so", "/member", 405, who="bo", method="DELETE", ran=False, same=True),
    Case("what is not there is the framework's 404", "/nothing/here", 404, ran=False, same=True),
    Case("what is not there is the framework's 404 for a person", "/nothing/here", 404, who="bo", ran=False, same=True),
    Case("a fault of the view is the framework's 500", "/boom", 500, same=True),
    Case("a stream passes", "/stream", who="bo", says="one by one"),
    Case("a stream of an open page passes", "/open-stream", says="one by one", same=True),
    Case("a stream is closed to nobody", "/stream", 401, "sign-in-required"),
    Case("another site's form goes nowhere", "/posted", 403, "cross-site-refused", "bo", method="POST",
         fields=(FORM[0], ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"))),
)

APP = (
    Case("what is left to the app opens", "/app/open", says="/app/open for nobody"),
    Case("what is left to the app tells who it is", "/app/open", who="bo", says="/app/open for bo"),
    Case("a mark counts where it is left to the app", "/app/report", 401, "sign-in-required"),
    Case("a mark refuses where it is left to the app", "/app/report", 403, "not-permitted", who="bo"),
    Case("a bare 401 of the app is a proper one", "/app/bare-401", 401, "sign-in-required", ran=True),
    Case("a bare 401 of the app is a page for browsers", "/app/bare-401", 401, "sign-in-required", ran=True, page=True),
    Case("a bare 401 of the app keeps the reason", "/app/bare-401", 401, "session-expired", who="expired", ran=True),
    Case("an anonymous 403 of the app is a 401", "/app/bare-403", 401, "sign-in-required", ran=True),
    Case("an anonymous 403 keeps the reason", "/app/bare-403", 401, "session-revoked", who="revoked", ran=True),
    Case("a 403 of the app to a person stays one", "/app/bare-403", 403, "not-permitted", who="bo", ran=True),
    Case("the framework's own 401 is a proper one", "/app/own-401", 401, "sign-in-required", ran=True),
    Case("the framework's own 403 to nobody is a 401", "/app/own-403", 401, "sign-in-required", ran=True),
    Case("the framework's own 403 keeps the reason", "/app/own-403", 401, "session-idle", who="idle", ran=True),
    Case("the framework's own 403 to a person stays one", "/app/own-403", 403, "not-permitted", who="bo", ran=True),
    Case("the framework's own 404 stays", "/app/own-404", 404, same=True),
    Case("a redirect to the login page is a 401", "/app/to-login", 401, "sign-in-required", ran=True, worlds=LOGIN),
    Case("a redirect to the login page is a page at its place", "/app/to-login", 401, "sign-in-required", ran=True,
         page=True, worlds=LOGIN),
    Case("a redirect to the login page keeps the reason", "/app/to-login", 401, "session-expired", who="expired",
         ran=True, worlds=LOGIN),
    Case("a redirect to anywhere else stays", "/app/elsewhere", 302, same=True),
)

LATE = (
    Case("a refusal from deep inside is one", "/deep", 403, "not-permitted", who="bo", ran=True,
         says="Only its author may."),
    Case("a step-up from deep inside is one", "/deep-step-up", 401, "step-up-required", who="bo", ran=True),
    Case("a view asks in its course", "/asks", 403, "not-permitted", who="bo", ran=True),
    Case("a view asks in its course and nobody is there", "/asks", 401, "sign-in-required", ran=True),
    Case("a view asks in its course and goes on", "/asks", who="anna", says="/asks for anna"),
    Case("a view refuses by a field", "/field", 403, "not-permitted", who="bo", ran=True, says="Only its author may."),
    Case("a view refuses by a field that nobody understands", "/field-nonsense", 502, "upstream-unreachable", who="bo",
         ran=True),
)

RULED = (
    Case("a rule of the path counts beside a mark that opens", "/ruled/member", 401, "sign-in-required"),
    Case("a rule of the path lets in", "/ruled/member", who="bo"),
    Case("a rule of the path asks for a group", "/ruled/staff", 403, "not-permitted", who="bo"),
    Case("a rule of the path lets a group in", "/ruled/staff", who="anna", says="/ruled/staff for anna"),
    Case("a rule of the path opens an unmarked page", "/ruled/anyone", says="/ruled/anyone for nobody"),
    Case("a rule of the path closes what is not there", "/ruled/nothing", 401, "sign-in-required", worlds=SESSIONS),
)

STORE = (
    Case("without the store an open page opens", "/open", who="live", worlds=DOWN),
    Case("without the store nobody is nobody", "/member", 401, "sign-in-required", worlds=DOWN),
    Case("without the store it is our fault", "/member", 503, "unavailable", who="live", worlds=DOWN),
    Case("without the store it is our fault on a page", "/member", 503, "unavailable", who="live", page=True,
         worlds=DOWN),
    Case("without the store whoever need not be known is let in", "/maybe", who="live", worlds=DOWN,
         says="/maybe for nobody"),
    Case("without the store a rule says so too", "/ruled/member", 503, "unavailable", who="live", worlds=DOWN),
    Case("without the store the app goes on", "/app/open", who="live", worlds=DOWN),
    Case("without the store the app's refusal is no reason to sign in", "/app/bare-403", 503, "unavailable", who="live",
         ran=True, worlds=DOWN),
    Case("without the store an unmarked page says so", "/unmarked", 503, "unavailable", who="live", worlds=DOWN),
)

ELSEWHERE = (
    Case("a preflight to a marked page is answered", "/member", 204, method="OPTIONS", ran=False,
         fields=(PARTNER, ("access-control-request-method", "GET"))),
    Case("a preflight to a ruled page is answered", "/ruled/member", 204, method="OPTIONS", ran=False,
         fields=(PARTNER, ("access-control-request-method", "GET"))),
    Case("a refusal can be read where it may", "/member", 401, "sign-in-required", fields=(PARTNER,)),
    Case("a refusal cannot be read where it may not", "/member", 401, "sign-in-required",
         fields=(("origin", "https://evil.example"),)),
)

FUNCTION = (
    Case("a function of the app permits", "/report", who="bo", worlds=PERMITS, says="/report for bo"),
    Case("a function of the app does not permit", "/report", 403, "not-permitted", who="anna", worlds=PERMITS),
    Case("a function of the app is not asked about nobody", "/report", 401, "sign-in-required", worlds=PERMITS),
    Case("a function of the app is asked by a view", "/asks", 403, "not-permitted", who="anna", ran=True,
         worlds=PERMITS),
    Case("a function of the app permits in a view", "/asks", who="bo", worlds=PERMITS, says="/asks for bo"),
)

ALONE = (
    Case("with a bridge alone an unmarked page is the app's", "/unmarked", worlds=PLAIN, says="/unmarked for nobody"),
    Case("with a bridge alone people are known", "/unmarked", who="bo", worlds=PLAIN, says="/unmarked for bo"),
    Case("with a bridge alone a mark counts", "/member", 401, "sign-in-required", worlds=PLAIN),
    Case("with a bridge alone a dead session says so", "/member", 401, "session-expired", who="expired", worlds=PLAIN),
    Case("with a bridge alone the app's own refusal is right", "/app/bare-403", 401, "session-idle", "idle", ran=True,
         worlds=PLAIN),
)

FAULTS = (
    Case("a bridge that fails is not asked for an open page", "/open", worlds=FAILING),
    Case("a bridge that fails is our fault", "/member", 503, "unavailable", who="bo", worlds=FAILING),
    Case("a bridge that fails is our fault on a page", "/member", 503, "unavailable", who="bo", page=True,
         worlds=FAILING),
    Case("a bridge that fails closes no page that is open to all", "/maybe", who="bo", worlds=FAILING,
         says="/maybe for nobody"),
    Case("a bridge that fails opens no unmarked page", "/unmarked", 503, "unavailable", who="bo", worlds=FAILING),
    Case("a bridge that fails opens nothing below a rule", "/ruled/staff", 503, "unavailable", who="bo",
         worlds=FAILING),
    Case("a bridge that fails leaves the app to itself", "/app/open", who="bo", worlds=FAILING),
    Case("a bridge that fails signs nobody out", "/app/bare-403", 503, "unavailable", who="bo", ran=True,
         worlds=FAILING),
    Case("a bridge that fails asks nobody to sign in", "/app/to-login", 503, "unavailable", who="bo", ran=True,
         worlds=FAILING),
)

WAITING = (
    Case("a bridge that waits lets in", "/member", who="bo", worlds=ASYNC, says="/member for bo"),
    Case("a bridge that waits refuses", "/report", 403, "not-permitted", who="bo", worlds=ASYNC),
    Case("a bridge that waits says why not", "/member", 401, "session-expired", who="expired", worlds=ASYNC),
    Case("a bridge that waits is asked below a rule", "/ruled/staff", 403, "not-permitted", who="bo", worlds=ASYNC),
    Case("a bridge that waits is asked by a view", "/asks", who="anna", worlds=ASYNC, says="/asks for anna"),
    Case("a bridge that waits is asked when the app refuses", "/app/bare-403", 401, "session-idle", "idle", ran=True,
         worlds=ASYNC),
)

GROUPS = {
    "Marks beside views": MARKS,
    "Sessions that are over": ENDED,
    "Decorators, classes and methods": ORDER,
    "Before the view, and the framework's own answers": BEFORE,
    "What the app decides by itself": APP,
    "A view that refuses": LATE,
    "Rules beside marks": RULED,
    "The store is away": STORE,
    "Other origins": ELSEWHERE,
    "A function that says who holds a permission": FUNCTION,
    "A bridge and nothing else": ALONE,
    "A bridge that fails": FAULTS,
    "A bridge that waits": WAITING,
}
AFTERWARDS = "what was sent is read after the refusal"
AFTER_A_RULE = "what was sent is read after the refusal by a rule"
"""Cases that are no rows: see `test_passing.py`."""

CASES = tuple(case for group in GROUPS.values() for case in group)
