"""`changes`: what became of the figures from one moment to another, and by which events."""

from api.cli.figures import apart, shown
from api.cli.terminal import output
from api.cli.terminal.looking import looking, moment_line
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from projections.asof import changes
from projections.asof.changes import Changes, State
from projections.engine.answer import Moment
from projections.engine.moments import Asked


def run(settings: Settings, before: Asked, after: Asked, as_json: bool) -> int:
    """Tell what changed; 1 if it is not what the events between add up to."""
    with opened(settings) as database:
        seen: list[tuple[Moment, State]] = []
        for asked in (before, after):
            with looking(database, asked) as (connection, moment):
                assert moment is not None  # it was asked for
                seen.append((moment, changes.state(connection, moment)))
        with looking(database, None) as (connection, _):
            found = changes.changes(connection, *seen)
    if as_json:
        output.tell(found)
    else:
        tell_changes(found)
    return 0 if found.foots else 1


def tell_changes(found: Changes) -> None:
    """Tell a reader."""
    output.say(f"From {moment_line(found.before)}\n  to {moment_line(found.after)}.\n")
    numbers = ("from", "to", "difference")
    figures = output.plain_table("figure", *numbers, right=numbers)
    for figure in found.figures:
        before, after = (shown(figure.unit, value) for value in (figure.before, figure.after))
        figures.add_row(figure.figure_id, before, after, apart(figure.unit, figure.difference))
    sums = output.plain_table("sum", *numbers, "by", right=numbers)
    for each in found.sums:
        by = ", ".join(f"{c.amount:+,} by {c.events:,} {c.topic}" for c in each.causes)
        by = by if each.foots else f"DOES NOT ADD UP: {by}"
        values = (each.before, each.after, each.difference)
        sums.add_row(each.name, *map(output.number, values), by)
    events = output.plain_table("events between", "added", "dropped", right=("added", "dropped"))
    for between in found.events:
        events.add_row(between.topic, output.number(between.added), output.number(between.dropped))
    for table in (figures, sums, events):
        if table.row_count:
            output.stdout().print(table)
            output.say("")
    if not found.events:
        output.say("Both moments hold the same events.")
