"""The parent of the workers: it holds the sockets, and has neither threads nor an event loop, so that it can fork.

- "Listening" is said when all workers are ready, and not before.
- A new configuration (SIGHUP) gets a new generation of workers. The old one goes on until the new one is ready and
  then finishes what it has begun; the listening sockets stay open all the time, so no connection is refused. If the
  configuration cannot be used, this is said and the old one stays.
- A worker that ends is replaced, ever more slowly if that goes on. One that cannot even start ends everything the
  first time; later its generation is given up.
- When the parent is gone, however, the workers notice and end, too.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar

from demur.core.model import ConfigError
from demur.gateway.server import sockets, worker
from demur.gateway.server.worker import READY, SIGNALS

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterator

    from demur.gateway.config.addresses import Address
    from demur.gateway.server.worker import Built, Configured, Listening

METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where workers keep their numbers, so that any of them can tell those of all. Has to be set before
prometheus_client is imported."""

_BACKOFF: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_STEADY: Final = 30.0  # a worker that has lived so long is not in a series of failures
_MARGIN: Final = 5.0  # how much longer than its own limit a worker may take to end
_START: Final = 60.0


C = TypeVar("C", bound="Configured")


def run(
    load: Callable[[], C],
    build: Callable[[C], Built],
    *,
    ready: Callable[[C], None] = lambda _: None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Serve until told to stop, and give the exit status: 0, or 130 where somebody could not wait (SIGINT twice).

    `load` reads the configuration, at the start and at each SIGHUP, and `build` makes the apps of one worker from it;
    both raise ConfigError. `ready` is called once, when connections are accepted. `say` is given lines for whoever
    runs it (default: standard error). Raises ConfigError if the first configuration cannot be served.
    """
    config = load()
    with tempfile.TemporaryDirectory(prefix="demur-metrics-") as folder, _environment(METRICS, folder):
        return _Parent(load, build, ready, say or _to_stderr, Path(folder)).run(config)


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


# --- generations ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Worker:
    """A child: its place in its generation, its process id, and the pipe on which it tells how its start went."""

    index: int
    pid: int
    pipe: int
    born: float
    heard: bytes = b""
    ready: bool = False
    silent: bool = False

    @property
    def is_starting(self) -> bool:
        return not self.ready and not self.silent


@dataclass(slots=True)
class _Generation(Generic[C]):
    """The workers of one configuration."""

    config: C
    tls: ssl.SSLContext | None
    sockets: dict[str, socket.socket]
    workers: dict[int, _Worker] = field(default_factory=dict)
    failures: int = 0
    due: list[tuple[float, int]] = field(default_factory=list)
    started: bool = False
    deadline: float | None = None

    @property
    def is_ready(self) -> bool:
        return len(self.workers) == self.config.gateway.workers and all(one.ready for one in self.workers.values())


class _Stop(Exception):  # noqa: N818 - an end, not an error
    """Somebody could not wait."""


class _Parent(Generic[C]):
    """Everything that the parent knows."""

    def __init__(
        self,
        load: Callable[[], C],
        build: Callable[[C], Built],
        ready: Callable[[C], None],
        say: Callable[[str], None],
        folder: Path,
    ) -> None:
        self._load = load
        self._build = build
        self._ready = ready
        self._say = say
        self._folder = folder
        self._sockets: dict[tuple[str, str], socket.socket] = {}
        self._current: _Generation[C] | None = None
        self._next: _Generation[C] | None = None
        self._old: list[_Generation[C]] = []
        self._ending = False
        self._again = False
        self._signals: list[int] = []
        self._life = os.pipe()
        self._wake = os.pipe()
        for end in self._wake:
            os.set_blocking(end, False)

    def run(self, config: C) -> int:
        """Serve; the exit status."""
        before = {sign: signal.signal(sign, self._note) for sign in SIGNALS}
        wakeup = signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        try:
            if few := worker.too_few_files():
                self._say(few)
            self._next = self._begin(config)
            while self._turn():
                pass
        except _Stop:
            self._kill(signal.SIGKILL)
            return 130
        except BaseException:
            self._kill(signal.SIGKILL)
            raise
        finally:
            signal.set_wakeup_fd(wakeup)
            for sign, handler in before.items():
                signal.signal(sign, handler)
            self._close()
        return 0

    def _note(self, number: int, _frame: object) -> None:
        self._signals.append(number)

    # --- one turn

    def _turn(self) -> bool:
        """Wait for something to happen and deal with it. Whether there is more to wait for."""
        pipes = [one.pipe for generation in self._all() for one in generation.workers.values() if one.is_starting]
        readable, _, _ = select.select([self._wake[0], *pipes], [], [], self._patience())
        if self._wake[0] in readable:
            with contextlib.suppress(BlockingIOError):
                while os.read(self._wake[0], 512):
                    pass
        for number in self._take_signals():
            self._signal(number)
        for generation in list(self._all()):
            for one in list(generation.workers.values()):
                if one.pipe in readable:
                    self._hear(generation, one)
        self._reap()
        self._overdue()
        return not (self._ending and not any(generation.workers for generation in self._all()))

    def _take_signals(self) -> list[int]:
        taken, self._signals = self._signals, []
        return taken

    def _patience(self) -> float | None:
        times = [when for generation in self._all() for when, _ in generation.due]
        times += [generation.deadline for generation in self._all() if generation.deadline is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _signal(self, number: int) -> None:
        if number in {signal.SIGTERM, signal.SIGINT}:
            if self._ending and number == signal.SIGINT:
                raise _Stop
            self._end()
        elif number == signal.SIGHUP and not self._ending:
            self._reload()

    def _all(self) -> Iterator[_Generation[C]]:
        for generation in (self._current, self._next, *self._old):
            if generation is not None:
                yield generation

    # --- beginning and end

    def _begin(self, config: C) -> _Generation[C]:
        """Start the workers of a configuration. Raises ConfigError."""
        gateway = config.gateway
        tls = None
        if gateway.tls is not None:
            from demur.gateway.server.serve import tls_context  # noqa: PLC0415 - the parent needs the server for this only

            tls = tls_context(gateway.tls.certificate, gateway.tls.key)
        generation = _Generation(config, tls, self._bind(gateway))
        generation.deadline = time.monotonic() + _START
        for index in range(gateway.workers):
            self._fork(generation, index)
        return generation

    def _bind(self, gateway: Listening) -> dict[str, socket.socket]:
        """The sockets by name. Those that are open already stay so."""
        bound: dict[str, socket.socket] = {}
        for name in ("listen", "check_listen", "admin_listen"):
            address: Address | None = getattr(gateway, name)
            if address is None:
                continue
            # "Any free port" is another one for each name.
            key = (str(address), "" if address.port or address.path else name)
            if key not in self._sockets:
                self._sockets[key] = sockets.bind(address, f"gateway.{name}")
            bound[name] = self._sockets[key]
        return bound

    def _reload(self) -> None:
        if self._next is not None:
            # One after the other: ask again when this one has come up, or has not.
            self._say("demur: a new configuration is being started already; it is read again afterwards")
            self._again = True
            return
        self._again = False
        try:
            self._next = self._begin(self._load())
        except (ConfigError, OSError) as error:
            self._say(f"demur: the new configuration is not used, the old one stays: {error}")
            self._forget_sockets()
        except Exception:  # noqa: BLE001 - whatever it is, what runs goes on
            self._say(f"demur: the new configuration is not used, the old one stays:\n{traceback.format_exc()}")
            self._forget_sockets()

    def _end(self) -> None:
        if self._ending:
            return
        self._ending = True
        self._say("demur: finishing what is open, and then ending (once more Ctrl-C to end at once)")
        for generation in self._all():
            self._retire(generation)
        # Who connects from now on shall be refused at once, and go elsewhere, and not wait for nobody.
        for sock in self._sockets.values():
            sockets.close(sock)
        self._sockets.clear()

    def _retire(self, generation: _Generation[C]) -> None:
        """Let the workers finish."""
        generation.due.clear()
        generation.started = True
        generation.deadline = time.monotonic() + generation.config.gateway.drain + _MARGIN
        for pid in generation.workers:
            _send(pid, signal.SIGTERM)

    def _overdue(self) -> None:
        now = time.monotonic()
        for generation in list(self._all()):
            for when, index in list(generation.due):
                if when <= now:
                    generation.due.remove((when, index))
                    self._fork(generation, index)
            if generation.deadline is None or generation.deadline > now:
                continue
            generation.deadline = None
            if generation is self._next and not generation.started:
                self._give_up(generation, f"a worker was not ready after {_START:g} s")
                continue
            for pid in generation.workers:
                _send(pid, signal.SIGKILL)

    def _kill(self, number: int) -> None:
        pids = [pid for generation in self._all() for pid in generation.workers]
        for pid in pids:
            _send(pid, number)
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _close(self) -> None:
        for end in (*self._life, *self._wake):
            os.close(end)
        for sock in self._sockets.values():
            sockets.close(sock)

    # --- workers

    def _fork(self, generation: _Generation[C], index: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._be_worker(generation, index, theirs)
        os.close(theirs)
        generation.workers[pid] = _Worker(index, pid, ours, time.monotonic())

    def _be_worker(self, generation: _Generation[C], index: int, pipe: int) -> NoReturn:
        # A copy of the parent's end would keep the pipe open when the parent is gone, and a copy of a socket that
        # others use would take in connections to which nobody says anything.
        mine = set(generation.sockets.values())
        for sock in set(self._sockets.values()) - mine:
            sock.close()
        for end in (self._life[1], *self._wake):
            os.close(end)
        worker.work(
            lambda: self._build(generation.config),
            generation.sockets,
            index=index,
            listening=generation.config.gateway,
            tls=generation.tls,
            pipe=pipe,
            life=self._life[0],
        )

    def _hear(self, generation: _Generation[C], one: _Worker) -> None:
        """A worker is ready, or says why it will not be."""
        data = os.read(one.pipe, 65536)
        one.heard += data
        one.silent = not data
        one.ready = one.heard == READY
        if one.ready and generation is self._next and generation.is_ready:
            self._take_over(generation)

    def _take_over(self, generation: _Generation[C]) -> None:
        """A new generation is ready: the one before it may go."""
        before, self._current, self._next = self._current, generation, None
        generation.started, generation.deadline = True, None
        if self._ending:
            # What it was told while it was being born, before it could listen to signals, it has not heard.
            self._retire(generation)
            return
        where = ", ".join(
            sockets.url(sock, tls=name == "listen" and generation.tls is not None)
            for name, sock in generation.sockets.items()
        )
        if before is None:
            self._say(f"demur is listening on {where}")
            self._ready(generation.config)
        else:
            self._say(f"demur: the new configuration is in use; listening on {where}")
            self._old.append(before)
            self._retire(before)
            self._forget_sockets()
        if self._again:
            self._reload()

    def _forget_sockets(self) -> None:
        """Close what no generation that stays uses. Those that go have their own copies."""
        used = {
            id(sock)
            for generation in (self._current, self._next)
            if generation is not None
            for sock in generation.sockets.values()
        }
        for key, sock in list(self._sockets.items()):
            if id(sock) not in used:
                del self._sockets[key]
                sockets.close(sock)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for generation in list(self._all()):
                if pid in generation.workers:
                    self._gone(generation, generation.workers.pop(pid), status)

    def _gone(self, generation: _Generation[C], one: _Worker, status: int) -> None:
        """A worker has ended."""
        os.set_blocking(one.pipe, False)
        with contextlib.suppress(BlockingIOError):
            while more := os.read(one.pipe, 65536):
                one.heard += more
        os.close(one.pipe)
        for numbers in self._folder.glob(f"gauge_live*_{one.pid}.db"):
            numbers.unlink(missing_ok=True)
        if generation in self._old:
            if not generation.workers:
                self._old.remove(generation)
            return
        if self._ending:
            return
        why = one.heard.removeprefix(READY).decode("utf-8", "replace").strip() or _status(status)
        if generation is self._next:
            self._give_up(generation, why)
            return
        steady = time.monotonic() - one.born > _STEADY
        generation.failures = 0 if steady else generation.failures + 1
        delay = _BACKOFF[min(generation.failures, len(_BACKOFF) - 1)]
        self._say(f"demur: worker {one.pid} has ended: {why}; a new one starts" + (f" in {delay:g} s" if delay else ""))
        generation.due.append((time.monotonic() + delay, one.index))

    def _give_up(self, generation: _Generation[C], why: str) -> None:
        """A generation has not come up."""
        self._next = None
        self._old.append(generation)
        for pid in generation.workers:
            _send(pid, signal.SIGKILL)
        if self._current is None:
            raise ConfigError(f"demur could not start: {why}")
        self._say(f"demur: the new configuration is not used, the old one stays: {why}")
        self._forget_sockets()
        if not generation.workers:
            self._old.remove(generation)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _status(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
