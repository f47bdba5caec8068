"""The page of the documentation that says what every adapter is asked, and where one differs.

It is made without any of the frameworks; `make docs` runs this file.
"""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_ASKED = {
    "sessions": "demur's sessions",
    "login": "the app's login",
    "down": "a store that is away",
    "permits": "a function",
    "plain": "a bridge alone",
    "broken": "a bridge that raises",
    "nonsense": "one that says nothing",
    "async": "a bridge that is a coroutine",
}


def markdown() -> str:
    """The page."""
    told = runpy.run_path(str(HERE / "cases.py"))
    excused = tomllib.loads((HERE / "exceptions.toml").read_text())["exception"]
    golden = sorted(path.stem for path in (HERE.parents[1] / "golden").glob("*.http"))
    tried = re.findall(r'\ndef test_(\w+)\(.*?\):\n    """(.*?)"""', (HERE / "test_passing.py").read_text(), re.DOTALL)
    late = {told["AFTERWARDS"], told["AFTER_A_RULE"]}
    groups = {"The golden files": golden, **{name: [each.name for each in of] for name, of in told["GROUPS"].items()}}

    def cell(adapter: str, names: list[str]) -> str:
        numbers = [
            number
            for number, each in enumerate(excused, start=1)
            if adapter in each["adapters"] and set(each["cases"]) & set(names)
        ]
        return " ".join(["yes", *(f"[{number}](#where-one-differs)" for number in numbers)])

    groups["What no answer shows"] = [*(name for name, _ in tried), *late]
    rows = [
        f"| {name} | {len(set(names) - late)} | {' | '.join(cell(adapter, names) for adapter in told['ADAPTERS'])} |"
        for name, names in groups.items()
    ]
    reasons = [
        f"{number}. {', '.join(told['ADAPTERS'][name] for name in each['adapters'])}: {each['reason']}. "
        f"({'; '.join(f'`{case}`' if case in golden else case for case in each['cases'])})"
        for number, each in enumerate(excused, start=1)
    ]
    beside = "\n".join(f"| {name.replace('_', ' ')} | {' '.join(said.split())} |" for name, said in tried)
    listed = "\n".join(_cases(name, of) for name, of in told["GROUPS"].items())
    return f"""# What each adapter does

Every adapter is asked the same, in a small app of its framework: each [golden file](../../tests/golden/README.md), whose site the app is, and the cases below.
The tests hold every adapter to every answer, and to what the view has or has not done; a `yes` here is tests that pass, and a number leads to where one differs.
Django stands behind its own handlers, once with views that are functions and once with views that are coroutines.

| | how many | {" | ".join(told["ADAPTERS"].values())} |
| --- | --- | {" | ".join("---" for _ in told["ADAPTERS"])} |
{chr(10).join(rows)}

## Where one differs

{chr(10).join(reasons)}

An entry of this list that is not needed any more fails the tests.

## The cases

Each is asked where demur keeps the sessions and where the app's own login is read by a bridge, if nothing else is said.
What is refused before the view has run says `processed: false`; what comes out of the app never does.

{listed}
### What no answer shows

| | |
| --- | --- |
{beside}
"""  # noqa: E501 - a sentence a line


def _cases(name: str, cases: tuple[Any, ...]) -> str:
    lines = [f"### {name}\n", "| case | asked | answered |", "| --- | --- | --- |"]
    for each in cases:
        who = f", {each.who}" if each.who else ""
        where = "" if each.worlds == ("sessions", "login") else f", {', '.join(_ASKED[name] for name in each.worlds)}"
        status = each.status or "as without demur"
        late = ", out of the app" if each.reason and each.runs else ""
        said = f"{status} [{each.reason}](../reasons/{each.reason}.md){late}" if each.reason else str(status)
        lines.append(f"| {each.name} | `{each.method} {each.path}`{who}{where} | {said} |")
    return "\n".join([*lines, ""])
