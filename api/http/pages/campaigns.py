"""Campaigns: how far each has come, its terms, what it came to, and who takes part.

What an enrolment would do is what a dry run of its command says; nothing is decided here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Annotated, Any, cast

from fastapi import Depends, Path, Request
from fastapi.responses import Response
from pydantic import BeforeValidator, Field

from api.doors import DOOR_OF, Need
from api.files import spelling
from api.http.pages.asking import AtPage, found_by, new_key, place
from api.http.pages.page import (
    FIGURES,
    Fields,
    everywhere,
    form,
    page,
    refusal_told,
    router_of_pages,
)
from api.http.server.access import Who, needs
from api.http.server.inputs import AsOf, Awaited, InHouse
from api.runtime.problems import of_refusal
from api.runtime.receipts import tried_of
from domain.campaigns import UnknownCampaign
from domain.corrections import CorrectEnrolment
from domain.enrolments import Enrol, EnrolmentReceipt
from domain.kernel.refusal import Refusal
from domain.kernel.values import CampaignId, Count, Fen, Id, MemberId, Text, local_date
from ledger.log.receipts import Trial
from projections import campaigns, reports, terms
from projections.campaigns import Campaign, CampaignFigures
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.figures import targets
from projections.figures.claims import Document
from projections.figures.targets import TargetProgress
from projections.members import Member
from projections.terms import Conditions

BASE = "/campaigns"
ONE = f"{BASE}/{{campaign_id}}"
OF_CAMPAIGNS = Need("campaigns.read")
TO_ENROL = DOOR_OF[Enrol.called].need

router = router_of_pages()


@dataclass(frozen=True)
class AtCampaign(AtPage):
    """Somebody at a campaign."""

    campaign_id: str

    @property
    def address(self) -> str:
        """Of its page."""
        return f"{BASE}/{self.campaign_id}"

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page of this campaign, or a part of it."""
        beside = {"base": self.address, "new_key": _new_key, "state_of": state_of}
        return page(self.request, template, status, **beside, **values)


async def at_campaign(
    request: Request, house: InHouse, who: Who, campaign_id: Annotated[CampaignId, Path()]
) -> AtCampaign:
    """Whoever is asking, at the campaign of this address."""
    return AtCampaign(request, house, who, campaign_id)


Here = Annotated[AtCampaign, Depends(at_campaign)]


# ------------------------------------------------------------------------------------- forms
def _fen(said: object) -> object:
    """Yuan as people write them, in fen."""
    return spelling.money(said, spelling.Spelling()) if isinstance(said, str) else said


Yuan = Annotated[Fen, BeforeValidator(_fen)]


class Asking(Fields):
    """Who wants to take part, and with how much; else with the least that the terms ask for."""

    said: Annotated[str, Field(min_length=1, max_length=100)]
    prepaid_yuan: Yuan | None = None


class Enrolling(Fields):
    """The enrolment as it was shown."""

    member_id: MemberId
    prepaid_fen: Fen
    shown_terms_version: Count
    key: Id


class Correcting(Fields):
    """An enrolment that was wrong."""

    member_id: MemberId
    reason: Text
    key: Id


def _new_key() -> str:
    return new_key("campaigns")


STATES = ("not_open_yet", "running", "over", "closed")


def state_of(campaign: Campaign, on: date) -> str:
    """Which of STATES a campaign is in on a day."""
    if campaign.closed_at is not None:
        return "closed"
    if on < campaign.opens_on:
        return "not_open_yet"
    return "running" if on <= campaign.closes_on else "over"


# --------------------------------------------------------------------------------- questions
def _listed(
    conn: Conn, _: Moment | None, until: date, with_targets: bool
) -> tuple[list[Campaign], dict[str, list[TargetProgress]]]:
    """All campaigns, and the targets of each."""
    found = campaigns.campaigns(conn, until)
    return found, _targets(conn, [each.campaign_id for each in found]) if with_targets else {}


def _targets(conn: Conn, campaign_ids: Sequence[str]) -> dict[str, list[TargetProgress]]:
    """By campaign, its targets beside what is."""
    of = Document([], reports.outside_values(conn), reports.targets(conn))
    found: dict[str, list[TargetProgress]] = {}
    mine = [each for each in of.targets if each.parameters.get("campaign_id") in campaign_ids]
    for each in targets.progress(conn, of, mine):
        found.setdefault(each.parameters["campaign_id"], []).append(each)
    return found


def _one(
    conn: Conn, _: Moment | None, campaign_id: str, until: date, with_targets: bool
) -> tuple[CampaignFigures, Conditions, list[TargetProgress]]:
    """A campaign with what it came to, its conditions and its targets."""
    found = campaigns.campaign_figures(conn, campaign_id, until)
    on = terms.conditions(conn, campaign_id, until)
    if found is None or on is None:
        raise UnknownCampaign(campaign_id)
    mine = _targets(conn, [campaign_id]).get(campaign_id, []) if with_targets else []
    return found, on, mine


def _launched(conn: Conn, campaign_id: str, until: date) -> Campaign:
    found = campaigns.campaign(conn, campaign_id, until)
    if found is None:
        raise UnknownCampaign(campaign_id)
    return found


def _lists(here: AtCampaign) -> bool:
    """Whether he may see lists of customers, if of some units alone."""
    reaches = {each.reach("lists.read") for each in here.who.granted("lists.read")}
    return bool(reaches & {"all", "units"})


def running(here: AtCampaign) -> Callable[[Conn], Campaign]:
    """The campaign by now."""
    today = local_date(here.house.clock.now())
    return partial(_launched, campaign_id=here.campaign_id, until=today)


# ------------------------------------------------------------------------------------ routes
@router.get(BASE)
@needs(OF_CAMPAIGNS)
async def all_campaigns(
    request: Request, house: InHouse, who: Who, wait_for: Awaited, asked: AsOf
) -> Response:
    """All campaigns, each with how far it has come."""
    on, with_targets = local_date(house.at(asked)), everywhere(who, "figures.read")
    question = partial(_listed, until=on, with_targets=with_targets)
    found, passed = await house.ask(question, wait_for, asked)
    moment = None if asked is None else await house.past.moment(asked, house.clock.now())
    return page(
        request, "campaigns/all.html",
        base=BASE, state_of=state_of, campaigns=found, targets=passed, on=on, moment_of=moment,
        with_bindings=with_targets, runs=bool(who.granted("campaigns.write")),
    )  # fmt: skip


@router.get(ONE)
@needs(OF_CAMPAIGNS)
async def one_campaign(here: Here, wait_for: Awaited, asked: AsOf) -> Response:
    """A campaign: how far it has come, its terms, what it came to, and the way in."""
    on = local_date(here.house.at(asked))
    question = partial(
        _one,
        campaign_id=here.campaign_id,
        until=on,
        with_targets=everywhere(here.who, "figures.read"),
    )
    found, conditions, passed = await here.house.ask(question, wait_for, asked)
    now = here.house.clock.now()
    return here.page(
        "campaigns/one.html",
        campaign=found,
        conditions=conditions,
        targets=passed,
        on=on,
        moment_of=None if asked is None else await here.house.past.moment(asked, now),
        figures=FIGURES,
        rows=everywhere(here.who, "lists.read"),
        lists=_lists(here),
        afresh=False,
        runs=bool(here.who.granted("campaigns.write")),
        enrols=asked is None and bool(here.who.granted("campaigns.enrol")),
    )


@router.get(f"{ONE}/progress")
@needs(OF_CAMPAIGNS)
async def progress(here: Here, wait_for: Awaited) -> Response:
    """How far it has come by now, and what it came to."""
    on = local_date(here.house.clock.now())
    question = partial(
        _one, _=None, campaign_id=here.campaign_id, until=on,
        with_targets=everywhere(here.who, "figures.read"),
    )  # fmt: skip
    found, conditions, passed = await here.house.reads(question, wait_for)
    return here.page(
        "campaigns/_afresh.html", campaign=found, conditions=conditions, targets=passed, on=on,
        figures=FIGURES, rows=everywhere(here.who, "lists.read"), lists=_lists(here),
        afresh=True,
    )  # fmt: skip


@router.post(f"{ONE}/customer")
@needs(TO_ENROL, by_itself=True)
async def customer(here: Here) -> Response:
    """Whether this customer may take part, and if not why; or which of several he is."""
    asked, house = await form(here.request, Asking), here.house
    now = house.clock.now()
    here.looks_up(asked.said)

    def question(conn: Conn) -> tuple[Campaign, list[Member]]:
        return running(here)(conn), found_by(conn, asked.said, now)

    campaign, found = await house.reads(question)
    meant = [] if found else await here.by_name(asked.said)
    if len(meant) == 1:
        found = await house.reads(partial(found_by, said=meant[0].member_id, now=now))
    own = [] if len(meant) > 1 else await here.own(found)
    prepaid_fen = asked.prepaid_yuan
    if not own or len(own) > 1:
        several = own or meant
        return here.page("campaigns/_several.html", members=several, prepaid_fen=prepaid_fen)
    prepaid_fen = campaign.prepaid_min_fen if prepaid_fen is None else prepaid_fen
    enrol = await here.asked(
        Enrol,
        member_id=own[0].member_id,
        campaign_id=here.campaign_id,
        prepaid_fen=prepaid_fen,
        key=_new_key(),
    )
    (trial,) = await here.tried(enrol)
    return here.page(
        "campaigns/_may.html",
        campaign=campaign,
        member=own[0],
        asked=enrol,
        refusal=_told(here, trial) if isinstance(trial, Refusal) else None,
        answer=cast(EnrolmentReceipt, trial.body) if isinstance(trial, Trial) else None,
        events=_events(trial) if isinstance(trial, Trial) else {},
    )


def _told(here: AtPage, refusal: Refusal) -> tuple[str, str, str]:
    """(code, what is wrong, what to do now) of a refusal."""
    return refusal.code, *refusal_told(here.request, of_refusal(refusal))


def _events(trial: Trial) -> dict[str, Any]:
    """What would have happened, by its topic."""
    return {each["topic"]: each["event"] for each in tried_of(trial)["events"]}


@router.post(f"{ONE}/enrolments")
@needs(TO_ENROL, by_itself=True)
async def enrol(here: Here) -> Response:
    """Enrol him as it was shown. Pressed twice he is enrolled once."""
    asked = await form(here.request, Enrolling)
    command = await here.asked(Enrol, campaign_id=here.campaign_id, **asked.model_dump())
    campaign = await here.house.reads(running(here))
    correction = {"member_id": asked.member_id, "campaign_id": here.campaign_id}
    corrects = await here.may(CorrectEnrolment, correction)
    receipt = await here.house.execute(command)  # after which nothing is asked: it could be refused
    return here.page(
        "campaigns/_receipt.html",
        asked=asked,
        campaign=campaign,
        receipt=cast(EnrolmentReceipt, receipt.body),
        at=here.house.clock.now(),
        place=place(receipt),
        corrects=corrects,
    )


@router.post(f"{ONE}/corrections")
@needs(DOOR_OF[CorrectEnrolment.called].need, by_itself=True)
async def correct(here: Here) -> Response:
    """Take an enrolment back: its place and its gift's part of the budget are free again."""
    asked = await form(here.request, Correcting)
    command = await here.asked(CorrectEnrolment, campaign_id=here.campaign_id, **asked.model_dump())
    receipt = await here.house.execute(command)
    return here.page("campaigns/_corrected.html", asked=asked, place=place(receipt))
