"""One structured line for each decision, with the reference that the refused person was shown.

- Lines are written by a thread of their own: whoever reads the log can be as slow as they like. At most
  `LONGEST_QUEUE` lines wait; beyond that lines are dropped, and it is said how many.
- What decisions have in common (`core.ports.Common`) is made once for all of them, and lines are made of some dozens
  together.
- No query is written, and no cookie: they may hold secrets. No name and no address of a person either: those
  belong to the audit log.
- A line is one line of ASCII: whatever a client sends, it can neither begin another nor move a terminal's cursor.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, TextIO

from demur.observe.gathered import Expected, decided_of
from demur.observe.reference import named, new_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from demur.core.ports import Common, Decided, Noted

    Same: TypeAlias = tuple[str, str, str]

LONGEST_QUEUE = 10_000
"""Lines that may wait to be written."""
LONGEST_PATH = 1024
"""Characters of a path that are written."""

_encode = json.JSONEncoder(separators=(",", ":")).encode
_quote = json.encoder.encode_basestring_ascii
_ESCAPES = re.compile(r"[^\x20-\x7e]")
_THREE = tuple(f"{number:03}" for number in range(1000))
_HEX = tuple(f"{number:03x}" for number in range(0x1000))
_MOST_ALIKE = 4096

_GREEN, _YELLOW, _RED, _DIM, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


class Log:
    """Writes to a text stream such as `sys.stderr`: JSON, or short lines for people. Which of the two, `human` says;
    None: lines for people if the stream is a terminal, which also decides about colours.

    It may be made before a fork. `close` waits until what was said is written.
    """

    def __init__(self, stream: TextIO, *, human: bool | None = None) -> None:
        self._stream = stream
        terminal = _is_terminal(stream)
        self._human = terminal if human is None else human
        self._coloured = self._human and terminal and not os.environ.get("NO_COLOR")
        self._writer: _Writer | None = None
        self._expected = Expected()
        os.register_at_fork(after_in_child=self._forget)

    def decided(self, decided: Decided) -> None:
        """Write a line about a decision."""
        try:
            self._put(self._terminal_line(decided) if self._human else _json_line(decided))
        except Exception as error:  # noqa: BLE001 - a request does not fail because its line does
            self._put(_failed(error))

    def several(self, noted: Sequence[Noted]) -> None:
        """Write a line about each of some decisions."""
        if self._human:
            for each in noted:
                self.decided(decided_of(each))
        else:
            self._writing().put_all(noted)

    def expect(self, tell: Callable[[], None]) -> None:
        """Something waits to be told; it is asked for before the next lines are written."""
        self._expected.add(tell)
        self._writing().wake()

    def signed_in(self, method: str, outcome: str) -> None:
        """Write a line about a sign-in. Whose it was belongs to the audit log."""
        if self._human:
            self._put(f"{_clock(time.time())}   sign-in by {method}: {outcome}")
        else:
            level = "info" if outcome == "success" else "warning"
            said = {"at": _moment(time.time()), "level": level, "event": "sign-in", "method": method}
            self._put(_encode({**said, "outcome": outcome}))

    def close(self, timeout: float = 1.0) -> None:
        """Wait, at most `timeout` seconds, until everything is written. The log can be used again."""
        self._expected.ask()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close(timeout)

    def _forget(self) -> None:
        """A thread does not survive a fork, and what still waited is the parent's to write."""
        self._writer, self._expected = None, Expected()

    def _put(self, line: str) -> None:
        self._writing().put(line)

    def _writing(self) -> _Writer:
        writer = self._writer
        if writer is None:
            writer = self._writer = _Writer(self._stream, self._expected)
        return writer

    def _terminal_line(self, decided: Decided) -> str:
        refused = decided.reason is not None
        status = decided.status or (204 if decided.outcome == "preflight" else None)
        parts = [
            f"{status or 'ok'!s:>3}",
            f"{_printable(decided.method)} {_path(decided)}",
            decided.reason.value if decided.reason else decided.outcome,
            f"rule {_printable(decided.rule)}",
            f"{decided.seconds * 1000:.1f} ms",
        ]
        if decided.error:
            parts.append(_printable(decided.error))
        colour = _GREEN if not refused else _RED if (status or 0) >= 500 else _YELLOW
        reference = f"  {decided.reference}" if refused else ""
        if not self._coloured:
            return f"{_clock(decided.at)} {'  '.join(parts)}{reference}"
        return (
            f"{_DIM}{_clock(decided.at)}{_PLAIN} {colour}{parts[0]}{_PLAIN} "
            + "  ".join([parts[1], f"{colour}{parts[2]}{_PLAIN}", *parts[3:]])
            + (f"{_DIM}{reference}{_PLAIN}" if reference else "")
        )


def _json_line(decided: Decided) -> str:
    """What is not there is left out. Written by hand, because this is done for every request: an encoder that has to
    look at each value takes three times as long."""
    return _line(_same(decided), decided.at, decided.reference, decided.subject, decided.seconds)


class _Lines:
    """Makes lines of decisions that were noted, in one piece, for most lines are made here. Whoever was told no
    reference is given one; those mostly differ in three digits alone."""

    def __init__(self) -> None:
        self._common: dict[Common, Same] = {}

    def of(self, noted: Sequence[Noted]) -> list[str]:
        """A line for each."""
        try:
            return self._of(noted)
        except Exception as error:  # noqa: BLE001 - whoever notes goes on, and so do the others
            return [_failed(error)] if len(noted) == 1 else [line for each in noted for line in self.of((each,))]

    def _of(self, noted: Sequence[Noted]) -> list[str]:
        known, lines = self._common.get, list[str]()
        # Floats, as what is noted: with an int among them each step takes twice as long.
        second, began = -1.0, ""
        page, of_page = -1, ""
        for common, at, told, subject, seconds in noted:
            before, between, after = known(common) or self._learn(common)
            part = at - second
            if not 0.0 <= part < 1.0:
                second = float(int(at))
                part, began = at - second, _began(int(at))
            number = told or new_number()
            if number >> 12 != page:  # mostly one follows the other
                page, of_page = number >> 12, named(number)[:-3]
            who = "" if subject is None else _who(subject)
            micros = int(seconds * 1e6 + 0.5)
            took = f"0.{_THREE[micros]}" if 0 <= micros < 1000 else _took(seconds)
            thousandth, digits = _THREE[int(part * 1e3)], _HEX[number & 0xFFF]
            lines.append(f"{began}{thousandth}{before}{of_page}{digits}{between}{who}{after}{took}}}")
        return lines

    def _learn(self, common: Common) -> Same:
        if len(self._common) >= _MOST_ALIKE:
            self._common.clear()
        decided = common.decided(0, 0, None, 0)
        before, between, after = _same(decided)
        found = self._common[common] = before, f"{between}{_who(decided.subject)}", after
        return found


def _failed(error: Exception) -> str:
    return _encode({"event": "log-failed", "error": _printable(repr(error))})


def _began(second: int) -> str:
    """What a line begins with, up to the milliseconds."""
    return f'{{"at":"{_second(second)}.'


def _line(same: Same, at: float, reference: str, subject: str | None, seconds: float) -> str:
    """What is different each time, and what it shares with others."""
    second, (before, between, after) = int(at), same
    part = _THREE[int((at - second) * 1000)]
    return f"{_began(second)}{part}{before}{reference}{between}{_who(subject)}{after}{_took(seconds)}}}"


def _took(seconds: float) -> str:
    """In milliseconds."""
    micros = int(seconds * 1_000_000 + 0.5)
    return f"0.{_THREE[micros]}" if 0 <= micros < 1000 else f"{seconds * 1000:.3f}"


def _who(subject: str | None) -> str:
    return "" if subject is None else f',"subject":{_quote(subject)}'


def _same(decided: Decided) -> Same:
    """What stands between the time, the reference, who it was, and how long it took."""
    status, error = decided.status, decided.error
    level = "error" if error or (status or 0) >= 500 else "info"
    there = ""
    if status is not None:
        there += f',"status":{status}'
    if decided.reason is not None:
        there += f',"reason":"{decided.reason}"'
    what = f'","origin":{_quote(decided.origin)},"method":{_quote(decided.method)},"path":{_quote(_path(decided))}'
    wrong = f',"error":{_quote(error)}' if error else ""
    return (
        f'Z","level":"{level}","event":"decision","reference":"',
        f'{what},"outcome":{_quote(decided.outcome)}{there}',
        f'{wrong},"rule":{_quote(decided.rule)},"ms":',
    )


def _path(decided: Decided) -> str:
    """The path only, and no more than is good for a line. A `#` would end it for some readers."""
    path = decided.path.partition(b"#")[0][: LONGEST_PATH + 1].decode("latin-1")
    cut = path[:LONGEST_PATH] + ("..." if len(path) > LONGEST_PATH else "")
    return cut if cut.isascii() and cut.isprintable() else _printable(cut)


def _printable(text: str) -> str:
    """With everything but visible ASCII escaped as in a Python literal."""
    return _ESCAPES.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _moment(at: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    second, part = divmod(int(at * 1000), 1000)
    return f"{_second(second)}.{part:03}Z"


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _clock(at: float) -> str:
    """The time of day of whoever sits at the terminal."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


# Waking a thread for each line costs a request more than the line does, so they are gathered for a moment.
_GATHER = 0.05
_AT_ONCE = 5000
# So many are written at once: the system would give new pages for hundreds of kilobytes in one piece, and zero them.
_PIECE = 256


class _Writer:
    """A queue and the thread that writes it out, in one process."""

    def __init__(self, stream: TextIO, expected: Expected) -> None:
        self._pid = os.getpid()
        self._stream = stream
        self._expected = expected
        self._lines: list[str] = []
        self._making = threading.Lock()
        self._maker = _Lines()
        self._dropped = 0
        self._woken = True
        self._wake = threading.Event()
        self._ending = threading.Event()
        # A daemon, so that a reader who has stopped reading cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="demur-log", daemon=True)
        self._thread.start()
        atexit.register(self.close, 1.0)

    def put(self, line: str) -> None:
        """It waits for nothing but that others make some lines."""
        with self._making:
            if len(self._lines) < LONGEST_QUEUE:
                self._lines.append(line)
            else:
                self._dropped += 1
        self.wake()

    def put_all(self, noted: Sequence[Noted]) -> None:
        """The same for many."""
        with self._making:
            room = max(0, LONGEST_QUEUE - len(self._lines))
            self._dropped += max(0, len(noted) - room)
            self._lines += self._maker.of(noted[:room])
        self.wake()

    def wake(self) -> None:
        """Something waits to be written, or to be told."""
        if not self._woken:
            self._woken = True
            self._wake.set()

    def close(self, timeout: float) -> None:
        atexit.unregister(self.close)
        if os.getpid() == self._pid:
            self._ending.set()
            self._wake.set()
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._ending.wait(_GATHER)
            if not self._drain():
                # Whoever puts a line from now on wakes us; whoever did a moment ago is seen by looking once more.
                self._woken = False
                if not self._expected and not self._lines and not self._ending.is_set():
                    self._wake.wait()
                self._woken = True
                self._wake.clear()
        while self._drain():
            pass

    def _drain(self) -> bool:
        """Write some of what waits; whether there was anything."""
        self._expected.ask()
        with self._making:
            lines, self._lines = self._lines[:_AT_ONCE], self._lines[_AT_ONCE:]
        if self._dropped and lines:
            dropped, self._dropped = self._dropped, 0
            lines.append(_encode({"at": _moment(time.time()), "event": "lines-dropped", "lines": dropped}))
        for start in range(0, len(lines), _PIECE):
            self._write(lines[start : start + _PIECE])
        return bool(lines)

    def _write(self, lines: list[str]) -> None:
        try:
            self._stream.write("\n".join([*lines, ""]))
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody reads any more (a broken pipe, a closed stream, a full disk), and there is nowhere to say so.
            # It is tried again with the next lines: a disk can become free.
            self._dropped += len(lines)
