"""`changes`: what became of the measures from one moment to another, and by which events."""

from collections.abc import Sequence

from pydantic_core import to_jsonable_python

from api.cli import measures
from api.cli.terminal import layouts, output
from api.cli.terminal.layouts import Column
from api.cli.terminal.looking import looking, moment_line, refusable
from api.runtime.settings import Settings
from api.runtime.wiring import Database, opened
from projections.asof import changes
from projections.asof.changes import Changes
from projections.engine.answer import Moment
from projections.engine.measure import DAY, MeasureChange, Measured, day_of
from projections.engine.moments import Asked


def run(
    settings: Settings,
    before: Asked,
    after: Asked,
    measure_id: str | None,
    said: Sequence[str],
    limit: int,
    as_json: bool,
) -> int:
    """Tell what changed; of one measure, which of its rows."""
    with opened(settings) as database:
        if measure_id is not None:
            return _rows(database, (before, after), measure_id, said, limit, as_json)
        seen: list[tuple[Moment, list[Measured]]] = []
        for asked in (before, after):
            with looking(database, asked) as (connection, moment):
                assert moment is not None  # it was asked for
                on = measures.day(database, moment)
                seen.append((moment, changes.state(connection, on)))
        with looking(database, None) as (connection, _):
            found = changes.changed(connection, *seen)
    if as_json:
        output.tell(found)
    else:
        tell_changes(found)
    return 0


def tell_changes(found: Changes) -> None:
    """Tell a reader."""
    output.say(f"From {moment_line(found.before)}\n  to {moment_line(found.after)}.\n")
    if found.measures:
        numbers = ("from", "to", "difference")
        columns = [Column("measure"), *(Column(each, right=True) for each in numbers)]
        rows = [(named(each), *told(each)) for each in found.measures]
        for line in layouts.lines([*columns, Column("unit")], rows):
            output.stdout().print(line, soft_wrap=True)
        output.say("")
    between = [
        (each.topic, output.number(each.added), output.number(each.dropped))
        for each in found.events
    ]
    if between:
        both = ("added", "dropped")
        output.say_rows(("events between", *both), between, right=both)
    else:
        output.say("Both moments hold the same events.")


def named(each: MeasureChange) -> str:
    """A measure by its id and those that it needs."""
    return " ".join((each.measure_id, *(each.params[n] for n in each.params if n.endswith("_id"))))


def told(each: MeasureChange) -> tuple[str, str, str, str]:
    """Before, after, their difference and the unit, for a reader."""
    if each.unit != DAY:
        values = (each.before, each.after, each.difference)
        before, after, apart = (output.number(value) or "none" for value in values)
        return before, after, apart, each.unit
    days = [value and day_of(value).isoformat() for value in (each.before, each.after)]
    apart = "none" if each.difference is None else output.counted(int(each.difference), "day")
    return days[0] or "none", days[1] or "none", apart, ""


def _rows(
    database: Database,
    moments: tuple[Asked, Asked],
    measure_id: str,
    said: Sequence[str],
    limit: int,
    as_json: bool,
) -> int:
    params = measures.params_of(measure_id, said)
    with refusable():
        made = []
        for asked in moments:  # each is made first: nothing is built while the other is held
            with looking(database, asked, kept=True) as (_, moment):
                assert moment is not None  # it was asked for
                made.append((moment, measures.day(database, moment)))
        with changes.of_measure(database.dsn, measure_id, params, *made) as ((was, now), found):
            rows = list(found)
    shown = rows[:limit]
    if as_json:
        told_ = {"before": was, "after": now, "changed": len(rows), "rows": shown}
        output.tell({name: _plain(value) for name, value in told_.items()})
        return 0
    for each, at in ((was, "before"), (now, "after")):
        output.say(f"{at:<8}{measures.valued(each, each.value)}")
    output.say(f"\n{output.counted(len(rows), 'row')} of it changed.")
    for row in shown:
        adds = ", ".join(f"{name} {value:+,}" for name, value in row.adds.items() if value)
        events = ", ".join(
            [*(f"+ {each}" for each in row.added), *(f"- {each}" for each in row.dropped)]
        )
        output.say(f"  {' '.join(map(str, row.of.values()))}: {adds} ({events or 'no event'})")
    if len(rows) > limit:
        output.say(f"... and {len(rows) - limit:,} more: --limit shows more.")
    return 0


def _plain(value: object) -> object:
    if isinstance(value, list):
        return to_jsonable_python(value)
    return value.model_dump(mode="json") if isinstance(value, Measured) else value
