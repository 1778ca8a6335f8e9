"""What if: each kind of change, told by what would be otherwise and what would be refused."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from domain.bindings import (
    AlreadyBound,
    BindingEnded,
    BindingStarted,
    EndBinding,
    NotWithinBinding,
    StartBinding,
)
from domain.campaigns import NotInSegment, UnknownCampaign
from domain.clubs import DeclareEmergency, UnknownClub
from domain.enrolments import (
    BudgetUsedUp,
    CampaignEnrolled,
    OfferCampaign,
    PrepaidTooSmall,
    drawn_into_control,
)
from domain.kernel.command import Command
from domain.kernel.event import Event
from domain.kernel.postings import Posting
from domain.kernel.refusal import Refusal
from domain.kernel.timeline import NothingChanges
from domain.members import (
    ChangeTier,
    LeaveNetwork,
    MemberLeft,
    RecordBill,
    TierChanged,
)
from domain.points.lots import NotEnoughPoints
from domain.points.movements import (
    CreditReversed,
    DebitReversed,
    ExpirePoints,
    ExpiresBeforeAvailable,
    PointsCredited,
    PointsDebited,
    PointsExpired,
    ReverseCredit,
    ReverseDebit,
)
from domain.simulation.changes import ExpiryPolicy
from domain.simulation.reference import ReferenceData
from domain.simulation.replay import NEW_NUMBERS, Happened, Refused, replay, spending
from domain.simulation.scenario import Scenario
from domain.visits import NotEligible, UndoVisit, UnknownService, UnknownVisit, VisitRecorded
from tests.domain.scenario import Fact, World, do, fact, local
from tests.domain.words import (
    CLUB,
    HEALTH,
    MEMBER,
    NOON,
    campaign,
    credit,
    debit,
    enrol,
    price,
    visit,
)

HALF = {"change": "service_price", "club_id": "health", "factor": "1/2"}
LATER = "2008-07-15 15:00"
FREE = price(free_visits={"gold": 1})
NEVER = {"change": "expiry_policy", "expires": "never"}
AT_MONTH_END = {"change": "expiry_policy", "expires": "month_end", "after": 1}


def scenario(*changes: dict[str, Any]) -> Scenario:
    return Scenario.model_validate({"changes": changes})


@dataclass
class Supposed:
    """What a scenario makes of a history: all that would have happened and been refused."""

    recorded: list[Event]
    happened: list[Happened[int]] = field(default_factory=list)
    refused: list[Refused[int]] = field(default_factory=list)

    def then(self, *expected: Fact) -> "Supposed":
        """Exactly these events would be otherwise than the record has them in their place."""
        told = [one.event for one in self.happened if self.recorded[one.place] != one.event]
        assert len(told) == len(expected), told
        assert all(f.told_by(event) for f, event in zip(expected, told, strict=True)), told
        return self

    def then_refused(self, *expected: Refusal) -> "Supposed":
        """Exactly these refusals, in order; their events would not have happened."""
        assert [one.refusal for one in self.refused] == list(expected)
        return self

    def gone(self) -> list[str]:
        """The topics of recorded events in whose place nothing would have happened."""
        places = {one.place for one in self.happened}
        return [event.topic for n, event in enumerate(self.recorded) if n not in places]


def supposing(*changes: dict[str, Any]) -> Any:
    """supposing(change, ...)(fact, ...): the member's commands, each under a key of its own."""

    def given(*facts: Any) -> Supposed:
        world, known, asked = World(), ReferenceData(), dict[str, Command]()
        _carry_out(world, facts, asked)
        for name, event in world.log:
            known.learn(name, event)
        changed = scenario(*changes)
        enrolled = [("m1", e, True) for _, e in world.log if isinstance(e, CampaignEnrolled)]
        for campaign_id in changed.campaigns & {one for one, _ in known.terms}:
            known.spent_fen[campaign_id] = spending(changed, known, campaign_id, enrolled)
        recorded = [event for name, event in world.log if name == "member:m1"]
        found = Supposed(recorded)
        for outcome in replay(changed, known, "m1", enumerate(recorded), asked.get):
            if isinstance(outcome, Refused):
                found.refused.append(outcome)
            else:
                found.happened.append(outcome)
        return found

    return given


def _carry_out(world: World, facts: Any, asked: dict[str, Command]) -> None:
    for known in facts:
        if isinstance(known, Command):
            command = known.model_copy(update={"key": f"k{len(world.log)}"})
            if world.execute(command).events:
                asked[command.key] = command
        else:
            _carry_out(world, known, asked)


def undo(at: str, number: int = 1) -> UndoVisit:
    return do(UndoVisit, at, visit=number)


def bill(month: str, fen: int, at: str) -> RecordBill:
    return do(RecordBill, at, month=month, amount_fen=fen)


# --------------------------------------------------------------------------------------- prices
def test_half_the_price_is_half_the_debit_and_the_rest_stays_in_the_lot() -> None:
    supposing(HALF)(MEMBER, CLUB, credit(100), visit(), debit(30, LATER)).then(
        fact(PointsDebited, points=35), fact(VisitRecorded, points=35, payment="points")
    ).then_refused()


def test_companions_pay_the_factor_too_rounded_down() -> None:
    third = {**HALF, "factor": "1/3"}
    supposing(third)(MEMBER, CLUB, credit(200), visit(companions=2)).then(
        fact(PointsDebited, points=23 + 20), fact(VisitRecorded, points=43)
    )


def test_a_price_holds_from_its_day_on_and_for_its_tier_and_service_only() -> None:
    later = {**HALF, "since": "2008-07-16"}
    for change in (later, {**HALF, "tier": "diamond"}, {**HALF, "club_id": "lounge"}):
        supposing(change)(MEMBER, CLUB, credit(100), visit()).then().then_refused()
    of_gold = {"change": "service_price", "club_id": "health", "tier": "gold", "points": 5}
    supposing(of_gold)(MEMBER, CLUB, credit(100), visit(companions=1)).then(
        fact(PointsDebited, points=35), fact(VisitRecorded, points=35)
    )


def test_who_was_let_in_at_night_during_an_emergency_would_be_let_in() -> None:
    emergency = do(DeclareEmergency, "2008-07-15 20:00", reason="冰雪灾害")
    night = visit("2008-07-15 23:30")
    supposing(HALF)(MEMBER, CLUB, credit(100), emergency, night).then(
        fact(PointsDebited, points=35), fact(VisitRecorded, points=35)
    ).then_refused()


def test_who_could_not_have_paid_is_refused_and_has_no_visit_to_undo() -> None:
    dear = {"change": "service_price", "club_id": "health", "points": 120, "companion_points": 0}
    told = supposing(dear)(MEMBER, CLUB, credit(100), visit(), undo("2008-07-15 12:10"))
    told.then().then_refused(NotEnoughPoints(120, 100), UnknownVisit(1, 1, 31))
    assert [each.command for each in told.refused] == ["visit.record", "visit.undo"]
    assert [each.tier for each in told.refused] == ["gold", "gold"]
    gone = ["points.debited", "visit.recorded", "visit.undone", "points.debit_reversed"]
    assert told.gone() == gone


def test_undoing_returns_what_would_have_been_paid() -> None:
    supposing(HALF)(MEMBER, CLUB, credit(100), visit(), undo("2008-07-15 12:10")).then(
        fact(PointsDebited, points=35),
        fact(VisitRecorded, points=35),
        fact(DebitReversed, postings=(Posting(1, "spent", "spendable", 35),)),
    )


def test_what_costs_nothing_has_no_debit() -> None:
    gratis = {**HALF, "factor": "0"}
    told = supposing(gratis)(MEMBER, CLUB, credit(100), visit())
    told.then(fact(VisitRecorded, points=0, payment="free", debit=None))
    assert told.gone() == ["points.debited"]


def test_a_free_visit_that_would_be_paid_does_not_take_the_number_of_another_debit() -> None:
    history = (MEMBER, HEALTH, FREE, credit(100), visit(), debit(9, LATER))
    back = do(ReverseDebit, "2008-07-15 16:00", debit=1)
    fewer = {"change": "tier_rule", "thresholds_fen": {"diamond": 10}, "window": "rolling",
             "months": 1, "since": "2008-07-01"}  # fmt: skip
    risen = bill("2008-07", 10, "2008-07-10 09:00")
    told = supposing(fewer)(*history[:3], risen, *history[3:], back)
    told.then(
        fact(TierChanged, from_tier="gold", tier="diamond"),
        fact(PointsDebited, points=50, debit=999_999_999),
        fact(VisitRecorded, tier="diamond", payment="points", debit=999_999_999),
    ).then_refused()


def test_who_paid_although_a_visit_was_free_would_have_paid() -> None:
    history = (MEMBER, HEALTH, FREE, credit(100))
    asked = visit(payment="points")
    paid = (fact(PointsDebited, points=35), fact(VisitRecorded, points=35, payment="points"))
    supposing(HALF)(*history, asked).then(*paid)
    supposing(HALF)(*history, visit()).then()


# -------------------------------------------------------------------------------------- credits
def test_credits_are_scaled_and_rounded_down() -> None:
    rate = {"change": "earning_rate", "factor": "3/2", "rule": "v1"}
    supposing(rate)(MEMBER, credit(101)).then(fact(PointsCredited, lot=1, points=151))
    for other in ({"rule": "v2"}, {"source": "gift"}, {"since": "2008-01-02"}):
        supposing({**rate, **other})(MEMBER, credit(101)).then()


def test_a_credit_of_nothing_is_not_made() -> None:
    told = supposing({"change": "earning_rate", "factor": "1/200"})(MEMBER, credit(101))
    told.then().then_refused(NothingChanges("0 points"))


def test_who_had_less_is_refused_where_it_no_longer_suffices() -> None:
    rate = {"change": "earning_rate", "factor": "1/2"}
    told = supposing(rate)(MEMBER, CLUB, credit(100), visit(), debit(30, LATER))
    told.then(fact(PointsCredited, points=50)).then_refused(NotEnoughPoints(70, 50))
    assert told.gone() == ["points.debited", "visit.recorded"]


def test_of_a_scaled_credit_the_same_share_is_taken_back() -> None:
    rate = {"change": "earning_rate", "factor": "1/2"}
    backs = [do(ReverseCredit, NOON, lot=1, points=n) for n in (51, 50)]
    supposing(rate)(MEMBER, credit(101), *backs).then(
        fact(PointsCredited, points=50),
        fact(CreditReversed, asked_points=25, points=25),
        fact(CreditReversed, asked_points=24, points=24),
    ).then_refused()
    least = do(ReverseCredit, NOON, lot=1, points=1)
    supposing(rate)(MEMBER, credit(101), least).then_refused(NothingChanges("0 points"))


def test_what_was_taken_from_other_lots_still_is() -> None:
    back = do(ReverseCredit, LATER, lot=1, points=100, policy="other_lots")
    history = (MEMBER, CLUB, credit(100), credit(100), visit(), back)
    supposing(HALF)(*history).then(
        fact(PointsDebited, points=35),
        fact(VisitRecorded, points=35),
        fact(CreditReversed, postings=(Posting(1, "spendable", "reversed", 65),
                                       Posting(2, "spendable", "reversed", 35))),
    )  # fmt: skip


# --------------------------------------------------------------------------------------- expiry
@pytest.mark.parametrize(
    ("expires", "after", "earned_on", "lapsed_at"),
    [
        ("month_end", 36, date(2008, 7, 1), "2011-08-01 00:00"),
        ("month_end", 2, date(2007, 12, 31), "2008-03-01 00:00"),
        ("month_end", 0, date(2008, 2, 29), "2008-03-01 00:00"),
        ("year_end", 3, date(2005, 12, 31), "2009-01-01 00:00"),
        ("year_end", 0, date(2008, 2, 29), "2009-01-01 00:00"),
    ],
)
def test_lots_lapse_when_a_month_or_a_year_is_over(
    expires: Any, after: int, earned_on: date, lapsed_at: str
) -> None:
    policy = ExpiryPolicy(change="expiry_policy", expires=expires, after=after)
    assert policy.expires_at(earned_on) == local(lapsed_at)


def test_what_would_have_lapsed_cannot_pay() -> None:
    told = supposing(AT_MONTH_END)(MEMBER, credit(100), credit(60, NOON), debit(70, LATER))
    end = local("2008-03-01 00:00")
    told.then(
        fact(PointsCredited, points=100, expires_at=end),
        fact(PointsExpired, postings=(Posting(1, "spendable", "expired", 100),), occurred_at=end),
        fact(PointsCredited, points=60, expires_at=local("2008-09-01 00:00")),
    ).then_refused(NotEnoughPoints(70, 60))


def test_a_recorded_expiry_is_replaced_by_what_lapses_under_the_policy() -> None:
    history = (MEMBER, credit(100, expires="2008-02-01 00:00"), do(ExpirePoints, NOON))
    told = supposing(NEVER)(*history)
    told.then(fact(PointsCredited, expires_at=None)).then_refused()
    assert told.gone() == ["points.expired"]
    later = {"change": "expiry_policy", "expires": "year_end", "rule": "v1"}
    assert supposing(later)(*history).gone() == ["points.expired"]


def test_a_lot_that_would_lapse_before_it_can_be_spent_is_refused() -> None:
    pending = credit(100).model_copy(update={"available_from": local("2008-06-01 00:00")})
    supposing(AT_MONTH_END)(MEMBER, pending).then_refused(
        ExpiresBeforeAvailable(local("2008-06-01 00:00"), local("2008-03-01 00:00"))
    )


# ------------------------------------------------------------------------------------ campaigns
def terms(**said: Any) -> dict[str, Any]:
    return {"change": "campaign_terms", "campaign_id": "spring", **said}


def test_an_enrolment_under_other_terms() -> None:
    supposing(terms(gift_bp=2_000, months_bound=24, min_monthly_fen=50))(
        MEMBER, campaign(), enrol()
    ).then(
        fact(CampaignEnrolled, gift_fen=2_000, months_bound=24, min_monthly_fen=50, place=1),
        fact(BindingStarted, binding=1, ends_on=date(2010, 7, 15)),
    )


def test_who_prepaid_too_little_is_neither_enrolled_nor_bound() -> None:
    told = supposing(terms(prepaid_min_fen=10_001))(MEMBER, campaign(), enrol())
    told.then().then_refused(PrepaidTooSmall(10_000, 10_001))
    assert told.gone() == ["campaign.enrolled", "binding.started"]


def test_who_is_below_the_tier_is_neither_offered_nor_enrolled() -> None:
    seed = next(f"s{n}" for n in range(99) if not drawn_into_control(f"s{n}", "m1", 5_000))
    drawn = campaign(control_bp=5_000, control_seed=seed)
    told = supposing(terms(min_tier="diamond"))(MEMBER, drawn, do(OfferCampaign, NOON), enrol())
    told.then().then_refused(NotInSegment("gold", ["diamond"]), NotInSegment("gold", ["diamond"]))
    assert [each.command for each in told.refused] == ["campaign.offer", "campaign.enrol"]
    supposing(terms(min_tier="gold"))(MEMBER, drawn, do(OfferCampaign, NOON), enrol()).then()


def test_an_enrolment_that_would_have_bound_takes_no_number_of_the_record() -> None:
    said = {"starts_on": date(2008, 7, 20), "ends_on": date(2009, 7, 20)}
    own = do(StartBinding, "2008-07-20 12:00", policy="family_plan", **said)
    told = supposing(terms(months_bound=12))(MEMBER, campaign(months_bound=0), enrol(), own)
    assert [e.event.binding for e in told.happened if isinstance(e.event, BindingStarted)] == [
        NEW_NUMBERS - 1,
        1,
    ]


def test_gifts_beyond_the_budget_are_refused() -> None:
    limited = campaign(budget_fen=1_500)
    supposing(terms(gift_bp=2_000))(MEMBER, limited, enrol()).then_refused(
        BudgetUsedUp(1_500, 0, 2_000)
    )
    supposing(terms(gift_bp=1_500))(MEMBER, limited, enrol()).then(
        fact(CampaignEnrolled, gift_fen=1_500)
    )


def test_a_refused_gift_leaves_the_budget_to_those_behind() -> None:
    world, known = World(), ReferenceData()
    _carry_out(world, (MEMBER, campaign(budget_fen=3_000)), {})
    for name, event in world.log:
        known.learn(name, event)
    usual: dict[str, Any] = {
        "occurred_at": local(NOON), "actor": "clerk:li", "key": "k", "campaign_id": "spring",
        "terms_version": 1, "gift_fen": 0, "months_bound": 0, "min_monthly_fen": 0, "tier": "gold",
        "closes_on": date(2008, 7, 31), "unit_id": "west",
    }  # fmt: skip
    prepaid = [10_000, 20_000, 5_000, 10_000]
    enrolments = [
        (f"m{n}", CampaignEnrolled(place=n, prepaid_fen=fen, **usual), True)
        for n, fen in enumerate(prepaid, start=1)
    ]
    changed = scenario(terms(gift_bp=2_000))
    before = list(spending(changed, known, "spring", enrolments))
    assert before == [0, 2_000, 2_000, 2_000]  # 4,000 does not fit, 5,000 prepaid is too little
    enrolments[0] = (*enrolments[0][:2], False)  # corrected: its gift is free again
    before = list(spending(changed, known, "spring", enrolments))
    assert before == [0, 0, 0, 0]


def test_a_longer_binding_contradicts_a_later_one_and_a_shorter_one_ends_too_soon() -> None:
    later = do(StartBinding, "2009-08-01 09:00", policy="prepay", starts_on=date(2009, 8, 1),
               ends_on=date(2010, 8, 1))  # fmt: skip
    history = (MEMBER, campaign(), enrol())
    supposing(terms(months_bound=24))(*history, later).then_refused(AlreadyBound("prepay"))
    end = do(EndBinding, "2009-06-01 09:00", binding=1, ended_on=date(2009, 6, 1), cause="breach")
    told = supposing(terms(months_bound=6))(*history, end)
    told.then_refused(NotWithinBinding(date(2009, 6, 1), date(2008, 7, 15), date(2009, 1, 15)))
    assert told.gone() == [BindingEnded.topic]


# ---------------------------------------------------------------------------------------- tiers
def tiers(window: str = "rolling", months: int = 2, **said: Any) -> dict[str, Any]:
    fen = {"diamond": 300, "gold": 200, "silver": 100}
    return {"change": "tier_rule", "thresholds_fen": fen, "window": window, "months": months,
            **said}  # fmt: skip


def test_a_customer_rises_with_the_bill_and_falls_after_a_whole_window() -> None:
    bills = [(1, 100), (2, 250), (3, 0), (4, 20)]
    history = [
        bill(f"2008-{month:02}", fen, f"2008-{month + 1:02}-02 09:00") for month, fen in bills
    ]
    told = supposing(tiers(since="2008-01-01"))(MEMBER, *history)
    told.then(
        fact(TierChanged, from_tier="gold", tier="diamond", occurred_at=local("2008-03-02 09:00")),
        fact(TierChanged, from_tier="diamond", tier="gold", occurred_at=local("2008-04-02 09:00")),
        fact(TierChanged, from_tier="gold", tier=None, occurred_at=local("2008-05-02 09:00")),
    )


def test_a_calendar_year_takes_nothing_away_before_december() -> None:
    history = [bill(f"2008-{m:02}", 9, f"2008-{m:02}-28 09:00") for m in (1, 11, 12)]
    since = {"since": "2008-01-01"}
    supposing(tiers("calendar_year", 12, **since))(MEMBER, *history).then(
        fact(TierChanged, from_tier="gold", tier=None, occurred_at=local("2008-12-28 09:00"))
    )


def test_a_recorded_change_of_tier_does_not_count_under_a_rule_and_copies_follow() -> None:
    history = (MEMBER, bill("2008-01", 300, "2008-02-02 09:00"),
               do(ChangeTier, "2008-03-01 09:00", tier="silver"),
               do(LeaveNetwork, "2008-04-01 09:00"))  # fmt: skip
    told = supposing(tiers())(*history)
    told.then(fact(TierChanged, from_tier=None, tier="diamond"), fact(MemberLeft, tier="diamond"))
    assert told.gone() == [TierChanged.topic, TierChanged.topic]
    since = supposing(tiers(since="2008-03-01"))(*history)
    since.then(fact(MemberLeft, tier="gold"))
    assert since.gone() == [TierChanged.topic]


def test_who_would_not_have_the_tier_is_not_admitted() -> None:
    supposing(tiers())(MEMBER, CLUB, credit(100), visit()).then_refused(
        NotEligible("health", None, False, ["diamond", "gold"])
    )


# ------------------------------------------------------------------------------------ scenarios
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"change": "service_price", "club_id": "health"}, "either in points or by a factor"),
        ({**HALF, "points": 3}, "either in points or by a factor"),
        ({"change": "service_price", "club_id": "health", "tier": "gold", "companion_points": 3},
         "companions pay the same"),
        ({**HALF, "factor": "0.5"}, "should match pattern"),
        ({**HALF, "factor": "1/0"}, "should match pattern"),
        ({**HALF, "since": "yesterday"}, "written as 2008-12-31"),
        ({**HALF, "since": 1199145600}, "written as 2008-12-31"),
        ({**HALF, "since": "2008-02-30"}, "not have so many days"),
            ({**HALF, "since": "20080230"}, "written as 2008-12-31"),
        ({**HALF, "price": 3}, "Extra inputs"),
        ({"change": "expiry_policy", "expires": "never", "after": 3}, "after is at most 0"),
        ({"change": "expiry_policy", "expires": "year_end", "after": 51}, "after is at most 50"),
        (terms(), "no term is changed"),
        (tiers("calendar_year"), "has 12 months"),
        (tiers(thresholds_fen={"gold": 9, "diamond": 8}), "must not ask for less"),
        (tiers(thresholds_fen={}), "at least 1 item"),
        ({"change": "weather"}, "does not match any of the expected tags"),
    ],
)  # fmt: skip
def test_a_change_that_makes_no_sense_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        scenario(change)


def test_there_is_one_rule_of_tiers() -> None:
    with pytest.raises(ValidationError, match="one rule says"):
        scenario(tiers(), tiers())


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({**HALF, "club_id": "golf"}, UnknownClub("golf")),
        ({**HALF, "service_id": "bath"}, UnknownService("health", "bath")),
        (terms(gift_bp=1), UnknownCampaign("spring")),
    ],
)
def test_a_scenario_about_what_there_is_not_is_refused(
    change: dict[str, Any], refusal: Refusal
) -> None:
    world, known = World(), ReferenceData()
    _carry_out(world, CLUB, {})
    for name, event in world.log:
        known.learn(name, event)
    with pytest.raises(type(refusal)) as found:
        known.refuse_unknown(scenario(change))
    assert found.value == refusal


def test_a_scenario_is_what_its_json_says() -> None:
    said = scenario(HALF, terms(gift_bp=5), tiers(), NEVER)
    assert Scenario.model_validate_json(said.model_dump_json()) == said
    assert said.changes[0].holds(datetime(1999, 1, 1, tzinfo=UTC))
