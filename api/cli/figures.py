"""`figures`: the report's figures beside those that the events give."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rich.text import Text

from api import answers
from api.cli.terminal import layouts, output
from api.cli.terminal.files import Target, operator
from api.cli.terminal.layouts import Column, Heading
from api.cli.terminal.looking import looking, say_moment
from api.runtime.demonstration import Demo, demo_of
from api.runtime.failures import NotFound
from api.runtime.settings import Settings
from api.runtime.wiring import Database, opened
from projections.engine.moments import Asked
from projections.figures.evidence import EventRef
from projections.figures.report import (
    AGREES,
    CONTRADICTS,
    DAY,
    DIFFERS,
    NOT_COMPUTABLE,
    NOT_DERIVABLE,
    NOT_REPORTED,
    Explanation,
    Figure,
    counted,
    day_of,
    reported,
)

STYLES = {AGREES: "green", DIFFERS: "bold red", CONTRADICTS: "yellow"}
MARKS = {
    AGREES: "=",
    DIFFERS: "X",
    CONTRADICTS: "!",
    NOT_DERIVABLE: "-",
    NOT_COMPUTABLE: "?",
    NOT_REPORTED: ".",
    answers.SCALED: "~",
}
"""Verdicts where there is no room for the word; a line below the table says what they mean."""
PLURAL = {AGREES: "agree", DIFFERS: "DIFFER", CONTRADICTS: "DISAGREE"}
IN_PART = "The demo is loaded in part: `clubledger demo` goes on."


@dataclass(frozen=True)
class Layout:
    """What of the table is shown, and how."""

    grouped: bool = True
    chinese: bool = False
    units: bool = True
    marks: bool = False
    events: bool = True


LAYOUTS = (
    Layout(grouped=False, chinese=True),
    Layout(chinese=True),
    Layout(),
    Layout(marks=True),
    Layout(marks=True, events=False),
    Layout(marks=True, events=False, units=False),
)
"""From the widest to the narrowest: the first that fits is taken, in the worst case the last."""


def run(
    settings: Settings,
    explain: str | None,
    limit: int,
    asked: Asked | None,
    target: Target | None,
    as_json: bool,
) -> int:
    """Print all figures, or explain one; as they are now, or as of a moment. Or write a file."""
    with opened(settings) as database:
        if target is not None:
            return _exported(database, explain, asked, target, as_json)
        if explain is not None:
            return _explained(database, explain, limit, asked, as_json)
        shown = figures_of(database, asked)
    return tell_figures(shown, as_json)


def figures_of(database: Database, asked: Asked | None = None) -> answers.Figures:
    """All figures as they are now, or as of a moment."""
    with looking(database, asked) as (connection, moment):
        return answers.all_figures(connection, database.meta, moment)


def _exported(
    database: Database, explain: str | None, asked: Asked | None, target: Target, as_json: bool
) -> int:
    _check(explain)
    with looking(database, asked) as (connection, moment):
        if explain is None:
            found = answers.all_figures(connection, database.meta, moment)
            export = answers.figures_export(connection, database.meta, found, operator())
        else:
            export = answers.evidence_export(connection, database.meta, explain, moment, operator())
        return target.write(export, as_json)


def _check(figure_id: str | None) -> None:
    if figure_id is not None and figure_id not in reported()[1]:
        raise NotFound("There is no such figure: `clubledger figures` lists them.")


def tell_figures(shown: answers.Figures, as_json: bool) -> int:
    """Print the figures; returns the exit code they amount to."""
    if as_json:
        output.tell(shown)
    else:
        _told(shown)
    return 1 if any(figure.verdict == DIFFERS for figure in shown.figures) else 0


def _told(shown: answers.Figures) -> None:
    console = output.stdout()
    in_part = shown.demo is not None and not shown.demo.complete
    say_moment(shown.moment)
    if in_part:
        output.say(f"{IN_PART} Until then the figures are those of a part of the year.\n")
    layout, lines = fitting(shown.figures, console.width)
    for line in lines:
        console.print(line, soft_wrap=True)
    if layout.marks:
        used = {figure.verdict for figure in shown.figures}
        marks = [f"{mark} {verdict}" for verdict, mark in MARKS.items() if verdict in used]
        output.say(layouts.folded(f"Marks: {', '.join(marks)}.", console.width))
    _flags(shown, console.width, layout)
    if in_part:
        output.say(IN_PART)


def fitting(figures: Sequence[Figure], width: int) -> tuple[Layout, list[Text]]:
    """The widest layout that fits, and the lines of the table in it."""
    found: list[Text] = []
    for layout in LAYOUTS:
        found = _table(figures, layout)
        if layouts.width(found) <= width:
            return layout, found
    return LAYOUTS[-1], found


def _table(figures: Sequence[Figure], layout: Layout) -> list[Text]:
    """Rows under their sections; grouped, under what their ids begin with."""
    numbers = [Column(name, right=True) for name in ("reported", "derived")]
    difference = Column("diff." if layout.marks else "difference", right=True)
    columns = [Column("figure"), *[Column("")] * layout.chinese, *numbers, difference]
    columns += [Column("unit")] * layout.units + [Column("" if layout.marks else "verdict")]
    columns += [Column("assumed?")] * (not layout.grouped)
    columns += [Column("events", right=True)] * layout.events
    rows: list[layouts.Row] = []
    above = ""
    for figure in figures:
        group, _, name = figure.figure_id.rpartition(".")
        heading = f"{group}." if layout.grouped else figure.section
        if heading != above:
            rows.append(Heading(heading))
            above = heading
        cells: list[str | Text] = [f" {name}" if layout.grouped else figure.figure_id]
        cells += [figure.zh] * layout.chinese
        cells += [shown(figure.unit, figure.reported), shown(figure.unit, figure.derived)]
        cells += [apart(figure.unit, figure.difference)]
        cells += [_unit(figure)] * layout.units + [_verdict(figure, layout)]
        cells += ["assumed" if figure.assumed else ""] * (not layout.grouped)
        cells += [output.number(figure.events)] * layout.events
        rows.append(cells)
    return layouts.lines(columns, rows)


def _verdict(figure: Figure, layout: Layout) -> Text:
    said = MARKS.get(figure.verdict, figure.verdict) if layout.marks else figure.verdict
    star = "*" if figure.assumed and layout.grouped else ""
    return Text.assemble((said, STYLES.get(figure.verdict, "")), star)


def shown(unit: str, value: Decimal | None) -> str:
    """A figure's value for a reader."""
    if value is None or unit != DAY:
        return output.number(value)
    return day_of(value).isoformat()


def apart(unit: str, value: Decimal | None) -> str:
    """How far two values of a figure are apart, for a reader."""
    if unit != DAY or not value:
        return output.number(value)
    return output.counted(int(value), "day")


def _unit(figure: Figure) -> str:
    return "day" if figure.unit == DAY else figure.unit


def _flags(shown: answers.Figures, width: int, layout: Layout) -> None:
    """What a reader must know who sees the numbers alone."""
    by_verdict: dict[str, list[Figure]] = {}
    for figure in shown.figures:
        by_verdict.setdefault(figure.verdict, []).append(figure)
    if contradictions := by_verdict.get(CONTRADICTS):
        output.say("\nThe document contradicts itself:")
        for figure in contradictions:
            why = figure.note or figure.formula or ""
            said = f"it prints {figure.reported}, its own inputs give {figure.derived}. {why}"
            output.say(layouts.folded(f"{figure.figure_id}: {said}".rstrip(), width, "  ", "    "))
    if noted := [f for f in shown.figures if f.note and f.verdict != CONTRADICTS]:
        output.say("\nNotes:")
        for figure in noted:
            output.say(layouts.folded(f"{figure.figure_id}: {figure.note}", width, "  ", "    "))
    counts = ", ".join(
        f"{len(each)} {verdict if len(each) == 1 else PLURAL.get(verdict, verdict)}"
        for verdict, each in sorted(by_verdict.items())
    )
    total = f"{output.counted(len(shown.figures), 'figure')}: {counts}."
    output.say("\n" + layouts.folded(total, width))
    if any(figure.assumed for figure in shown.figures):
        mark = "*" if layout.grouped else "assumed"
        said = f"{mark}: it rests on what the document does not give, and the demo chose;"
        output.say(layouts.folded(f"{said} demo/assumptions.toml lists it.", width))
    if shown.demo and shown.demo.scale != "1":
        said = (
            f"The history is a demo scaled to {shown.demo.scale}: its totals are smaller and its"
            " shares round differently. What does not come out as reported for that is called"
            ' "scaled"; what holds at any size still agrees.'
        )
        output.say(layouts.folded(said, width))


def _explained(
    database: Database, figure_id: str, limit: int, asked: Asked | None, as_json: bool
) -> int:
    _check(figure_id)
    with looking(database, asked) as (connection, moment):
        found = answers.explanation(connection, database.meta, figure_id, limit, moment=moment)
    if as_json:
        output.tell(found)
        return 0
    _told_why(found, demo_of(database.meta))
    return 0


def _told_why(found: Explanation, demo: Demo | None) -> None:
    figure, console = found.figure, output.stdout()
    say_moment(found.moment)
    if demo is not None and not demo.complete:
        output.say(f"{IN_PART}\n")
    output.say(f"{figure.figure_id}  {figure.title}  {figure.zh}")
    unit = _unit(figure)
    lines = {
        "reported": shown(figure.unit, figure.reported),
        "derived": shown(figure.unit, figure.derived),
        "difference": apart(figure.unit, figure.difference),
        "unit": unit,
        "verdict": figure.verdict,
        "formula": figure.formula or "",
        "assumed": ", ".join(figure.assumed),
        "note": figure.note or "",
    }
    for name, value in lines.items():
        if value:
            output.say(layouts.folded(value, console.width, f"  {name:<12}", " " * 14))
    if found.inputs:
        output.say("inputs")
        for given in found.inputs:
            output.say(f"  {given.name}: {_given(given.value)}")
    if not figure.events:
        output.say("no events")
        return
    said = (
        f"{output.counted(figure.events, 'event')}. {counted(figure.figure_id)}".rstrip(". ") + "."
    )
    output.say(layouts.folded(said, console.width, "", "  "))
    if figure.events > len(found.events):
        output.say(f"The first {len(found.events):,} of them:")
    for line in _events_fitting(found.events, console.width):
        console.print(line, soft_wrap=True)


def _events_fitting(events: Sequence[EventRef], width: int) -> list[Text]:
    """A line an event; where there is no room, by its day alone, and then without its rule."""
    lines: list[Text] = []
    for timed, ruled in ((True, True), (False, True), (False, False)):
        columns = [Column("position", right=True), Column("occurred at" if timed else "on")]
        columns += [Column("event"), Column("stream"), *[Column("rule")] * ruled]
        rows: list[layouts.Row] = []
        for each in events:
            at = output.local(each.occurred_at)
            cells: list[str | Text] = [f"{each.bucket}:{each.position}", at if timed else at[:10]]
            rows.append([*cells, each.topic, each.stream, *[each.rule or ""] * ruled])
        lines = layouts.lines(columns, rows)
        if layouts.width(lines) <= width:
            break
    return lines


def _given(value: Any) -> str:
    """An input for a reader."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return f"{value:,}" if isinstance(value, int | float | Decimal) else str(value)
