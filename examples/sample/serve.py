"""Start the sample site behind demur: what `make serve` does.

Everything that is made stands in one folder (`--state`, or `.demur/` beside the checkout's other files): the
configuration (a copy of demur.toml here, yours to play with), people, sessions, keys. A second start finds it and
changes three lines.
Two processes run: the site on a free loopback port, and `demur serve` before it. Ctrl-C stops both.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
DEMUR = Path(sys.executable).with_name("demur")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the sample. The passwords are printed: they protect nothing."""

    name: str
    password: str
    groups: tuple[str, ...]
    about: str


PEOPLE = (
    Person("alice", "alice-sows-poppies", ("admins", "members", "staff"), "runs the library"),
    Person("bob", "bob-borrows-beans", ("members",), "a member"),
    Person("carol", "carol-counts-carrots", (), "has an account, and no group"),
)


def stop(*lines: str) -> NoReturn:
    """Say what is wrong and what to do, and end."""
    raise SystemExit("\n".join(f"demur: {line}" for line in lines))


def listen_free() -> socket.socket:
    """A socket on a free loopback port, open before anybody is told its number."""
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    free.listen(128)
    free.set_inheritable(True)
    return free


def check_port(host: str, port: int) -> None:
    """End with advice if the port cannot be had."""
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, port))
    except PermissionError:
        stop(f"port {port} is for root only. Take another one:", "  PORT=8001 make serve")
    except OSError:
        stop(f"port {port} is in use. Take another one:", f"  PORT={port + 1} make serve")
    finally:
        probe.close()


def write_configuration(path: Path, *, listen: str, origin: str, upstream: str) -> None:
    """Copy the sample's configuration once; after that change only what is said to be set at start."""
    text = (path if path.exists() else HERE / "demur.toml").read_text()
    for key, value in {"listen": listen, "origin": origin, "upstream": upstream}.items():
        text = re.sub(rf'(?m)^{key} = "[^"]*"( *# set at start)$', rf'{key} = "{value}"\1', text)
    path.write_text(text)


def demur(*arguments: str, config: Path, stdin: str = "") -> str:
    """Run the command and give back what it wrote."""
    done = subprocess.run(
        [DEMUR, *arguments, "--config", config], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        stop(f"`demur {' '.join(arguments)}` failed:", *(done.stderr or done.stdout).strip().splitlines())
    return done.stdout


def add_people(config: Path) -> None:
    """Add whoever of the sample is not there yet, once. People who were changed by hand stay as they are."""
    done = config.with_name("people-added")
    if done.exists() and config.with_name("accounts.db").exists():
        return
    there = {person["name"] for person in json.loads(demur("user", "list", "--json", config=config))}
    for person in PEOPLE:
        if person.name not in there:
            groups = [word for group in person.groups for word in ("--group", group)]
            named = ("--display-name", person.name.title(), "--password-stdin")
            demur("user", "add", person.name, *groups, *named, config=config, stdin=person.password)
    done.touch()


def banner(origin: str, config: Path) -> str:
    """What to try."""
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    people = "\n".join(
        f"      {p.name:<7}{p.password:<23}{p.about}{': ' if p.groups else ''}{', '.join(p.groups)}" for p in PEOPLE
    )
    return f"""
  {bold}Hollow Lane Seed Library{plain}, behind demur     {bold}{origin}{plain}

  Sign in as
{people}

  Try in the browser
      {origin}/members/    a page for everybody who is signed in, and a script that asks an API
      {origin}/admin/      administrators only; after 15 minutes it asks again who you are
      {origin}/vault/      for keepers; to everybody else a page that does not exist
      {origin}/try/        every reason live, and what the page does about each

  Try in another terminal
      curl -i {origin}/api/shelf                                            401: nobody is signed in
      curl -i -H 'Cookie: demur-dev=made-up' {origin}/api/shelf             401: and that was not a session
      curl -c jar -d username=carol -d password=carol-counts-carrots {origin}/.demur/sign-in
      curl -i -b jar {origin}/api/shelf                                     403: carol is no member
      .venv/bin/demur sessions end --user carol --config {config}
      curl -i -b jar {origin}/api/shelf                                     401: an administrator ended it

  Its configuration, people and sessions are in {config.parent}/. Ctrl-C stops everything.
"""


def shown(path: Path) -> Path:
    """A path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def answers(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start(site: socket.socket, config: Path) -> list[subprocess.Popen[bytes]]:
    """The two processes: the site, which is given its open socket, and demur."""
    uvicorn = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(HERE), "--fd", str(site.fileno())]
    # Both stay in our process group: whatever ends the group ends them. Where the sessions are is for /try/ alone.
    behind = subprocess.Popen(
        [*uvicorn, "--log-level", "warning", "--lifespan", "off", "--no-server-header"],
        pass_fds=[site.fileno()],
        env={**os.environ, "SAMPLE_STATE": str(config.parent)},
    )
    before = subprocess.Popen([DEMUR, "serve", "--config", config])
    return [before, behind]


def stop_all(processes: list[subprocess.Popen[bytes]], patience: float = 10) -> None:
    """Stop demur first, so that nobody meets a gateway without a site."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _on_signal(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def run(processes: list[subprocess.Popen[bytes]], port: int, origin: str, config: Path) -> int:
    """Wait for the first to end, or for somebody to say stop; the exit status."""
    welcomed = False
    try:
        while all(process.poll() is None for process in processes):
            if not welcomed and answers(port):
                print(banner(origin, shown(config)), flush=True)
                welcomed = True
            time.sleep(0.2 if welcomed else 0.05)
    except KeyboardInterrupt:
        print("\ndemur: stopping", flush=True)
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop_all(processes)
    print("demur: one of the two processes ended by itself, so the other was stopped", file=sys.stderr)
    return 1


def main() -> int:
    """Read the arguments, make what is missing, start, wait."""
    parser = argparse.ArgumentParser(description="Start the sample site behind demur.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--host", default="0.0.0.0", help="where to listen; any address but the origin's gets a 421")
    parser.add_argument("--state", type=Path, default=CHECKOUT / ".demur", help="the folder for everything it makes")
    arguments = parser.parse_args()
    if not 0 < arguments.port < 65536:
        stop(f"{arguments.port} is not a port.")

    check_port(arguments.host, arguments.port)
    state = arguments.state.resolve()
    state.mkdir(mode=0o700, exist_ok=True)
    config, origin, site = state / "demur.toml", f"http://localhost:{arguments.port}", listen_free()
    upstream = f"http://127.0.0.1:{site.getsockname()[1]}"
    write_configuration(config, listen=f"{arguments.host}:{arguments.port}", origin=origin, upstream=upstream)
    add_people(config)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    return run(start(site, config), arguments.port, origin, config)


if __name__ == "__main__":
    raise SystemExit(main())
