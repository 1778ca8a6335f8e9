"""What must have been asked for: the command behind some events, so that it can be decided again.

Events do not say which command made them, but they and the state before them say enough. What they
leave open: a visit that used a free visit is asked for with `auto`, and a credit taken back without
touching other lots with `forgive`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.bindings import BindingEnded, BindingStarted, EndBinding, StartBinding
from domain.campaigns import CampaignEnrolled, CampaignOffered, Enrol, OfferCampaign
from domain.command import Command
from domain.event import Event
from domain.points import (
    CreditPoints,
    CreditReversed,
    DebitPoints,
    DebitReversed,
    ExpirePoints,
    PointsCredited,
    PointsDebited,
    PointsExpired,
    ReverseCredit,
    ReverseDebit,
)
from domain.state import Member
from domain.visits import RecordVisit, UndoVisit, VisitRecorded, VisitUndone
from domain.whatif.known import Known


@dataclass(frozen=True, slots=True)
class Asked:
    """The events of one command, and the member as the record had him before them."""

    member_id: str
    events: list[Event]
    member: Member
    known: Known

    def command(self, kind: type[Command], **said: Any) -> Any:
        """A command of this kind by the same actor under the same key."""
        first = self.events[0]
        return kind(key=first.key, actor=first.actor, **{"member_id": self.member_id, **said})


def _visit(visit: VisitRecorded, asked: Asked) -> RecordVisit:
    """Paid with points while a free visit was left: so it was asked for. Else what there is."""
    command: RecordVisit = asked.command(
        RecordVisit,
        club_id=visit.club,
        service_id=visit.service,
        desk=visit.desk,
        companions=visit.companions,
        again=True,
    )
    price = asked.known.price(visit)
    if visit.payment == "points" and price.free_visits:
        club = asked.known.club(visit, price)
        *_, would_be = command.decide(visit.occurred_at, asked.member, club)
        if isinstance(would_be, VisitRecorded) and would_be.payment == "free_visit":
            return command.model_copy(update={"pay": "points"})
    return command


def _undo(undone: VisitUndone, asked: Asked) -> UndoVisit:
    desk = next(visit.desk for visit in asked.member.visits if visit.id == undone.visit)
    command: UndoVisit = asked.command(
        UndoVisit, visit=undone.visit, desk=desk, reason=undone.reason
    )
    return command


def enrol(enrolled: CampaignEnrolled, asked: Asked) -> Enrol:
    command: Enrol = asked.command(
        Enrol, campaign_id=enrolled.campaign, prepaid_fen=enrolled.prepaid_fen
    )
    return command


def _reverse_credit(back: CreditReversed, asked: Asked) -> ReverseCredit:
    """By the policy `other_lots` if it took from other lots; where it did not, it might have."""
    others = any(use.lot != back.lot for use in back.lots)
    command: ReverseCredit = asked.command(
        ReverseCredit,
        lot=back.lot,
        points=back.asked,
        reason=back.reason,
        policy="other_lots" if others else "forgive",
    )
    return command


ASKED: dict[type[Event], Callable[[Any, Asked], Command]] = {
    VisitRecorded: _visit,
    VisitUndone: _undo,
    CampaignEnrolled: enrol,
    CampaignOffered: lambda e, asked: asked.command(OfferCampaign, campaign_id=e.campaign),
    BindingStarted: lambda e, asked: asked.command(
        StartBinding, policy=e.policy, starts_on=e.starts_on, ends_on=e.ends_on
    ),
    BindingEnded: lambda e, asked: asked.command(
        EndBinding, binding=e.binding, ended_on=e.ended_on, cause=e.cause, reason=e.reason
    ),
    PointsCredited: lambda e, asked: asked.command(
        CreditPoints,
        points=e.points,
        source=e.source,
        rule=e.rule,
        available_from=e.available_from,
        expires_at=e.expires_at,
    ),
    PointsDebited: lambda e, asked: asked.command(DebitPoints, points=e.points, reason=e.reason),
    DebitReversed: lambda e, asked: asked.command(ReverseDebit, debit=e.debit, reason=e.reason),
    CreditReversed: _reverse_credit,
    PointsExpired: lambda _, asked: asked.command(ExpirePoints),
}
"""What was asked for, by the event that tells it: the first of these that the command made."""
