"""Every figure that demur is held to, measured here, in one go: a table, a chart and the numbers themselves.

    benchmarks/report.py             all of it, an hour or so on a quiet machine
    benchmarks/report.py --quick     five minutes or so: fewer rounds, and less of what takes long
    benchmarks/report.py --draw      only write the page and the chart again, of the numbers of the last time

They go to docs/reference/performance.json, .md (between two comments) and .svg. `--out` writes elsewhere, and `--only`
measures some parts and keeps the other parts' numbers. Whatever cannot run is named, with the reason, and the rest goes
on.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import re
import sys
import time
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

HERE = Path(__file__).parents[1] / "docs" / "reference"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"
Rows: TypeAlias = "Iterable[tuple[str, float | None, float | None, float | None, str, str]]"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what it is, the median and the quartiles (None: it was not measured), what is asked for."""

    part: str
    name: str
    median: float | None
    lower: float
    upper: float
    asked: str
    remark: str = ""

    @property
    def met(self) -> bool | None:
        """Whether that is what is asked for; None if nothing is, or nothing was measured."""
        found = re.match(r"([≤≥<>]) *([\d.,]+)", self.asked)
        if found is None or self.median is None:
            return None
        least = float(found[2].replace(",", ""))
        reached = {"≤": self.median <= least, "≥": self.median >= least, "<": self.median < least}
        return reached.get(found[1], self.median > least)


# --- measuring --------------------------------------------------------------------------------------


def _module(name: str, **more: Any) -> Callable[[int, float], Rows]:
    def measured(rounds: int, seconds: float) -> Rows:
        rows: Rows = importlib.import_module(name).rows(rounds, seconds, **more)
        return rows

    return measured


def _frameworks(rounds: int, seconds: float) -> Rows:
    """With a Redis beside them, for those who need one."""
    frameworks, revoking = importlib.import_module("frameworks"), importlib.import_module("revoking")
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(BaseException):  # pytest's Skipped is no Exception
            started = stack.enter_context(revoking.server("redis"))
            os.environ["BENCH_REDIS"] = started.tcp()
        yield from frameworks.rows(rounds, seconds)


def _parts(*, quick: bool) -> dict[str, Callable[[int, float], Rows]]:
    return {
        "In an app": _frameworks,
        "Inside a check": _module("inside", people=20_000 if quick else 1_000_000),
        "Asked by a proxy": _module("forward"),
        "Revocation": _module("revoking"),
        "As a proxy": _module("proxying"),
        "Stores": _module("scale"),
        "Beside others": _module("neighbours"),
    }


def measure(*, quick: bool, only: str, rounds: int, seconds: float) -> Iterator[Figure]:
    """All figures, as they come."""
    for part, rows in _parts(quick=quick).items():
        if only and not any(each.lower() in part.lower() for each in only.split(",")):
            continue
        print(f"demur: {part}", flush=True)
        try:
            for name, median, lower, upper, asked, remark in rows(rounds, seconds):
                goal = asked.replace(">=", "≥").replace("<=", "≤")
                figure = Figure(part, name, median, lower or 0, upper or 0, goal, remark)
                print(f"  {_line(figure)}", flush=True)
                yield figure
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - one part that cannot run is no reason to lose the others
            yield Figure(part, part, None, 0, 0, "", f"not run: {type(error).__name__}: {error}")
            print(f"  {part} is NOT RUN: {error!r}", flush=True)


def _line(figure: Figure) -> str:
    value = "" if figure.median is None else f"{_number(figure.median)} ({_spread(figure)})"
    said = {True: "", False: "MISSED", None: ""}[figure.met]
    return f"{figure.name:<62} {value:<26} {figure.asked:<9} {said:<7} {figure.remark}"


def machine() -> dict[str, str]:
    """Where it was measured."""
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "processor": f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "python": platform.python_version(),
        "day": time.strftime("%Y-%m-%d"),
        "load": f"{os.getloadavg()[1]:.1f}",
    }


# --- the page ---------------------------------------------------------------------------------------


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _spread(figure: Figure) -> str:
    if figure.lower == figure.upper:
        return "once"
    return f"{_number(figure.lower)} to {_number(figure.upper)}"


def table(figures: list[Figure], where: dict[str, str]) -> str:
    """The tables, a section for each part, with what was missed first of all."""
    if not figures:
        return "Nothing has been measured yet: run `make bench`."
    missed = [each for each in figures if each.met is False]
    day, processor = f"Measured on {where['day']}", f"{where['processor']}, Python {where['python']}"
    lines = [f"{day}: {processor}, load before it began {where['load']}.", ""]
    if missed:
        lines += [f"**{len(missed)} of {sum(each.met is not None for each in figures)} targets were missed:**", ""]
        lines += [f"- {each.name}: {_number(each.median or 0)}, asked for {each.asked}" for each in missed]
    else:
        lines += [f"All {sum(each.met is not None for each in figures)} targets were met."]
    for part in dict.fromkeys(each.part for each in figures):
        lines += [
            "",
            f"### {part}",
            "",
            "| figure | median | quartiles | asked for | |",
            "| --- | --- | --- | --- | --- |",
        ]
        for each in (figure for figure in figures if figure.part == part):
            said = {True: "met", False: "**missed**", None: ""}[each.met]
            remark = "; ".join(text for text in (said, each.remark.replace("|", "/")) if text)
            value = "" if each.median is None else _number(each.median)
            spread = "" if each.median is None else _spread(each)
            lines.append(f"| {each.name} | {value} | {spread} | {each.asked} | {remark} |")
    return "\n".join(lines)


def page(text: str, figures: list[Figure], where: dict[str, str]) -> str:
    """The page with these figures in place of the last ones."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(figures, where)}\n\n{END}{after}"


# --- the chart --------------------------------------------------------------------------------------

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.head { font-weight: 600; font-size: 14px } .us { font-weight: 600 } .dim { fill: #59636e } .small { font-size: 11.5px }
.ours { fill: #0b7a53 } .free { fill: #3f6fb5 }
.theirs { fill: #aeb8c2 } .missed { fill: #b35900 } .rail { fill: #eaeef2 }
.goal { stroke: #1f2328; stroke-width: 2 } .spread { stroke: #1f2328; stroke-width: 1; opacity: .55 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .dim { fill: #9198a1 } .ours { fill: #3fb984 } .free { fill: #6f9fe0 }
  .theirs { fill: #565f6b }
  .missed { fill: #e3873b } .rail { fill: #21262d } .goal { stroke: #e6edf3 } .spread { stroke: #e6edf3 }
}
"""
WIDTH, LEFT, RIGHT, STEP = 760, 250, 92, 26


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of the chart: how much of the throughput is left."""

    label: str
    share: float
    kind: str
    goal: float = 0.0
    lower: float = 0.0
    upper: float = 0.0


def groups(figures: list[Figure]) -> dict[str, list[Bar]]:
    """What is left of an app's throughput, framework by framework: with demur, and with what others do there."""
    found: dict[str, list[Bar]] = {}
    known = {each.name: each for each in figures if each.median is not None}
    for name, figure in known.items():
        if not name.startswith("guarded / unguarded: ") or ", demur" not in name:
            continue
        ours = name.removeprefix("guarded / unguarded: ")
        framework, _, how = ours.partition(", demur")
        assert figure.median is not None
        goal = float(figure.asked.removeprefix("≥ ") or 0)
        kind = {True: "ours", False: "missed", None: "free"}[figure.met]
        bars = found.setdefault(framework, [])
        bars.append(Bar(f"demur{how}", figure.median, kind, goal, figure.lower, figure.upper))
        if how:
            continue
        for other, beside in known.items():
            if other.startswith(f"beside it: {ours} / ") and beside.median:
                label = other.partition(" / ")[2]
                bars.append(Bar(label, figure.median / beside.median, "theirs"))
    return found


def chart(figures: list[Figure]) -> str:
    """An SVG that is drawn for light and for dark pages."""
    drawn, at = [], 18
    for framework, bars in groups(figures).items():
        drawn.append(f'<text class="head" x="0" y="{at}">{escape(framework)}</text>')
        at += 10
        for bar in bars:
            drawn += _bar(bar, at)
            at += STEP
        at += 28
    drawn.append(
        f'<text class="dim small" x="0" y="{at}">Requests a second with a session checked, as a share of the same app '
        "without any check. The line is the target: met, green; missed, orange.</text>"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {at + 12}" role="img"'
    title = "<title>How much of its throughput an app keeps when each request is checked</title>"
    return f"{head}>\n{title}\n<style>{STYLE}</style>\n" + "\n".join(drawn) + "\n</svg>\n"


def _bar(bar: Bar, at: int) -> list[str]:
    room = WIDTH - LEFT - RIGHT
    long, y = min(1.0, bar.share) * room, at + 4
    ours = ' class="us"' if bar.kind != "theirs" else ""
    drawn = [
        f'<text x="{LEFT - 12}" y="{at + 17}" text-anchor="end"{ours}>{escape(bar.label)}</text>',
        f'<rect class="rail" x="{LEFT}" y="{y}" width="{room}" height="17" rx="3"/>',
        f'<rect class="{bar.kind}" x="{LEFT}" y="{y}" width="{long:.1f}" height="17" rx="3"/>',
        f'<text x="{LEFT + room + 10}" y="{at + 17}">{bar.share:.0%}</text>',
    ]
    if bar.upper:
        first, last = (LEFT + min(1.0, each) * room for each in (bar.lower, bar.upper))
        drawn.append(f'<path class="spread" d="M{first:.1f} {y + 8.5}H{last:.1f}"/>')
    if bar.goal:
        goal = LEFT + bar.goal * room
        drawn.append(f'<path class="goal" d="M{goal:.1f} {y - 3}v23"/>')
    return drawn


# --- all of it --------------------------------------------------------------------------------------


def _kept(place: Path) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(place.read_text()) if place.exists() else {"machine": {}, "figures": []}
    return kept


def write(out: Path, figures: list[Figure], where: dict[str, str]) -> None:
    """The numbers, the page and the chart."""
    said = {"machine": where, "figures": [asdict(each) for each in figures]}
    (out / "performance.json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    whole = out / "performance.md"
    text = whole.read_text() if whole.exists() else (HERE / "performance.md").read_text()
    whole.write_text(page(text, figures, where))
    (out / "performance.svg").write_text(chart(figures))


def main() -> None:
    """Read the arguments, measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="five minutes or so")
    parser.add_argument("--draw", action="store_true", help="measure nothing, and write what was measured last")
    parser.add_argument("--only", default="", help="parts, by some of their words: app, check, proxy, stores, others")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kept = _kept(options.out / "performance.json")
    old = [Figure(**each) for each in kept["figures"]]
    if options.draw:
        write(options.out, old, kept["machine"])
        return
    rounds = options.rounds or (2 if options.quick else 7)
    seconds = options.seconds or (1.0 if options.quick else 2.0)
    where, figures = machine(), []
    for figure in measure(quick=options.quick, only=options.only, rounds=rounds, seconds=seconds):
        figures.append(figure)
        fresh = {each.part for each in figures}
        parts = list(_parts(quick=options.quick))
        both = [*(each for each in old if each.part not in fresh), *figures] if options.only else figures
        both.sort(key=lambda each: parts.index(each.part) if each.part in parts else len(parts))
        write(options.out, both, where)
    missed = sum(each.met is False for each in figures)
    print(f"demur: {len(figures)} figures, {missed} targets missed; written to {options.out}/performance.md")


if __name__ == "__main__":
    main()
