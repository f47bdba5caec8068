"""What a page tells people to type and what it says they will see: blocks of ```console.

- A line that begins with "$ " is typed; lines with "> " go on with it; the others are what is seen.
- "…" on a line of its own is any number of lines, elsewhere anything on that line.
- `<!-- test: skip -->` before a block leaves it out. `<!-- test: wait for URL -->` and `<!-- test: until COMMAND -->`
  do what a person does by taking a moment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"(?P<skip><!-- test: skip -->\n)?```console\n(?P<text>.*?)^```$|<!-- test: (?P<do>.*?) -->",
    re.MULTILINE | re.DOTALL,
)


# Background jobs end with the shell; curl does not show its progress, as it would not on a terminal.
PRELUDE = """
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
curl() { command curl -s "$@"; }
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and what has to be seen; None where that does not matter."""

    command: str
    output: str | None


def steps(page: str) -> list[Step]:
    """What the page says to type."""
    found: list[Step] = []
    for block in BLOCK.finditer(page):
        if block["do"]:
            found.append(Step(_waiting(block["do"]), None))
        elif not block["skip"]:
            found.extend(_step(part) for part in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:])
    return found


def _step(part: str) -> Step:
    lines = part.splitlines()
    more = 1
    while more < len(lines) and re.match(r">( |$)", lines[more]):
        more += 1
    return Step("\n".join([lines[0], *(line[2:] for line in lines[1:more])]), "\n".join(lines[more:]))


def _waiting(instruction: str) -> str:
    verb, _, rest = instruction.partition(" ")
    test = {"until": rest, "wait": f"curl -s -o /dev/null {rest.removeprefix('for ')}"}[verb]
    return f"for _ in $(seq 200); do {test} > /dev/null && break; sleep 0.05; done"


def pattern(shown: str) -> re.Pattern[str]:
    """What is shown, as a pattern."""
    lines = (
        r"(?:.*\n)*?.*" if line.strip() == "…" else re.escape(line).replace("…", ".*") for line in shown.split("\n")
    )
    return re.compile("\n".join(lines))


def type_in(todo: list[Step], folder: Path) -> list[tuple[Step, str]]:
    """Type everything into one shell; each step with what was seen. The shell's background jobs end with it."""
    script = "\n".join(f"printf '\\n=== step {number} ===\\n'\n{step.command}" for number, step in enumerate(todo))
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", PRELUDE + script],
        cwd=folder,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    seen = re.split(r"^=== step \d+ ===\n", done.stdout, flags=re.MULTILINE)[1:]
    assert len(seen) == len(todo), done.stdout
    return list(zip(todo, (text.strip("\n") for text in seen), strict=True))
