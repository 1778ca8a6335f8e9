"""Every command declares its refusals in the order in which its rule asks, and no others.

Three things hold that: the source, followed from `decide` through every guard; the worlds of all
tests, which let no other refusal pass; and this file, in which each declared one is reached.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from inspect import getsource, isfunction, ismodule
from textwrap import dedent
from typing import Any

import pytest

from domain import clubs
from domain.access import (
    AddUser,
    DisableUser,
    GrantRole,
    InviteUser,
    IssueApiKey,
    RevokeApiKey,
    RotateApiKey,
    WithdrawRole,
)
from domain.admissions import AdmitInEmergency
from domain.bindings import EndBinding, StartBinding
from domain.campaigns import CloseCampaign, LaunchCampaign
from domain.catalogue import COMMANDS, PARTS
from domain.clubs import DeclareEmergency, EndEmergency, HoldActivity, OpenClub, PriceService
from domain.cohorts import FreezeCohort, IncludeInCohort, OpenCohort
from domain.corrections import (
    CorrectActivity,
    CorrectAdmission,
    CorrectAttendance,
    CorrectBill,
    CorrectBinding,
    CorrectBindingEnd,
    CorrectClosing,
    CorrectEnrolment,
    CorrectInclusion,
    CorrectLeaving,
    CorrectOffer,
    CorrectReturn,
    UndoAdmission,
)
from domain.enrolments import Enrol, OfferCampaign
from domain.kernel.bounds import TooMany, bounds_of
from domain.kernel.command import Command
from domain.kernel.periods import TooLongAgo
from domain.kernel.personal import Name
from domain.kernel.refusal import Refusal
from domain.members import (
    ChangeTier,
    JoinNetwork,
    LeaveNetwork,
    MoveToUnit,
    RecordBill,
    ReturnToNetwork,
)
from domain.outside import CorrectOutside, RecordOutside
from domain.persons import ChangeDetails, EraseMember, UnmaskMember
from domain.points.movements import CarryPointsOver, DebitPoints, ReverseCredit, ReverseDebit
from domain.reports import ClaimValue, CorrectClaim, CorrectReport, EnterReport
from domain.targets import CorrectTarget, SetTarget
from domain.units import OpenUnit
from domain.visits import AttendActivity, RecordVisit, UndoVisit, Visited
from domain.webhooks import AddWebhook, RemoveWebhook, ResumeWebhook, RotateWebhook
from tests.domain import usual
from tests.domain.scenario import World, do, given, local
from tests.domain.words import (
    CLUB,
    EAST,
    JANUARY,
    JUNE,
    MEMBER,
    NOON,
    campaign,
    claim,
    credit,
    debit,
    enrol,
    enter,
    outside,
    price,
    target,
    visit,
)


# --------------------------------------------------------------------- what the source asks for
class Following(ast.NodeVisitor):
    """The refusals that a function raises, in the order of its source and of what it calls."""

    def __init__(self, function: Callable[..., Any], kind: type) -> None:
        self.known, self.kind = function.__globals__, kind
        self.found: list[type[Refusal]] = []
        self.visit(ast.parse(dedent(getsource(function))))

    def visit_Raise(self, node: ast.Raise) -> None:
        self.generic_visit(node)
        self.raised(node.exc)

    def raised(self, refusal: ast.expr | None) -> None:
        raised = self.meant(refusal.func) if isinstance(refusal, ast.Call) else None
        if isfunction(raised):
            raised = raised.__annotations__["return"]
        if isinstance(raised, type) and issubclass(raised, Refusal):
            self.found.append(raised)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)  # what is handed over is made before the call
        if isinstance(node.func, ast.Attribute) and node.func.attr == "unless_despite":
            (broken,) = node.args
            self.raised(broken)
            return
        called = self.meant(node.func)
        if isfunction(called) and called.__module__.partition(".")[0] in ("domain", "tests"):
            self.found += Following(called, self.kind).found

    def meant(self, named: ast.expr) -> Any:
        """What a name stands for: of the module, of one that it imports, or of the command."""
        if isinstance(named, ast.Name):
            return self.known.get(named.id)
        if isinstance(named, ast.Attribute) and isinstance(named.value, ast.Name):
            owner = self.kind if named.value.id == "self" else self.known.get(named.value.id)
            return (
                getattr(owner, named.attr, None) if owner is self.kind or ismodule(owner) else None
            )
        return None


def asked_for(kind: type[Any]) -> tuple[type[Refusal], ...]:
    return tuple(dict.fromkeys(Following(kind.decide, kind).found))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_declares_its_refusals_in_the_order_in_which_they_are_asked_for(
    name: str,
) -> None:
    assert COMMANDS[name].refuses == asked_for(COMMANDS[name])


def guard(full: bool) -> bool:
    if full:
        raise TooMany("guarded", 1, 1)
    return full


@dataclass
class Planted:
    refuses = (TooMany, TooLongAgo)

    def decide(self, late: bool) -> None:
        if late and not guard(late):
            raise self.late()

    def late(self) -> TooLongAgo:
        return TooLongAgo("", "")


def test_the_walk_sees_what_a_guard_refuses_and_in_which_order() -> None:
    assert asked_for(Planted) == (TooMany, TooLongAgo)


def test_a_refusal_that_is_not_declared_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DebitPoints, "refuses", ())
    with pytest.raises(AssertionError, match=r"points\.debit declares no not_enough_points"):
        given(MEMBER).when(debit(1))


# ------------------------------------------------------------------------- what some test reaches
BEFORE = "2008-07-14 12:00"
COHORT = do(OpenCohort, BEFORE, purpose="retention", criterion="gold", taken_on=date(2008, 6, 30))


def bound(starts: date, ends: date) -> StartBinding:
    return do(StartBinding, BEFORE, policy="handset", starts_on=starts, ends_on=ends)


BOUND = bound(date(2008, 7, 1), date(2009, 7, 1))
EARLY: dict[str, Any] = {"binding": 1, "ended_on": date(2008, 7, 15)}
ENDED = do(EndBinding, BEFORE, **EARLY, cause="cancelled")
HELD = do(HoldActivity, BEFORE)
BILL: dict[str, Any] = {"month": "2008-06"}
WEBHOOK = do(AddWebhook, BEFORE)
KEY, USER = do(IssueApiKey, BEFORE), do(AddUser, BEFORE)
FOUNDED = (MEMBER, CLUB, campaign(control_bp=1), COHORT, credit(500))

TAKEN: dict[type[Command], tuple[Any, Command]] = {
    OpenClub: ((), do(OpenClub, NOON, club_id="car", opens_on=date(2008, 7, 1), tiers=("gold",))),
    PriceService: ((), price(NOON)),
    EndEmergency: (do(DeclareEmergency, BEFORE), do(EndEmergency, NOON)),
    AdmitInEmergency: (
        do(DeclareEmergency, BEFORE), do(AdmitInEmergency, NOON, category="child"),
    ),
    OpenUnit: ((), do(OpenUnit, NOON, title="城东分局")),
    JoinNetwork: ((), do(JoinNetwork, NOON, member_id="m2")),
    ChangeDetails: ((), do(ChangeDetails, NOON, name=Name("王小明"))),
    StartBinding: ((), BOUND.model_copy(update={"at": local(NOON)})),
    EndBinding: (BOUND, do(EndBinding, NOON, **EARLY, cause="breach")),
    LaunchCampaign: ((), campaign(campaign_id="autumn")),
    OpenCohort: ((), COHORT.model_copy(update={"cohort_id": "gold"})),
    FreezeCohort: ((), do(FreezeCohort, NOON, size=0)),
    Enrol: ((), enrol()),
    ReverseDebit: (debit(1, BEFORE), do(ReverseDebit, NOON, debit=1)),
    RecordVisit: ((), visit()),
    UndoVisit: (visit(BEFORE), do(UndoVisit, NOON, visit=1, actor="supervisor:wang")),
    AttendActivity: (HELD, do(AttendActivity, NOON)),
    ReturnToNetwork: (
        (EAST, do(LeaveNetwork, BEFORE)), do(ReturnToNetwork, NOON, unit_id="east"),
    ),
    MoveToUnit: (EAST, do(MoveToUnit, NOON, unit_id="east")),
    CorrectReturn: (
        (do(LeaveNetwork, BEFORE), do(ReturnToNetwork, "2008-07-14 13:00")),
        do(CorrectReturn, NOON),
    ),
    CorrectLeaving: (do(LeaveNetwork, BEFORE), do(CorrectLeaving, NOON)),
    CorrectBill: (do(RecordBill, BEFORE, **BILL, amount_fen=1), do(CorrectBill, NOON, **BILL)),
    CorrectEnrolment: (enrol(BEFORE), do(CorrectEnrolment, NOON)),
    CorrectOffer: (do(OfferCampaign, BEFORE), do(CorrectOffer, NOON)),
    CorrectAttendance: ((HELD, do(AttendActivity, BEFORE)), do(CorrectAttendance, NOON)),
    CorrectBinding: (BOUND, do(CorrectBinding, NOON, binding=1)),
    CorrectBindingEnd: ((BOUND, ENDED), do(CorrectBindingEnd, NOON, binding=1)),
    CorrectInclusion: (do(IncludeInCohort, BEFORE), do(CorrectInclusion, NOON)),
    CorrectActivity: (HELD, do(CorrectActivity, NOON)),
    CorrectAdmission: (
        (do(DeclareEmergency, BEFORE), do(AdmitInEmergency, BEFORE, category="child")),
        do(CorrectAdmission, NOON, admission=1),
    ),
    UndoAdmission: (
        (do(DeclareEmergency, BEFORE), do(AdmitInEmergency, NOON, category="child")),
        do(UndoAdmission, NOON, admission=1),
    ),
    CorrectClosing: (do(CloseCampaign, BEFORE), do(CorrectClosing, NOON)),
    EnterReport: ((), enter()),
    ClaimValue: (enter(), claim()),
    CorrectReport: (enter(), do(CorrectReport, NOON)),
    CorrectClaim: ((enter(), claim()), do(CorrectClaim, NOON, claim_id="members.rate")),
    RecordOutside: ((), outside()),
    CorrectOutside: (outside(), do(CorrectOutside, NOON, outside_value_id="rate_2007")),
    SetTarget: ((), target()),
    CorrectTarget: (target(), do(CorrectTarget, NOON, target_id="basic")),
    RotateWebhook: (WEBHOOK, do(RotateWebhook, NOON)),
    ResumeWebhook: (WEBHOOK, do(ResumeWebhook, NOON)),
    RemoveWebhook: (WEBHOOK, do(RemoveWebhook, NOON)),
    RotateApiKey: (KEY, do(RotateApiKey, NOON)),
    RevokeApiKey: (KEY, do(RevokeApiKey, NOON)),
    AddUser: ((), do(AddUser, NOON)),
    DisableUser: (USER, do(DisableUser, NOON)),
    InviteUser: (USER, do(InviteUser, NOON)),
    GrantRole: (USER, do(GrantRole, NOON)),
    WithdrawRole: ((USER, do(GrantRole, BEFORE)), do(WithdrawRole, NOON)),
}  # fmt: skip
"""By command, what it needs beyond what is FOUNDED, and one that is taken then."""


TAKEN |= {
    kind: ((), usual.command(kind).model_copy(update={"at": local(NOON)}))
    for kind in COMMANDS.values()
    if kind not in TAKEN
}
"""And as each other one is usually asked."""


def test_every_command_is_taken_once() -> None:
    for needs, command in TAKEN.values():
        assert not isinstance(given(FOUNDED, needs).when(command).outcome, Refusal), command.called


# Of the worlds in which every command is asked once more, each as what happens there before it.
LONG_BEFORE = "2004-01-01 12:00"
LATE_JOINED = do(JoinNetwork, "2008-07-15 18:00")
CLOSED = (do(CloseCampaign, BEFORE), do(FreezeCohort, BEFORE, size=0))
LEAVING = do(LeaveNetwork, "2008-07-15 11:00")
SILVER = do(ChangeTier, BEFORE, tier="silver")


def when(command: Command, at: str) -> Command:
    return command.model_copy(update={"at": local(at)})


def worlds(needs: Any, command: Command) -> Iterator[tuple[tuple[Any, ...], Command]]:
    """What was given, and the command there."""
    known = (FOUNDED, needs)
    yield (), command
    yield MEMBER, command
    yield (MEMBER, CLUB), command
    yield FOUNDED, command
    yield (*MEMBER[:1], LATE_JOINED), command
    yield (*known, command), command
    yield (*known, LEAVING), command
    yield (*known, CLOSED), command
    yield (*known, SILVER), command
    for at in (LONG_BEFORE, "2008-06-20 12:00", "2008-07-15 23:00", "2008-08-20 12:00"):
        yield known, when(command, at)


def other(**said: Any) -> LaunchCampaign:
    return campaign(campaign_id="other", **said)


AGAIN = bound(date(2008, 8, 1), date(2009, 1, 1))
NO_MORE_HANDSETS: dict[str, Any] = {"excludes": ("handset",)}
RETOLD: list[tuple[Any, Any]] = [((), enter), (enter(), claim), ((), outside), ((), target)]
OTHERS: list[tuple[Any, Command]] = [
    ((HELD, do(LeaveNetwork, "2008-07-14 11:00")), do(AttendActivity, NOON)),
    ((), do(RecordBill, NOON, month="2008-08", amount_fen=1)),
    (do(RecordBill, BEFORE, **BILL, amount_fen=1),
     do(RecordBill, NOON, month="2005-01", amount_fen=1)),
    (enrol(BEFORE), do(CorrectBinding, NOON, binding=1)),
    ((BOUND, ENDED, AGAIN), do(CorrectBindingEnd, NOON, binding=1)),
    ((BOUND, ENDED, other(**NO_MORE_HANDSETS),
      enrol("2008-07-15 11:00", campaign_id="other")),
     do(CorrectBindingEnd, NOON, binding=1)),
    ((), bound(date(2008, 8, 1), date(2008, 8, 1))),
    ((), bound(date(2011, 8, 1), date(2012, 8, 1))),
    ((), bound(date(2008, 8, 1), date(2028, 8, 1))),
    ((), bound(date(2001, 8, 1), date(2008, 8, 1))),
    ((BOUND, other(**NO_MORE_HANDSETS)), enrol(campaign_id="other")),
    (other(budget_fen=1), enrol(campaign_id="other")),
    (other(cap=0), enrol(campaign_id="other")),
    (other(control_bp=10_000), enrol(campaign_id="other")),
    ((), enrol(prepaid_fen=1)),
    ((), enrol(shown_terms_version=2)),
    ((), other(closes_on=date(2008, 1, 1))),
    (other(), do(OfferCampaign, NOON, campaign_id="other")),
    (other(arms="given"), do(OfferCampaign, NOON, campaign_id="other")),
    (other(), do(OfferCampaign, NOON, campaign_id="other", arm="offered")),
    ((), other(arms="given", control_bp=1)),
    (do(LeaveNetwork, BEFORE), do(ReturnToNetwork, NOON, unit_id="none")),
    ((), do(CarryPointsOver, NOON, points=1, expires_at=local("2008-07-01 00:00"))),
    (do(LeaveNetwork, BEFORE), do(ReturnToNetwork, "2008-07-01 12:00")),
    ((), do(OpenClub, NOON, club_id="car", opens_on=date(2008, 7, 1), tiers=(), opens_minute=1440)),
    (do(LeaveNetwork, "2008-06-29 12:00"), do(IncludeInCohort, NOON)),
    ((), do(ChangeDetails, NOON)),
    (do(EraseMember, BEFORE, reason="asked for"), do(ChangeDetails, NOON, name=Name("王小明"))),
    (do(EraseMember, BEFORE, reason="asked for"), do(UnmaskMember, NOON, purpose="x")),
    ((), credit(1, NOON, expires="2008-07-01 00:00")),
    ((), do(ReverseCredit, NOON, lot=1, points=501)),
    ((), visit(payment="free_visit")),
    ((), visit(shown_points=1)),
    ((), visit(service_id="pool")),
    (visit(BEFORE), do(UndoVisit, NOON, visit=1)),
    *((needs, kind(first=JUNE, last=JANUARY)) for needs, kind in RETOLD),
    *((needs, kind(correcting="misread")) for needs, kind in RETOLD),
    (enter(), claim(formula="1 +")),
    ((), do(AddWebhook, NOON, topics=("visit.rekorded",))),
    *(((WEBHOOK, do(RemoveWebhook, BEFORE)), do(kind, NOON))
      for kind in (RotateWebhook, ResumeWebhook, RemoveWebhook)),
    ((), do(IssueApiKey, NOON, role_id="none")),
    ((), do(IssueApiKey, NOON, expires_at=local(BEFORE))),
    (KEY, do(RotateApiKey, NOON, expires_at=local(BEFORE))),
    ((KEY, do(RevokeApiKey, BEFORE)), do(RotateApiKey, NOON)),
    ((USER, do(DisableUser, BEFORE)), do(InviteUser, NOON)),
    (USER, do(GrantRole, NOON, role_id="none")),
    (USER, do(WithdrawRole, NOON)),
]  # fmt: skip
"""What no such world comes to: what happens before it, and the command."""


def world_of(*facts: Any) -> World:
    """A world to which these were told; what it refuses of them did not happen."""
    scenario = given()
    for known in flat(facts):
        scenario.when(known)
    return scenario.world


def flat(facts: Any) -> Iterator[Command]:
    if isinstance(facts, Command):
        yield facts
    else:
        for each in facts:
            yield from flat(each)


def refused(command: Command, world: World) -> set[tuple[str, str]]:
    """(command, refusal), if it is refused in this world."""
    try:
        world.execute(command)
    except Refusal as refusal:
        return {(command.called, refusal.code)}
    return set()


def forgetful(world: World) -> World:
    """The same, with nobody remembering anything of before 2400."""
    member, day = world.member, date(2400, 1, 1)
    member.bills.forgotten = 2400 * 12
    member.participation.forgotten = member.attendance.forgotten = day
    member.bindings.forgotten = {"handset": day}
    member.visits.visited = {"health": Visited([], 2**33)}
    return world


def without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clubs, "MAX_PRICES", 0)
    for part in PARTS.values():
        for name in bounds_of(part.type):
            monkeypatch.setitem(bounds_of(part.type), name, 0)


def test_each_declared_refusal_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    found: set[tuple[str, str]] = set()
    for needs, command in OTHERS:
        found |= refused(command, given(FOUNDED, needs).world)
    for needs, command in TAKEN.values():
        for facts, asked in worlds(needs, command):
            found |= refused(asked, world_of(*facts))
        found |= refused(command, forgetful(given(FOUNDED, needs).world))
        world = given(FOUNDED, needs).world
        with monkeypatch.context() as full:
            without_room(full)
            found |= refused(command, world)
    declared = {(name, each.code) for name, kind in COMMANDS.items() for each in kind.refuses}
    assert found == declared
