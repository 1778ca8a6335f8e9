"""`exceptions`: facts of a history that broke a rule which protects a live desk."""

from datetime import date

from pydantic import TypeAdapter, ValidationError

from api.cli.terminal import output
from api.cli.terminal.looking import looking, refusable, say_moment
from api.runtime.failures import WrongUse
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from domain.kernel.values import Day
from projections import exceptions
from projections.engine.answer import dated
from projections.engine.moments import Asked

_DAY: TypeAdapter[date] = TypeAdapter(Day)


def run(
    settings: Settings,
    limit: int,
    of: dict[str, str | None],
    days: tuple[str | None, str | None],
    asked: Asked | None,
    as_json: bool,
) -> int:
    """Show them, each with the rules that it broke."""
    wanted = exceptions.Wanted(**of, first=_day("from", days[0]), last=_day("to", days[1]))
    with (
        opened(settings) as database,
        looking(database, asked) as (connection, moment),
        refusable(),
    ):
        found = dated(exceptions.page(connection, wanted, limit), moment)
    if as_json:
        output.tell(found)
        return 0
    say_moment(found.moment)
    for each in found.exceptions:
        output.say(
            f"{each.bucket}:{each.position}  {output.local(each.occurred_at)}  {each.topic}"
            f"  {each.stream}  despite {', '.join(each.despite)}"
        )
    if not found.exceptions:
        output.say("There are no exceptions.")
    elif found.next:
        output.say(f"There are more than these {limit:,}: --limit shows them.")
    return 0


def _day(option: str, text: str | None) -> date | None:
    try:
        return None if text is None else _DAY.validate_python(text)
    except ValidationError as error:
        raise WrongUse(f"--{option}: {error.errors()[0]['msg']}.") from None
