"""Members: a card by id or phone, the statement of points, the history."""

from contextlib import nullcontext, suppress
from functools import partial

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from api import answers, log
from api.doors import PREFIX, Need
from api.http.server.access import Who, needs
from api.http.server.documented import refuses
from api.http.server.downloads import DOWNLOAD, Wanted, download
from api.http.server.inputs import (
    KNOWN_THEN,
    PAST,
    AsOf,
    Awaited,
    InHouse,
    Limit,
    MemberPath,
    WriteActor,
    WriteKey,
)
from api.http.server.paging import Pages, paged
from api.http.server.rates import LOOK_UP
from api.own_data import WHAT_FOR, OwnData
from api.own_data import own_data as whole
from api.runtime.exports import Export
from api.runtime.rights import ANYBODY
from domain.kernel.personal import Phone
from domain.members import UnknownMember
from domain.persons import Erased, UnmaskMember
from ledger.database import bucket_of
from projections import members
from projections.asof import member as past
from projections.asof import statement
from projections.asof.statement import require_joined
from projections.engine.answer import Answer, Moment
from projections.engine.connection import Conn
from projections.members import Member
from projections.points import Statement

router = APIRouter(prefix=PREFIX, tags=["members"])
OF_ONE = Need("members.read", unit="member_id")
IN_FULL = Need("members.unmask", unit="member_id")


class LookupRequest(BaseModel):
    """A phone number: in the body, because addresses end up in logs."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"phone": "13800000001"}]},
    )

    phone: Phone


class Members(Answer):
    """The members with one phone number; mostly one, perhaps none."""

    members: list[Member]


@router.post("/members/lookup", response_model=Members, responses=refuses("too_many_requests"))
@needs(OF_ONE, by_itself=True)
async def lookup_members(
    asked: LookupRequest, house: InHouse, who: Who, wait_for: Awaited, response: Response
) -> Members:
    """The members whose number this is now, however it is spelt; none is an empty list.

    Writes nothing. Who may read those of some units alone finds no others. So often in a minute: a
    city's numbers are few enough to be tried one by one.
    """
    if who is not ANYBODY:
        response.headers.update(house.rates.spend(LOOK_UP, who.name))
    card = partial(members.member, at=house.clock.now())
    question = partial(members.members_with_phone, phone=asked.phone, card=card)
    found = await house.reads(question, wait_for)
    return Members(members=[each for each in found if await house.access.may(who, OF_ONE, each)])


@router.get(
    "/members/{member_id}",
    response_model=Member,
    responses=refuses("unknown_member", "unknown_member_then", *KNOWN_THEN),
)
@needs(OF_ONE)
async def member(member_id: MemberPath, house: InHouse, wait_for: Awaited, asked: AsOf) -> Member:
    """A member's card with points, lots and bindings."""
    now = house.clock.now()
    if asked is None:
        found = await house.reads(partial(members.member, member_id=member_id, at=now), wait_for)
    else:  # from the log, which lags behind nothing
        question = partial(past.member_then, member_id=member_id, asked=asked, now=now)
        found = await house.reads.within(nullcontext, question)
    if found is None:
        raise UnknownMember(member_id)
    return found


@router.post(
    "/members/{member_id}/own-data",
    response_model=OwnData,
    responses=refuses(
        "key_missing", "key_reserved", "key_reused", "not_caught_up", "unknown_member"
    ),
)
@needs(IN_FULL, by_itself=True)
async def own_data(
    member_id: MemberPath, house: InHouse, who: Who, key: WriteKey, actor: WriteActor = None
) -> OwnData:
    """All that is known of a member, for himself: who he is in full, his card, and every event.

    It is recorded that it was shown, as by `member.unmask`; not before it can be shown.
    """
    named = await house.access.admit(who, IN_FULL, {"member_id": member_id}, actor)
    asked = UnmaskMember(member_id=member_id, purpose=WHAT_FOR, key=key, actor=named)
    ends = await house.reads.log_ends()
    bucket = bucket_of(asked.streams()[0], len(ends))
    await house.reads.reach((bucket, ends[bucket]))
    in_full = False
    with suppress(Erased):  # what happened is his all the same
        in_full = not (await house.execute(asked)).replayed
    return await house.reads(
        partial(whole, member_id=member_id, at=house.clock.now(), in_full=in_full)
    )


@router.get(
    "/members/{member_id}/statement",
    response_model=paged(Statement),
    responses={
        **DOWNLOAD,
        **refuses("unknown_member", "unknown_member_then", "too_large_a_sheet", *PAST),
    },
)
@needs(OF_ONE)
async def member_statement(
    member_id: MemberPath,
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    wanted: Wanted,
    pages: Pages,
    limit: Limit = 50,
) -> Statement | Response:
    """A member's points, newest first, each line with the balance after it. Or all as a file."""
    before = None if pages.after is None else int(pages.after)

    def page(conn: Conn, moment: Moment | None) -> Statement:
        require_joined(conn, member_id, moment)
        found = statement.page(conn, member_id, moment, limit, before)
        return pages.page(paged(Statement), found, found.next)

    if wanted is None:
        return await house.ask_live(page, wait_for, asked)
    by = wanted.by

    def whole(conn: Conn, moment: Moment | None) -> Export:
        require_joined(conn, member_id, moment)
        return answers.statement_export(conn, house.meta, member_id, moment, by)

    return await download(house, wanted, whole, wait_for, asked, house.ask_live)


@router.get(
    "/members/{member_id}/events",
    response_model=paged(log.History),
    responses=refuses("unknown_member"),
)
@needs(OF_ONE)
async def member_events(
    member_id: MemberPath, house: InHouse, pages: Pages, limit: Limit = 100
) -> Response:
    """What happened to a member, oldest first, straight from the log: always up to date."""
    of, behind = f"member:{member_id}", int(pages.after or 0)
    question = partial(log.history, stream=of, after=behind, limit=limit, named=pages.named)
    found = await house.reads(question)
    if found is None:
        raise UnknownMember(member_id)
    return Response(found, media_type="application/json", headers=pages.links)
