"""`report enter`, `report check`: a file of a report, taken in, or held against the ledger; and how
the figures of a report are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

from rich.text import Text

from api import answers
from api.cli.measures import tell_rows
from api.cli.terminal import layouts, output
from api.cli.terminal.files import Target, operator
from api.cli.terminal.layouts import Column, Heading
from api.cli.terminal.looking import looking, refusable, say_moment
from api.cli.terminal.sources import source
from api.runtime import report_files
from api.runtime.failures import NotFound, Rejected
from api.runtime.report_files import MAX_BYTES, ReportFile, WrongFile
from api.runtime.settings import Settings
from api.runtime.wiring import Database, opened
from ledger.importing import Importer
from projections.engine import runner
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.contributions import Contributions
from projections.figures.claims import (
    AGREES,
    CONTRADICTS,
    DIFFERS,
    NOT_COMPUTABLE,
    NOT_PRINTED,
    SCALED,
    STATED,
    ClaimFigure,
    day_of,
    is_day,
)
from projections.figures.reported import Explanation
from projections.figures.targets import TargetProgress, WayProgress

STYLES = {AGREES: "green", DIFFERS: "bold red", CONTRADICTS: "yellow"}
MARKS = {
    AGREES: "=",
    DIFFERS: "X",
    CONTRADICTS: "!",
    STATED: "-",
    NOT_COMPUTABLE: "?",
    NOT_PRINTED: ".",
    SCALED: "~",
}
"""Verdicts where there is no room for the word; a line below the table says what they mean."""
IN_PART = "The demo is loaded in part: `clubledger demo` goes on."


# ------------------------------------------------------------------------------- what is done
def enter(settings: Settings, name: str, correcting: str | None, actor: str, as_json: bool) -> int:
    """Tell what the file says and the ledger does not, in one go."""
    with refusable(), opened(settings, create=True) as database:
        file = _read(name, database, actor)
        runner.project(database.dsn)
        with looking(database, None) as (connection, _):
            found = report_files.plan(connection, file, correcting)
        if (found.changed or found.gone) and correcting is None:
            raise Rejected(
                f"{_counted(found.changed)} otherwise in the ledger, and {_counted(found.gone)} no"
                " longer in the file: --correcting says why that was wrong.",
                {"changed": found.changed, "gone": found.gone},
            )
        events = _written(database, found) if found.commands else 0
        output.demo_clock(database.clock)
    told = {
        "report_id": file.report_id,
        "new": found.new,
        "changed": found.changed,
        "gone": found.gone,
        "same": found.same,
        "events": events,
    }
    if as_json:
        output.tell(told)
    elif not found.commands:
        output.say(f"{file.report_id} was entered before: all of the file stands as it says.")
    else:
        output.say(
            f"{file.report_id}: {found.new} told, {len(found.changed)} corrected,"
            f" {len(found.gone)} taken back, {found.same} as before."
        )
        output.say(f"`clubledger figures --report {file.report_id}` holds it against the ledger.")
    return 0


def _counted(names: Sequence[str]) -> str:
    few = f" ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else ""
    return f"{output.counted(len(names), 'entry').replace('entrys', 'entries')}{few}"


def _written(database: Database, found: report_files.Plan) -> int:
    lines = report_files.lines(found.commands)
    importer = Importer(database.dsn, now=database.clock.now())
    done = importer.load(lambda: iter(lines), key=sha256(b"\n".join(lines)).hexdigest()[:32])
    if not done.kept:
        first = done.rejections[0]
        raise Rejected(f"Somebody was faster: {first.reason}", {"code": first.code})
    runner.project(database.dsn)
    return done.events


def check(settings: Settings, name: str, as_json: bool) -> int:
    """Hold the file against the ledger and against itself, and write nothing."""
    with opened(settings, create=False) as database:
        file = _read(name, database, "clerk:desk")
        with looking(database, None) as (connection, _):
            shown = answers.checked(connection, database.meta, file)
    tell(shown, as_json)
    return 1 if shown.findings else 0


def explain(
    database: Database,
    connection: Conn,
    shown: answers.ReportAnswer,
    claim_id: str,
    limit: int,
    target: Target | None,
    as_json: bool,
) -> int:
    """What a claim of a report rests on; or all rows that make it up, in a file."""
    found = answers.explained(connection, shown, claim_id, limit)
    if found is None:
        raise NotFound(
            f"{shown.report_id} makes no such claim: `--report {shown.report_id}` lists them."
        )
    figure = found.figure
    if target is not None:
        if found.measured is None or figure.measure is None:
            raise NotFound("No rows make it up: it is stated, or made of other claims.")
        words = {**found.measured.params, "first": found.measured.first or figure.first}
        if found.measured.first is None:
            words.pop("first")
        export = answers.contributions_export(
            connection, database.meta, figure.measure, words, figure.last, found.moment, operator()
        )
        return target.write(export, as_json)
    if as_json:
        output.tell(found)
        return 0
    _told_why(found)
    return 0


def _told_why(found: Explanation) -> None:
    figure, width = found.figure, output.stdout().width
    say_moment(found.moment)
    output.say(f"{figure.claim_id}  {figure.title}  {figure.zh or ''}".rstrip())
    lines = {
        "printed": printed(figure),
        "its own": derived(figure, figure.by_its_own),
        "derived": derived(figure, figure.derived),
        "difference": apart(figure),
        "unit": figure.unit,
        "verdict": figure.verdict,
        "measure": figure.measure or "",
        "formula": figure.formula or "",
        "why": figure.why or "",
        "assumed": ", ".join(figure.assumed),
        "note": figure.note or "",
    }
    for name, value in lines.items():
        if value:
            output.say(layouts.folded(value, width, f"  {name:<12}", " " * 14))
    for each in found.rests_on:
        output.say(
            f"  {each.claim_id}: printed {printed(each)}, derived {derived(each, each.derived)}"
        )
    if found.measured is not None:
        output.say("")
        rows = Contributions(
            measured=found.measured, contributions=found.contributions, next=found.next
        )
        tell_rows(rows, "--limit")


def report_of(
    database: Database, connection: Conn, report_id: str, moment: Moment | None = None
) -> answers.ReportAnswer:
    """What a report claims, checked; one that is not there is told."""
    shown = answers.report(connection, database.meta, report_id, moment)
    if shown is None:
        raise NotFound("There is no such report: `clubledger ask reports` lists them.")
    return shown


def _read(name: str, database: Database, actor: str) -> ReportFile:
    with source(name) as stream:
        content = stream.read(MAX_BYTES + 1)
    try:
        return report_files.read(content, database.clock.now(), actor)
    except WrongFile as wrong:
        told = [each.model_dump() for each in wrong.found]
        for each in wrong.found[:20]:
            where = f"line {each.line}: " if each.line else ""
            field = f", {each.field}" if each.field else ""
            output.note(f"{where}{each.entry}{field}: {each.reason}")
        raise Rejected(
            f"{output.counted(len(told), 'mistake')} in the file: nothing was taken.",
            {"errors": told},
        ) from None


# ------------------------------------------------------------------------------- what is told
@dataclass(frozen=True)
class Layout:
    """What of the table is shown, and how."""

    chinese: bool = False
    own: bool = True
    units: bool = True
    marks: bool = False


LAYOUTS = (
    Layout(chinese=True),
    Layout(),
    Layout(own=False),
    Layout(own=False, marks=True),
    Layout(own=False, marks=True, units=False),
)
"""From the widest to the narrowest: the first that fits is taken, in the worst case the last."""


def tell(shown: answers.ReportAnswer, as_json: bool) -> int:
    """Print a report's figures; returns the exit code they amount to."""
    if as_json:
        output.tell(shown)
    else:
        _told(shown)
    return 1 if any(figure.verdict == DIFFERS for figure in shown.figures) else 0


def _told(shown: answers.ReportAnswer) -> None:
    console = output.stdout()
    in_part = shown.demo is not None and not shown.demo.complete
    say_moment(shown.moment)
    if in_part:
        output.say(f"{IN_PART} Until then the figures are those of a part of the year.\n")
    output.say(f"{shown.report_id}  {shown.title}  {shown.first} to {shown.last}\n")
    layout, lines = fitting(shown.figures, console.width)
    for line in lines:
        console.print(line, soft_wrap=True)
    if layout.marks:
        used = {figure.verdict for figure in shown.figures}
        marks = [f"{mark} {verdict}" for verdict, mark in MARKS.items() if verdict in used]
        output.say(layouts.folded(f"Marks: {', '.join(marks)}.", console.width))
    _findings(shown, console.width)
    _targets(shown.targets, console.width)
    _counts(shown, console.width)
    if in_part:
        output.say(IN_PART)


def fitting(figures: Sequence[ClaimFigure], width: int) -> tuple[Layout, list[Text]]:
    """The widest layout that fits, and the lines of the table in it."""
    found: list[Text] = []
    for layout in LAYOUTS:
        found = _table(figures, layout)
        if layouts.width(found) <= width:
            return layout, found
    return LAYOUTS[-1], found


def _table(figures: Sequence[ClaimFigure], layout: Layout) -> list[Text]:
    """Rows under what their ids begin with."""
    numbers = ["printed", *["its own"] * layout.own, "derived"]
    columns = [Column("figure"), *[Column("")] * layout.chinese]
    columns += [Column(name, right=True) for name in (*numbers, "diff.")]
    columns += [Column("unit")] * layout.units + [Column("" if layout.marks else "verdict")]
    rows: list[layouts.Row] = []
    above = ""
    for figure in figures:
        group, _, name = figure.claim_id.rpartition(".")
        if group != above:
            rows.append(Heading(f"{group}." if group else ""))
            above = group
        cells: list[str | Text] = [f" {name}" if group else name]
        cells += [figure.zh or ""] * layout.chinese
        cells += [printed(figure)]
        cells += [derived(figure, figure.by_its_own)] * layout.own
        cells += [derived(figure, figure.derived), apart(figure)]
        rows.append([*cells, *[figure.unit] * layout.units, _verdict(figure, layout)])
    return layouts.lines(columns, rows)


def printed(figure: ClaimFigure) -> str:
    """What the document prints, for a reader."""
    if figure.value is None or is_day(figure.value):
        return figure.value or ""
    return output.number(Decimal(figure.value))


def derived(figure: ClaimFigure, value: Any) -> str:
    """Another value for the same."""
    if value is not None and figure.value is not None and is_day(figure.value):
        return day(value)
    return output.number(value)


def day(value: Decimal) -> str:
    """A day that is written as a number, as ISO 8601 has it."""
    return day_of(value).isoformat()


def apart(figure: ClaimFigure) -> str:
    """How far they are apart."""
    if figure.difference and figure.value is not None and is_day(figure.value):
        return output.counted(int(figure.difference), "day")
    return output.number(figure.difference)


def _verdict(figure: ClaimFigure, layout: Layout) -> Text:
    said = MARKS.get(figure.verdict, figure.verdict) if layout.marks else figure.verdict
    flags = "" if not figure.flags else " #" if layout.marks else ", mixed"
    return Text.assemble(
        (said, STYLES.get(figure.verdict, "")), flags, "*" if figure.assumed else ""
    )


def _findings(shown: answers.ReportAnswer, width: int) -> None:
    """What a reader must know who sees the numbers alone."""
    wrong = [f for f in shown.figures if f.verdict == CONTRADICTS]
    _listed(
        "The document contradicts itself:",
        [
            f"{f.claim_id}: it prints {printed(f)}, and {f.formula} of what it prints is"
            f" {derived(f, f.by_its_own)}."
            for f in wrong
        ],
        width,
    )
    _listed(
        "Mixed populations:",
        [f"{f.claim_id}: {flag}." for f in shown.figures for flag in f.flags],
        width,
    )
    why = [f for f in shown.figures if f.why is not None]
    _listed("Not derived:", [f"{f.claim_id}: {f.why}." for f in why], width)
    noted = [f for f in shown.figures if f.note]
    _listed("Notes:", [f"{f.claim_id}: {f.note}" for f in noted], width)


def _listed(heading: str, said: Sequence[str], width: int) -> None:
    if said:
        output.say(f"\n{heading}")
    for each in said:
        output.say(layouts.folded(each, width, "  ", "    "))


def _targets(targets: Sequence[TargetProgress], width: int) -> None:
    said = []
    for each in targets:
        ways = " or ".join(map(_way, each.progress))
        flags = "".join(f" Note: {flag}." for flag in each.flags)
        said.append(f"{each.target_id} ({each.level}): {ways}.{flags}")
    _listed("Targets:", said, width)


def _way(way: WayProgress) -> str:
    asked = f"{way.kind.replace('_', ' ')} {way.value}"
    if way.passed is None or way.by is None:
        return f"{asked}: {way.why}"
    by = f"{'passed' if way.passed else 'missed'} by {abs(way.by):,}"
    if way.customers is not None:
        by += f", {output.counted(abs(way.customers), 'customer')}"
    return f"{asked}: {by}"


def _counts(shown: answers.ReportAnswer, width: int) -> None:
    verdicts = [figure.verdict for figure in shown.figures]
    counts = ", ".join(
        f"{verdicts.count(verdict)} {verdict}" for verdict in MARKS if verdict in verdicts
    )
    total = output.counted(len(verdicts), "claim")
    output.say("\n" + layouts.folded(f"{total}: {counts}.", width))
    if any(figure.assumed for figure in shown.figures):
        said = "*: it rests on what the document does not give, and the demo chose;"
        output.say(layouts.folded(f"{said} demo/assumptions.toml lists it.", width))
    if shown.demo and shown.demo.scale != "1":
        said = (
            f"The history is a demo scaled to {shown.demo.scale}: its totals are smaller and its"
            " shares round differently. What does not come out as reported for that is called"
            ' "scaled"; what holds at any size still agrees.'
        )
        output.say(layouts.folded(said, width))
