"""Snapshots: opened, filled, frozen, and never touched again."""

from datetime import date

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
from domain.members import BeforeJoining, LeaveNetwork, UnknownMember
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import JOINED, MEMBER, NOON, WEST

OPENED = do(
    OpenCohort,
    "2008-01-01 09:00",
    purpose="retention",
    criterion="月均消费 200 元以上",
    on=date(2007, 12, 31),
)
INCLUDED = do(IncludeInCohort, NOON)
FROZEN = do(FreezeCohort, NOON, size=1)


def test_a_snapshot_is_opened_once() -> None:
    given().when(OPENED).then(fact(CohortOpened, purpose="retention", on=date(2007, 12, 31)))
    given(OPENED).when(OPENED).then_refused(CohortExists("vips"))


def test_a_customer_is_in_a_snapshot_once_with_tier_and_unit_of_then() -> None:
    given(MEMBER, OPENED).when(INCLUDED).then(
        fact(CohortIncluded, cohort="vips", tier="gold", unit="west")
    )
    given(MEMBER, OPENED, INCLUDED).when(INCLUDED).then_refused(AlreadyIncluded("vips"))
    left = do(LeaveNetwork, "2008-07-01 09:00")
    given(MEMBER, OPENED, left).when(INCLUDED).then(fact(CohortIncluded))


def test_a_frozen_snapshot_stays_as_it_is() -> None:
    given(OPENED).when(FROZEN).then(fact(CohortFrozen, size=1))
    given(MEMBER, OPENED, FROZEN).when(INCLUDED).then_refused(CohortIsFrozen("vips", 1))
    given(OPENED, FROZEN).when(FROZEN).then_refused(CohortIsFrozen("vips", 1))


def test_a_snapshot_and_its_customers_must_be_known() -> None:
    given(MEMBER).when(INCLUDED).then_refused(UnknownCohort("vips"))
    given().when(FROZEN).then_refused(UnknownCohort("vips"))
    given(WEST, OPENED).when(INCLUDED).then_refused(UnknownMember("m1"))
    early = do(IncludeInCohort, "2005-01-01")
    given(WEST, JOINED, OPENED).when(early).then_refused(
        BeforeJoining(local("2005-01-01"), local("2005-03-01 10:00"))
    )
