"""The commands about jobs: `jobs list`, `jobs show`, `jobs cancel`, `jobs download`."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from api.cli.terminal.options import DataDir, Force, Json, settings_of

jobs = typer.Typer(
    name="jobs",
    help="What people have started over HTTP that takes long: here everybody's.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
JobId: TypeAlias = Annotated[str, typer.Argument(metavar="ID")]


@jobs.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Jobs of all who have started any, the newest first."""
    from api.cli import jobs as of_jobs

    return of_jobs.listed(settings_of(data_dir), limit, as_json)


@jobs.command()
def show(job_id: JobId, data_dir: DataDir = None, as_json: Json = False) -> int:
    """How a job stands, what it came to, and the files that it has made."""
    from api.cli import jobs as of_jobs

    return of_jobs.show(settings_of(data_dir), job_id, as_json)


@jobs.command()
def cancel(job_id: JobId, data_dir: DataDir = None, as_json: Json = False) -> int:
    """Let a job end at its next step; what is committed by then has succeeded."""
    from api.cli import jobs as of_jobs

    return of_jobs.cancel(settings_of(data_dir), job_id, as_json)


@jobs.command()
def download(
    job_id: JobId,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="Which of its files.")],
    to: Annotated[Path, typer.Argument(metavar="FILE", help="Where it is written.")],
    force: Force = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Write a file that a job has made, for its owner alone to read."""
    from api.cli import jobs as of_jobs

    return of_jobs.download(settings_of(data_dir), job_id, number, to, force, as_json)
