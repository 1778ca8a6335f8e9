"""Commands that ask: measures, lists, what changed. As in `commands`, what they do is imported when
it is asked for."""

from typing import Annotated

import typer

from api.cli.terminal.options import (
    DataDir,
    EffectiveAt,
    ExportFile,
    Force,
    Json,
    KnownAt,
    asked_of,
    maybe_asked_of,
    settings_of,
    target_of,
)
from api.runtime.failures import WrongUse

OPEN = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Of a command that takes the parameters of a measure, or filters, as options."""
MOST = 2**62
"""More than any ledger holds, and less than a number of PostgreSQL can be."""

asking = typer.Typer()


@asking.command(context_settings=OPEN)
def changes(
    context: typer.Context,
    known_before: Annotated[
        str, typer.Option("--from", metavar="MOMENT", help="The earlier moment, as --known-at.")
    ],
    known_after: Annotated[
        str | None,
        typer.Option("--to", metavar="MOMENT", help="The later one, as --known-at; else now."),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option("--from-effective", metavar="TIME", help="Of the earlier, as --effective-at."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--to-effective", metavar="TIME", help="Of the later, as --effective-at."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(metavar="MEASURE", help="Which rows of this one changed, and by what."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many rows are shown.")] = 50,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """What changed from one moment to another: measures, each on its day, and the events between.

    With --measure, the rows that make it change; its parameters are options, as `measure` has them.
    """
    from api.cli.changes import run

    earlier = asked_of(known_before, before, ("from", "from-effective"))
    later = asked_of(known_after, after, ("to", "to-effective"))
    if measure is None and context.args:
        raise WrongUse("Only with --measure there are other options.")
    settings = settings_of(data_dir)
    return run(settings, earlier, later, measure, context.args, limit, as_json)


@asking.command()
def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="By its name, as `clubs`.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="What it is about.")
    ] = None,
    known_at: KnownAt = None,
    effective_at: EffectiveAt = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Answer one of the questions that have no command of their own; a wrong one names them all."""
    from api.cli.ask import run

    asked = maybe_asked_of(known_at, effective_at)
    return run(settings_of(data_dir), question, words or [], asked, as_json)


@asking.command()
def measures(data_dir: DataDir = None, as_json: Json = False) -> int:
    """Every measure: what it is called, its unit, and what it is asked with.

    With --json, also the formulas. They are the same whichever ledger it is.
    """
    del data_dir
    from api.cli.measures import catalogue

    return catalogue(as_json)


@asking.command(context_settings=OPEN)
def measure(
    context: typer.Context,
    measure_id: Annotated[
        str, typer.Argument(metavar="MEASURE", help="By its id, as `bindings.rate`.")
    ],
    by: Annotated[
        list[str] | None, typer.Option(help="Grouped by this, as `unit` or `unit,tier`.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Show so many of its rows.")
    ] = None,
    export: ExportFile = None,
    force: Force = False,
    known_at: KnownAt = None,
    effective_at: EffectiveAt = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """What a measure comes to, and the rows that make it up.

    Its own parameters are options: --on DAY, --first DAY, --cohort ID, --tier gold,silver, ...
    `clubledger measures --json` tells which it takes; a wrong one is answered with all of them.

        clubledger measure bindings.rate --cohort X --on 2025-12-31 --by unit
    """
    from api.cli.measures import run

    return run(
        settings_of(data_dir),
        measure_id,
        context.args,
        by or [],
        rows,
        maybe_asked_of(known_at, effective_at),
        target_of(export, force),
        as_json,
    )


@asking.command("list", context_settings=OPEN)
def list_rows(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="LIST", help="Such as members; else all are named.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many are shown.")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="PLACE", help="Behind the page that said so.")
    ] = None,
    export: ExportFile = None,
    force: Force = False,
    known_at: KnownAt = None,
    effective_at: EffectiveAt = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """What there is, row by row: members with their points, visits, bindings, cohorts, ...

    Its filters are options: --unit X, --tier gold,silver, --first DAY, --balance-at-least 100, ...
    Without a name, `clubledger list` tells all lists and their filters.

        clubledger list members --tier gold --on-network true --export gold.xlsx
    """
    from api.cli.lists import run

    asked, target = maybe_asked_of(known_at, effective_at), target_of(export, force)
    settings = settings_of(data_dir)
    return run(settings, name, context.args, limit, after, asked, target, as_json)


@asking.command()
def sql(
    query: Annotated[
        str | None, typer.Option("-c", "--query", metavar="QUERY", help="Print its rows as CSV.")
    ] = None,
    address: Annotated[
        bool,
        typer.Option(
            "--connect", help="Print with what other programs connect, with a new password."
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Read the views by SQL: in a session of psql, by one query, or with tools of your own.

    They are read as a role that sees nothing else: no personal data and no log.

        clubledger sql -c "SELECT unit_id, count(*) FROM members GROUP BY unit_id"
    """
    from api.cli.sql import run

    if query is not None and address:
        raise WrongUse("--connect goes without a query.")
    if as_json and query is None and not address:
        raise WrongUse("--json goes with a query or --connect.")
    return run(settings_of(data_dir), query, address, as_json)
