"""`webhooks`: the programs elsewhere that are told of events."""

from api.cli.terminal import output
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from ledger.database import connect
from projections.webhooks import WebhookRow, webhooks


def run(settings: Settings, as_json: bool) -> int:
    """Show them, and beneath each what stands in its way."""
    with opened(settings) as database, connect(database.dsn) as connection:
        found = webhooks(connection)
    if as_json:
        output.tell({"webhooks": [each.model_dump(mode="json") for each in found]})
        return 0
    if not found:
        output.say("No program elsewhere is told of events.")
        return 0
    numbers = ("lag", "taken", "failed", "dead letters")
    rows = [(each.webhook_id, each.standing, *_numbers(each)) for each in found]
    output.say_rows(("webhook", "standing", *numbers), rows, right=numbers)
    for each in found:
        if each.cause and each.removed_at is None:
            when = "" if each.due_at is None else f", again at {output.local(each.due_at)}"
            output.say(f"{each.webhook_id}: {each.cause}{when}")
    return 0


def _numbers(row: WebhookRow) -> list[str]:
    told = (row.lag, row.taken, row.failed, row.dead_letters)
    return [output.number(each) or "" for each in told]
