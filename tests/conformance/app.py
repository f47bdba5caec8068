"""An app with the middleware around it, as the how-to page builds it, under plain uvicorn: `app.py CONFIG PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from demur import Demur, Guard, accounts, stores
from demur.adapters.asgi import Surface
from demur.authenticators.password import Argon2Hasher
from demur.authenticators.throttle import Throttle
from demur.core import page
from demur.gateway.config import tables
from demur.gateway.proxy.forward import Proxy
from demur.pages.kept import KeptPage
from demur.pages.router import Pages
from demur.pages.signin import SignInPages
from demur.signin.basic import BasicPasswords
from demur.signin.kept import KeptForms
from demur.signin.password import PasswordSignIn
from demur.signin.sessions import Sessions
from demur.stores.keys import FileKeys


def build(path: Path) -> Demur:
    """The app: whatever is behind is reached over HTTP, so that the tests see what came through."""
    config = tables.read(path)
    (site,) = config.sites()
    store = stores.open(config.sessions.store)
    keys = FileKeys(path.parent / "keys")
    people = accounts.open(config.accounts.database, store)
    sessions = Sessions(store, keys, config.sessions.lasting)
    hasher, throttle = Argon2Hasher(), Throttle(store)
    sign_in = PasswordSignIn(people, hasher, throttle, sessions)
    guard = Guard(site, store, keys, passwords=BasicPasswords(people, hasher, throttle))
    idle = config.sessions.lasting.idle
    kept = KeptForms(store)
    pages = SignInPages(sign_in, sessions, page.DEFAULT, idle=idle, kept=kept)
    routes = {**pages.routes(), **KeptPage(kept).routes()}
    upstream = config.site[0].upstream
    assert upstream is not None
    served = Pages(guard, page.DEFAULT, routes, idle=idle)
    return Demur(Proxy(upstream), Surface(guard, served, page.DEFAULT, idle=idle), kept=kept)


if __name__ == "__main__":
    uvicorn.run(build(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", lifespan="off")
