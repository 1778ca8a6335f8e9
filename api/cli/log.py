"""`events`: the log itself."""

import json
from typing import Annotated

import typer

from api import answers, models
from api.cli import output
from api.cli.options import DataDir, Json, settings_of
from api.failures import NotFound
from api.wiring import opened
from ledger.database import connect


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("events")(events)


def events(
    after: Annotated[
        int, typer.Option(min=0, help="Behind this position; with --stream, this version.")
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
    with opened(settings_of(data_dir)) as database, connect(database.dsn) as connection:
        page: models.LogPage | models.History | None
        if stream is not None:
            page = answers.history(connection, stream, after, limit)
            if not page.events and not after:
                raise NotFound(f"There is no stream {stream!r}: they are called member:ID,"
                               " club:ID, campaign:ID, cohort:ID, unit:ID.")  # fmt: skip
        else:
            page = answers.log_page(connection, bucket, after, limit)
            if page is None:
                raise NotFound(f"There is no bucket {bucket}.")
    if as_json:
        output.tell(page)
        return 0
    for event in page.events:
        state = json.dumps(event.state, ensure_ascii=False)
        output.say(
            f"{event.bucket}:{event.position}  {output.local(event.occurred_at)}"
            f"  {event.topic}  {event.stream}  {event.actor}  {state}"
        )
    return 0
