"""Members: a card by id or phone, the statement of points, the history."""

from contextlib import nullcontext
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from api import answers, models
from api.http.documented import refuses
from api.http.downloads import DOWNLOAD, Wanted, download
from api.http.inputs import (
    DEFAULT_ACTOR,
    AsOf,
    Awaited,
    InHouse,
    Limit,
    PathId,
    Position,
    WriteActor,
    WriteKey,
    sent,
)
from api.http.receipts import WRITE, receipt_of
from domain.members import ChangeDetails, UnknownMember
from domain.personal import Name, Phone
from domain.values import Instant

router = APIRouter(tags=["members"])


class LookupRequest(BaseModel):
    """A phone number: in the body, because addresses end up in logs."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"phone": "13800000001"}]},
    )

    phone: Phone


class DetailsRequest(BaseModel):
    """What is another one from `at` on: a field that is not sent stays, null takes it away."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"phone": "+86 138 0000 0001"}]},
    )

    name: Name | None = None
    phone: Phone | None = None
    at: Instant | None = Field(None, description="since when; now, if it is left out")


@router.post("/members/lookup", response_model=models.Members)
async def lookup_members(asked: LookupRequest, house: InHouse, wait_for: Awaited) -> models.Members:
    """The members whose number this is now, however it is spelt; none is an empty list.

    Writes nothing.
    """
    card = partial(answers.member, at=house.clock.now())
    question = partial(answers.members_with_phone, phone=asked.phone, card=card)
    return await house.reads(question, wait_for)


@router.get(
    "/members/{member_id}",
    response_model=models.Member,
    responses=refuses("unknown_member", "unknown_position", "dated_in_future"),
)
async def member(
    member_id: PathId, house: InHouse, wait_for: Awaited, asked: AsOf
) -> models.Member:
    """A member's card with points, lots and bindings."""
    now = house.clock.now()
    if asked is None:
        found = await house.reads(partial(answers.member, member_id=member_id, at=now), wait_for)
    else:  # from the log, which lags behind nothing
        question = partial(answers.member_then, member_id=member_id, asked=asked, now=now)
        found = await house.reads.within(nullcontext, question)
    if found is None:
        raise UnknownMember(member_id)
    return found


@router.post(
    "/members/{member_id}/details",
    status_code=201,
    response_model=models.Receipt,
    responses={
        **WRITE,
        **refuses("unknown_member", "before_joining", "dated_in_future", "nothing_changes"),
    },
)
async def change_details(
    member_id: PathId,
    details: DetailsRequest,
    house: InHouse,
    key: WriteKey,
    actor: WriteActor = DEFAULT_ACTOR,
) -> Response:
    """Give a member another name or phone number. The old number does not find him any more."""
    command = ChangeDetails(key=key, actor=actor, member_id=member_id, **sent(details))
    return receipt_of(await house.ledger.execute(command))


@router.get(
    "/members/{member_id}/statement",
    response_model=models.Statement,
    responses={
        **DOWNLOAD,
        **refuses("unknown_member", "too_large_a_sheet"),
    },
)
async def member_statement(
    member_id: PathId,
    house: InHouse,
    wait_for: Awaited,
    wanted: Wanted,
    limit: Limit = 50,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
) -> models.Statement | Response:
    """A member's points, newest first, each line with the balance after it. Or all as a file."""
    found: models.Statement | Response | None
    if wanted is None:
        question = partial(answers.statement, member_id=member_id, limit=limit, before=before)
        found = await house.reads(question, wait_for)
    else:
        whole = partial(answers.statement_export, meta=house.meta, member_id=member_id)
        found = await download(house, wanted, whole, wait_for)
    if found is None:
        raise UnknownMember(member_id)
    return found


@router.get(
    "/members/{member_id}/events",
    response_model=models.History,
    responses=refuses("unknown_member"),
)
async def member_events(
    member_id: PathId, house: InHouse, limit: Limit = 100, after: Position = 0
) -> Response:
    """What happened to a member, oldest first, straight from the log: always up to date."""
    question = partial(answers.history, stream=f"member:{member_id}", after=after, limit=limit)
    found = await house.reads(question)
    if found is None:
        raise UnknownMember(member_id)
    return Response(found, media_type="application/json")
