"""`list`: the rows of a list that fulfil its filters, on a page or in a file."""

from collections.abc import Sequence

from api import answers
from api.cli.ask import value_of
from api.cli.measures import words_of
from api.cli.terminal import layouts, output
from api.cli.terminal.files import Target, operator
from api.cli.terminal.layouts import Column
from api.cli.terminal.looking import looking, refusable, say_moment
from api.runtime.failures import WrongUse
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from projections.engine import views
from projections.engine.catalogue import NOUNS
from projections.engine.moments import Asked
from projections.engine.views import VIEWS, View

assert NOUNS, "they make the catalogue"


def run(
    settings: Settings,
    name: str | None,
    said: Sequence[str],
    limit: int,
    after: str | None,
    asked: Asked | None,
    target: Target | None,
    as_json: bool,
) -> int:
    """Show a page of a list, or write all of it to a file; without a name, name all lists."""
    if name is None:
        return _catalogue(as_json)
    of = VIEWS.get(name)
    if of is None:
        raise WrongUse(f"There is no such list; there are {', '.join(sorted(VIEWS))}.")
    filters = words_of(of.name, of.filters.keys(), said)
    with (
        opened(settings) as database,
        refusable(),
        looking(database, asked) as (connection, moment),
    ):
        views.read(of, filters)
        if target is not None:
            export = answers.list_export(connection, database.meta, of, filters, moment, operator())
            return target.write(export, as_json)
        found = views.page(connection, of, filters, limit, after)
    if as_json:
        output.tell({
            "moment": moment and moment.model_dump(mode="json"),
            of.name: [row.model_dump(mode="json") for row in found.rows],
            "next": found.next,
        })  # fmt: skip
        return 0
    say_moment(moment)
    _show(of, found)
    return 0


def _catalogue(as_json: bool) -> int:
    listed = [
        {"view": of.name, "about": of.about, "filters": [*of.filters]} for of in views.catalogue()
    ]
    if as_json:
        output.tell({"lists": listed})
        return 0
    console = output.stdout()
    for each in listed:
        output.say(layouts.folded(f"{each['view']}: {each['about']}", console.width, "", "  "))
        options = [f"--{name.removesuffix('_id').replace('_', '-')}" for name in each["filters"]]
        output.say(layouts.folded(" ".join(options), console.width, "    ", "    "))
    return 0


def _show(of: View, found: views.Page) -> None:
    console = output.stdout()
    numbers = {each.name for each in of.columns if each.type in ("bigint", "smallint")}
    columns = [Column(each.name, right=each.name in numbers) for each in of.columns]
    rows = [
        [output.number(value) if name in numbers else value_of(value) for name, value in row]
        for row in found.rows
    ]
    for line in layouts.listed(columns, rows, console.width):
        console.print(line, soft_wrap=True)
    if found.next is not None:
        output.say(
            f"\nThere are more: --after '{found.next}' shows the next, --export FILE writes all."
        )
