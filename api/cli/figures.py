"""`figures`: the report's figures beside those that the events give."""

from collections.abc import Callable
from decimal import Decimal

from rich.text import Text

from api import answers, models
from api.cli import output
from api.failures import NotFound
from api.settings import Settings
from api.wiring import Database, opened
from ledger.database import connect
from projections import runner
from projections.figures import AGREES, CONTRADICTS, DIFFERS

WITH_CHINESE, WITH_UNITS = 150, 120
"""Columns a terminal needs for all of the table; on a narrower one it goes without."""
STYLES = {AGREES: "green", DIFFERS: "bold red", CONTRADICTS: "yellow"}


def run(settings: Settings, explain: str | None, limit: int, as_json: bool) -> int:
    """Print all figures, or explain one."""
    with opened(settings) as database:
        runner.project(database.dsn)
        if explain is not None:
            return _explained(database, explain, limit, as_json)
        shown = figures_of(database)
    return tell_figures(shown, as_json)


def figures_of(database: Database) -> models.Figures:
    """All figures as they are now."""
    with connect(database.dsn) as connection, runner.snapshot(connection):
        return answers.all_figures(connection, database.meta)


def tell_figures(shown: models.Figures, as_json: bool) -> int:
    """Print the figures; returns the exit code they amount to."""
    if as_json:
        output.tell(shown)
    else:
        _table(shown)
    return 1 if any(figure.verdict == DIFFERS for figure in shown.figures) else 0


def _table(shown: models.Figures) -> None:
    console = output.stdout()
    chinese, units = console.width >= WITH_CHINESE, console.width >= WITH_UNITS
    columns: dict[str, Callable[[models.Figure], str | Text] | None] = {
        "figure": lambda figure: figure.id,
        "": (lambda figure: figure.zh) if chinese else None,
        "reported": lambda figure: _shown(figure, figure.reported),
        "derived": lambda figure: _shown(figure, figure.derived),
        "difference": lambda figure: _shown(figure, figure.difference),
        "unit": (lambda figure: figure.unit or "") if units else None,
        "verdict": lambda figure: Text(figure.verdict, style=STYLES.get(figure.verdict, "")),
        "assumed?": lambda figure: "assumed" if figure.assumed else "",
        "events": lambda figure: output.number(figure.events),
    }
    cells = {name: cell for name, cell in columns.items() if cell is not None}
    table = output.plain_table(*cells, right=("reported", "derived", "difference", "events"))
    section = ""
    for figure in shown.figures:
        if figure.section != section:
            section = figure.section
            table.add_row(Text(section, style="bold"))
        table.add_row(*(cell(figure) for cell in cells.values()))
    console.print(table)
    _flags(shown)


def _shown(figure: models.Figure, value: Decimal | None) -> str:
    """A value for a reader; a day written as a number keeps its digits together."""
    return str(value) if value is not None and figure.unit == "yyyymmdd" else output.number(value)


def _flags(shown: models.Figures) -> None:
    """What a reader must know who sees the numbers alone."""
    by_verdict: dict[str, list[models.Figure]] = {}
    for figure in shown.figures:
        by_verdict.setdefault(figure.verdict, []).append(figure)
    if contradictions := by_verdict.get(CONTRADICTS):
        output.say("\nThe document contradicts itself:")
        for figure in contradictions:
            why = figure.note or figure.formula or ""
            output.say(f"  {figure.id}: it prints {figure.reported}, its own inputs give"
                       f" {figure.derived}. {why}".rstrip())  # fmt: skip
    if noted := [f for f in shown.figures if f.note and f.verdict != CONTRADICTS]:
        output.say("\nNotes:")
        for figure in noted:
            output.say(f"  {figure.id}: {figure.note}")
    counts = ", ".join(f"{len(each)} {verdict}" for verdict, each in sorted(by_verdict.items()))
    output.say(f"\n{len(shown.figures)} figures: {counts}.")
    if any(figure.assumed for figure in shown.figures):
        output.say(
            "assumed: it rests on what the document does not give; demo/assumptions.toml lists it."
        )
    if shown.demo and shown.demo.scale != "1":
        output.say(
            f"The history is a demo scaled to {shown.demo.scale}: its figures cannot agree with"
            ' the report, and their verdict is "scaled".'
        )
    if shown.demo and not shown.demo.complete:
        output.say("The demo is loaded in part: `clubledger demo` goes on.")


def _explained(database: Database, figure_id: str, limit: int, as_json: bool) -> int:
    with connect(database.dsn) as connection, runner.snapshot(connection):
        found = answers.explanation(connection, database.meta, figure_id, limit)
    if found is None:
        raise NotFound(f"There is no figure {figure_id!r}: `clubledger figures` lists them.")
    if as_json:
        output.tell(found)
        return 0
    figure = found.figure
    output.say(f"{figure.id}  {figure.title}  {figure.zh}")
    lines = {
        "reported": _shown(figure, figure.reported),
        "derived": _shown(figure, figure.derived),
        "difference": _shown(figure, figure.difference),
        "verdict": figure.verdict,
        "formula": figure.formula or "",
        "assumed": ", ".join(figure.assumed),
        "note": figure.note or "",
    }
    for name, value in lines.items():
        if value:
            output.say(f"  {name:<12}{value}")
    if found.inputs:
        output.say("inputs")
        for given in found.inputs:
            output.say(f"  {given.name}: {given.value}")
    output.say(f"{figure.events:,} events; the first {len(found.events)}:")
    table = output.plain_table("position", "occurred at", "event", "stream", right=("position",))
    for event in found.events:
        position = f"{event.bucket}:{event.position}"
        table.add_row(position, output.local(event.occurred_at), event.topic, event.stream)
    output.stdout().print(table)
    return 0
