"""`member`: a card, or the statement of points."""

from api import answers, models
from api.cli import output
from api.cli.files import Target
from api.failures import NotFound
from api.settings import Settings
from api.wiring import opened
from ledger.database import connect
from projections import runner


def run(
    settings: Settings, id_or_phone: str, lines: int | None, target: Target | None, as_json: bool
) -> int:
    """Show a card, or so many lines of the statement; or write all of it to a file."""
    with opened(settings) as database:
        runner.project(database.dsn)
        with connect(database.dsn) as connection, runner.snapshot(connection):
            at = database.clock.now()
            found = answers.member(connection, id_or_phone, at)
            if found is None and answers.looks_like_phone(id_or_phone):
                shared = answers.members_with_phone(connection, id_or_phone, at).members
                found = _the_only(shared)
            if found is None:
                raise NotFound("There is no member of this id or phone number.")
            if target is not None:
                export = answers.statement_export(connection, database.meta, found.member_id)
                assert export is not None  # whoever has a card has a statement
                return target.write(export, as_json)
            statement = lines and answers.statement(connection, found.member_id, lines, None)
    if as_json:
        output.tell(statement or found)
        return 0
    output.demo_clock(database.clock)
    if statement:
        _statement(statement)
    else:
        _card(found)
    return 0


def _the_only(members: list[models.Member]) -> models.Member | None:
    if len(members) > 1:
        ids = ", ".join(each.member_id for each in members)
        raise NotFound(f"Several members share this phone number: {ids}.")
    return members[0] if members else None


def _card(found: models.Member) -> None:
    lines = {
        "member": f"{found.member_id}  {found.name or ''}  {found.phone or ''}".rstrip(),
        "tier": (found.tier or "none") + (", important" if found.important else ""),
        "unit": f"{found.unit}  {found.unit_title or ''}".rstrip(),
        "joined": output.local(found.joined_at),
        "left": output.local(found.left_at),
        "visits": f"{found.visits:,}, the last {output.local(found.last_visit_at) or 'never'}",
        "points": f"{found.spendable_points:,} spendable, {found.points.pending:,} pending"
        + (f", {found.points.lapsed:,} lapsed" if found.points.lapsed else ""),
    }
    for name, value in lines.items():
        if value:
            output.say(f"{name:<10}{value}")
    if found.lots:
        table = output.plain_table(
            "lot", "left", "of", "from", "until", "source", right=("lot", "left", "of")
        )
        for lot in found.lots:
            table.add_row(
                str(lot.lot),
                output.number(lot.remaining),
                output.number(lot.credited),
                output.local(lot.available_from),
                output.local(lot.expires_at) or "for good",
                lot.source,
            )
        output.say("")
        output.stdout().print(table)
    for bound in found.bindings:
        until = bound.ended_on or bound.ends_on
        output.say(
            f"bound     {bound.policy}, {bound.starts_on} until before {until}"
            + (f", by {bound.campaign}" if bound.campaign else "")
            + (f", ended by {bound.cause}" if bound.cause else "")
        )


def _statement(lines: models.Statement) -> None:
    table = output.plain_table(
        "at",
        "points",
        "balance",
        "what",
        "text",
        "rule",
        "lots",
        "actor",
        right=("points", "balance"),
    )
    for line in lines.entries:
        table.add_row(
            output.local(line.at),
            f"{line.points:+,}",
            output.number(line.balance),
            line.topic,
            line.text,
            line.rule or "",
            ", ".join(map(str, line.lots)),
            line.actor,
        )
    output.stdout().print(table)
