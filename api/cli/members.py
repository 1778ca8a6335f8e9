"""`member`: a card, or the statement of points."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from psycopg import Connection

from api import answers
from api.cli.terminal import output
from api.cli.terminal.files import Target, operator
from api.cli.terminal.looking import holding, looking, refusable, say_moment
from api.own_data import WHAT_FOR
from api.own_data import own_data as whole
from api.runtime.failures import NotFound
from api.runtime.settings import Settings
from api.runtime.wiring import Database, opened
from domain.kernel.command import Command
from domain.persons import Erased, UnmaskMember
from ledger.database import connect
from ledger.log.batcher import Ledger
from ledger.log.persons import phone_of
from projections import members
from projections.asof import member
from projections.asof import statement as statements
from projections.engine.answer import dated
from projections.engine.moments import Asked
from projections.members import Card, Member
from projections.points import Statement


def run(
    settings: Settings,
    id_or_phone: str,
    lines: int | None,
    asked: Asked | None,
    target: Target | None,
    as_json: bool,
) -> int:
    """Show a card, or so many lines of the statement; as they are now, or as of a moment.

    With a target, all of the statement is written to it.
    """
    with opened(settings) as database:
        found = _found(database, id_or_phone, asked)
        statement = None
        if lines is not None:
            with holding(database, asked) as (connection, moment):
                if target is not None:
                    export = answers.statement_export(
                        connection, database.meta, found.member_id, moment, operator()
                    )
                    return target.write(export, as_json)
                page = statements.page(connection, found.member_id, moment, lines)
                statement = dated(page, moment)
    if as_json:
        output.tell(statement or found)
        return 0
    output.demo_clock(database.clock)
    if statement and found.number_of:
        output.note(_also(found))
    say_moment(found.moment)
    if statement:
        _statement(statement)
    else:
        _card(found)
    return 0


def own_data(settings: Settings, member_id: str, path: Path, force: bool, as_json: bool) -> int:
    """Write all that is known of a member to a file for himself. That is recorded."""
    target = Target(path, force)
    target.check_place()
    asked = UnmaskMember(
        member_id=member_id, purpose=WHAT_FOR, key=f"cli-{uuid4().hex}", actor="clerk:desk"
    )
    with opened(settings) as database, refusable():
        erased = False
        try:
            asyncio.run(_executed(database, asked))
        except Erased:  # what happened is his all the same
            erased = True
        with looking(database, None) as (connection, _):
            now = database.clock.now()
            known = whole(connection, member_id, now, in_full=not erased)
    with target.file() as out:
        out.write(known.model_dump_json(indent=2).encode() + b"\n")
    if as_json:
        output.tell({"file": str(path), "events": len(known.events)})
    else:
        output.say(f"{path} has all that is known of {member_id}: {len(known.events):,} events")
    return 0


async def _executed(database: Database, command: Command) -> None:
    async with Ledger(database.dsn, now=database.clock.now) as ledger:
        await ledger.execute(command)


def _found(database: Database, id_or_phone: str, asked: Asked | None) -> Member:
    """The card; as of a moment it comes from the member's stream, and no answers are needed."""
    now = database.clock.now()
    if asked is None:
        with looking(database, None) as (connection, _):
            return _the_only(connection, id_or_phone, partial(members.member, at=now))
    with connect(database.dsn) as connection, refusable():
        card = partial(member.member_then, asked=asked, now=now)
        return _the_only(connection, id_or_phone, card)


def _the_only(connection: Connection[Any], id_or_phone: str, card: Card) -> Member:
    """By his id first; his card names whose phone number that is as well."""
    found = card(connection, id_or_phone)
    if found is not None:
        return found
    shared = []
    if (phone := phone_of(id_or_phone)) is not None:
        shared = members.members_with_phone(connection, phone, card)
    if len(shared) > 1:
        ids = ", ".join(each.member_id for each in shared)
        raise NotFound(f"Several members share this phone number: {ids}.")
    if not shared:
        raise NotFound("There is no member of this id or phone number.")
    return shared[0]


def _also(found: Member) -> str:
    return f"{found.member_id} is also the phone number of {', '.join(found.number_of)}."


def _card(found: Member) -> None:
    who = f"{found.name or ''}  {found.phone or ''}"
    if found.erased_at is not None:
        who = f"erased {output.local(found.erased_at)}"
    lines = {
        "member": f"{found.member_id}  {who}".rstrip(),
        "tier": (found.tier or "none") + (", important" if found.important else ""),
        "unit": f"{found.unit_id}  {found.unit_title or ''}".rstrip(),
        "joined": output.local(found.joined_at),
        "left": output.local(found.left_at),
        "visits": f"{found.visits:,}, the last {output.local(found.last_visit_at) or 'never'}",
        "points": f"{found.spendable_points:,} spendable, {found.points.pending:,} pending"
        + (f", {found.points.lapsed:,} lapsed" if found.points.lapsed else ""),
    }
    for name, value in lines.items():
        if value:
            output.say(f"{name:<10}{value}")
    if found.number_of:
        output.say(_also(found))
    if found.lots:
        lots = [
            (
                str(lot.lot),
                output.number(lot.remaining),
                output.number(lot.credited),
                output.local(lot.available_from),
                output.local(lot.expires_at) or "for good",
                lot.source,
            )
            for lot in found.lots
        ]
        output.say("")
        output.say_rows(
            ("lot", "left", "of", "from", "until", "source"), lots, right=("lot", "left", "of")
        )
    for free in found.free_visits:
        output.say(
            f"free      {free.left} of {free.granted} visits of {free.year} to"
            f" {free.club_id}/{free.service_id} left, {free.used} used"
        )
    for bound in found.bindings:
        until = bound.ended_on or bound.ends_on
        output.say(
            f"bound     {bound.policy}, {bound.starts_on} until before {until}"
            + (f", by {bound.campaign_id}" if bound.campaign_id else "")
            + (f", ended by {bound.cause}" if bound.cause else "")
        )


def _statement(lines: Statement) -> None:
    names = ("at", "points", "balance", "what", "text", "rule", "lots", "actor")
    rows = [
        (
            output.local(line.occurred_at),
            f"{line.points:+,}",
            output.number(line.balance),
            line.topic,
            line.text,
            line.rule or "",
            ", ".join(map(str, line.lots)),
            line.actor,
        )
        for line in lines.entries
    ]
    output.say_rows(names, rows, right=("points", "balance"))
