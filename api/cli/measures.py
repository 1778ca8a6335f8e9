"""`measures` and `measure`: the catalogue, what one comes to, and the rows that make it up."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from api import answers
from api.cli.ask import value_of
from api.cli.terminal import layouts, output
from api.cli.terminal.files import Target, operator
from api.cli.terminal.layouts import Column
from api.cli.terminal.looking import last_fact_line, looking, refusable, say_moment
from api.runtime.failures import WrongUse
from api.runtime.settings import Settings
from api.runtime.wiring import Database, opened
from projections.engine import measure
from projections.engine.answer import Moment, dated
from projections.engine.catalogue import NOUNS
from projections.engine.contributions import Contributions, contributions
from projections.engine.measure import (
    DAY,
    MEASURES,
    Group,
    Measured,
    day_of,
    described,
    measured,
)
from projections.engine.moments import Asked
from projections.figures.last_fact import idle_since, last_fact_on

assert NOUNS, "they make the catalogue"
SAID_SHORTLY = "_id"
"""`--cohort` says `cohort_id`: what an id ends with may be left out."""


def catalogue(as_json: bool) -> int:
    """Every measure: what it is called, its formula, and what it is asked with."""
    listed = [described(each) for each in measure.catalogue()]
    if as_json:
        output.tell({"measures": [each.model_dump(mode="json") for each in listed]})
        return 0
    needed = [
        [each.measure_id, each.title, each.zh, each.unit, ", ".join(each.needs)] for each in listed
    ]
    console = output.stdout()
    table = layouts.lines(list(map(Column, ("measure", "title", "", "unit", "needs"))), needed)
    if layouts.width(table) > console.width:
        narrow = [[row[0], *row[3:]] for row in needed]
        table = layouts.lines(list(map(Column, ("measure", "unit", "needs"))), narrow)
    for line in table:
        console.print(line, soft_wrap=True)
    said = "`clubledger measure ID --help` tells how one is asked; --json tells the formulas."
    output.say("\n" + layouts.folded(said, console.width))
    return 0


def run(
    settings: Settings,
    measure_id: str,
    said: Sequence[str],
    by: Sequence[str],
    rows: int | None,
    asked: Asked | None,
    target: Target | None,
    as_json: bool,
) -> int:
    """What a measure comes to, by columns of its rows; or those rows, on a page or in a file."""
    params = params_of(measure_id, said)
    wanted = [name for each in by for name in each.split(",")]
    columns = [_named(each, MEASURES[measure_id].rows.dims) for each in wanted]
    with (
        opened(settings) as database,
        looking(database, asked) as (connection, moment),
        refusable(),
    ):
        on = day(database, moment)
        if target is not None:
            export = answers.contributions_export(
                connection, database.meta, measure_id, params, on, moment, operator()
            )
            return target.write(export, as_json)
        if rows is not None:
            page = contributions(connection, measure_id, params, on, rows)
            (output.tell if as_json else tell_rows)(dated(page, moment))
            return 0
        asked_of = measured(connection, measure_id, params, on, columns)
        last = last_fact_on(connection, on)
        found = dated(answers.measure_answer(asked_of, last), moment)
        idle = idle_since(last, on) if found.on == on and moment is None else None
    if as_json:
        output.tell(found)
    else:
        say_moment(found.moment)
        show(found)
        if idle is not None:
            output.say(f"\n{last_fact_line(idle)}")
    return 0


def day(database: Database, moment: Moment | None) -> date:
    """The day on which a measure is asked unless another is said."""
    return answers.day_asked(moment, database.clock.now())


def params_of(measure_id: str, said: Sequence[str]) -> dict[str, str]:
    """What a measure is asked with."""
    if measure_id not in MEASURES:
        raise WrongUse("There is no such measure: `clubledger measures` lists them.")
    return words_of(measure_id, MEASURES[measure_id].takes, said)


def words_of(of: str, takes: Collection[str], said: Sequence[str]) -> dict[str, str]:
    """`--cohort X`, `--cohort=X` and `cohort_id=X`, by their names in the catalogue."""
    found: dict[str, str] = {}
    waiting = list(said)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not equals:
            if not word.startswith("--") or not waiting or waiting[0].startswith("--"):
                raise WrongUse(f"{of} takes {_options(takes)}.")
            value = waiting.pop(0)
        name = _named(name.replace("-", "_"), takes)
        if name in found:
            raise WrongUse(f"--{name} is there twice.")
        found[name] = value
    return found


def _named(said: str, known: Collection[str]) -> str:
    for name in (said, said + SAID_SHORTLY):
        if name in known:
            return name
    raise WrongUse(f"There is no such name; there are {_options(known)}.")


def _options(names: Collection[str]) -> str:
    said = [f"--{name.removesuffix(SAID_SHORTLY).replace('_', '-')}" for name in names]
    return ", ".join(said) or "none"


def show(found: Measured) -> None:
    """A measure for a reader."""
    console = output.stdout()
    days = f"from {found.first} to {found.on}" if found.first else f"at the end of {found.on}"
    output.say(layouts.folded(f"{found.title} ({found.zh}), {days}", console.width))
    for name, value in {**found.params, **found.usual}.items():
        output.say(f"  {name} {value}")
    output.say(f"\n{valued(found, found.value)}{_interval(found)}")
    if found.why:
        output.say(layouts.folded(f"Not computable: {found.why}.", console.width))
    output.say("\n" + layouts.folded(f"= {found.formula}", console.width, hanging="    "))
    for each in found.inputs:
        output.say(f"  {each.name:<20} {output.number(each.value):>20}")
    if found.groups:
        output.say("")
        for line in _groups(found, console.width):
            console.print(line, soft_wrap=True)


def _groups(found: Measured, width: int) -> list[Any]:
    keys = list(found.groups[0].key)
    inputs = [each.name for each in found.inputs]
    columns = [*map(Column, keys), Column(found.unit, right=True)]
    wide = [*columns, *(Column(name, right=True) for name in inputs)]

    def row(group: Group) -> list[str]:
        return [
            *(group.key[name] or "none" for name in keys),
            _number(found, group.value),
            *(output.number(each.value) for each in group.inputs),
        ]

    rows = list(map(row, found.groups))
    lines = layouts.lines(wide, rows)
    if layouts.width(lines) > width:
        lines = layouts.lines(columns, [each[: len(columns)] for each in rows])
    return lines


def valued(found: Measured, value: Decimal | None) -> str:
    """A value with its unit, for a reader."""
    unit = "" if found.unit == DAY else f" {found.unit}"
    return "none" if value is None else f"{_number(found, value)}{unit}"


def _number(found: Measured, value: Decimal | None) -> str:
    if found.unit == DAY and value is not None:
        return day_of(value).isoformat()
    return output.number(value)


def _interval(found: Measured) -> str:
    if found.low is None:
        return ""
    return f"  (95%: from {output.number(found.low)} to {output.number(found.high)})"


def tell_rows(found: Contributions, option: str = "--rows") -> None:
    """A measure and a page of the rows that make it up, for a reader. `option` shows more."""
    say_moment(found.moment)
    show(found.measured)
    rows = [
        [
            *(_cell(value) for value in each.of.values()),
            *(output.number(value) for value in each.adds.values()),
            ", ".join(map(str, each.events)),
        ]
        for each in found.contributions
    ]
    if rows:
        first = found.contributions[0]
        numbers = [Column(name, right=True) for name in first.adds]
        output.say("")
        console = output.stdout()
        columns = [*map(Column, first.of), *numbers, Column("events")]
        for line in layouts.listed(columns, rows, console.width):
            console.print(line, soft_wrap=True)
    if found.next is not None:
        output.say(f"\nThere are more: {option} N shows N, --export FILE writes all of them.")


def _cell(value: Any) -> str:
    return value_of(value) if isinstance(value, datetime) or value is None else str(value)
