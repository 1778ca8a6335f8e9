"""Cohorts: opened, filled, frozen, and never touched again."""

from datetime import date, timedelta

from domain.cohorts import (
    AlreadyIncluded,
    CohortExists,
    CohortFrozen,
    CohortIncluded,
    CohortIsFrozen,
    CohortOpened,
    FreezeCohort,
    IncludeInCohort,
    OpenCohort,
    UnknownCohort,
)
from domain.members import (
    BeforeJoining,
    JoinNetwork,
    LeaveNetwork,
    LeftTheNetwork,
    UnknownMember,
)
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import JOINED, MEMBER, NOON, WEST

OPENED = do(
    OpenCohort,
    "2008-01-01 09:00",
    purpose="retention",
    criterion="月均消费 200 元以上",
    taken_on=date(2007, 12, 31),
)
INCLUDED = do(IncludeInCohort, NOON)
FROZEN = do(FreezeCohort, NOON, size=1)


def test_a_cohort_is_opened_once() -> None:
    given().when(OPENED).then(fact(CohortOpened, purpose="retention", taken_on=date(2007, 12, 31)))
    given(OPENED).when(OPENED).then_refused(CohortExists("vips"))


def test_a_customer_is_in_a_cohort_once_with_tier_and_unit_of_then() -> None:
    given(MEMBER, OPENED).when(INCLUDED).then(
        fact(CohortIncluded, cohort_id="vips", tier="gold", unit_id="west")
    )
    given(MEMBER, OPENED, INCLUDED).when(INCLUDED).then_refused(AlreadyIncluded("vips"))


def test_a_cohort_takes_who_was_on_the_network_at_the_end_of_its_day() -> None:
    for left_at in ("2008-01-01 00:00", "2008-07-01 09:00"):
        left = do(LeaveNetwork, left_at)
        given(MEMBER, OPENED, left).when(INCLUDED).then(fact(CohortIncluded))
    gone_at = "2007-12-31 23:59"
    gone = given(MEMBER, OPENED, do(LeaveNetwork, gone_at)).when(INCLUDED)
    gone.then_refused(LeftTheNetwork("m1", local(gone_at)))
    came_at, last = "2008-01-01 00:00", local("2008-01-01 00:00") - timedelta.resolution
    came = do(JoinNetwork, came_at)
    given(WEST, came, OPENED).when(INCLUDED).then_refused(BeforeJoining(last, local(came_at)))


def test_a_frozen_cohort_stays_as_it_is() -> None:
    given(OPENED).when(FROZEN).then(fact(CohortFrozen, size=1))
    given(MEMBER, OPENED, FROZEN).when(INCLUDED).then_refused(CohortIsFrozen("vips", 1))
    given(OPENED, FROZEN).when(FROZEN).then_refused(CohortIsFrozen("vips", 1))


def test_a_cohort_and_its_customers_must_be_known() -> None:
    given(MEMBER).when(INCLUDED).then_refused(UnknownCohort("vips"))
    given().when(FROZEN).then_refused(UnknownCohort("vips"))
    given(WEST, OPENED).when(INCLUDED).then_refused(UnknownMember("m1"))
    early = do(IncludeInCohort, "2005-01-01")
    given(WEST, JOINED, OPENED).when(early).then_refused(
        BeforeJoining(local("2005-01-01"), local("2005-03-01 10:00"))
    )
