"""`figures`, `report enter` and `report check`, with their options."""

from typing import Annotated

import typer

from api.cli.terminal.options import (
    DataDir,
    EffectiveAt,
    ExportFile,
    Force,
    Json,
    KnownAt,
    maybe_asked_of,
    settings_of,
    target_of,
)

report = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="A document's file: taken in, or held against the ledger.",
)
ReportFile = Annotated[
    str, typer.Argument(metavar="FILE", help="TOML of a report and its claims; - is stdin.")
]


@report.command("enter")
def enter_report(
    file: ReportFile,
    correcting: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Why what was entered otherwise before is wrong."),
    ] = None,
    actor: Annotated[
        str, typer.Option(metavar="ROLE:ID", help="Who does it; clerk:desk unless it is said.")
    ] = "clerk:desk",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Take in a report with its claims, values from outside and targets, all of it or nothing.

    A file that was entered changes nothing when it is entered again. Ends with 3 if it is refused.
    """
    from api.cli.reports import enter

    return enter(settings_of(data_dir), file, correcting, actor, as_json)


@report.command("check")
def check_report(file: ReportFile, data_dir: DataDir = None, as_json: Json = False) -> int:
    """Hold a report's file against the ledger and against itself, and write nothing.

    Ends with 1 if a claim differs, contradicts itself or mixes populations, or a target is odd.
    """
    from api.cli.reports import check

    return check(settings_of(data_dir), file, as_json)


def figures(
    report_id: Annotated[
        str | None,
        typer.Option("--report", metavar="ID", help="Beside what this report claims."),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="CLAIM", help="What this claim of the report rests on."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many rows it shows.")] = 20,
    export: ExportFile = None,
    force: Force = False,
    known_at: KnownAt = None,
    effective_at: EffectiveAt = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Every measure of the ledger; or beside it what a report claims, each with a verdict.

    With --report it ends with 1 if a claim differs; what a document contradicts itself on is
    flagged.
    """
    from api.cli.figures import run

    asked = maybe_asked_of(known_at, effective_at)
    target = target_of(export, force)
    return run(settings_of(data_dir), report_id, explain, limit, asked, target, as_json)
