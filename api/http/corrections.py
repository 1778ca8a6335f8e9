"""Corrections: take back a fact that was wrong, by its name."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, RootModel

from api import models
from api.http.documented import refuses
from api.http.inputs import DEFAULT_ACTOR, InHouse, PathId, WriteActor, WriteKey, sent
from api.http.receipts import WRITE, receipt_of
from domain import catalogue
from domain.corrections import Correction
from domain.values import WHOLE, ActivityId, CampaignId, ClubId, CohortId, Month, Ordinal, Text

router = APIRouter(tags=["corrections"])


COMMANDS: dict[str, type[Any]] = {
    kind.fact.topic: kind for kind in catalogue.COMMANDS.values() if issubclass(kind, Correction)
}


def _command(said: dict[str, Any], key: str, actor: str) -> Correction:
    """The correction that this says, by its fact."""
    made: Correction = COMMANDS[said.pop("fact")](key=key, actor=actor, **said)
    return made


class _Correction(BaseModel):
    """Which fact was wrong, and why it is taken back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Text


class LeavingCorrection(_Correction):
    """That the member left the network."""

    fact: Literal["member.left"]


class BillCorrection(_Correction):
    """The bill of a month."""

    fact: Literal["bill.issued"]
    month: Month


class EnrolmentCorrection(_Correction):
    """An enrolment, with the binding it brought; its place and budget are free again."""

    fact: Literal["campaign.enrolled"]
    campaign_id: CampaignId


class OfferCorrection(_Correction):
    """That the member was drawn for a campaign."""

    fact: Literal["campaign.offered"]
    campaign_id: CampaignId


class AttendanceCorrection(_Correction):
    """That the member took part in an activity."""

    fact: Literal["activity.attended"]
    club_id: ClubId
    activity_id: ActivityId


class BindingCorrection(_Correction):
    """A binding outside any campaign."""

    fact: Literal["binding.started"]
    binding: Annotated[Ordinal, WHOLE]


class BindingEndCorrection(_Correction):
    """That a binding ended early."""

    fact: Literal["binding.ended"]
    binding: Annotated[Ordinal, WHOLE]


class InclusionCorrection(_Correction):
    """That the member is in a cohort, which is not frozen."""

    fact: Literal["cohort.included"]
    cohort_id: CohortId


class ActivityCorrection(_Correction):
    """That the club held an activity. Who was entered as having attended is in doubt."""

    fact: Literal["activity.held"]
    activity_id: ActivityId


class AdmissionCorrection(_Correction):
    """An admission in an emergency, by the number on its receipt and in its event."""

    fact: Literal["visit.emergency_admitted"]
    admission: Annotated[Ordinal, WHOLE]


class ClosingCorrection(_Correction):
    """That the campaign was closed: it takes enrolments until its last day again."""

    fact: Literal["campaign.closed"]


AnyCorrection = Annotated[
    BillCorrection
    | LeavingCorrection
    | EnrolmentCorrection
    | OfferCorrection
    | AttendanceCorrection
    | BindingCorrection
    | BindingEndCorrection
    | InclusionCorrection,
    Field(discriminator="fact"),
]


class CorrectionRequest(RootModel[AnyCorrection]):
    """Which fact was wrong, by its name, and why it is taken back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"fact": "bill.issued", "month": "2008-07", "reason": "typed in wrongly"},
                {"fact": "campaign.enrolled", "campaign_id": "spring", "reason": "wrong member"},
            ]
        }
    )

    def command(self, path_id: str, key: str, actor: str) -> Correction:
        """The correction of a fact about the member in the path."""
        return _command({"member_id": path_id, **sent(self.root)}, key, actor)


class ClubCorrectionRequest(
    RootModel[Annotated[ActivityCorrection | AdmissionCorrection, Field(discriminator="fact")]]
):
    """Which fact about a club was wrong, by its name, and why it is taken back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"fact": "activity.held", "activity_id": "drive", "reason": "rained off"},
                {"fact": "visit.emergency_admitted", "admission": 12, "reason": "told twice"},
            ]
        }
    )

    def command(self, path_id: str, key: str, actor: str) -> Correction:
        """The correction of a fact about the club in the path."""
        return _command({"club_id": path_id, **sent(self.root)}, key, actor)


class CampaignCorrectionRequest(ClosingCorrection):
    """Which fact about a campaign was wrong, and why it is taken back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"fact": "campaign.closed", "reason": "meant for another campaign"}]
        }
    )

    def command(self, path_id: str, key: str, actor: str) -> Correction:
        """The correction of a fact about the campaign in the path."""
        return _command({"campaign_id": path_id, **sent(self)}, key, actor)


@router.post(
    "/members/{member_id}/corrections",
    status_code=201,
    response_model=models.CorrectionReceipt,
    responses={
        **WRITE,
        **refuses(
            "unknown_member",
            "unknown_fact",
            "before_joining",
            "part_of_enrolment",
            "already_bound",
            "enrolled_meanwhile",
            "unknown_cohort",
            "cohort_is_frozen",
        ),
    },
)
async def correct(
    member_id: PathId,
    correction: CorrectionRequest,
    house: InHouse,
    key: WriteKey,
    actor: WriteActor = DEFAULT_ACTOR,
) -> Response:
    """Take a wrong fact back: it counts no more, and what is right can be told. Safe to send again.

    An answer as of before still shows it.
    """
    return receipt_of(await house.ledger.execute(correction.command(member_id, key, actor)))


@router.post(
    "/clubs/{club_id}/corrections",
    status_code=201,
    response_model=models.CorrectionReceipt,
    responses={**WRITE, **refuses("unknown_club", "unknown_fact")},
)
async def correct_club(
    club_id: PathId,
    correction: ClubCorrectionRequest,
    house: InHouse,
    key: WriteKey,
    actor: WriteActor = DEFAULT_ACTOR,
) -> Response:
    """Take back an activity or an admission in an emergency that was wrong. Safe to send again."""
    return receipt_of(await house.ledger.execute(correction.command(club_id, key, actor)))


@router.post(
    "/campaigns/{campaign_id}/corrections",
    status_code=201,
    response_model=models.CorrectionReceipt,
    responses={**WRITE, **refuses("unknown_campaign", "unknown_fact")},
)
async def correct_campaign(
    campaign_id: PathId,
    correction: CampaignCorrectionRequest,
    house: InHouse,
    key: WriteKey,
    actor: WriteActor = DEFAULT_ACTOR,
) -> Response:
    """Take back that a campaign was closed. Safe to send again."""
    return receipt_of(await house.ledger.execute(correction.command(campaign_id, key, actor)))
