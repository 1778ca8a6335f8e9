"""The report: everything as JSON, and the same as a page with tables and a plot."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import plot
from bench.goals import Judged
from bench.parts import ARENAS
from bench.rounds import Series, Spread, ratios

NAME = "benchmarks"
SCHEMA = 1
MADE = "<!-- Made by `python -m bench`. Measure again instead of changing it. -->"
UNITS = {
    "rate": "a second",
    "mean_ms": "ms",
    "p50_ms": "ms",
    "p99_ms": "ms",
    "p999_ms": "ms",
    "slowest_ms": "ms",
    "scan_p99_ms": "ms",
    "press_p99_ms": "ms",
    "lag_p50_ms": "ms",
    "lag_p99_ms": "ms",
    "disturbed": "times",
    "peak_mb": "MB",
    "cpu_s": "s",
    "cpu_app_us": "us",
    "cpu_postgres_us": "us",
    "cpu_load_us": "us",
    "stolen_percent": "%",
}
COLUMNS = {
    "mean_ms": "mean ms",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "scan_p99_ms": "scan p99 ms",
    "press_p99_ms": "press p99 ms",
    "lag_p50_ms": "lag p50 ms",
    "lag_p99_ms": "lag p99 ms",
    "cpu_app_us": "our CPU us",
    "cpu_postgres_us": "PostgreSQL CPU us",
    "cpu_load_us": "load CPU us",
    "peak_mb": "peak MB",
    "cpu_s": "CPU s",
    "stolen_percent": "stolen %",
}
REFERENCES = {
    "http": "fastapi.c32",
    "inprocess": "pgbench.c32",
    "history": "history.empty",
    "tail": "tail.floor",
    "pages": "pages.floor",
    "fresh": "fresh.later",
    "import": "import.insert_select",
    "reads": "reads.copy",
}
"""What a ratio in an arena's table is of."""


@dataclass(frozen=True)
class Result:
    """Everything that a run has found."""

    measured_at: str
    quick: bool
    commit: str
    minutes: float
    options: Mapping[str, Any]
    machine: Mapping[str, Any]
    postgresql: Mapping[str, str]
    found: Mapping[str, Series]
    goals: Sequence[Judged]
    left_out: Mapping[str, str]
    texts: Mapping[str, Sequence[str]]


def write(result: Result, folder: Path) -> list[Path]:
    """Write the page, the plot and the JSON; returns where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        f"{NAME}.json": lines_of(as_json(result)),
        f"{NAME}.svg": plot.drawn(result.goals, result.found, result.quick),
        f"{NAME}.md": as_page(result),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


# --------------------------------------------------------------------------------------- JSON
def lines_of(told: dict[str, Any]) -> str:
    """JSON with a measurement a line: what changed is found by its line."""
    fields = []
    for name, value in told.items():
        text = _line(value)
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(map(_line, value)) + "\n ]"
        fields.append(f" {_line(name)}: {text}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def as_json(result: Result) -> dict[str, Any]:
    """The whole result, for programs."""
    return {
        "schema": SCHEMA,
        "measured_at": result.measured_at,
        "quick": result.quick,
        "commit": result.commit,
        "minutes": round(result.minutes, 1),
        "options": dict(result.options),
        "machine": dict(result.machine),
        "postgresql": dict(result.postgresql),
        "goals": [_goal(each) for each in result.goals],
        "measurements": [
            _measurement(series, metric, spread)
            for series in result.found.values()
            for metric in series.metrics()
            if (spread := series.spread(metric)) is not None
        ],
        "faults": {
            series.subject: series.faults for series in result.found.values() if series.faults
        },
        "left_out": dict(result.left_out),
        "third_core": third_core(result.found),
        "profiles": {title: list(lines) for title, lines in result.texts.items()},
    }


def _goal(each: Judged) -> dict[str, Any]:
    ratio = each.ratio
    return {
        "id": each.goal.id,
        "text": each.goal.text,
        "value": None if ratio is None else _short(ratio.median),
        "min": None if ratio is None else _short(ratio.minimum),
        "max": None if ratio is None else _short(ratio.maximum),
        "rounds": 0 if ratio is None else ratio.rounds,
        "comparison": each.goal.comparison,
        "goal": each.goal.goal,
        "met": each.met,
        "why": each.why,
        "above": each.goal.above,
        "below": each.goal.below,
        "metric": each.goal.metric,
    }


def _measurement(series: Series, metric: str, spread: Spread) -> dict[str, Any]:
    unit = UNITS[metric]
    return {
        "id": f"{series.subject}:{metric}",
        "title": series.title,
        "arena": series.arena,
        "unit": f"{series.counts} {unit}" if metric == "rate" else unit,
        "median": _short(spread.median),
        "min": _short(spread.minimum),
        "max": _short(spread.maximum),
        "rounds": spread.rounds,
        "valid": series.valid,
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def third_core(found: Mapping[str, Series]) -> dict[str, float] | None:
    """What three cores would give, from the processors' time that a command takes now.

    An upper bound: no more than the cores have, than the load generator's one thread sends, and
    than two workers decide. What the order of the log costs is within PostgreSQL's share.
    """
    two, one = found.get("http.w2.c32"), found.get("http.w1.c32")
    if two is None or one is None or not (two.valid and one.valid):
        return None
    rate, spent = one.spread("rate"), [two.spread(f"cpu_{who}_us") for who in SHARES]
    if rate is None or any(each is None for each in spent):
        return None
    app, postgres, load = (each.median for each in spent if each is not None)
    most = min(3e6 / (app + postgres + load), 2e6 / app, 1e6 / load)
    return {
        "cpu_us_a_command": _short(app + postgres + load),
        "at_most_a_second": _short(most),
        "of_one_worker": _short(most / rate.median),
    }


SHARES = ("app", "postgres", "load")


# --------------------------------------------------------------------------------------- page
def as_page(result: Result) -> str:
    """The whole result, for readers."""
    blocks = ["# Benchmarks", MADE, *_opening(result), f"![Goals and rates]({NAME}.svg)"]
    blocks += ["## Goals", _goal_table(result.goals), *_third(result.found)]
    for name, arena in ARENAS.items():
        series = [each for each in result.found.values() if each.arena == name]
        if series and name != "profile":
            blocks += [f"## {arena.title}", _arena_table(name, series, result.found)]
    if result.texts:
        words = "The heaviest functions by their own time. The profiler itself slows Python down."
        blocks += ["## Where our process spends its time", words]
    for title, lines in result.texts.items():
        blocks += [f"### {title[0].upper()}{title[1:]}", _fenced(lines)]
    if result.left_out:
        rows = [f"- **{what}**: {why}" for what, why in result.left_out.items()]
        blocks += ["## Left out", "\n".join(rows)]
    blocks += ["## Measured on", _facts(result)]
    return "\n\n".join(blocks) + "\n"


def _opening(result: Result) -> list[str]:
    rounds, seconds = result.options["rounds"], result.options["seconds"]
    said = (
        f"One run of {result.minutes:.0f} minutes, in {rounds} rounds of {seconds} s for each row"
        " (three for what takes long). Within a round all rows of a table are run in turn, and a"
        " ratio is the median of the rounds' ratios, because the machine's speed drifts. The range"
        " stands in parentheses. Every commit of every participant is durable: fsync and"
        " synchronous_commit are on, as the server itself says below. The load generator runs on"
        " the same cores. *Stolen* is the share of the processors' time that the host of this"
        " machine kept for others: it makes tails, and nothing in the program could help it."
    )
    if not result.quick:
        return [said]
    return ["**A quick run: it shows that the bench works, and nothing else.**", said]


def _goal_table(goals: Sequence[Judged]) -> str:
    rows = ["| goal | measured | goal | met | prototype |", "|---|---|---|---|---|"]
    for each in goals:
        value = each.why if each.ratio is None else _ranged(each.ratio)
        met = {True: "yes", False: "no", None: "-"}[each.met]
        asked = f"{each.goal.comparison} {each.goal.goal:g}"
        rows.append(_row([each.goal.text, value, asked, met, each.goal.prototype]))
    return "\n".join(rows)


def _third(found: Mapping[str, Series]) -> list[str]:
    known = third_core(found)
    if known is None:
        return []
    return [
        f"A third core: with two workers a command takes {known['cpu_us_a_command']:.0f} us of all"
        f" processors together, so three cores would give at most"
        f" {known['at_most_a_second']:,.0f} a second, {known['of_one_worker']:.1f} times what one"
        " worker gives on two. It is a bound from processor time, not a measurement."
    ]


def _arena_table(arena: str, series: Sequence[Series], found: Mapping[str, Series]) -> str:
    reference = found.get(REFERENCES.get(arena, ""))
    usable = reference if reference is not None and reference.valid else None
    present = [key for key in COLUMNS if any(key in each.metrics() for each in series)]
    heads = ["", "a second"]
    if usable is not None:
        heads.append(f"of {usable.title}")
    heads += [COLUMNS[key] for key in present]
    rows = [_row(heads), _row(["---"] * len(heads))]
    for each in series:
        rate = each.spread("rate")
        if rate is None or not each.valid:
            why = each.faults[0] if each.faults else "no round counted"
            rows.append(_row([each.title, f"does not count: {why}", *[""] * (len(heads) - 2)]))
            continue
        cells = [each.title, f"{rate.median:,.0f} ({rate.minimum:,.0f}-{rate.maximum:,.0f})"]
        if usable is not None:
            compared = ratios(each, usable, "rate")
            cells.append(f"{Spread.of(compared).median:.2f}" if compared else "")
        cells += [_cell(each.spread(key)) for key in present]
        rows.append(_row(cells))
    return "\n".join(rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _cell(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{spread.median:,.0f}" if spread.median >= 100 else f"{spread.median:.3g}"


def _ranged(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.minimum:.2f}-{spread.maximum:.2f})"


def _fenced(lines: Sequence[str]) -> str:
    return "\n".join(["```text", *lines, "```"])


def _facts(result: Result) -> str:
    facts = {"measured at": result.measured_at, "commit": result.commit, **result.machine}
    facts |= {f"PostgreSQL {name}": value for name, value in result.postgresql.items()}
    facts |= result.options
    rows = [_row([name.replace("_", " "), str(value)]) for name, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *rows])
