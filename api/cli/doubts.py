"""`doubts`: facts that a later one has brought into doubt."""

from api.cli.terminal import output
from api.cli.terminal.looking import looking, say_moment
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from projections.audit import doubts
from projections.engine.answer import dated
from projections.engine.moments import Asked


def run(settings: Settings, limit: int, asked: Asked | None, as_json: bool) -> int:
    """Show the facts in doubt, each with what it was judged by and what now holds."""
    with opened(settings) as database, looking(database, asked) as (connection, moment):
        found = dated(doubts.page(connection, limit), moment)
    if as_json:
        output.tell(found)
        return 0
    say_moment(found.moment)
    for doubt in found.doubts:
        judged = ", ".join(
            f"{each.about} {each.judged_by or 'none'}, now {each.holds or 'none'}"
            for each in doubt.differences
        )
        output.say(
            f"{doubt.bucket}:{doubt.position}  {output.local(doubt.occurred_at)}"
            f"  {doubt.topic}  {doubt.stream}  {judged}"
        )
    if not found.doubts:
        output.say("Nothing is in doubt.")
    elif found.next:
        output.say(f"There are more than these {limit:,}: --limit shows them.")
    return 0
