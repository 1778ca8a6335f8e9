"""Visits: who is admitted, what it costs, and how a visit is undone."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given as drawn
from hypothesis import strategies as st

from domain.clubs import ClubClosed, DeclareEmergency, NotOpenYet, UnknownClub
from domain.kernel.parts import REMEMBERED
from domain.kernel.periods import TooLongAgo
from domain.kernel.postings import Posting
from domain.kernel.refusal import Refusal
from domain.members import (
    BeforeJoining,
    ChangeTier,
    LeaveNetwork,
    LeftTheNetwork,
    MarkImportant,
    UnknownMember,
)
from domain.points.lots import NotEnoughPoints
from domain.points.movements import DebitReversed, PointsDebited, PointsExpired
from domain.visits import (
    EPOCH,
    MAX_VISITS,
    VISITS,
    NoFreeVisit,
    NotEligible,
    PriceChanged,
    UndoNeedsSupervisor,
    UndoVisit,
    UnknownService,
    UnknownVisit,
    VisitRecorded,
    VisitRepeated,
    VisitUndone,
    seconds_of,
)
from tests.domain.scenario import Fact, do, fact, given, local
from tests.domain.words import CLUB, HEALTH, JOINED, MEMBER, NOON, WEST, credit, debit, price, visit

RICH = credit(1_000)
READY = (MEMBER, CLUB, RICH)
DIAMOND = do(ChangeTier, "2007-06-01 00:00", tier="diamond")
TWO_FREE = price(free_visits={"gold": 2})
IMPORTANT = do(MarkImportant, "2008-01-01 09:00", important=True)
NO_TIER = do(ChangeTier, "2007-06-01 00:00", tier=None)


def undo(at: str = NOON, number: int = 1, **said: Any) -> UndoVisit:
    return do(UndoVisit, at, visit=number, **said)


def by_supervisor(at: str, number: int = 1, **said: Any) -> UndoVisit:
    return undo(at, number, actor="supervisor:wang", desk="office", **said)


def paid(points: int, **said: Any) -> tuple[Fact, Fact]:
    return (
        fact(PointsDebited, points=points, visit=1, reason="health/room"),
        fact(VisitRecorded, points=points, payment="points", debit=1, **said),
    )


def paid_as(number: int) -> tuple[Fact, Fact]:
    return (
        fact(PointsDebited, points=70, visit=number),
        fact(VisitRecorded, visit=number, payment="points"),
    )


def free(**said: Any) -> Fact:
    return fact(VisitRecorded, payment="free_visit", points=0, debit=None, **said)


# ---------------------------------------------------------------------------------------- price
def test_a_visit_is_paid_with_points_and_copies_what_decided_it() -> None:
    given(READY).when(visit()).then(
        fact(PointsDebited, debit=1, postings=(Posting(1, "spendable", "spent", 70),), visit=1),
        VisitRecorded(
            occurred_at=local(NOON),
            actor="clerk:li",
            key="k1",
            visit=1,
            club_id="health",
            service_id="room",
            companions=0,
            tier="gold",
            important=False,
            unit_id="west",
            payment="points",
            points=70,
            price_version=1,
            desk="d1",
            debit=1,
        ),
    ).then_told(visit=1, payment="points", points=70, price_version=1, spendable_points=930)


def test_a_tier_may_have_its_own_price() -> None:
    given(READY, DIAMOND).when(visit()).then(*paid(50, tier="diamond"))


def test_companions_are_paid_for() -> None:
    given(READY).when(visit(companions=2)).then(*paid(130, companions=2))


def test_a_visit_without_a_price_is_free() -> None:
    given(READY, price(points=0)).when(visit()).then(fact(VisitRecorded, payment="free", points=0))
    given(READY, price(points=0)).when(visit(companions=1)).then(*paid(30))


def test_a_member_never_pays_a_price_he_was_not_shown() -> None:
    given(READY).when(visit(shown_points=70)).then(*paid(70))
    given(READY, price(points=80)).when(visit(shown_points=70)).then_refused(
        PriceChanged(70, 80, 2)
    )
    given(READY).when(visit(shown_points=70, companions=1)).then_refused(PriceChanged(70, 100, 1))
    given(READY).when(visit(shown_points=0)).then_refused(PriceChanged(0, 70, 1))


def test_a_visit_is_refused_when_the_points_do_not_cover_it() -> None:
    given(MEMBER, CLUB, credit(69)).when(visit()).then_refused(NotEnoughPoints(70, 69))


def test_a_visit_writes_down_what_lapsed_before_it() -> None:
    lapsed = credit(5, "2008-01-02 09:00", expires="2008-07-01 00:00")
    given(READY, lapsed).when(visit()).then(
        fact(PointsExpired, postings=(Posting(2, "spendable", "expired", 5),)), *paid(70)
    )


# ----------------------------------------------------------------------------------- free visits
def test_free_visits_are_used_first_and_then_points() -> None:
    known = given(READY, TWO_FREE)
    known.when(visit()).then(free())
    known.when(visit("2008-07-16 12:00")).then(free())
    known.when(visit("2008-07-17 12:00")).then(*paid_as(3))


def test_a_free_visit_may_be_asked_for_or_saved() -> None:
    given(READY, TWO_FREE).when(visit(payment="free_visit")).then(free())
    given(READY, TWO_FREE).when(visit(payment="points")).then(*paid(70))
    given(READY).when(visit(payment="free_visit")).then_refused(NoFreeVisit(0, 0))
    used = [visit(at) for at in ("2008-07-15 09:00", "2008-07-15 10:00")]
    given(READY, TWO_FREE, used).when(visit(payment="free_visit")).then_refused(NoFreeVisit(2, 2))
    given(READY, TWO_FREE, NO_TIER, IMPORTANT).when(visit(payment="free_visit")).then_refused(
        NoFreeVisit(0, 0)
    )


def test_the_companions_of_a_free_visit_are_paid_for() -> None:
    given(READY, TWO_FREE).when(visit(companions=2, shown_points=60)).then(
        fact(PointsDebited, points=60),
        fact(VisitRecorded, payment="free_visit", points=60, debit=1),
    )


def test_a_service_without_a_price_uses_no_free_visit() -> None:
    for pay in ("auto", "free_visit"):
        scenario = given(READY, price(points=0, free_visits={"gold": 1})).when(visit(payment=pay))
        scenario.then(fact(VisitRecorded, payment="free"))
        assert scenario.member.visits.free_visits == {}


def test_free_visits_begin_again_with_the_calendar_year() -> None:
    last, first = visit("2008-12-31 21:59"), visit("2009-01-01 09:00")
    scenario = given(READY, price(free_visits={"gold": 1}), last)
    scenario.when(first).then(free())
    scenario.when(visit("2009-01-01 12:00")).then(*paid_as(3))


def test_the_year_of_a_free_visit_is_that_of_the_programme() -> None:
    night = HEALTH.model_copy(update={"opens_minute": 0, "closes_minute": 1440})
    known = (MEMBER, night, price(free_visits={"gold": 1}), RICH)
    eve, new_year = visit("2008-12-31 23:59"), visit("2009-01-01 00:00", confirm_repeat=True)
    assert new_year.at is not None  # both are the same day in UTC
    assert new_year.at.date() == date(2008, 12, 31)
    given(known, eve).when(new_year).then(free())


def test_a_visit_told_late_does_not_give_this_years_free_visits_again() -> None:
    one_free = price(free_visits={"gold": 1})
    new, late = visit("2009-01-02 12:00"), visit("2008-12-31 12:00")
    scenario = given(READY, one_free, new, late)
    scenario.when(visit("2009-01-03 12:00")).then(*paid_as(3))
    scenario.when(visit("2008-12-30 12:00")).then(*paid_as(4))


def test_a_visit_told_so_late_that_its_year_is_forgotten_gets_no_free_visit() -> None:
    one_free = price(free_visits={"gold": 1})
    scenario = given(READY, one_free, visit("2008-12-31 12:00"), visit("2010-01-02 12:00"))
    scenario.when(visit("2008-12-30 12:00")).then(*paid_as(3))
    scenario.when(visit("2008-12-30 15:00", payment="free_visit")).then_refused(NoFreeVisit(1, 1))


# ------------------------------------------------------------------------------------- admission
def test_a_visit_before_the_club_opened_is_refused() -> None:
    eve = visit("2008-06-29 12:00")
    not_yet = NotOpenYet("health", date(2008, 6, 29), date(2008, 6, 30))
    given(READY).when(eve).then_refused(not_yet)
    given(READY).when(visit("2008-06-30 09:00")).then(*paid(70))


def test_a_club_admits_during_its_hours() -> None:
    given(READY).when(visit("2008-07-15 08:59")).then_refused(ClubClosed(539, 540, 1320))
    given(READY).when(visit("2008-07-15 09:00")).then(*paid(70))
    given(READY).when(visit("2008-07-15 21:59")).then(*paid(70))
    given(READY).when(visit("2008-07-15 22:00")).then_refused(ClubClosed(1320, 540, 1320))


def test_in_an_emergency_the_club_is_open_around_the_clock_from_then_on() -> None:
    emergency = do(DeclareEmergency, "2008-07-15 23:00")
    given(READY, emergency).when(visit("2008-07-15 23:00")).then(*paid(70))
    given(READY, emergency).when(visit("2008-07-15 22:59")).then_refused(
        ClubClosed(1379, 540, 1320)
    )


def test_a_club_admits_its_tiers_and_those_marked_as_important() -> None:
    silver = do(ChangeTier, "2007-06-01 00:00", tier="silver")
    club = ["diamond", "gold"]
    given(READY, silver).when(visit()).then_refused(NotEligible("health", "silver", False, club))
    given(READY, NO_TIER).when(visit()).then_refused(NotEligible("health", None, False, club))
    given(READY, NO_TIER, IMPORTANT).when(visit()).then(*paid(70, tier=None, important=True))
    tiers_only = HEALTH.model_copy(update={"important": False})
    given(MEMBER, NO_TIER, IMPORTANT, tiers_only, price(), RICH).when(visit()).then_refused(
        NotEligible("health", None, True, club)
    )


def test_a_second_visit_within_ten_minutes_is_asked_about() -> None:
    repeated = VisitRepeated(1, local(NOON), 10)
    for at in ("2008-07-15 12:00", "2008-07-15 12:10", "2008-07-15 11:50"):
        given(READY, visit()).when(visit(at)).then_refused(repeated)
        given(READY, visit()).when(visit(at, confirm_repeat=True)).then(*paid_as(2))
    for at in ("2008-07-15 12:11", "2008-07-15 11:49"):
        given(READY, visit()).when(visit(at)).then(*paid_as(2))


def test_a_visit_told_late_does_not_hide_the_one_a_moment_ago() -> None:
    known = (READY, visit(), visit("2008-07-14 12:00"))
    given(known).when(visit("2008-07-15 12:05")).then_refused(VisitRepeated(1, local(NOON), 10))


def test_a_visit_told_twice_is_asked_about_for_400_days() -> None:
    """late-visit-doubled.jsonl."""
    free = price(points=0, tier_points={})
    for later in ("2008-07-31 12:00", "2008-08-20 12:00", "2009-08-19 12:00"):
        twice = given(READY, free, visit(), visit(later))
        number = 1 if later < "2008-08-15" else None  # of one that can still be undone
        twice.when(visit()).then_refused(VisitRepeated(number, local(NOON), 10))
        twice.when(visit("2008-07-15 12:11")).then(fact(VisitRecorded, visit=3))
    undone = given(READY, free, visit(), by_supervisor("2008-07-15 15:00"))
    undone.and_given(visit("2008-08-20 12:00"))
    undone.when(visit()).then(fact(VisitRecorded, visit=3))


def test_a_visit_older_than_what_is_remembered_of_its_club_is_asked_about() -> None:
    cars = (HEALTH.model_copy(update={"club_id": "car"}), price(club_id="car"))
    known = (READY, cars, visit(), visit("2009-08-20 12:00"))
    for at in (NOON, "2008-07-15 12:10", "2008-07-01 12:00"):
        asked = TooLongAgo(at[:10], "2008-07-15")
        given(known).when(visit(at)).then_refused(asked)
        given(known).when(visit(at, confirm_repeat=True)).then(*paid_as(3))
        other = visit(at, club_id="car")
        given(known).when(other).then(fact(PointsDebited), fact(VisitRecorded, club_id="car"))
    given(known).when(visit("2008-07-15 12:11")).then(*paid_as(3))


def test_the_earliest_of_too_many_visits_are_remembered_no_more() -> None:
    tea = price(service_id="tea", points=0, tier_points={})
    visits = [
        visit(local(NOON) + timedelta(seconds=n), service_id="tea", confirm_repeat=True)
        for n in range(MAX_VISITS)
    ]
    cars = (HEALTH.model_copy(update={"club_id": "car"}), price(club_id="car"))
    scenario = given(READY, tea, cars, visits)
    scenario.and_given(visit("2008-07-15 13:00", club_id="car"))
    assert [len(each.seconds) for each in scenario.member.visits.visited.values()] == [
        MAX_VISITS - 1,
        1,
    ]
    scenario.when(visit("2008-07-15 11:00")).then_refused(TooLongAgo("2008-07-15", "2008-07-15"))


@drawn(st.data())
def test_one_of_two_visits_at_once_is_taken_in_whatever_order(data: st.DataObject) -> None:
    """Of those that are told up to 400 days late all others are."""
    days = st.sampled_from((0, 1, 30, 32, 399, 401, 800))
    moments = st.tuples(days, st.sampled_from((0, 7, 14)))
    scenario = given(READY, price("2008-06-30 09:00", points=0, tier_points={}))
    taken = list[datetime]()
    for day, minute in data.draw(st.lists(moments, min_size=2, max_size=12)):
        at = local(NOON) + timedelta(days=day, minutes=minute)
        outcome = scenario.when(visit(at)).outcome
        near = any(abs(each - at) <= timedelta(minutes=10) for each in taken)
        late = max(taken, default=at) - at > timedelta(days=400)
        if not isinstance(outcome, Refusal):
            assert not near
            taken.append(at)
        else:
            assert near or late


def test_a_visit_to_another_club_is_another_visit() -> None:
    cars = (HEALTH.model_copy(update={"club_id": "car"}), price(club_id="car"))
    given(READY, cars, visit(club_id="car")).when(visit()).then(*paid_as(2))


def test_visits_are_refused_in_this_order() -> None:
    """Each step puts right what was refused first; the next reason appears."""
    silver = do(ChangeTier, "2007-06-01 00:00", tier="silver")
    club_tiers = ["diamond", "gold"]
    at, late = "2008-07-15 22:05", "2008-07-15 21:55"
    other = price(service_id="tea", points=0, tier_points={})
    wrong: dict[str, Any] = {"service_id": "pool", "payment": "free_visit", "shown_points": 1}
    early = HEALTH.model_copy(update={"opens_on": date(2008, 7, 16)})

    given().when(visit(at, **wrong)).then_refused(UnknownMember("m1"))
    given(WEST, JOINED).when(visit("2005-01-01", **wrong)).then_refused(
        BeforeJoining(local("2005-01-01"), local("2005-03-01 10:00"))
    )
    left = do(LeaveNetwork, NOON)
    given(MEMBER, left).when(visit(at, **wrong)).then_refused(LeftTheNetwork("m1", local(NOON)))
    given(MEMBER, silver).when(visit(at, **wrong)).then_refused(UnknownClub("health"))
    given(MEMBER, silver, early).when(visit(at, **wrong)).then_refused(
        NotOpenYet("health", date(2008, 7, 15), date(2008, 7, 16))
    )
    known = given(WEST, JOINED, silver, CLUB, other)
    known.when(visit(at, **wrong)).then_refused(ClubClosed(1325, 540, 1320))
    known.when(visit(late, **wrong)).then_refused(
        NotEligible("health", "silver", False, club_tiers)
    )
    known = given(MEMBER, CLUB, other, visit("2008-07-15 21:50", service_id="tea"))
    known.when(visit(late, **wrong)).then_refused(VisitRepeated(1, local("2008-07-15 21:50"), 10))
    wrong["confirm_repeat"] = True
    known.when(visit(late, **wrong)).then_refused(UnknownService("health", "pool"))
    wrong["service_id"] = "room"
    known.when(visit(late, **wrong)).then_refused(NoFreeVisit(0, 0))
    wrong["payment"] = "auto"
    known.when(visit(late, **wrong)).then_refused(PriceChanged(1, 70, 1))
    wrong["shown_points"] = 70
    known.when(visit(late, **wrong)).then_refused(NotEnoughPoints(70, 0))
    known.and_given(credit(70)).when(visit(late, **wrong)).then(*paid_as(2))


# ------------------------------------------------------------------------------------------ undo
def test_the_desk_undoes_its_visit_within_15_minutes() -> None:
    given(READY, visit()).when(undo("2008-07-15 12:15")).then(
        fact(VisitUndone, visit=1, visited_at=local(NOON), club_id="health", service_id="room"),
        fact(DebitReversed, debit=1, postings=(Posting(1, "spent", "spendable", 70),)),
    ).then_told(visit=1, spendable_points=1_000)


def test_later_or_at_another_desk_it_takes_a_supervisor() -> None:
    needed = UndoNeedsSupervisor(local(NOON), 15)
    given(READY, visit()).when(undo("2008-07-15 12:16")).then_refused(needed)
    given(READY, visit()).when(undo("2008-07-15 12:01", desk="d2")).then_refused(needed)
    for at in ("2008-07-15 12:01", "2008-07-15 12:16", "2008-08-15 12:00"):
        given(READY, visit()).when(by_supervisor(at)).then(fact(VisitUndone), fact(DebitReversed))


def test_a_visit_can_be_undone_for_31_days_but_not_before_it_was_made() -> None:
    unknown = UnknownVisit(1, 1, 31)
    given(READY, visit()).when(by_supervisor("2008-08-15 12:01")).then_refused(unknown)
    given(READY, visit()).when(by_supervisor("2008-07-15 11:59")).then_refused(unknown)
    given(READY).when(undo()).then_refused(UnknownVisit(1, 0, 31))
    given(WEST).when(undo()).then_refused(UnknownMember("m1"))


def test_a_visit_is_undone_once_and_may_then_be_made_again() -> None:
    undone = given(READY, visit(), undo())
    undone.when(undo()).then_refused(UnknownVisit(1, 1, 31))
    undone.when(visit()).then(fact(PointsDebited, debit=2), fact(VisitRecorded, visit=2, debit=2))


def test_a_member_who_left_gets_his_visit_undone() -> None:
    left = do(LeaveNetwork, "2008-07-15 12:01")
    given(READY, visit(), left).when(undo("2008-07-15 12:02")).then(
        fact(VisitUndone), fact(DebitReversed)
    )


def test_points_returned_to_a_lot_that_has_lapsed_expire_at_once() -> None:
    lapsing = credit(70, "2008-01-01 09:00", expires="2008-07-15 12:10")
    given(MEMBER, CLUB, lapsing, visit()).when(undo("2008-07-15 12:12")).then(
        fact(VisitUndone),
        fact(DebitReversed, points=70),
        fact(
            PointsExpired,
            postings=(Posting(1, "spendable", "expired", 70),),
            occurred_at=local("2008-07-15 12:12"),
        ),
    ).then_told(visit=1, spendable_points=0)


def test_an_undone_free_visit_is_given_back() -> None:
    one_free = price(free_visits={"gold": 1})
    scenario = given(READY, one_free, visit()).when(undo()).then(fact(VisitUndone))
    scenario.when(visit()).then(free())


def test_an_undone_free_visit_of_last_year_is_given_back_to_last_year() -> None:
    one_free = price(free_visits={"gold": 1})
    known = given(READY, one_free, visit("2008-12-31 12:00"), visit("2009-01-02 12:00"))
    known.when(by_supervisor("2009-01-03 12:00")).then(fact(VisitUndone))
    known.when(visit("2009-01-03 15:00")).then(*paid_as(3))
    known.when(visit("2008-12-31 15:00")).then(free(visit=4))


def test_a_visit_can_be_undone_while_it_is_among_the_latest_32() -> None:
    tea = price(service_id="tea", points=0, tier_points={})
    visits = [
        visit(local(NOON) + timedelta(seconds=n), service_id="tea", confirm_repeat=True)
        for n in range(REMEMBERED + 1)
    ]
    scenario = given(READY, tea, visits)
    scenario.when(undo("2008-07-15 12:01", 1)).then_refused(UnknownVisit(1, 33, 31))
    scenario.when(undo("2008-07-15 12:01", 2)).then(fact(VisitUndone))


def test_a_visit_whose_debit_is_too_far_back_is_not_undone_without_its_points() -> None:
    scenario = given(READY, visit(), [debit(1, "2008-07-15 12:01") for _ in range(32)])
    scenario.when(undo("2008-07-15 12:02")).then_refused(UnknownVisit(1, 1, 31))


def test_visits_too_old_to_be_undone_leave_the_state() -> None:
    scenario = given(READY, visit(), visit("2008-08-15 12:00"), visit("2008-08-15 12:11"))
    assert [known.id for known in VISITS.opened(scenario.member.visits.latest)] == [2, 3]


def test_seconds_are_exact_to_the_last_year() -> None:
    last = datetime(2499, 12, 31, 23, 59, 59, 999_999, UTC)
    assert EPOCH + timedelta(seconds=seconds_of(last)) == last.replace(microsecond=0)
