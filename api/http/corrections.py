"""Corrections: take back a fact about a member that was wrong, by its name."""

from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, RootModel

from api import models
from api.http.documented import refuses
from api.http.inputs import DEFAULT_ACTOR, InHouse, PathId, WriteActor, WriteKey, sent
from api.http.receipts import WRITE, receipt_of
from domain.corrections import Correction
from domain.values import WHOLE, ActivityId, CampaignId, ClubId, CohortId, Month, Ordinal, Text

router = APIRouter(tags=["corrections"])


class _Correction(BaseModel):
    """Which fact was wrong, and why it is taken back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Text


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


AnyCorrection = Annotated[
    BillCorrection
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
        said = sent(self.root)
        kind = COMMANDS[said.pop("fact")]
        return kind(key=key, actor=actor, member_id=path_id, **said)


COMMANDS = {kind.fact.topic: kind for kind in Correction.__subclasses__()}


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
