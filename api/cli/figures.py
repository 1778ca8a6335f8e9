"""`figures`: the report's figures beside those that the events give."""

from typing import Annotated

import typer
from rich.text import Text

from api import answers, models
from api.cli import output
from api.cli.options import DataDir, Json, settings_of
from api.failures import NotFound
from api.wiring import Database, opened
from ledger.database import connect
from projections import runner

DIFFERS, CONTRADICTS = "DIFFERS", "DISAGREES"
STYLES = {"agrees": "green", DIFFERS: "bold red", CONTRADICTS: "yellow"}
EXPLAINED = 20
"""How many of the events behind a figure are shown."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("figures")(figures)


def figures(
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="FIGURE", help="Formula, inputs and events of one."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="How many events --explain shows.")
    ] = EXPLAINED,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Every figure of the report: reported, derived, difference, verdict, assumptions, events.

    Ends with 0 if every exact figure agrees; what the document contradicts itself on is flagged.
    """
    with opened(settings_of(data_dir)) as database:
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
    numbers = ("reported", "derived", "difference", "events")
    table = output.plain_table(
        "figure", "", "reported", "derived", "difference", "verdict", "assumed?", "events",
        right=numbers,
    )  # fmt: skip
    section = ""
    for figure in shown.figures:
        if figure.section != section:
            section = figure.section
            table.add_row(Text(section, style="bold"))
        table.add_row(
            figure.id,
            figure.zh,
            output.number(figure.reported),
            output.number(figure.derived),
            output.number(figure.difference),
            Text(figure.verdict, style=STYLES.get(figure.verdict, "")),
            "assumed" if figure.assumed else "",
            output.number(figure.events),
        )
    console.print(table)
    _flags(shown)


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
            "assumed: it rests on what the document does not give; docs/assumptions.md lists it."
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
        "reported": output.number(figure.reported),
        "derived": output.number(figure.derived),
        "difference": output.number(figure.difference),
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
