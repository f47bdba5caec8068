"""The people of Django's user table, for demur's own sessions: who may sign in, and what they may.

- Passwords are Django's: checked and renewed by its hashers, and kept where Django keeps them.
- A subject's id is the primary key of its row, its groups are Django's groups; who is not active may not sign in.
- What a permission is called that the table of `settings.DEMUR` does not name, Django's own backends know.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password, verify_password
from django.core.exceptions import ValidationError
from django.db import Error as DatabaseError
from django.db import close_old_connections

from demur.adapters.django import bridge
from demur.authenticators.pool import Pool
from demur.core.model import StoreUnavailable, Subject
from demur.core.ports import Account, Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


T = TypeVar("T")


class Users:
    """Django's user table as demur's `People`."""

    async def by_name(self, name: str) -> Account | None:
        """The account of that name."""
        return await _asked(partial(_account, lambda table: table._default_manager.get_by_natural_key(name)))  # noqa: SLF001

    async def by_id(self, subject: str) -> Account | None:
        """The account of that primary key."""
        return await _asked(partial(_account, lambda table: table._default_manager.get(pk=subject)))  # noqa: SLF001

    async def set_password(self, subject: str, encoded: str, *, replacing: str | None = None) -> bool:
        """Store a new hash; with `replacing`, only in place of that one."""
        only = {} if replacing is None else {"password": replacing}
        table = get_user_model()._default_manager  # noqa: SLF001 - it has no other name
        return await _asked(lambda: bool(table.filter(pk=subject, **only).update(password=encoded)))


class Hasher:
    """Django's `PASSWORD_HASHERS` as demur's `PasswordHasher`, two at once in threads of their own."""

    def __init__(self) -> None:
        self._pool = Pool(2, 64)

    async def verify(self, password: str, encoded: str | None) -> Verified:
        """Check a password. Without a hash it costs the same."""
        return await self._pool.run(partial(_verified, password, encoded))

    async def hash(self, password: str) -> str:
        """Make a hash to store."""
        return await self._pool.run(partial(make_password, password))


def _verified(password: str, encoded: str | None) -> Verified:
    right, outdated = verify_password(password, encoded if encoded is not None else make_password(None))
    return Verified(right, make_password(password) if right and outdated else None)


def _account(find: Callable[[Any], Any]) -> Account | None:
    table = get_user_model()
    try:
        row = find(table)
    except (table.DoesNotExist, ValueError):
        return None
    return Account(snapshot(row), row.password if row.has_usable_password() else None, not row.is_active)


def snapshot(row: Any) -> Subject:  # noqa: ANN401 - a project's own user
    """What is kept of somebody beside their sessions."""
    subject = bridge.person(row).subject
    # Whoever reads later knows better.
    version = time.time_ns() // 1000
    return Subject(
        subject.id,
        subject.name,
        bridge.groups(row),
        suspended=not row.is_active,
        version=version,
        display_name=subject.display_name,
        email=subject.email,
    )


async def _asked(work: Callable[[], T]) -> T:
    return await sync_to_async(_alone, thread_sensitive=False)(work)


def _alone(work: Callable[[], T]) -> T:
    """Ask the database in a thread that belongs to no request."""
    close_old_connections()
    try:
        return work()
    except DatabaseError as down:
        raise StoreUnavailable(f"Django's database: {down}") from down
    finally:
        close_old_connections()


def user(subject: Subject | None) -> Any:  # noqa: ANN401 - a project's own user
    """The row of somebody; Django's nobody, if there is none or it is not active."""
    from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415 - models come after their apps

    if subject is None:
        return AnonymousUser()
    try:
        row = get_user_model()._default_manager.filter(pk=subject.id).first()  # noqa: SLF001
    except (ValueError, ValidationError):  # no key of this table: another bridge's, or a test's
        return AnonymousUser()
    return row if row is not None and row.is_active else AnonymousUser()


def table() -> dict[str, frozenset[str]]:
    """Which groups hold which permission, as `settings.DEMUR` says. Other permissions are Django's."""
    given = getattr(settings, "DEMUR", {}).get("permissions", {})
    return {name: frozenset(groups) for name, groups in given.items()}


def permits(subject: Subject, permission: str, captures: Mapping[str, str]) -> bool:
    """Whether somebody holds a permission: by the table of `settings.DEMUR`, or by Django's own backends."""
    named = table().get(permission)
    return bool(named & subject.groups) if named is not None else bool(user(subject).has_perm(permission))
