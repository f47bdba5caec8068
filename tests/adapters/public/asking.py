"""An app that runs, as it was published or with the added lines, and what it answers.

It imports nothing of ours: what is right is said by RFC 9110 and by the tests.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.adapters.public.apps import APPS, Ask, start_project
    from tests.adapters.public.sources import copy, sources
else:
    from apps import APPS, Ask, start_project
    from sources import copy, sources

Given: TypeAlias = "dict[str, Ask | str]"
FOLDER: Final = Path(__file__).parent
_PORT: Final = re.compile(r"http(?:://|%3A%2F%2F)localhost(?::|%3A)[0-9]+")
ROWS: Final = (
    "signed in",
    "nothing sent, page",
    "nothing sent, fetch",
    "nothing sent, redirected",
    "bad",
    "expired",
    "signed out",
    "revoked",
    "forbidden",
    "forbidden, not staff",
    "bad Bearer",
    "POST",
    "HEAD",
    "preflight",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Names of fields in lower case."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for each, value in self.fields if each == name]

    def get(self, name: str) -> str:
        """The value of a field, "" if it is not there."""
        return ", ".join(self.all(name))

    def cookies(self) -> str:
        """The cookies that it sets, as they come back."""
        return "; ".join(value.partition(";")[0] for value in self.all("set-cookie"))

    @property
    def problem(self) -> dict[str, Any]:
        """The problem (RFC 9457) that it is about, in a page or by itself; empty if there is none."""
        text = self.body.decode("utf-8", "replace")
        if "html" in self.get("content-type"):
            found = re.search(r'<script[^>]*type="application/problem\+json"[^>]*>(.*?)</script>', text, re.DOTALL)
            return dict(json.loads(found[1])) if found else {}
        return dict(json.loads(text)) if "problem+json" in self.get("content-type") and text else {}


@dataclass(slots=True)
class Asking:
    """An app that runs."""

    folder: Path
    port: int
    process: subprocess.Popen[str]

    def send(self, method: str, path: str, fields: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """Ask it for something."""
        connection = http.client.HTTPConnection("localhost", self.port, timeout=30)
        try:
            connection.request(method, path, body or None, dict(fields or {}))
            said = connection.getresponse()
            lines = tuple((name.lower(), value) for name, value in said.getheaders())
            return Answer(said.status, lines, said.read())
        finally:
            connection.close()

    def control(self, *said: str) -> str:
        """Have something done in its process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(said), file=self.process.stdin, flush=True)
        answered = json.loads(self.process.stdout.readline())
        assert "done" in answered, answered
        return str(answered["done"])


@contextmanager
def running(key: str, side: str, folder: Path) -> Iterator[Asking]:
    """An app, served from a folder of its own until the end. Raises Away if it cannot be had."""
    source = sources()[key]
    if key == "django":
        copy(source, folder / "template")
        start_project(folder, folder / "template")
    else:
        copy(source, folder)
    if side == "after":
        shutil.copyfile(FOLDER / "added" / f"{key}.py", folder / "guarded.py")
    with socket.socket() as opened, (folder / "log").open("wb") as log:
        opened.bind(("127.0.0.1", 0))
        opened.listen(64)
        port, descriptor = opened.getsockname()[1], opened.fileno()
        command = [sys.executable, str(FOLDER / "serve.py"), key, side, str(folder), str(descriptor)]
        process = subprocess.Popen(
            command, pass_fds=[descriptor], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        yield _awaited(Asking(folder, port, process))
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _awaited(asking: Asking) -> Asking:
    """The socket listens already: whoever connects early waits. A process that ends without serving says why."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and asking.process.poll() is None:
        try:
            asking.send("GET", "/favicon.ico")
        except OSError:
            time.sleep(0.05)
        else:
            return asking
    raise AssertionError((asking.folder / "log").read_text())


def answers(asking: Asking, key: str) -> dict[str, Answer | str]:
    """What an app answers to each row; why there is no answer, where there cannot be one."""
    given = APPS[key].given(asking)
    unknown = given.keys() - {*ROWS}
    assert not unknown, unknown
    return {
        row: said if isinstance(said, str) else asking.send(said.method, said.path, said.fields, said.body)
        for row in ROWS
        if (said := given.get(row)) is not None
    }


def brief(answer: Answer | str) -> str:
    """An answer in the words of the table."""
    if isinstance(answer, str):
        return answer
    parts = [str(answer.status)]
    if location := answer.get("location"):
        parts.append(f"to `{_PORT.sub('', location)}`")
    if answer.status == 401 or answer.all("www-authenticate"):
        schemes = [value.partition(" ")[0] for value in answer.all("www-authenticate")]
        errors = re.findall(r'error="([^"]+)"', answer.get("www-authenticate"))
        parts.append(
            " and ".join(schemes) + "".join(f", `{each}`" for each in errors[:1]) if schemes else "no challenge"
        )
    if reason := answer.problem.get("reason"):
        parts.append(f"**{reason}**")
    return ", ".join(parts)
