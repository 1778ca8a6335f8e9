"""`figures`: every measure of the ledger; or what a report claims beside what the events give."""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

from rich.text import Text

from api import answers
from api.cli import reports
from api.cli.terminal import layouts, output
from api.cli.terminal.files import Target, operator
from api.cli.terminal.layouts import Column
from api.cli.terminal.looking import last_fact_line, looking, say_moment
from api.runtime.failures import WrongUse
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from projections.engine.measure import DAY
from projections.engine.moments import Asked


def run(
    settings: Settings,
    report_id: str | None,
    explain: str | None,
    limit: int,
    asked: Asked | None,
    target: Target | None,
    as_json: bool,
) -> int:
    """Print them, as they are now or as of a moment; or write a file."""
    if explain is not None and report_id is None:
        raise WrongUse("--explain goes with --report; `clubledger measure ID` explains a measure.")
    with opened(settings) as database, looking(database, asked) as (connection, moment):
        if report_id is not None:
            shown = reports.report_of(database, connection, report_id, moment)
            if explain is not None:
                return reports.explain(database, connection, shown, explain, limit, target, as_json)
            if target is not None:
                export = answers.report_export(connection, database.meta, shown, operator())
                return target.write(export, as_json)
            return reports.tell(shown, as_json)
        found = answers.all_figures(connection, database.meta, moment)
        if target is not None:
            export = answers.figures_export(connection, database.meta, found, operator())
            return target.write(export, as_json)
    if as_json:
        output.tell(found)
    else:
        _told(found)
    return 0


def _told(found: answers.Figures) -> None:
    console = output.stdout()
    say_moment(found.moment)
    if found.demo is not None and not found.demo.complete:
        output.say(f"{reports.IN_PART}\n")
    for said in _days(found.figures, found.idle_since):
        output.say(layouts.folded(said, console.width))
    for line in fitting(found.figures, console.width):
        console.print(line, soft_wrap=True)
    why = [each for each in found.figures if each.why]
    said = output.counted(len(found.figures), "figure")
    more = f"{len(why)} of them not computable: " if why else ""
    told = "`clubledger measure ID` says how each is made, `--report ID` holds a report against it."
    output.say("\n" + layouts.folded(f"{said}. {more}{told}", console.width))


def _days(figures: Sequence[answers.MeasureFigure], idle: date | None) -> Iterator[str]:
    """Of which days they are: what a branch brings is often of years that are over."""
    if figures:
        first = next(
            (f"; what is of days, of those since {each.first}" for each in figures if each.first),
            "",
        )
        yield f"On {figures[0].on}{first}. Of another day and its year: --effective-at DAY."
        if idle is not None:
            yield last_fact_line(idle)
        yield ""


def fitting(figures: Sequence[answers.MeasureFigure], width: int) -> list[Text]:
    """The widest table that fits: without the Chinese names, then without the English."""
    found: list[Text] = []
    for titles in (2, 1, 0):
        columns = [Column("measure"), *[Column("")] * titles, Column("of")]
        columns += [Column("value", right=True), Column("unit")]
        rows = [
            [
                each.measure_id,
                *[each.title, each.zh][:titles],
                " ".join(each.params.values()),
                shown(each.unit, each.value),
                "" if each.unit == DAY else each.unit,
            ]
            for each in figures
        ]
        found = layouts.lines(columns, rows)
        if layouts.width(found) <= width:
            break
    return found


def shown(unit: str, value: Decimal | None) -> str:
    """A value for a reader."""
    if value is None or unit != DAY:
        return output.number(value)
    return reports.day(value)
