"""What the page about a framework starts with: one file, one command that is pasted, and answers as they are seen.

- The first ```python block is the file; its first line is its name, `# app.py`. The first ```sh block is the command:
  it makes a virtual environment, and its last line serves port 8000.
- Each ```http block is a request and, from the line that begins with `HTTP/1.1`, what is seen of the answer. "…" on a
  line of its own is any number of lines, elsewhere anything on that line. `(none)` as a value: the field is not there.
- `<!-- before -->` above such a block: the app as it was without demur. That is the block `# before.py`, or else the
  file less every line that holds the word "demur".
- `Cookie: …` in a request sends the cookies that earlier blocks were given. `<!-- test: skip -->` leaves a block out.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

from tests.docs.console import pattern
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>before|test: skip) -->\n+)?```(?P<kind>python|sh|http)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LONGEST_START = 120


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and what is shown of its answer. `body` is None where none is shown."""

    before: bool
    method: str
    target: str
    fields: list[tuple[str, str]]
    sent: bytes
    status: str
    shown: list[tuple[str, str]]
    body: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """What is done on a page, with a port of the test's own."""

    name: str
    file: str
    before: str
    command: str
    exchanges: list[Exchange]
    port: int

    @property
    def serving(self) -> str:
        """The part of the command that serves."""
        return re.split(r"&&\s*\n", self.command)[-1]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: str
    fields: list[tuple[str, str]]
    body: str


def read(text: str) -> Page:
    """The page, or AssertionError with what it lacks."""
    port = free_port()
    text = re.sub(r"\b8000\b", str(port), text)
    blocks = [(each["mark"], each["kind"], each["text"]) for each in BLOCK.finditer(text)]
    code = [block for _, kind, block in blocks if kind == "python"]
    commands = [block for _, kind, block in blocks if kind == "sh"]
    assert code, "the page has no file"
    assert commands, "the page has no command"
    named = re.match(r"# (\w+\.py)\n", code[0])
    assert named is not None, "the first line of the file is its name"
    shown = [_exchange(block, mark) for mark, kind, block in blocks if kind == "http" and mark != "test: skip"]
    bare = "".join(line for line in code[0].splitlines(keepends=True) if "demur" not in line.lower())
    before = next((block for block in code if block.startswith("# before.py\n")), bare)
    return Page(named[1], code[0], before, commands[0], shown, port)


def _exchange(block: str, mark: str | None) -> Exchange:
    asked, start, answered = re.split(r"^(?=HTTP/1\.1 )()", block, maxsplit=1, flags=re.MULTILINE)
    assert not start
    head, _, sent = asked.partition("\n\n")
    line, *fields = head.strip().splitlines()
    method, target, _ = line.split(" ")
    seen, has_body, body = answered.partition("\n\n")
    status, *shown = seen.strip().splitlines()
    return Exchange(
        mark == "before",
        method,
        target,
        [_field(each) for each in fields],
        sent.strip("\n").encode(),
        status.removeprefix("HTTP/1.1 "),
        [_field(each) for each in shown if each != "…"],
        body.strip("\n") if has_body else None,
    )


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def differences(exchange: Exchange, answer: Answer) -> list[str]:
    """What is not as the page shows it."""
    found = [f"status {answer.status}"] if answer.status != exchange.status else []
    for name, value in exchange.shown:
        sent = [each for key, each in answer.fields if key == name]
        fits = not sent if value == "(none)" else any(pattern(value).fullmatch(each) for each in sent)
        if not fits:
            found.append(f"{name}: {sent}, not {value!r}")
    if exchange.body is not None and not pattern(exchange.body).fullmatch(answer.body.strip("\n")):
        found.append(f"body {answer.body!r}, not {exchange.body!r}")
    return found


@dataclass(slots=True)
class Visitor:
    """Who asks, and keeps cookies as a browser does that takes http on this machine for safe."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, exchange: Exchange) -> Answer:
        """Send the request of a block."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(exchange.method, exchange.target, skip_host=True, skip_accept_encoding=True)
            for name, value in self._fields(exchange):
                connection.putheader(name, value)
            connection.endheaders(exchange.sent or None)
            response = connection.getresponse()
            fields = [(name.lower(), value) for name, value in response.getheaders()]
            body = response.read().decode()
        finally:
            connection.close()
        for name, value in fields:
            if name == "set-cookie":
                self._keep(value)
        return Answer(f"{response.status} {response.reason}", fields, body)

    def _fields(self, exchange: Exchange) -> list[tuple[str, str]]:
        named = {name for name, _ in exchange.fields}
        fields = [] if "host" in named else [("host", f"localhost:{self.port}")]
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        fields += [(name, kept if (name, value) == ("cookie", "…") else value) for name, value in exchange.fields]
        if exchange.sent or exchange.method in {"POST", "PUT", "PATCH"}:
            fields.append(("content-length", str(len(exchange.sent))))
        return fields

    def _keep(self, value: str) -> None:
        pair, *attributes = value.split(";")
        name, _, text = pair.strip().partition("=")
        if any(each.strip().lower() == "max-age=0" for each in attributes):
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = text


# --- a machine that has nothing but Python --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Machine:
    """A folder in which pages are tried. `wheel` is demur as it is built from this tree; anything else comes in the
    version of uv.lock, from uv's cache where it is there."""

    folder: Path
    wheel: Path

    @contextmanager
    def pasted(self, page: Page, folder: str, file: str, command: str) -> Iterator[Path]:
        """The file saved, and the command running until the block ends; its folder."""
        place = self.folder / folder
        place.mkdir()
        (place / page.name).write_text(file)
        if (shared := self.folder / "after" / ".venv").exists():
            (place / ".venv").symlink_to(shared)
        log = place / "log"
        with log.open("wb") as said:
            running = subprocess.Popen(
                ["sh", "-c", command],
                cwd=place,
                env=self._environment(),
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            _wait(page.port, running, log)
            yield place
        finally:
            os.killpg(running.pid, signal.SIGTERM)
            running.wait(20)
            _wait_for_the_end(page.port)
            _wait_for_all(running.pid)

    def _environment(self) -> dict[str, str]:
        tools = self.folder / "tools"
        return {
            "PATH": f"{tools}:/usr/bin:/bin",
            "HOME": os.environ["HOME"],
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }


def machine(folder: Path, made: Path) -> Machine:
    """A machine with `python3`, whose virtual environments get what they are told to from uv. In `made` is the wheel,
    or else it is built there."""
    uv = Path(sys.executable).with_name("uv")
    if not list(made.glob("*.whl")):
        subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", made, ROOT], check=True)
    (wheel,) = made.glob("*.whl")
    export = [str(uv), "export", "--quiet", "--frozen", "--no-hashes", "--no-annotate", "--no-emit-project"]
    export += ["--all-groups", "--all-extras", "--project", str(ROOT)]
    locked = subprocess.run(export, check=True, capture_output=True, text=True).stdout
    versions = folder / "constraints.txt"
    versions.write_text(f"{locked}\ndemur @ {wheel.as_uri()}\n")
    install = f"{uv} pip install --quiet --python .venv/bin/python --constraint {versions}"
    pip = _program(
        folder / "tools" / "pip",
        f'[ "$1" = install ] || exit 2; shift\n{install} --offline "$@" 2>/dev/null || exec {install} "$@"',
    )
    venv = f"{sys.executable} -m venv --without-pip .venv && ln -s {pip} .venv/bin/pip"
    _program(folder / "tools" / "python3", f'[ "$*" = "-m venv .venv" ] || exit 2\n{venv}')
    return Machine(folder, wheel)


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _wait_for_all(group: int) -> None:
    """Until nothing of a command is left: the shell is gone before the server that it ran."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


def _wait(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline and running.poll() is None:
        if _listens(port):
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _wait_for_the_end(port: int) -> None:
    """Of the server, which may outlive the shell that started it."""
    deadline = time.monotonic() + 20
    while _listens(port):
        assert time.monotonic() < deadline, "what was started does not stop"
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
