"""The commands and their options. What they do stands in modules that are imported when asked for:
help and wrong use answer at once."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from api.cli.asking import asking
from api.cli.job_commands import jobs
from api.cli.key_commands import keys
from api.cli.report_commands import figures, report
from api.cli.terminal.examples import give_examples
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
from api.runtime.failures import WrongUse

SEED = 2008
SAMPLE = 1_000
MOST = 2**62
"""More than any ledger holds, and less than a number of PostgreSQL can be."""

app = typer.Typer(
    name="clubledger",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(asking)
app.add_typer(keys)
app.add_typer(jobs)


def show_version(asked: bool) -> None:
    """Print the version and end, if it is asked for."""
    if asked:
        from importlib.metadata import version

        typer.echo(f"clubledger {version('clubledger')}")
        raise typer.Exit


@app.callback()
def clubledger(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show which one."),
    ] = False,
) -> None:
    """A points ledger for clubs: an event log in PostgreSQL, and answers folded from it."""


@app.command()
def demo(
    scale: Annotated[
        str, typer.Option(help="Size of the branch, from 0.0005; 1 is the report's.")
    ] = "1",
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Another history.")] = SEED,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Load and fold only.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Load the demo year if it is not loaded yet, and print its figures.

    A load that was stopped goes on where it stopped. A ledger with other events is refused.
    """
    from api.cli.demo import run

    return run(settings_of(data_dir), scale, seed, no_figures, as_json)


app.command()(figures)
app.add_typer(report, name="report")


@app.command()
def doubts(
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many are shown at most.")
    ] = 100,
    known_at: KnownAt = None,
    effective_at: EffectiveAt = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Facts that were judged by other values than those now known for their time.

    A tier, a price, terms or a leaving was told later. Nothing is rewritten: somebody decides.
    """
    from api.cli.doubts import run

    return run(settings_of(data_dir), limit, maybe_asked_of(known_at, effective_at), as_json)


@app.command()
def exceptions(
    member: Annotated[str | None, typer.Option(metavar="ID", help="Of this member alone.")] = None,
    code: Annotated[str | None, typer.Option(metavar="RULE", help="Of this rule.")] = None,
    topic: Annotated[str | None, typer.Option(help="Of events such as visit.recorded.")] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Since then.")] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Until this day, itself included.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many are shown at most.")
    ] = 100,
    known_at: KnownAt = None,
    effective_at: EffectiveAt = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Facts of a history that broke a rule which protects a live desk, each with the rules.

    An import said so (--despite), or its line did. Measures can leave them out.
    """
    from api.cli.exceptions import run

    of = {"member_id": member, "code": code, "topic": topic}
    asked = maybe_asked_of(known_at, effective_at)
    return run(settings_of(data_dir), limit, of, (first, last), asked, as_json)


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; else CLUBLEDGER_HOST, else 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; else CLUBLEDGER_PORT, else 8000. 0 is any."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes; else CLUBLEDGER_WORKERS, else 1.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Serve the HTTP API until SIGTERM or Ctrl-C, and keep the answers up to date."""
    from api.cli.serving.serve import run

    return run(settings_of(data_dir, host=host, port=port, workers=workers), as_json)


@app.command()
def project(
    follow: Annotated[bool, typer.Option("--follow", help="Go on as events come in.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Fold what the log holds into the answers."""
    from api.cli import upkeep

    return upkeep.project(settings_of(data_dir), follow, as_json)


@app.command()
def rebuild(
    anew: Annotated[
        bool, typer.Option("--anew", help="Drop what a rebuild that was stopped has done.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Make all answers anew beside the live ones, then put them in their place at once.

    One that was stopped goes on where it stopped.
    """
    from api.cli import upkeep

    return upkeep.rebuild(settings_of(data_dir), anew, as_json)


@app.command()
def compare(
    second_opinion: Annotated[
        bool, typer.Option("--second-opinion", help="Hold answers against a fold in Python, too.")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="Members drawn for both samples: 1,000."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Another sample.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="Every member instead of a sample.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="Differences listed of each comparison.")
    ] = 100,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Hold the live answers against a fresh replay, and the snapshots of streams against events.

    Every row of every answer is compared; of snapshots and the second opinion a sample. Changes
    nothing, and ends with 1 if a row differs.
    """
    from api.cli.audit import run

    if full and sample is not None:
        raise WrongUse("--full takes every member, and --sample some of them.")
    members = None if full else sample or SAMPLE
    return run(settings_of(data_dir), second_opinion, members, seed, limit, as_json)


@app.command("what-if")
def what_if(
    file: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="JSON of the rules changed; - is stdin.")
    ],
    top: Annotated[
        int, typer.Option(min=1, max=1000, help="How many members, most affected first.")
    ] = 10,
    skip: Annotated[
        int, typer.Option(min=0, max=MOST, help="How many of them to leave out first.")
    ] = 0,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Replay the history under changed rules beside what is, and tell the difference.

    The live answers stay as they are. Recorded commands that the changed rules would have refused
    are counted.
    """
    from api.cli.whatif import run

    return run(settings_of(data_dir), file, top, skip, as_json)


@app.command("import")
def import_files(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="JSON Lines of facts, CSV, xlsx; - is stdin."),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(metavar="MAPPING_FILE", help="TOML: what the columns of tables are."),
    ] = None,
    guess: Annotated[
        bool, typer.Option("--guess", help="Propose a mapping for the files; no ledger is opened.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Decide everything, and write nothing.")
    ] = False,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Write an empty sheet for a kind of fact to FILE, .csv or .xlsx.",
        ),
    ] = None,
    as_told: Annotated[
        bool,
        typer.Option("--as-told", help="Decide one file of facts in its own order, not time's."),
    ] = False,
    keep_good: Annotated[
        Path | None,
        typer.Option(
            metavar="REJECTS_FILE",
            help="Keep the good lines, write the others to this file (of tables: this directory),"
            " and why beside it.",
        ),
    ] = None,
    despite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="A rule that protects a live desk, such as in_control_group: what happened despite"
            " it is taken, and says so. Once for each rule.",
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Take in history from files, each fact with the time at which it happened.

    All of it is one transaction, in the order of time, decided by the rules of live commands; a
    file that was taken is not taken twice. Ends with 3 if a line was, or would be, rejected.
    """
    from api.cli import importing
    from api.cli.telling_imports import Asked

    named = files or []
    if guess or template is not None:
        if guess and template is not None:
            raise WrongUse("--guess looks at files, and --template writes one.")
        if check or as_told or despite or keep_good is not None or mapping is not None:
            raise WrongUse("--guess and --template import nothing: leave the other options out.")
        importing.keep_what_is_said(settings_of(data_dir))
        if template is not None:
            return importing.template(template, named)
        return importing.guess(named, as_json)
    excused = tuple(despite or ())
    asked = Asked(named, mapping, keep_good, check, as_told, as_json, excused)
    return importing.run(settings_of(data_dir), asked)


class Doing(TyperGroup):
    """Every command of the ledger under its name, made of its row when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        from api.cli.do import names

        return names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from api.cli.do import line_of

        return line_of(cmd_name)


doing = typer.Typer(cls=Doing, no_args_is_help=True, rich_markup_mode=None)


@doing.callback()
def do() -> None:
    """Carry a command out: credit points, admit a member, take back what was wrong, and so on.

    Under the same key the same command is done once, however often it is sent. Ends with 3 if it is
    refused.
    """


app.add_typer(doing, name="do")


@app.command()
def member(
    id_or_phone: Annotated[str, typer.Argument(metavar="ID_OR_PHONE", help="Whom to show.")],
    statement: Annotated[
        bool, typer.Option("--statement", help="Show the points, newest first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Lines of the statement.")] = 50,
    own_data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write all that is known of this member (an id) to a file for himself, as JSON:"
            " in full, which is recorded.",
            show_default=False,
        ),
    ] = None,
    export: ExportFile = None,
    force: Force = False,
    known_at: KnownAt = None,
    effective_at: EffectiveAt = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """A member's card with points, lots and bindings; or the statement of points."""
    from api.cli import members

    if own_data is not None:
        if statement or export or known_at or effective_at:
            raise WrongUse("--own-data goes with --force alone: it is all, and as of now.")
        return members.own_data(settings_of(data_dir), id_or_phone, own_data, force, as_json)
    asked = maybe_asked_of(known_at, effective_at)
    target = target_of(export, force)
    if target is not None and not statement:
        raise WrongUse("--export goes with --statement: a card is no list.")
    lines = limit if statement else None
    return members.run(settings_of(data_dir), id_or_phone, lines, asked, target, as_json)


@app.command()
def events(
    after: Annotated[
        int,
        typer.Option(min=0, max=MOST, help="Behind this position; with --stream, this version."),
    ] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    stream: Annotated[
        str | None, typer.Option(metavar="KIND:ID", help="Of one stream, such as member:m1.")
    ] = None,
    bucket: Annotated[int, typer.Option(min=0, max=63, help="The lane of the log.")] = 0,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Events as they lie in the log, oldest first."""
    from api.cli.log import run

    return run(settings_of(data_dir), after, limit, stream, bucket, as_json)


@app.command()
def command(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="Of a command; of a line, file:DIGEST:LINE.")
    ],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """What was asked under an idempotency key, what was answered, and the events it made.

    Without what identifies a person. What was refused is not kept.
    """
    from api.cli.command import run

    return run(settings_of(data_dir), key, as_json)


@app.command()
def webhooks(data_dir: DataDir = None, as_json: Json = False) -> int:
    """Programs elsewhere that are told of events: how far each is, and what stands in the way.

    `do webhook.add`, `rotate`, `resume` and `remove` change them; `ask dead_letters` lists what one
    was given up on.
    """
    from api.cli.webhooks import run

    return run(settings_of(data_dir), as_json)


@app.command()
def space(data_dir: DataDir = None, as_json: Json = False) -> int:
    """Where each byte of the ledger lies, and how many that is a fact."""
    from api.cli.space import run

    return run(settings_of(data_dir), as_json)


@app.command()
def status(data_dir: DataDir = None, as_json: Json = False) -> int:
    """What the ledger holds, where it is, and how far its answers are."""
    from api.cli import upkeep

    return upkeep.status(settings_of(data_dir), as_json)


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="A new directory.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Copy the whole ledger while it is used, and check the copy.

    It is there whole, or not at all. The keys of personal data are not in it.
    """
    from api.cli.backups import backup as run

    return run(settings_of(data_dir), target, as_json)


@app.command()
def archive(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="A directory on another disk.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Archive no more.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Keep the write-ahead log, too, from the server's next start on.

    With a backup it gives the ledger as it was at any time since that.
    """
    from api.cli.backups import archive as run

    if off != (directory is None):
        raise WrongUse("Either DIR or --off.")
    return run(settings_of(data_dir), directory, as_json)


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="What `backup` made.")],
    archive: Annotated[
        Path | None, typer.Option("--archive", metavar="DIR", help="What `archive` kept.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="As of this instant, with its offset; else to the end."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Make a new ledger of a backup, in a data directory that holds none.

    As it was copied; with --archive, as it was last archived, or at a time.
    """
    from api.cli.backups import restore as run

    return run(settings_of(data_dir), backup, archive, to, as_json)


@app.command()
def doctor(data_dir: DataDir = None, as_json: Json = False) -> int:
    """What is wrong with this installation, and how to mend it. Changes nothing.

    Settings, directory, disk, port, limits, PostgreSQL, versions, answers, clocks.
    """
    from api.cli.doctor import run

    return run(settings_of(data_dir), as_json)


@app.command()
def clock(
    stand_still: Annotated[
        bool,
        typer.Option(
            "--stand-still",
            help="The log is ahead and the clocks are right: go on writing, recorded at the log's"
            " last time until the clocks have reached it.",
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """The clocks that must agree before anything is written."""
    from api.cli import upkeep

    return upkeep.clock(settings_of(data_dir), stand_still, as_json)


give_examples(app)
