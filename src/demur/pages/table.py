"""Every page of a site by its address, as a surface mounts them: one table for gateways and apps alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demur.core.model import Access
from demur.pages.kept import KeptPage
from demur.pages.openapi import described
from demur.pages.router import Route
from demur.pages.sessions import SessionsPage
from demur.pages.signin import SignInPages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demur.core.ports import PasswordHasher, Renderer, Store
    from demur.pages.account import OwnPasswords
    from demur.signin.kept import KeptForms
    from demur.signin.password import PasswordSignIn
    from demur.signin.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Mounted:
    """What the pages are made of. `idle` is the inactivity limit in seconds; `own` is where people change their own
    passwords, None if that is done elsewhere; `kept` keeps what was sent in vain, None if nothing does."""

    store: Store
    sessions: Sessions
    sign_in: PasswordSignIn
    hasher: PasswordHasher
    renderer: Renderer
    idle: int
    own: OwnPasswords | None = None
    kept: KeptForms | None = None

    def routes(self) -> Mapping[str, Route]:
        """The table."""
        mine = SessionsPage(self.store)
        routes = {
            **SignInPages(self.sign_in, self.sessions, self.renderer, idle=self.idle, kept=self.kept).routes(),
            "sessions": Route(mine.get, mine.post, Access.REQUIRED),
        }
        if self.kept is not None:
            routes.update(KeptPage(self.kept).routes())
        if self.own is not None:
            from demur.pages.account import AccountPage  # noqa: PLC0415 - needs demur's own accounts

            account = AccountPage(self.own, self.hasher, self.sign_in)
            routes["account"] = Route(account.get, account.post, Access.REQUIRED)
        return described(routes)
