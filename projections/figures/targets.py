"""Targets beside what is: passed or missed and by how much, and what is odd about them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil

from pydantic import Field

from domain.kernel.values import add_months
from domain.targets import Way, WayKind
from projections import reports
from projections.engine.answer import Answer, Number
from projections.engine.connection import Conn
from projections.engine.ratio import rounded
from projections.figures.asking import Given, ask
from projections.figures.claims import Document, number_of
from projections.reports import OutsideValue, Target

RANK = "rank"
"""The unit of a value from outside that says how many are better."""
OF_ONE_PERIOD = {"cohort_id", "campaign_id"}
"""Parameters that are others in the period before."""
DIGITS = 4


class WayProgress(Answer):
    """One way to pass a target, and how far it is."""

    kind: WayKind
    value: str
    needed: Number | None = Field(description="what the measure has to come to")
    actual: Number | None
    passed: bool | None
    by: Number | None = Field(description="how far it is passed, or missed if below 0")
    customers: int | None = Field(description="the same of a rate, as a number of customers")
    why: str | None = Field(description="why it is not computable")


class TargetProgress(Target):
    """A target, whether it is passed, and what is odd about it."""

    passed: bool | None = Field(description="by any of its ways; null: that cannot be said")
    progress: list[WayProgress]
    flags: list[str]


def targets(conn: Conn) -> list[TargetProgress]:
    """All targets, each beside what is: passed or missed, and by how much."""
    of = Document([], reports.outside_values(conn), reports.targets(conn))
    return progress(conn, of, of.targets)


def progress(conn: Conn, of: Document, those: Iterable[Target]) -> list[TargetProgress]:
    """Those targets beside what is, and beside what else the document says."""
    return [_progress(conn, of, each) for each in those]


def _progress(conn: Conn, of: Document, target: Target) -> TargetProgress:
    now, before = _actual(conn, of, target), list(_before(conn, of, target))
    ways = [_way(of, target, way, now, before) for way in target.ways]
    told = [way.passed for way in ways if way.passed is not None]
    missed = False if len(told) == len(ways) else None
    return TargetProgress(
        **dict(target),
        passed=any(told) or missed,
        progress=ways,
        flags=[*_below(target, before), *_others(of, target)],
    )


def _actual(conn: Conn, of: Document, target: Target) -> Given:
    """What its measure comes to: by the ledger, or else as it was told from outside."""
    given = ask(conn, target.measure, _parameters(target), target.first, target.last)
    if given.exact is not None:
        return given
    told = _outside(of, target, target.first, target.last, rank=False)
    return Given(number_of(told.value)) if told else given


def _parameters(target: Target) -> dict[str, str]:
    of_unit = {} if target.unit_id is None else {"unit_id": target.unit_id}
    return {**target.parameters, **of_unit}


def _outside(
    of: Document, target: Target, first: date, last: date, rank: bool
) -> OutsideValue | None:
    """What was told from outside of its measure in these days, of the same people."""
    for each in of.outside_values:
        same = each.measure == target.measure and (each.first, each.last) == (first, last)
        if same and (each.unit == RANK) is rank and _alike(each.parameters, _parameters(target)):
            return each
    return None


def _alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    names = (one.keys() | other.keys()) - OF_ONE_PERIOD
    return all(one.get(name) == other.get(name) for name in names)


def period_before(first: date, last: date) -> tuple[date, date]:
    """The days before these: so many months, where they are whole months, else so many days."""
    after = last + timedelta(days=1)
    months = (after.year - first.year) * 12 + after.month - first.month
    if first.day == after.day == 1 and months:
        return add_months(first, -months), first - timedelta(days=1)
    return first - (after - first), first - timedelta(days=1)


def _before(conn: Conn, of: Document, target: Target) -> Iterator[tuple[str, Fraction]]:
    """(where it is from, what the measure came to in the period before), of all that is known."""
    first, last = period_before(target.first, target.last)
    told = _outside(of, target, first, last, rank=False)
    if told is not None:
        yield told.outside_value_id, number_of(told.value)
    for claim in of.claims:
        same = claim.measure == target.measure and (claim.first, claim.last) == (first, last)
        if same and claim.value and _alike(claim.parameters, _parameters(target)):
            yield claim.claim_id, number_of(claim.value)
    if not OF_ONE_PERIOD & target.parameters.keys():
        given = ask(conn, target.measure, _parameters(target), first, last)
        if given.exact is not None:
            yield "the ledger", given.exact


def _way(
    of: Document, target: Target, way: Way, now: Given, before: list[tuple[str, Fraction]]
) -> WayProgress:
    bar, actual, why = number_of(way.value), now.exact, now.why
    if way.kind == "rank_at_most":
        ranked = _outside(of, target, target.first, target.last, rank=True)
        actual = number_of(ranked.value) if ranked else None
        why = None if ranked else "nobody has told the rank"
    if way.kind == "better_by":
        if not before:
            return _said(way, None, actual, None, "nothing is known of the period before")
        bar += before[0][1]
    if actual is None:
        return _said(way, bar, None, None, why)
    if way.kind in ("at_most", "rank_at_most"):
        return _said(way, bar, actual, bar - actual, None)
    ahead = None if now.whole is None else _customers(now.whole, actual, bar)
    return _said(way, bar, actual, actual - bar, None, ahead)


def _customers(whole: int, actual: Fraction, bar: Fraction) -> int:
    """How many customers a rate in percent is ahead of the bar, or short of it if below 0."""
    return int(actual * whole / 100) - ceil(bar * whole / 100)


def _said(
    way: Way,
    needed: Fraction | None,
    actual: Fraction | None,
    by: Fraction | None,
    why: str | None,
    customers: int | None = None,
) -> WayProgress:
    return WayProgress(
        kind=way.kind,
        value=way.value,
        needed=_number(needed),
        actual=_number(actual),
        passed=None if by is None else by >= 0,
        by=_number(by),
        customers=customers,
        why=why,
    )


def _number(value: Fraction | None) -> Decimal | None:
    """Without zeros at its end."""
    return None if value is None else Decimal(f"{rounded(value, DIGITS).normalize():f}")


def _below(target: Target, before: list[tuple[str, Fraction]]) -> Iterator[str]:
    """A bar that the period before has passed already."""
    for way in target.ways:
        bar = number_of(way.value)
        for source, actual in before:
            weaker = {"at_least": bar < actual, "at_most": bar > actual}.get(way.kind, False)
            if weaker:
                yield (
                    f"{way.value} is {'below' if way.kind == 'at_least' else 'above'} the actual"
                    f" {_number(actual)} of the period before ({source})"
                )


def _others(of: Document, target: Target) -> Iterator[str]:
    """Targets of the same level, for the same, that say otherwise."""
    for other in of.targets:
        same = other.target_id != target.target_id and _same(other) == _same(target)
        if same and other.ways != target.ways:
            said = " or ".join(f"{way.kind.replace('_', ' ')} {way.value}" for way in other.ways)
            yield f"{other.target_id} of the same level says {said}"


def _same(target: Target) -> tuple[object, ...]:
    days = (target.first, target.last)
    return target.measure, target.parameters, *days, target.unit_id, target.level
