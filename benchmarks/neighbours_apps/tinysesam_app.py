"""TinySesam as the answer to a proxy's question. Prints its port and a cookie of somebody who is signed in."""

from __future__ import annotations

import http.client
import logging
import socket
import sys
import threading
import time
import urllib.parse

import uvicorn
from fastapi import FastAPI
from tinysesam import TinySesam, TinySesamConfig  # type: ignore[import-not-found]

opened = socket.socket()
opened.bind(("127.0.0.1", 0))
port = opened.getsockname()[1]
logging.disable(logging.CRITICAL)
auth = TinySesam(
    TinySesamConfig(
        db_path=f"{sys.argv[1]}/tinysesam.db",
        base_url=f"http://127.0.0.1:{port}",
        cookie_secure=False,
        forward_auth_enabled=True,
    )
)
auth.ensure_admin("bob", "correct horse battery staple")
app = FastAPI()
app.include_router(auth.router())


def sign_in() -> str:
    """Sign in as a browser does: the page with its token first."""
    kept: dict[str, str] = {}

    def ask(method: str, path: str, body: str = "") -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in kept.items()), "Accept": "text/html"}
        if body:
            sent |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{port}"}
        connection.request(method, path, body or None, sent)
        answer = connection.getresponse()
        for each in answer.headers.get_all("set-cookie") or []:
            name, _, value = each.partition(";")[0].partition("=")
            kept[name] = value
        answer.read()

    ask("GET", "/auth/login")
    fields = {"username": "bob", "password": "correct horse battery staple", "_csrf": kept["tinysesam_csrf"]}
    ask("POST", "/auth/login", urllib.parse.urlencode(fields))
    return "; ".join(f"{name}={value}" for name, value in kept.items() if "csrf" not in name)


def announce() -> None:
    """Once it is served."""
    time.sleep(1)
    print(port, sign_in(), flush=True)


threading.Thread(target=announce, daemon=True).start()
config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="critical")
uvicorn.Server(config).run(sockets=[opened])
