"""The desk of a club: a card is scanned, one of a few buttons is pressed, a receipt can be undone.

What a button would do and cost is what a dry run of its command says; nothing is decided here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal, TypeVar, cast

from fastapi import Depends, Path, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import Field

from api.doors import DOOR_OF, Need
from api.http.pages import words
from api.http.pages.asking import AtPage, found_by, new_key, place
from api.http.pages.page import (
    Fields,
    form,
    language_of,
    next_page,
    page,
    router_of_pages,
)
from api.http.server.access import PUBLIC, Who, needs
from api.http.server.inputs import Awaited, InHouse
from api.runtime.problems import of_refusal
from api.runtime.rights import at_the_door
from domain.admissions import AdmissionReceipt, AdmitInEmergency
from domain.clubs import DeclareEmergency, EndEmergency, UnknownClub
from domain.corrections import UndoAdmission
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.kernel.values import (
    ClubId,
    Desk,
    Id,
    MemberId,
    Ordinal,
    PointsPaid,
    ServiceId,
    Text,
    local_date,
    start_of,
)
from domain.points.lots import NotEnoughPoints
from domain.visits import (
    Companions,
    NotEligible,
    RecordVisit,
    UndoVisit,
    VisitReceipt,
    VisitRepeated,
    VisitUndone,
)
from ledger.log import persons
from ledger.log.persons import Person
from ledger.log.snapshots import event_of
from projections import clubs, visits
from projections.clubs import Admission, ClubCard, Price
from projections.engine.connection import Conn
from projections.members import Member
from projections.visits import Visit

U = TypeVar("U", bound=Command)
BUTTONS = 9
"""As many as the keys 1 to 9 reach."""
LAST, TODAY = 3, 30
SOON = timedelta(days=30)
DESK = "/desk/{club_id}/{desk}"

OF_CLUBS = Need("clubs.read")
AT_THIS_DESK = Need("visits.write", "club_id")

router = router_of_pages()


@dataclass(frozen=True)
class AtDesk(AtPage):
    """Somebody at a desk of a club."""

    club_id: str
    desk: str

    @property
    def address(self) -> str:
        """Of its page."""
        return f"/desk/{self.club_id}/{self.desk}"

    @property
    def place(self) -> dict[str, str]:
        """Where commands are told to happen that name no member."""
        return {"club_id": self.club_id, "desk": self.desk}

    def undoing(self, kind: type[U], **said: Any) -> U | None:
        """What takes back something of this club; None: he may not."""
        need = DOOR_OF[kind.called].need._replace(club="club_id")
        actor = at_the_door(self.who, need, self.place, None)
        if actor is None:
            return None
        where = self.place if "club_id" in kind.model_fields else {"desk": self.desk}
        said |= {**where, "reason": "?", "actor": actor, "key": _new_key()}
        return kind(**said)

    async def undoable(self, *taken: tuple[str, int]) -> dict[tuple[str, int], datetime]:
        """Until when he may take back which of these visits of this club, each a member and a
        number: none that would be refused."""
        asked = [
            undo
            for member_id, visit in taken
            if (undo := self.undoing(UndoVisit, member_id=member_id, visit=visit))
        ]
        found: dict[tuple[str, int], datetime] = {}
        for undo, trial in zip(asked, await self.tried(*asked) if asked else (), strict=True):
            told = () if isinstance(trial, Refusal) else trial.events
            for event in (event_of(each.topic, each.state) for each in told):
                if isinstance(event, VisitUndone):
                    found[undo.member_id, undo.visit] = undo.until(event.visited_at)
        return found

    async def retractable(self, *admissions: Admission) -> dict[int, datetime | None]:
        """Until when he may take back which of these admissions in emergencies (None: without an
        end that is known): none that would be refused."""
        asked = [
            (undo, undo.until(each.occurred_at))
            for each in admissions
            if (undo := self.undoing(UndoAdmission, admission=each.admission))
        ]
        trials = await self.tried(*(undo for undo, _ in asked)) if asked else ()
        told = zip(asked, trials, strict=True)
        return {
            undo.admission: until for (undo, until), trial in told if not isinstance(trial, Refusal)
        }

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page of this desk, or a part of it."""
        return page(self.request, template, status, base=self.address, new_key=_new_key, **values)


async def at_desk(
    request: Request,
    house: InHouse,
    who: Who,
    club_id: Annotated[ClubId, Path()],
    desk: Annotated[Desk, Path()],
) -> AtDesk:
    """Whoever is asking, at the desk of this address."""
    return AtDesk(request, house, who, club_id, desk)


Here = Annotated[AtDesk, Depends(at_desk)]


# ------------------------------------------------------------------------------------- forms
class Opening(Fields):
    """Which desk somebody sits at."""

    club_id: ClubId
    desk: Desk


class Said(Fields):
    """What was scanned or typed, and how many come along."""

    said: Annotated[str, Field(min_length=1, max_length=100)]
    companions: Companions = 0


class Visiting(Fields):
    """A button of the card: the visit as it was shown."""

    member_id: MemberId
    service_id: ServiceId
    companions: Companions
    payment: Literal["points", "free_visit", "free"]
    shown_points: PointsPaid
    key: Id
    confirm_repeat: bool = False


class Undoing(Fields):
    """The undo of a receipt, or of a line of today's list."""

    member_id: MemberId
    visit: Ordinal
    key: Id
    reason: Text


class Declaring(Fields):
    """The switch into emergency mode."""

    key: Id
    reason: Text


class Ending(Fields):
    """The switch out of it."""

    key: Id


class Admitting(Fields):
    """People who are not members."""

    key: Id
    category: Literal["elderly", "child", "other"]
    people: Annotated[int, Field(ge=1, le=500)] = 1


class Retracting(Fields):
    """The undo of people who are not members."""

    key: Id
    admission: Ordinal
    reason: Text


# -------------------------------------------------------------------------------------- card
@dataclass(frozen=True)
class Offer:
    """A button: a service, and what the ledger would answer now if the visit were recorded."""

    service_id: str
    title: str
    key: str
    refusal: Refusal | None = None
    answer: VisitReceipt | None = None
    free_visits_left: int = 0
    repeats: VisitRepeated | None = None


def _new_key() -> str:
    return new_key("desk")


def _titles(club: ClubCard) -> dict[str, str]:
    return {each.service_id: each.title for each in club.services}


def _require_club(conn: Conn, club_id: str) -> ClubCard:
    club = clubs.club(conn, club_id)
    if club is None:
        raise UnknownClub(club_id)
    return club


def _find(
    conn: Conn, *, club_id: str, said: str, now: datetime
) -> tuple[ClubCard, list[Member], dict[str, list[Visit]]]:
    """The club, who this may be, and the last visits of each."""
    found = found_by(conn, said, now)
    last = {m.member_id: visits.latest_visits(conn, m.member_id, LAST) for m in found}
    return _require_club(conn, club_id), found, last


def _expiring(member: Member, now: datetime) -> int:
    """His points that expire soon."""
    lapses = ((lot.expires_at, lot.remaining) for lot in member.lots)
    return sum(points for at, points in lapses if at is not None and now < at <= now + SOON)


def _refused(
    request: Request, offers: Sequence[Offer], club: ClubCard, companions: int
) -> dict[tuple[str, str, str], list[str]]:
    """(code, what is wrong, what to do now) -> the services of which that is true."""
    found: dict[tuple[str, str, str], list[str]] = {}
    language = language_of(request)
    for offer in offers:
        if offer.refusal is not None:
            wrong, then = words.refusal(language, of_refusal(offer.refusal))
            if companions and isinstance(offer.refusal, NotEnoughPoints):
                then = words.say(language, "fewer_cost_less")
            if club.in_emergency and isinstance(offer.refusal, NotEligible):
                then = words.say(language, "as_anybody")
            found.setdefault((offer.refusal.code, wrong, then), []).append(offer.title)
    return found


async def _offers(
    here: AtDesk, member_id: str, services: Sequence[Price], companions: int
) -> list[Offer]:
    """A button a service. Where a visit would repeat another, the button is one that asks."""
    said: dict[str, Any] = {
        "member_id": member_id,
        "club_id": here.club_id,
        "desk": here.desk,
    }
    actor, made = await here.actor(RecordVisit, said), []
    asked = [
        RecordVisit(
            **said,
            actor=actor,
            service_id=service.service_id,
            companions=companions,
            key=_new_key(),
        )
        for service in services
    ]
    trials = await here.tried(*asked)
    repeats = {n: each for n, each in enumerate(trials) if isinstance(each, VisitRepeated)}
    sure = [asked[n].model_copy(update={"confirm_repeat": True}) for n in repeats]
    confirmed = dict(zip(repeats, await here.tried(*sure), strict=True)) if sure else {}
    for n, (service, visit) in enumerate(zip(services, asked, strict=True)):
        offer = partial(Offer, service.service_id, service.title, visit.key)
        trial = confirmed.get(n, trials[n])
        if isinstance(trial, Refusal):
            made.append(offer(trial))
        else:
            answer = cast(VisitReceipt, trial.body)
            free = trial.outlook["free_visits_left"]
            made.append(offer(None, answer, free, repeats.get(n)))
    return made


# ------------------------------------------------------------------------------------- routes
@router.get("/desk")
@needs(OF_CLUBS)
async def desks(request: Request, house: InHouse, who: Who) -> Response:
    """Which club, and which of its desks: those at which one may sit."""
    known = await house.reads(clubs.clubs)
    own = [each for each in known if await house.access.may(who, AT_THIS_DESK, each)]
    return page(request, "desk/desks.html", clubs=own)


@router.post("/desk")
@needs(PUBLIC)
async def open_desk(request: Request) -> Response:
    """Go to a desk, whose address may be kept."""
    asked = await form(request, Opening)
    return RedirectResponse(f"/desk/{asked.club_id}/{asked.desk}", 303)


@router.get(DESK)
@needs(AT_THIS_DESK)
async def desk_page(here: Here, wait_for: Awaited) -> Response:
    """The desk, ready for a scan."""
    club = await here.house.reads(partial(_require_club, club_id=here.club_id), wait_for)
    here.house.names.learn_ahead()
    switches: dict[str, type[Command]] = {
        "declare": DeclareEmergency,
        "end": EndEmergency,
        "admit": AdmitInEmergency,
    }
    may = {name: await here.may(kind, here.place) for name, kind in switches.items()}
    return here.page("desk/desk.html", club=club, desk=here.desk, may=may)


@router.post(f"{DESK}/card")
@needs(AT_THIS_DESK)
async def card(here: Here) -> Response:
    """The member whose card or number this is, with what can be done for him."""
    asked, house = await form(here.request, Said), here.house
    now = house.clock.now()
    here.looks_up(asked.said)
    find = partial(_find, club_id=here.club_id, said=asked.said, now=now)
    club, found, last = await house.reads(find)
    if not found:
        meant = await here.by_name(asked.said)
        if len(meant) > 1:
            return here.page("desk/_several.html", members=meant)
        if meant:
            _, found, last = await house.reads(partial(find, said=meant[0].member_id))
    own = await here.own(found)
    if len(own) > 1:
        return here.page("desk/_several.html", members=own)
    member = own[0]
    visited = last[member.member_id]
    used = {each.service_id for each in visited}
    known = sorted(club.services, key=lambda each: (each.service_id not in used, each.service_id))
    offers = await _offers(here, member.member_id, known[:BUTTONS], asked.companions)
    return here.page(
        "desk/_card.html",
        member=member,
        club=club,
        last=visited,
        expiring=_expiring(member, now),
        companions=asked.companions,
        offers=offers,
        today=local_date(now),
        titles=_titles(club),
        refused=_refused(here.request, offers, club, asked.companions),
    )


@router.post(f"{DESK}/visits")
@needs(DOOR_OF[RecordVisit.called].need, by_itself=True)
async def admit(here: Here) -> Response:
    """Record the visit that was shown. Pressed twice it is recorded once."""
    asked = await form(here.request, Visiting)
    payment = "free_visit" if asked.payment == "free_visit" else "points"
    beside = {**asked.model_dump(), "payment": payment}
    visit = await here.asked(RecordVisit, club_id=here.club_id, desk=here.desk, **beside)
    club = await here.house.reads(partial(_require_club, club_id=here.club_id))
    receipt = await here.house.execute(visit)
    # Once it is written nothing more is asked that could be refused: what was just done may be
    # undone. A receipt that is shown again may be old.
    body = cast(VisitReceipt, receipt.body)
    taken = (asked.member_id, body["visit"])
    now = here.house.clock.now()
    if receipt.replayed:
        until = (await here.undoable(taken)).get(taken)
    else:
        undo = here.undoing(UndoVisit, member_id=asked.member_id, visit=body["visit"])
        until = None if undo is None else undo.until(now)
    return here.page(
        "desk/_receipt.html",
        until=until,
        asked=asked,
        club=club,
        desk=here.desk,
        service=_titles(club).get(asked.service_id, asked.service_id),
        receipt=body,
        before=body["spendable_points"] + body["points"],
        at=now,
        place=place(receipt),
    )


@router.post(f"{DESK}/undo")
@needs(DOOR_OF[UndoVisit.called].need, by_itself=True)
async def undo(here: Here) -> Response:
    """Take a visit back."""
    asked = await form(here.request, Undoing)
    command = await here.asked(UndoVisit, desk=here.desk, **asked.model_dump())
    receipt = await here.house.execute(command)
    return here.page("desk/_undone.html", asked=asked, receipt=receipt.body, place=place(receipt))


@router.get(f"{DESK}/today")
@needs(AT_THIS_DESK)
async def today(here: Here, wait_for: Awaited) -> Response:
    """Today's visits at this desk, the last first."""
    now = here.house.clock.now()
    begins = start_of(local_date(now))

    def question(
        conn: Conn,
    ) -> tuple[ClubCard, list[Visit], list[Admission], dict[str, Person]]:
        at_desk = (conn, here.club_id, here.desk, begins, TODAY)
        taken = visits.visits_at_desk(*at_desk)
        people = persons.people(conn, [each.member_id for each in taken])
        return (
            _require_club(conn, here.club_id), taken, clubs.admissions_at_desk(*at_desk), people,
        )  # fmt: skip

    club, taken, admitted, people = await here.house.reads(question, wait_for)
    both: list[Visit | Admission] = [*taken, *admitted]
    both.sort(key=lambda each: each.occurred_at, reverse=True)
    stand = [(each.member_id, each.visit) for each in taken if each.undone_at is None]
    return here.page(
        "desk/_today.html", taken=both[:TODAY], people=people, titles=_titles(club), at=now,
        undoable=await here.undoable(*stand),
        retractable=await here.retractable(*(each for each in admitted if not each.corrected)),
    )  # fmt: skip


@router.post(f"{DESK}/emergency")
@needs(DOOR_OF[DeclareEmergency.called].need, by_itself=True)
async def declare(here: Here) -> Response:
    """Open the club to everybody."""
    return await _switched(here, DeclareEmergency, await form(here.request, Declaring))


@router.post(f"{DESK}/emergency/end")
@needs(DOOR_OF[EndEmergency.called].need, by_itself=True)
async def end(here: Here) -> Response:
    """Give the club back to its members."""
    return await _switched(here, EndEmergency, await form(here.request, Ending))


async def _switched(here: AtDesk, kind: type[Command], asked: Fields) -> Response:
    """The desk again, as it is once the answers hold what was written."""
    command = await here.asked(kind, club_id=here.club_id, **asked.model_dump())
    receipt = await here.house.execute(command)
    return next_page(f"{here.address}?wait_for={place(receipt)}")


@router.post(f"{DESK}/admissions")
@needs(DOOR_OF[AdmitInEmergency.called].need, by_itself=True)
async def admissions(here: Here) -> Response:
    """Let people in who are not members."""
    asked = await form(here.request, Admitting)
    beside = {**asked.model_dump(), "club_id": here.club_id, "desk": here.desk}
    command = await here.asked(AdmitInEmergency, **beside)
    receipt = await here.house.execute(command)
    admission, now = cast(AdmissionReceipt, receipt.body)["admission"], here.house.clock.now()
    # A receipt that is shown again may be old: today's list says what may be undone.
    undo = None if receipt.replayed else here.undoing(UndoAdmission, admission=admission)
    return here.page(
        "desk/_admitted.html",
        asked=asked,
        admission=admission,
        undoes=undo is not None,
        until=undo and undo.until(now),
        at=now,
        place=place(receipt),
    )


@router.post(f"{DESK}/admissions/undo")
@needs(DOOR_OF[UndoAdmission.called].need, by_itself=True)
async def retract(here: Here) -> Response:
    """Take back that people were let in who are not members."""
    asked = await form(here.request, Retracting)
    beside = {**asked.model_dump(), "club_id": here.club_id, "desk": here.desk}
    command = await here.asked(UndoAdmission, **beside)
    receipt = await here.house.execute(command)
    return here.page("desk/_corrected.html", asked=asked, place=place(receipt))
