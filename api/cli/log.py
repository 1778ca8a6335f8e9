"""`events`: the log itself."""

import json

from api import log
from api.cli.terminal import output
from api.runtime.failures import NotFound
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from ledger.database import connect


def run(
    settings: Settings, after: int, limit: int, stream: str | None, bucket: int, as_json: bool
) -> int:
    """Show a page of the log, or of one stream."""
    with opened(settings) as database, connect(database.dsn) as connection:
        page: log.LogPage | log.History
        if stream is not None:
            told = log.history(connection, stream, after, limit)
            if told is None:
                raise NotFound("There is no such stream: they are called member:ID,"
                               " club:ID, campaign:ID, cohort:ID, unit:ID, apikey:ID.")  # fmt: skip
            page = log.History.model_validate_json(told)
        else:
            told = log.log_page(connection, bucket, after, limit)
            if told is None:
                raise NotFound(f"There is no bucket {bucket}.")
            page = log.LogPage.model_validate_json(told)
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
