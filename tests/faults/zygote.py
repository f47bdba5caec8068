"""Workers to be killed: a program that has everything ready, and forks one for each line that it reads.

    zygote.py CONFIG < plans

A plan is a JSON list of things to do, `[["sign_in", NAME], ["rotate", NAME, TOKEN], …]`. A worker does them through the
pages and the accounts of a gateway, and says on standard output, in one line each, what it begins and what was
acknowledged. `null` for a token is the one that the worker was given last. Whoever reads kills it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from argon2 import Parameters, Type

from demur import accounts
from demur.accounts.people import New
from demur.authenticators.password import Argon2Hasher
from demur.gateway.app import Gateway, build
from demur.gateway.config.findings import load

CHEAP = Parameters(type=Type.ID, version=19, salt_len=16, hash_len=16, time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "rivet and rope"


def say(**what: Any) -> None:
    """One line, written at once: a pipe keeps so few bytes together (POSIX, PIPE_BUF)."""
    os.write(1, json.dumps(what).encode() + b"\n")


class Worker:
    """One process of a gateway, and the people who send it requests."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._tokens: dict[str, str] = {}
        self._host = str(gateway.config.site[0].origin).partition("://")[2].encode()

    async def work(self, plan: list[list[str]]) -> None:
        """Do all of it, and wait to be killed. Everything is open before, or few would come to the second thing."""
        parts = self._gateway._parts
        await parts.store.check()
        await parts.people.find("nobody")
        await parts.hasher.verify("x", None)
        for number, (what, name, *token) in enumerate(plan):
            say(begins=number)
            told = await self._do(what, name, self._tokens.get(name) or (token[0] if token else ""))
            say(done=number, told=told)
        say(idle=True)
        await asyncio.Event().wait()

    async def _do(self, what: str, name: str, token: str) -> str | int:
        if what == "sign_in":
            return await self._sign_in(name, {"username": name, "password": PASSWORD}, "")
        if what == "rotate":
            return await self._sign_in(name, {"password": PASSWORD}, token)
        if what == "sign_out":
            return (await self._post("/.demur/sign-out", {"a": "1"}, token))[0]
        people = self._gateway._parts.people
        groups = {"add": ["staff"]} if what == "add" else {"remove": ["staff"]}
        await people.set_groups(name, by="test", **groups)
        return "done"

    async def _sign_in(self, name: str, form: dict[str, str], token: str) -> str | int:
        status, cookie = await self._post("/.demur/sign-in", form, token)
        if status != 200:
            return status
        self._tokens[name] = cookie.partition("=")[2].partition(";")[0]
        return self._tokens[name]

    async def _post(self, target: str, form: dict[str, str], token: str) -> tuple[int, str]:
        body = urlencode(form).encode()
        fields = [(b"host", self._host), (b"content-length", str(len(body)).encode())]
        fields += [(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")]
        fields += [(b"sec-fetch-site", b"same-origin"), (b"sec-fetch-mode", b"cors")]
        fields += [(b"cookie", b"demur-dev=" + token.encode())] if token else []
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": target,
            "raw_path": target.encode(),
            "query_string": b"",
        }
        scope |= {"scheme": "http", "headers": fields, "client": ("192.0.2.7", 1), "extensions": {}}
        came: list[Any] = []
        sent = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return sent.pop() if sent else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            came.append(message)

        await self._gateway.public(scope, receive, send)
        given = dict(came[0]["headers"])
        return came[0]["status"], given.get(b"set-cookie", b"").decode()


async def enlist(gateway: Gateway, database: str, count: int) -> None:
    """The people, for whoever needs them."""
    people = accounts.open(database)
    hasher = Argon2Hasher(CHEAP)
    encoded = await hasher.hash(PASSWORD)
    await people.add_all([New(f"p{n}", frozenset({"staff"}), encoded=encoded) for n in range(count)], by="test")
    hasher.close()
    await people.aclose()
    del gateway


def main(config: Path, people: int) -> None:
    """Fork until there are no more lines."""
    read = load(config)
    given = read.model_copy(update={"accounts": read.accounts.model_copy(update={"hashing": CHEAP})})
    gateway = build(given)
    asyncio.run(enlist(gateway, given.accounts.database, people))
    gc.collect()
    gc.freeze()  # or every worker would copy all of it, when it collects for the first time
    say(ready=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(Worker(gateway).work(json.loads(line)))
            finally:
                os._exit(1)
        say(pid=pid)
        _, status = os.waitpid(pid, 0)
        say(gone=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
