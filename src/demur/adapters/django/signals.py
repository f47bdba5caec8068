"""What Django tells, and what demur does about it.

- `user_logged_in`: the session is told when it began, so that a view can ask for a fresh sign-in.
- `user_logged_out`: what ends now is ended by its person.
- Where demur keeps the sessions, what changes in the user table by way of its models is known to every session before
  the change is reported as done. A password that is changed ends the other sessions of its person.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from demur.adapters.django import config, people
from demur.adapters.django.bridge import SINCE
from demur.adapters.django.tombstones import STONE
from demur.core.model import Actor, Ending

if TYPE_CHECKING:
    from django.http import HttpRequest

    from demur.adapters.passed import Passed
    from demur.core.model import Subject
    from demur.core.ports import Store

HERE: ContextVar[Passed | None] = ContextVar("demur", default=None)
"""The request that is being answered, where demur keeps the sessions."""


def connect() -> None:
    """Listen; once for a process."""
    user_logged_in.connect(remember, dispatch_uid="demur")
    user_logged_out.connect(signed_out, dispatch_uid="demur")


def connect_people() -> None:
    """Listen to what changes in the user table."""
    table = get_user_model()
    post_save.connect(changed, sender=table, dispatch_uid="demur")
    post_delete.connect(deleted, sender=table, dispatch_uid="demur")
    if hasattr(table, "groups"):
        m2m_changed.connect(regrouped, sender=table.groups.through, dispatch_uid="demur")


def remember(sender: object, request: HttpRequest | None = None, **_: object) -> None:
    """Write into a new session when it began."""
    session = getattr(request, "session", None)
    if session is not None:
        session[SINCE] = int(time.time())
        session.pop(STONE, None)  # the session before it went on into this one


def signed_out(sender: object, request: HttpRequest | None = None, **_: object) -> None:
    """Somebody signs out; their session is emptied next."""
    visit = getattr(request, "_demur", None)
    if visit is not None and visit.who is not None:
        visit.who.login.signs_out()


# --- what changes in the table, where demur keeps the sessions ----------------------------------------


def changed(sender: object, instance: Any, **said: Any) -> None:  # noqa: ANN401 - signals say anything
    """Somebody's row was written."""
    if _kept() and not said.get("raw") and not said.get("created"):
        ended = getattr(instance, "_password", None) is not None
        transaction.on_commit(partial(_publish, instance.pk, str(instance.pk), ended=ended))


def regrouped(sender: object, **said: Any) -> None:  # noqa: ANN401
    """Somebody came into a group, or left one."""
    if not _kept() or not said["action"].startswith("post_"):
        return
    for pk in (said["pk_set"] or ()) if said["reverse"] else (said["instance"].pk,):
        transaction.on_commit(partial(_publish, pk, str(pk), ended=False))


def deleted(sender: object, instance: Any, **_: Any) -> None:  # noqa: ANN401
    """Somebody is gone. Afterwards the row has no key any more."""
    if _kept():
        transaction.on_commit(partial(_publish, instance.pk, str(instance.pk), ended=True))


def _kept() -> bool:
    return "store" in getattr(settings, "DEMUR", {})


def _publish(pk: object, subject: str, *, ended: bool) -> None:
    surface, here = config.surface(), HERE.get()
    row = get_user_model()._default_manager.filter(pk=pk).first()  # noqa: SLF001 - it has no other name
    known = people.snapshot(row) if row is not None else None
    own = here.session if here is not None and known is not None else None
    now = int(surface.guard.clock())
    keep = own.id if own is not None and own.subject == subject else None
    surface.guard.portal.run(_tell(surface.guard.store, known, subject, now, keep, ended=ended))


async def _tell(
    store: Store, known: Subject | None, subject: str, now: int, keep: bytes | None, *, ended: bool
) -> None:
    if known is not None:
        await store.publish(known)
    if ended:
        await store.end_all(subject, Ending.REVOKED, Actor.SYSTEM, now, keep=keep)
