"""`command`: what was asked under a key, and what came of it."""

import json

from api import log
from api.cli.terminal import output
from api.runtime.failures import NotFound
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from ledger.database import connect


def run(settings: Settings, key: str, as_json: bool) -> int:
    """Show it; with several lanes there may be one in each."""
    with opened(settings) as database, connect(database.dsn) as connection:
        found = log.commands(connection, key)
    if not found.commands:
        raise NotFound("No command was taken under this key.")
    if as_json:
        output.tell(found)
        return 0
    for each in found.commands:
        output.say(f"asked     {json.dumps(each.asked, ensure_ascii=False)}")
        output.say(f"decided   for {output.local(each.decided_at)}")
        if each.answered is not None:
            output.say(f"answered  {json.dumps(each.answered, ensure_ascii=False)}")
        for event in each.events:
            state = json.dumps(event.state, ensure_ascii=False)
            place = f"{event.bucket}:{event.position}"
            output.say(f"event     {place}  {event.topic}  {event.stream}  {state}")
    return 0
