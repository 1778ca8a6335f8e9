"""Campaigns: launched, offered by lot, enrolled into up to a cap and a budget, closed."""

from datetime import date
from typing import Any

from domain.bindings import AlreadyBound, BindingStarted, EndBinding, StartBinding
from domain.campaigns import (
    ArmsGivenAndDrawn,
    CampaignClosed,
    CampaignExists,
    CampaignLaunched,
    CampaignNotOpen,
    CampaignOver,
    ChangeTerms,
    CloseCampaign,
    CostItem,
    NotInSegment,
    TermsChanged,
    UnknownCampaign,
    WindowReversed,
)
from domain.clubs import HoldActivity
from domain.corrections import CorrectEnrolment, CorrectOffer, FactCorrected
from domain.enrolments import (
    AlreadyEnrolled,
    AlreadyOffered,
    ArmIsDrawn,
    ArmNotGiven,
    BudgetUsedUp,
    CampaignEnrolled,
    CampaignOffered,
    CapReached,
    InControlGroup,
    NoDraw,
    OfferCampaign,
    PlaceFreed,
    PlaceTaken,
    PrepaidTooSmall,
    TermsAreNewer,
    drawn_into_control,
)
from domain.kernel.periods import TooLongAgo
from domain.kernel.timeline import NothingChanges
from domain.members import (
    BeforeJoining,
    ChangeTier,
    LeaveNetwork,
    LeftTheNetwork,
    UnknownMember,
)
from domain.visits import AttendActivity
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import CLUB, JOINED, MEMBER, NOON, WEST, campaign, enrol

SPRING = campaign()
FIRST, LAST = date(2008, 7, 1), date(2008, 7, 31)
CLOSED = do(CloseCampaign, "2008-07-20 12:00")
NEW_TERMS = do(
    ChangeTerms, NOON, prepaid_min_fen=5_000, gift_bp=500, months_bound=6, min_monthly_fen=100
)


def offer(at: str = NOON, **said: Any) -> OfferCampaign:
    return do(OfferCampaign, at, **said)


def bound(policy: str, starts_on: date, ends_on: date) -> StartBinding:
    said = {"policy": policy, "starts_on": starts_on, "ends_on": ends_on}
    return do(StartBinding, "2008-07-01 09:00", **said)


def others(*names: str) -> list[Any]:
    """Other members of the same unit and tier."""
    joins = [JOINED.model_copy(update={"member_id": name}) for name in names]
    tiers = [do(ChangeTier, "2007-01-01", member_id=name, tier="gold") for name in names]
    return [*joins, *tiers]


# ---------------------------------------------------------------------------------------- launch
def test_a_campaign_is_launched_once_with_its_terms() -> None:
    costs = (CostItem(item="短信", cost_fen=100_000),)
    full = campaign(cap=10, budget_fen=5_000, costs=costs, excludes=("handset",), untiered=True)
    given().when(full).then(
        fact(
            CampaignLaunched,
            kind="prepay",
            opens_on=FIRST,
            closes_on=LAST,
            tiers=("diamond", "gold"),
            untiered=True,
            excludes=("handset",),
            cap=10,
            budget_fen=5_000,
            control_bp=0,
            control_seed="none",
            costs=costs,
            gift_bp=1_000,
            months_bound=12,
        )
    )
    given(full).when(full).then_refused(CampaignExists("spring"))


def test_a_campaign_opens_before_it_closes() -> None:
    given().when(campaign(closes_on=date(2008, 6, 30))).then_refused(
        WindowReversed(FIRST, date(2008, 6, 30))
    )
    given().when(campaign(closes_on=FIRST)).then(fact(CampaignLaunched))


def test_enrolments_keep_the_terms_they_were_made_under() -> None:
    scenario = given(MEMBER, others("m2"), SPRING)
    scenario.when(enrol(member_id="m2")).then(
        fact(PlaceTaken),
        fact(CampaignEnrolled, terms_version=1, gift_fen=1_000),
        fact(BindingStarted),
    )
    scenario.when(NEW_TERMS).then(fact(TermsChanged, terms_version=2, gift_bp=500))
    scenario.when(enrol(shown_terms_version=1)).then_refused(TermsAreNewer(1, 2))
    scenario.when(enrol(shown_terms_version=0)).then_refused(TermsAreNewer(0, 2))
    scenario.when(enrol(shown_terms_version=2)).then(
        fact(PlaceTaken, place=2),
        fact(CampaignEnrolled, terms_version=2, gift_fen=500, months_bound=6, min_monthly_fen=100),
        fact(BindingStarted, ends_on=date(2009, 1, 15)),
    )


def test_a_campaign_is_closed_once() -> None:
    given(SPRING).when(CLOSED).then(fact(CampaignClosed))
    given(SPRING, CLOSED).when(CLOSED).then_refused(NothingChanges("closed"))


def test_an_unknown_campaign_is_refused() -> None:
    for command in (enrol(), offer(), CLOSED, NEW_TERMS):
        given(MEMBER).when(command).then_refused(UnknownCampaign("spring"))


# ----------------------------------------------------------------------------------------- draw
def test_the_draw_is_repeatable_and_keeps_to_its_share() -> None:
    drawn = sum(drawn_into_control("s1", f"m{n}", 2_000) for n in range(5_000))
    assert 900 < drawn < 1_100
    assert drawn_into_control("s1", "m1", 10_000)
    assert not drawn_into_control("s1", "m1", 0)
    # 0xb32ac680, the beginning of md5("s1:m1"), modulo 10,000 is 4992.
    assert not drawn_into_control("s1", "m1", 4992)
    assert drawn_into_control("s1", "m1", 4993)


def test_a_member_is_drawn_once_before_or_during_the_window() -> None:
    all_control, few = campaign(control_bp=10_000), campaign(control_bp=1)
    given(MEMBER, all_control).when(offer("2008-06-15 12:00")).then(
        fact(CampaignOffered, arm="control", closes_on=LAST)
    ).then_told(arm="control")
    given(MEMBER, few).when(offer()).then(fact(CampaignOffered, arm="offered"))
    given(MEMBER, few, offer()).when(offer()).then_refused(AlreadyOffered("spring"))


def test_nobody_is_drawn_when_it_is_over_or_has_no_control_group() -> None:
    few = campaign(control_bp=1)
    given(MEMBER, SPRING).when(offer()).then_refused(NoDraw("spring"))
    given(MEMBER, few).when(offer("2008-07-31 23:59")).then(fact(CampaignOffered))
    given(MEMBER, few).when(offer("2008-08-01 00:00")).then_refused(
        CampaignOver(date(2008, 8, 1), LAST)
    )
    given(MEMBER, few, CLOSED).when(offer("2008-07-20 12:00")).then_refused(
        CampaignOver(date(2008, 7, 20), date(2008, 7, 20))
    )
    given(WEST, few).when(offer()).then_refused(UnknownMember("m1"))
    given(WEST, JOINED, few).when(offer()).then_refused(NotInSegment(None, ["diamond", "gold"]))


GIVEN = campaign(arms="given")


def test_an_arm_is_given_where_arms_are_given_and_no_draw_overrules_it() -> None:
    for arm in ("offered", "control"):
        given(MEMBER, GIVEN).when(offer(arm=arm)).then(
            fact(CampaignOffered, arm=arm, given=True)
        ).then_told(arm=arm)
    given(MEMBER, GIVEN).when(offer()).then_refused(ArmNotGiven("spring"))
    few = campaign(control_bp=1)
    given(MEMBER, few).when(offer(arm="offered")).then_refused(ArmIsDrawn("spring"))
    both = campaign(control_bp=1, arms="given")
    given().when(both).then_refused(ArmsGivenAndDrawn(1))


def test_who_was_given_into_the_control_group_may_not_enrol_from_then_on() -> None:
    control = offer(arm="control")
    kept_out = given(MEMBER, GIVEN, control)
    kept_out.when(enrol("2008-07-16 12:00")).then_refused(InControlGroup("spring"))
    # Told late, of a day on which he was in no arm yet: by what was in force then.
    taken = (fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted))
    given(MEMBER, GIVEN, control).when(enrol("2008-07-14 12:00")).then(*taken)
    given(MEMBER, GIVEN, offer(arm="offered")).when(enrol("2008-07-16 12:00")).then(*taken)
    given(MEMBER, GIVEN).when(enrol()).then(*taken)  # a walk-in


def test_an_arm_that_was_given_wrongly_is_taken_back_and_given_again() -> None:
    back = do(CorrectOffer, "2008-07-15 13:00")
    again = offer("2008-07-15 14:00", arm="offered")
    mended = given(MEMBER, GIVEN, offer(arm="control")).when(again)
    mended.then_refused(AlreadyOffered("spring"))
    mended.when(back).when(again).then(fact(CampaignOffered, arm="offered"))
    mended.when(enrol("2008-07-16 12:00")).then(
        fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted)
    )


def test_an_offer_does_not_change_who_may_enrol() -> None:
    given(MEMBER, campaign(control_bp=10_000)).when(enrol()).then_refused(InControlGroup("spring"))
    drawn = given(MEMBER, campaign(control_bp=10_000), offer())
    drawn.when(enrol()).then_refused(InControlGroup("spring"))
    given(MEMBER, campaign(control_bp=1), offer()).when(enrol()).then(
        fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted)
    )


# ------------------------------------------------------------------------------------- enrolment
def test_an_enrolment_takes_a_place_copies_the_terms_and_binds() -> None:
    scenario = given(MEMBER, SPRING).when(enrol())
    scenario.then(
        fact(PlaceTaken, place=1, member_id="m1", gift_fen=1_000),
        fact(
            CampaignEnrolled,
            campaign_id="spring",
            place=1,
            terms_version=1,
            prepaid_fen=10_000,
            gift_fen=1_000,
            months_bound=12,
            min_monthly_fen=0,
            closes_on=LAST,
            tier="gold",
            unit_id="west",
        ),
        fact(
            BindingStarted,
            binding=1,
            policy="prepay",
            campaign_id="spring",
            starts_on=date(2008, 7, 15),
            ends_on=date(2009, 7, 15),
        ),
    )
    scenario.then_told(
        campaign_id="spring", place=1, terms_version=1, gift_fen=1_000, ends_on="2009-07-15"
    )


def test_the_days_of_the_window_are_those_of_the_programme() -> None:
    early = CampaignNotOpen(date(2008, 6, 30), FIRST)
    over = CampaignOver(date(2008, 8, 1), LAST)
    enrolled = (fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted))
    given(MEMBER, SPRING).when(enrol("2008-06-30 23:59")).then_refused(early)
    given(MEMBER, SPRING).when(enrol("2008-07-01 00:00")).then(*enrolled)
    given(MEMBER, SPRING).when(enrol("2008-07-31 23:59")).then(*enrolled)
    given(MEMBER, SPRING).when(enrol("2008-08-01 00:00")).then_refused(over)


def test_a_closed_campaign_takes_nobody_from_then_on() -> None:
    known = (MEMBER, SPRING, CLOSED)
    day = date(2008, 7, 20)
    given(known).when(enrol("2008-07-20 12:00")).then_refused(CampaignOver(day, day))
    given(known).when(enrol("2008-07-20 11:59")).then(
        fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted)
    )


def test_a_binding_from_the_29th_of_february_ends_on_the_28th() -> None:
    leap = campaign(opens_on=date(2008, 2, 1), closes_on=date(2008, 2, 29))
    given(MEMBER, leap).when(enrol("2008-02-29 23:59")).then(
        fact(PlaceTaken),
        fact(CampaignEnrolled),
        fact(BindingStarted, starts_on=date(2008, 2, 29), ends_on=date(2009, 2, 28)),
    )


def test_care_and_terms_without_months_do_not_bind() -> None:
    for terms in (campaign(kind="care", prepaid_min_fen=0), campaign(months_bound=0)):
        scenario = given(MEMBER, terms).when(enrol())
        scenario.then(fact(PlaceTaken), fact(CampaignEnrolled))
        assert scenario.world.receipt["ends_on"] is None


def test_a_gift_is_rounded_down_to_a_fen() -> None:
    given(MEMBER, SPRING).when(enrol(prepaid_fen=10_009)).then(
        fact(PlaceTaken, gift_fen=1_000),
        fact(CampaignEnrolled, gift_fen=1_000),
        fact(BindingStarted),
    )
    given(MEMBER, SPRING).when(enrol(prepaid_fen=10_010)).then(
        fact(PlaceTaken, gift_fen=1_001),
        fact(CampaignEnrolled, gift_fen=1_001),
        fact(BindingStarted),
    )


def test_customers_without_a_tier_take_part_where_they_are_asked() -> None:
    segment = ["diamond", "gold"]
    given(WEST, JOINED, SPRING).when(enrol()).then_refused(NotInSegment(None, segment))
    given(WEST, JOINED, campaign(untiered=True)).when(enrol()).then(
        fact(PlaceTaken), fact(CampaignEnrolled, tier=None), fact(BindingStarted)
    )
    silver = do(ChangeTier, "2008-01-01", tier="silver")
    given(MEMBER, silver, SPRING).when(enrol()).then_refused(NotInSegment("silver", segment))


def test_the_last_place_is_the_last() -> None:
    two = given(MEMBER, others("m2", "m3"), campaign(cap=2), enrol(member_id="m2"))
    two.when(enrol()).then(fact(PlaceTaken, place=2), fact(CampaignEnrolled), fact(BindingStarted))
    two.when(enrol(member_id="m3")).then_refused(CapReached(2, 2))
    given(MEMBER, campaign(cap=0)).when(enrol()).then_refused(CapReached(0, 0))


def test_an_uncapped_campaign_goes_on_past_a_million() -> None:
    taken = PlaceTaken(
        occurred_at=local("2008-07-01 09:00"),
        actor="clerk:a",
        key="k",
        place=1_000_000,
        member_id="m2",
        gift_fen=0,
    )
    known = given(MEMBER, campaign(), taken)
    known.when(enrol()).then(
        fact(PlaceTaken, place=1_000_001), fact(CampaignEnrolled), fact(BindingStarted)
    )
    known.when(do(CorrectEnrolment, "2008-07-16 12:00")).then(
        fact(PlaceFreed, place=1_000_001), fact(FactCorrected), fact(FactCorrected)
    )


def test_a_gift_must_fit_into_what_is_left_of_the_budget() -> None:
    known = given(MEMBER, others("m2", "m3"), campaign(budget_fen=1_999), enrol(member_id="m2"))
    known.when(enrol()).then_refused(BudgetUsedUp(1_999, 1_000, 1_000))
    exact = given(MEMBER, others("m2", "m3"), campaign(budget_fen=2_000), enrol(member_id="m2"))
    exact.when(enrol()).then(fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted))
    exact.when(enrol(member_id="m3")).then_refused(BudgetUsedUp(2_000, 2_000, 1_000))


def test_a_member_takes_part_once_even_when_it_is_told_late() -> None:
    known = given(MEMBER, SPRING, enrol())
    known.when(enrol("2008-07-16 12:00")).then_refused(AlreadyEnrolled("spring"))
    autumn = campaign(
        campaign_id="autumn", opens_on=date(2008, 10, 1), closes_on=date(2008, 10, 31)
    )
    known.and_given(autumn, enrol("2008-10-05 12:00", campaign_id="autumn"))
    known.when(enrol("2008-07-16 12:00")).then_refused(AlreadyEnrolled("spring"))


def test_campaigns_long_over_leave_the_state() -> None:
    scenario = given(MEMBER, campaign(control_bp=1), offer(), enrol())
    for year in (2010, 2012):
        at, name = f"{year}-01-15 12:00", f"in_{year}"
        days = {"opens_on": date(year, 1, 1), "closes_on": date(year, 1, 31)}
        scenario.and_given(campaign(campaign_id=name, control_bp=1, **days))
        scenario.and_given(offer(at, campaign_id=name), enrol(at, campaign_id=name))
        assert (
            list(scenario.member.participation.offered)
            == list(scenario.member.participation.enrolled)[-1:]
            == [name]
        )


def test_what_may_be_forgotten_is_not_told_a_second_time() -> None:
    """By the clock of the line itself, which may lie before what made the state forget."""
    first = do(HoldActivity, "2008-06-30 09:00", activity_id="tasting", title="x")
    told = given(MEMBER, CLUB, first, do(AttendActivity, "2008-06-30 12:00", activity_id="tasting"))
    unbinding = {"months_bound": 0, "control_bp": 1}
    told.and_given(campaign(**unbinding), offer(), enrol())
    days = {"opens_on": date(2010, 1, 1), "closes_on": date(2010, 1, 31)}
    at = "2010-01-15 12:00"
    told.and_given(campaign(campaign_id="late", **unbinding, **days))
    told.and_given(do(HoldActivity, at, activity_id="late", title="x"))
    told.and_given(offer(at, campaign_id="late"), enrol(at, campaign_id="late"))
    told.and_given(do(AttendActivity, at, activity_id="late"))
    forgotten = TooLongAgo("2008-07-31", "2008-07-31")
    told.when(enrol("2008-07-20 12:00")).then_refused(forgotten)
    told.when(offer("2008-07-20 12:00")).then_refused(forgotten)
    again = do(AttendActivity, "2008-06-30 13:00", activity_id="tasting")
    told.when(again).then_refused(TooLongAgo("2008-06-30", "2008-06-30"))
    other = campaign(campaign_id="other", **{**days, "opens_on": LAST}, **unbinding)
    told.and_given(other).when(enrol(at, campaign_id="other")).then(
        fact(PlaceTaken), fact(CampaignEnrolled)
    )


def test_an_enrolment_is_corrected_for_as_long_as_it_binds() -> None:
    told = given(MEMBER, campaign(months_bound=60), enrol())
    days = {"opens_on": date(2010, 1, 1), "closes_on": date(2010, 1, 31)}
    told.and_given(campaign(campaign_id="late", months_bound=0, **days))
    told.and_given(enrol("2010-01-15 12:00", campaign_id="late"))
    told.when(do(CorrectEnrolment, "2010-01-16 12:00")).then(
        fact(PlaceFreed), fact(FactCorrected), fact(FactCorrected)
    )


def test_an_enrolment_does_not_contradict_a_binding() -> None:
    no_handsets = campaign(excludes=("handset",))
    enrolled = (fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted))
    today, tomorrow = date(2008, 7, 15), date(2008, 7, 16)
    for starts_on, ends_on in ((FIRST, tomorrow), (today, tomorrow)):
        given(MEMBER, no_handsets, bound("handset", starts_on, ends_on)).when(enrol()).then_refused(
            AlreadyBound("handset")
        )
        given(MEMBER, no_handsets, bound("family_plan", starts_on, ends_on)).when(enrol()).then(
            *enrolled
        )
    given(MEMBER, no_handsets, bound("handset", FIRST, today)).when(enrol()).then(*enrolled)


def test_nor_one_that_begins_while_it_binds() -> None:
    no_handsets = campaign(excludes=("handset",))
    year_on = date(2009, 7, 15)
    given(MEMBER, no_handsets, bound("handset", date(2009, 7, 14), date(2010, 1, 1))).when(
        enrol()
    ).then_refused(AlreadyBound("handset"))
    given(MEMBER, no_handsets, bound("handset", year_on, date(2010, 1, 1))).when(enrol()).then(
        fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted, ends_on=year_on)
    )
    care = campaign(kind="care", excludes=("handset",))
    given(MEMBER, care, bound("handset", date(2008, 7, 16), year_on)).when(enrol()).then(
        fact(PlaceTaken), fact(CampaignEnrolled)
    )


def test_a_binding_that_ended_early_is_no_contradiction_any_more() -> None:
    no_handsets = campaign(excludes=("handset",))
    for ended_on, refused in ((date(2008, 7, 15), False), (date(2008, 7, 16), True)):
        end = do(EndBinding, "2008-07-10 09:00", binding=1, ended_on=ended_on, cause="cancelled")
        known = given(MEMBER, no_handsets, bound("handset", FIRST, date(2009, 1, 1)), end)
        if refused:
            known.when(enrol()).then_refused(AlreadyBound("handset"))
        else:
            known.when(enrol()).then(
                fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted, binding=2)
            )


def test_enrolments_are_refused_in_this_order() -> None:
    """Each step puts right what was refused first; the next reason appears."""
    limits: dict[str, Any] = {"cap": 0, "budget_fen": 0, "control_bp": 10_000, "tiers": ("gold",)}
    excludes = {"excludes": ("handset",)}
    strict = campaign(**limits, **excludes)
    wrong: dict[str, Any] = {"prepaid_fen": 9_999, "shown_terms_version": 7}
    silver = do(ChangeTier, "2008-01-01", tier="silver")
    phone = bound("handset", FIRST, date(2009, 1, 1))
    left = do(LeaveNetwork, NOON)

    given(WEST).when(enrol(**wrong)).then_refused(UnknownMember("m1"))
    given(WEST, JOINED).when(enrol("2005-01-01", **wrong)).then_refused(
        BeforeJoining(local("2005-01-01"), local("2005-03-01 10:00"))
    )
    given(MEMBER, left).when(enrol(**wrong)).then_refused(LeftTheNetwork("m1", local(NOON)))
    known = given(MEMBER, silver, phone)
    known.when(enrol(**wrong)).then_refused(UnknownCampaign("spring"))
    known.and_given(strict)
    known.when(enrol("2008-06-30 12:00", **wrong)).then_refused(
        CampaignNotOpen(date(2008, 6, 30), FIRST)
    )
    known.when(enrol("2008-08-01 12:00", **wrong)).then_refused(
        CampaignOver(date(2008, 8, 1), LAST)
    )
    known.when(enrol(**wrong)).then_refused(TermsAreNewer(7, 1))
    wrong["shown_terms_version"] = 1
    known.when(enrol(**wrong)).then_refused(NotInSegment("silver", ["gold"]))
    known.and_given(do(ChangeTier, "2008-02-01", tier="gold"))
    known.when(enrol(**wrong)).then_refused(InControlGroup("spring"))

    earlier = [event for _, event in given(MEMBER, SPRING, enrol()).world.log]
    taken = [event for event in earlier if isinstance(event, CampaignEnrolled)]
    given(MEMBER, phone, strict, taken).when(enrol(**wrong)).then_refused(AlreadyEnrolled("spring"))
    del limits["control_bp"]
    known = given(MEMBER, phone, campaign(**limits, **excludes))
    known.when(enrol(**wrong)).then_refused(AlreadyBound("handset"))
    known = given(MEMBER, campaign(**limits, **excludes))
    known.when(enrol(**wrong)).then_refused(PrepaidTooSmall(9_999, 10_000))
    wrong["prepaid_fen"] = 10_000
    known.when(enrol(**wrong)).then_refused(CapReached(0, 0))
    del limits["cap"]
    given(MEMBER, campaign(**limits)).when(enrol(**wrong)).then_refused(BudgetUsedUp(0, 0, 1_000))


def test_already_enrolled_comes_before_all_that_may_have_changed_since() -> None:
    known = given(MEMBER, campaign(cap=1, budget_fen=1_000, excludes=("prepay",)), enrol())
    known.when(enrol(prepaid_fen=1)).then_refused(AlreadyEnrolled("spring"))
