"""Visits at a desk: admit a member, or take it back."""

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from api import models
from api.http.documented import refuses
from api.http.inputs import (
    DEFAULT_ACTOR,
    InHouse,
    PathId,
    VisitNumber,
    WriteActor,
    WriteKey,
    sent,
)
from api.http.receipts import WRITE, receipt_of
from domain.values import WHOLE, ClubId, Desk, PointsPaid, ServiceId, Text
from domain.visits import Companions, RecordVisit, UndoVisit

router = APIRouter(tags=["visits"])


class VisitRequest(BaseModel):
    """Who comes to which service of which club, and what he was told it costs."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"club_id": "health", "service_id": "checkup", "desk": "d1", "shown_points": 50}
            ]
        },
    )

    club_id: ClubId
    service_id: ServiceId
    desk: Desk
    shown_points: Annotated[PointsPaid, WHOLE] = Field(
        description="what the member was told: the whole price, or with a free visit that of the"
        " companions. If the price has moved the visit is refused with the new one."
    )
    companions: Annotated[Companions, WHOLE] = 0
    payment: Annotated[str, Field(pattern="^(auto|points|free_visit)$")] = Field(
        "auto", description="`auto` uses a free visit of the year if there is one"
    )
    confirm_repeat: bool = Field(
        False, description="it is another visit although the last one was a moment ago"
    )

    def command(self, path_id: str, key: str, actor: str) -> RecordVisit:
        """The visit of the member in the path."""
        return RecordVisit(key=key, actor=actor, member_id=path_id, **sent(self))


class UndoRequest(BaseModel):
    """Which desk takes it back, and why."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"desk": "d1", "reason": "wrong member"}]},
    )

    desk: Desk
    reason: Text


@router.post(
    "/members/{member_id}/visits",
    status_code=201,
    response_model=models.VisitReceipt,
    responses={
        **WRITE,
        **refuses(
            "unknown_member",
            "unknown_club",
            "unknown_service",
            "before_joining",
            "left_the_network",
            "not_open_yet",
            "club_closed",
            "not_eligible",
            "visit_repeated",
            "too_long_ago",
            "no_free_visit",
            "price_changed",
            "too_many",
            "not_enough_points",
        ),
    },
)
async def record_visit(
    member_id: PathId,
    visit: VisitRequest,
    house: InHouse,
    key: WriteKey,
    actor: WriteActor = DEFAULT_ACTOR,
) -> Response:
    """Admit a member to a club's service and debit the points. Safe to send again."""
    return receipt_of(await house.ledger.execute(visit.command(member_id, key, actor)))


@router.post(
    "/members/{member_id}/visits/{visit}/undo",
    status_code=201,
    response_model=models.UndoReceipt,
    responses={
        **WRITE,
        **refuses(
            "undo_needs_supervisor",
            "unknown_visit",
        ),
    },
)
async def undo_visit(
    member_id: PathId,
    visit: VisitNumber,
    undo: UndoRequest,
    house: InHouse,
    key: WriteKey,
    actor: WriteActor = DEFAULT_ACTOR,
) -> Response:
    """Take a visit back and return its points, or its free visit.

    The same desk may for a quarter of an hour, a supervisor for 31 days.
    """
    command = UndoVisit(
        key=key, actor=actor, member_id=member_id, visit=visit, desk=undo.desk, reason=undo.reason
    )
    return receipt_of(await house.ledger.execute(command))
