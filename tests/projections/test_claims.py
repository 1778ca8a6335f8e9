"""Claims held against each other, and targets against what was told: without a ledger, since none
of their measures is in its catalogue."""

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.targets import Way
from projections.figures.claims import (
    AGREES,
    CONTRADICTS,
    DIFFERS,
    NOT_COMPUTABLE,
    NOT_PRINTED,
    STATED,
    ClaimFigure,
    Document,
    figures,
)
from projections.figures.targets import TargetProgress, period_before, progress
from projections.reports import Claim, OutsideValue, Target

NOWHERE: Any = None
YEAR = {"first": date(2010, 1, 1), "last": date(2010, 12, 31)}
BEFORE = {"first": date(2009, 1, 1), "last": date(2009, 12, 31)}


def claim(
    claim_id: str, value: str | None = None, formula: str | None = None, **said: Any
) -> Claim:
    digits = len((value or "").partition(".")[2])
    usual: dict[str, Any] = {
        "section": "S", "title": "T", "zh": None, "measure": None, "parameters": {},
        "digits": digits, "unit": "%", "meant": "exact" if formula else "stated", "note": None,
    }  # fmt: skip
    return Claim(claim_id=claim_id, value=value, formula=formula, **{**usual, **YEAR, **said})


def outside(name: str, value: str, **said: Any) -> OutsideValue:
    usual: dict[str, Any] = {
        "title": "T", "zh": None, "about": "us", "measure": "x.rate", "parameters": {},
        "digits": 0, "unit": "%", "source": "S", "dated_on": date(2011, 1, 1), "said_by": "them",
    }  # fmt: skip
    return OutsideValue(outside_value_id=name, value=value, **{**usual, **YEAR, **said})


def target(name: str, *ways: tuple[Any, str], **said: Any) -> Target:
    usual: dict[str, Any] = {
        "title": "T", "zh": None, "measure": "x.rate", "parameters": {}, "unit_id": None,
        "level": "basic", "source": "S",
    }  # fmt: skip
    made = tuple(Way(kind=kind, value=value) for kind, value in ways)
    return Target(target_id=name, ways=made, **{**usual, **YEAR, **said})


def checked(*claims: Claim, **beside: Any) -> dict[str, ClaimFigure]:
    of = Document(claims, beside.get("outside", ()), beside.get("targets", ()))
    return {each.claim_id: each for each in figures(NOWHERE, of)}


def held(*targets: Target, outside: tuple[OutsideValue, ...] = ()) -> dict[str, TargetProgress]:
    of = Document([], outside, targets)
    return {each.target_id: each for each in progress(NOWHERE, of, targets)}


# -------------------------------------------------------------------------------------- claims
@pytest.mark.parametrize(
    ("value", "formula", "said", "verdict"),
    [
        ("15.82", "a - b", {}, AGREES),
        ("15.81", "a - b", {}, CONTRADICTS),
        ("16", "a - b", {}, AGREES),
        ("17", "a - b", {"meant": "nearly"}, CONTRADICTS),
        ("16", "a - b", {"meant": "nearly"}, AGREES),
        (None, "a - b", {}, NOT_PRINTED),
        (None, "a - unknown", {}, NOT_COMPUTABLE),
        ("1", "a / (b - b)", {}, NOT_COMPUTABLE),
        ("1", None, {"meant": "exact"}, NOT_COMPUTABLE),
        ("1", None, {"measure": "no.such", "meant": "exact"}, NOT_COMPUTABLE),
        ("1", None, {}, STATED),
        ("15.82", "a - b", {"meant": "stated"}, STATED),
        ("1", "a - b", {"meant": "stated"}, CONTRADICTS),
    ],
)
def test_a_claim_gets_its_verdict(
    value: str | None, formula: str | None, said: dict[str, Any], verdict: str
) -> None:
    given_ = (claim("a", "98.82"), claim("b", "83"), claim("c", value, formula, **said))
    found = checked(*given_)["c"]
    assert found.verdict == verdict
    assert (found.why is not None) == (verdict == NOT_COMPUTABLE)


def test_what_is_derived_is_not_what_its_arithmetic_gives() -> None:
    """A claim on claims: derived over what is derived, its own arithmetic over what is printed."""
    found = checked(claim("a", "10"), claim("b", "30", "a * 2"), claim("c", "31", "b + 1"))
    b, c = found["b"], found["c"]
    assert (b.verdict, str(b.derived), str(b.by_its_own)) == (CONTRADICTS, "20", "20")
    assert (c.verdict, str(c.derived), str(c.by_its_own)) == (DIFFERS, "21", "31")
    assert found["c"].difference == -10


def test_a_name_is_looked_for_beside_the_claim_and_then_further_out() -> None:
    said = {"outside": (outside("rate", "1"), outside("a.rate", "2")),
            "targets": (target("a.b.rate", ("at_least", "4")),)}  # fmt: skip
    formulas = {"a.b.c": 4, "a.c": 2, "c": 1, "d.e.f": 1}
    found = checked(*(claim(name, None, "rate") for name in formulas), **said)
    assert {name: found[name].derived for name in formulas} == formulas
    nearer = checked(claim("a.c", None, "rate"), claim("a.rate", "7"), **said)
    assert nearer["a.c"].derived == 7, "a claim goes before a value from outside"


_values = st.decimals(0, 999, places=2).map(str)


@given(st.data())
def test_claims_on_claims_are_derived_as_python_derives_them(data: st.DataObject) -> None:
    values = data.draw(st.lists(_values, min_size=1, max_size=4))
    claims = [claim(f"c{n}", value) for n, value in enumerate(values)]
    expected: list[Fraction | None] = [Fraction(value) for value in values]
    for n in range(len(claims), len(claims) + data.draw(st.integers(1, 8))):
        one, other = (data.draw(st.integers(0, n - 1)) for _ in "12")
        sign = data.draw(st.sampled_from("+-*/"))
        claims.append(claim(f"c{n}", None, f"c{one} {sign} c{other}", digits=6))
        left, right = expected[one], expected[other]
        if left is None or right is None or (sign == "/" and not right):
            expected.append(None)
        else:
            reckoned = {"+": left + right, "-": left - right, "*": left * right}
            result = left / right if sign == "/" else reckoned[sign]
            expected.append(result if abs(result) < 10**18 else None)
    found = checked(*data.draw(st.permutations(claims)))
    for n, value in enumerate(expected[len(values) :], len(values)):
        derived = found[f"c{n}"].derived
        assert (derived is None) == (value is None)
        assert value is None or abs(Fraction(derived or 0) - value) <= Fraction(1, 2 * 10**6)


@pytest.mark.parametrize(
    ("part", "whole", "mixed"),
    [
        ({"cohort_id": "a"}, {"cohort_id": "a"}, False),
        ({"cohort_id": "a", "tier": "gold"}, {"cohort_id": "a"}, False),
        ({"tier": "gold"}, {"tier": "gold,silver"}, False),
        ({"tier": "gold"}, {"tier": "*"}, False),
        ({"cohort_id": "a"}, {"cohort_id": "b"}, True),
        ({"cohort_id": "a"}, {"cohort_id": "a", "unit_id": "north"}, True),
        ({"tier": "gold,silver"}, {"tier": "gold"}, True),
        ({"campaign_id": "a"}, {"cohort_id": "b"}, True),
    ],
)
def test_part_and_whole_are_of_the_same_people(
    part: dict[str, str], whole: dict[str, str], mixed: bool
) -> None:
    claims = (claim("a", "1", parameters=part), claim("b", "2", parameters=whole))
    found = checked(*claims, claim("c", "50", "a / b * 100"), claim("d", "3", "a + b"))
    assert bool(found["c"].flags) is mixed
    assert not found["d"].flags, "a sum is no quotient"


def test_of_whom_nothing_is_said_is_not_mixed() -> None:
    of = {"cohort_id": "a"}
    found = checked(
        claim("a", "1"), claim("b", "2", parameters=of), claim("c", "50", "a / b * 100")
    )
    assert not found["c"].flags
    all_of_them = checked(claim("a", "1", measure="x"), claim("b", "2", parameters=of),
                          claim("c", "50", "a / b * 100"))  # fmt: skip
    assert all_of_them["c"].flags


# ------------------------------------------------------------------------------------- targets
@pytest.mark.parametrize(
    ("first", "last", "before"),
    [
        ("2010-01-01", "2010-12-31", ("2009-01-01", "2009-12-31")),
        ("2008-10-01", "2008-12-31", ("2008-07-01", "2008-09-30")),
        ("2008-03-01", "2008-03-31", ("2008-02-01", "2008-02-29")),
        ("2008-03-10", "2008-03-12", ("2008-03-07", "2008-03-09")),
    ],
)
def test_the_period_before(first: str, last: str, before: tuple[str, str]) -> None:
    found = period_before(date.fromisoformat(first), date.fromisoformat(last))
    assert tuple(map(str, found)) == before


NOW, LAST_YEAR = outside("now", "82.5"), outside("then", "80", **BEFORE)
RANK = outside("rank", "7", unit="rank")


@pytest.mark.parametrize(
    ("way", "passed", "by"),
    [
        (("at_least", "82"), True, "0.5"),
        (("at_least", "83"), False, "-0.5"),
        (("at_most", "83"), True, "0.5"),
        (("at_most", "82"), False, "-0.5"),
        (("better_by", "2"), True, "0.5"),
        (("better_by", "3"), False, "-0.5"),
        (("rank_at_most", "7"), True, "0"),
        (("rank_at_most", "6"), False, "-1"),
    ],
)
def test_each_way_to_pass_a_target(way: tuple[str, str], passed: bool, by: str) -> None:
    found = held(target("t", way), outside=(NOW, LAST_YEAR, RANK))["t"]
    assert found.passed is passed
    assert str(found.progress[0].by) == by


def test_any_way_passes_a_target() -> None:
    ways = (("at_least", "90"), ("better_by", "3"), ("rank_at_most", "7"))
    everything = (NOW, LAST_YEAR, RANK)
    assert held(target("t", *ways), outside=everything)["t"].passed
    assert held(target("t", *ways[:2]), outside=everything)["t"].passed is False
    unknown = held(target("t", *ways), outside=(NOW,))["t"]
    assert unknown.passed is None, "who has not told the rank cannot say that it is missed"
    assert [way.why for way in unknown.progress] == [
        None, "nothing is known of the period before", "nobody has told the rank",
    ]  # fmt: skip


def test_a_target_below_the_actual_of_the_period_before_is_flagged() -> None:
    asked = (target("low", ("at_least", "79")), target("high", ("at_least", "80")),
             target("weak", ("at_most", "81"), level="contest"),
             target("far", ("at_least", "79"), parameters={"unit_id": "north"}))  # fmt: skip
    found = held(*asked, outside=(NOW, LAST_YEAR))
    assert any(
        "79 is below the actual 80 of the period before (then)" in f for f in found["low"].flags
    )
    assert any("81 is above the actual 80" in flag for flag in found["weak"].flags)
    assert not any("actual" in flag for flag in found["high"].flags)
    assert not found["far"].flags, "that was of others"


def test_two_targets_of_one_level_that_differ_are_flagged() -> None:
    one, same = target("one", ("at_least", "40")), target("same", ("at_least", "40"))
    other = target("other", ("at_least", "30"))
    found = held(one, same, other, target("challenge", ("at_least", "60"), level="challenge"))
    assert found["one"].flags == ["other of the same level says at least 30"]
    assert len(found["other"].flags) == 2
    assert not found["challenge"].flags
