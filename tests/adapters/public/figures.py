"""Ask every app, keep what it answered, and show it as a table.

    figures.py    ask all that can be had, and keep what they say in results.json

It imports nothing of ours, so that the documentation's generator can read it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.adapters.public import asking
    from tests.adapters.public.sources import Away, Source, sources
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import asking
    from sources import Away, Source, sources

FOLDER: Final = Path(__file__).parent
FILE: Final = FOLDER / "results.json"
_KINDS: Final = {
    "sdist": "`{0.package}` {0.version} on PyPI, the source archive",
    "installed": "`{0.package}` {0.version}, as it is installed",
    "github": "`{0.package}` on GitHub at `{0.version}`, for no package carries it",
}


def kept() -> dict[str, dict[str, list[str]]]:
    """What each app answered the last time: by app, then by row, before and after."""
    return dict(json.loads(FILE.read_text("utf-8"))) if FILE.exists() else {}


def compared(before: dict[str, asking.Answer | str], after: dict[str, asking.Answer | str]) -> dict[str, list[str]]:
    """Both answers to each row, in the words of the table."""
    return {row: [asking.brief(said), asking.brief(after[row])] for row, said in before.items()}


def added(key: str) -> str:
    """The added lines."""
    return (FOLDER / "added" / f"{key}.py").read_text("utf-8").strip()


def markdown() -> str:
    """Every app: where it is from, what is added, and what it answers."""
    return "\n".join(_shown(source, kept().get(key, {})) for key, source in sources().items())


def _shown(source: Source, rows: dict[str, list[str]]) -> str:
    lines = "\n".join(_row(row, *both) for row, both in rows.items()) or "| | not run | not run |"
    files = "\n".join(f"| `{name}` | `{digest}` |" for name, digest in source.files.items())
    settings = "the settings that it runs with" if source.key == "django" else "the file that is served"
    return f"""## {source.title}

{source.what}
From {_KINDS[source.kind].format(source)}.

Added, as {settings} in place of its own:

```python
{added(source.key)}
```

| asked | before | after |
| --- | --- | --- |
{lines}

<details><summary>The files of {source.key}</summary>

| file | SHA-256 |
| --- | --- |
{files}

</details>
"""


def _row(row: str, before: str, after: str) -> str:
    if before[:1].isdigit():
        return f"| {row} | {before} | {after if after != before else 'the same'} |"
    return f"| {row} | {before} | |"


def ask(key: str) -> dict[str, list[str]]:
    """Ask one app both ways."""
    both = []
    for side in ("before", "after"):
        with tempfile.TemporaryDirectory() as folder, asking.running(key, side, Path(folder)) as app:
            both.append(asking.answers(app, key))
    return compared(*both)


def _all() -> Iterator[tuple[str, dict[str, list[str]]]]:
    for key in sources():
        try:
            yield key, ask(key)
        except Away as away:
            print(f"demur: {key} is not run: {away}", file=sys.stderr)


if __name__ == "__main__":
    FILE.write_text(json.dumps(kept() | dict(_all()), indent=1, ensure_ascii=False) + "\n", "utf-8")
