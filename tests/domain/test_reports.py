"""Reports, values from outside and targets: told once, and corrected by a fact that names them."""

from datetime import date

import pytest

from domain.corrections import ToldAlready, UnknownFact
from domain.kernel.bounds import TooMany
from domain.kernel.formula import BadFormula
from domain.kernel.periods import NotComeYet, PeriodReversed
from domain.outside import CorrectOutside, OutsideFactCorrected, OutsideRecorded
from domain.reports import (
    CorrectClaim,
    CorrectReport,
    ReportClaimed,
    ReportEntered,
    ReportFactCorrected,
    UnknownReport,
)
from domain.targets import CorrectTarget, TargetFactCorrected, TargetSet
from tests.domain.scenario import do, fact, given
from tests.domain.words import JANUARY, JUNE, NOON, claim, enter, outside, target


def test_a_report_is_entered_and_claims_values() -> None:
    known = given(enter())
    known.when(claim()).then(
        fact(ReportClaimed, first=JANUARY, last=JUNE, value="5.59", digits=2, meant="exact")
    )
    known.when(claim(claim_id="visits", value="692", last=date(2008, 3, 31))).then(
        fact(ReportClaimed, first=JANUARY, last=date(2008, 3, 31), digits=0)
    )
    known.when(claim(claim_id="day", value="2008-06-30", last=date(2007, 3, 31))).then(
        fact(ReportClaimed, first=date(2007, 3, 31), digits=0)
    )
    known.when(claim(claim_id="silent", value=None, digits=4)).then(fact(ReportClaimed, digits=4))


def test_what_it_claims_is_claimed_by_a_report_that_is_there() -> None:
    given().when(claim()).then_refused(UnknownReport("vip-2008"))
    reversed_ = {"first": JUNE, "last": JANUARY}
    given().when(enter(**reversed_)).then_refused(PeriodReversed(JUNE, JANUARY))
    given(enter()).when(claim(**reversed_)).then_refused(PeriodReversed(JUNE, JANUARY))
    later, today = date(2008, 7, 16), date(2008, 7, 15)
    given().when(enter(dated_on=later)).then_refused(NotComeYet("2008-07-16", today))
    given().when(enter(last=later)).then_refused(NotComeYet("2008-07-16", today))


@pytest.mark.parametrize(
    ("formula", "character"), [("a +", 4), ("(a", 3), ("a b", 3), ("(" * 31, 31)]
)
def test_a_formula_is_read_when_it_is_claimed(formula: str, character: int) -> None:
    known = given(enter()).when(claim(formula=formula))
    assert isinstance(known.outcome, BadFormula)
    assert known.outcome.character == character
    known.then_refused(BadFormula(character, known.outcome.why))


def test_a_claim_is_corrected_by_a_fact_that_names_it() -> None:
    known = given(enter(), claim())
    known.when(claim(value="5.60")).then_refused(ToldAlready("report.claimed"))
    known.when(claim(value="5.60", correcting="misread")).then(
        fact(ReportFactCorrected, fact="report.claimed", which="members.rate", reason="misread"),
        fact(ReportClaimed, value="5.60"),
    )
    known.when(do(CorrectClaim, NOON, claim_id="members.rate")).then(
        fact(ReportFactCorrected, which="members.rate")
    ).then_told(corrected=["report.claimed"])
    known.when(claim(correcting="misread")).then_refused(UnknownFact("report.claimed"))
    known.when(do(CorrectClaim, NOON, claim_id="members.rate")).then_refused(
        UnknownFact("report.claimed")
    )
    known.when(claim()).then(fact(ReportClaimed))


def test_a_report_is_corrected_and_keeps_what_it_claims() -> None:
    known = given(enter(), claim())
    known.when(enter()).then_refused(ToldAlready("report.entered"))
    known.when(enter(correcting="another title")).then(
        fact(ReportFactCorrected, fact="report.entered", which="-"), fact(ReportEntered)
    )
    known.when(do(CorrectReport, NOON)).then(fact(ReportFactCorrected))
    known.when(claim(claim_id="other")).then_refused(UnknownReport("vip-2008"))
    known.when(do(CorrectReport, NOON)).then_refused(UnknownFact("report.entered"))
    known.when(enter()).then(fact(ReportEntered))
    known.when(claim()).then_refused(ToldAlready("report.claimed"))


def test_a_report_claims_so_many_values_and_no_more() -> None:
    known = given(enter(), [claim(claim_id=f"c{n}") for n in range(500)])
    known.when(claim(claim_id="more")).then_refused(TooMany("claims", 500, 500))
    known.when(claim(claim_id="c7", correcting="misread")).then(
        fact(ReportFactCorrected), fact(ReportClaimed)
    )


def test_a_value_from_outside_is_corrected_by_a_later_record_that_names_it() -> None:
    reversed_ = {"first": JUNE, "last": JANUARY}
    given().when(outside(**reversed_)).then_refused(PeriodReversed(JUNE, JANUARY))
    given().when(outside(last=date(2008, 8, 1))).then_refused(
        NotComeYet("2008-08-01", date(2008, 7, 15))
    )
    known = given(outside())
    known.when(outside()).then_refused(ToldAlready("outside.recorded"))
    known.when(outside(value="91.5", correcting="misprint")).then(
        fact(OutsideFactCorrected, reason="misprint"), fact(OutsideRecorded, digits=1)
    )
    known.when(do(CorrectOutside, NOON, outside_value_id="rate_2007")).then(
        fact(OutsideFactCorrected)
    )
    known.when(do(CorrectOutside, NOON, outside_value_id="rate_2007")).then_refused(
        UnknownFact("outside.recorded")
    )


def test_a_target_is_set_for_days_to_come_and_corrected() -> None:
    reversed_ = {"first": JUNE, "last": JANUARY}
    given().when(target(**reversed_)).then_refused(PeriodReversed(JUNE, JANUARY))
    known = given(target(last=date(2012, 12, 31)))
    known.when(target()).then_refused(ToldAlready("target.set"))
    known.when(target(correcting="raised")).then(fact(TargetFactCorrected), fact(TargetSet))
    known.when(do(CorrectTarget, NOON, target_id="basic")).then(fact(TargetFactCorrected))
    known.when(do(CorrectTarget, NOON, target_id="basic")).then_refused(UnknownFact("target.set"))
