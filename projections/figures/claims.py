"""What a report claims beside what the events give, and beside its own arithmetic.

A claim is derived by its measure, or else by its formula over what is derived of the names in it.
Its own arithmetic is the same formula over the values as they are printed. A name is looked for
beside the claim (`retention.rate` for `rate` in `retention.above`), then a dot further out, and at
last as it stands: among the report's claims, the targets, the values from outside.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Literal, NamedTuple, TypeAlias

from pydantic import Field

from domain.kernel.formula import Formula, Undefined
from projections.engine.answer import Number
from projections.engine.connection import Conn
from projections.engine.names import ANYBODY
from projections.engine.ratio import rounded
from projections.figures.asking import ask
from projections.reports import Claim, OutsideValue, Target

Verdict: TypeAlias = Literal[
    "agrees",
    "differs",
    "contradicts itself",
    "not computable",
    "stated only",
    "not printed",
    "scaled",
]
AGREES: Verdict = "agrees"
DIFFERS: Verdict = "differs"
CONTRADICTS: Verdict = "contradicts itself"
NOT_COMPUTABLE: Verdict = "not computable"
STATED: Verdict = "stated only"
NOT_PRINTED: Verdict = "not printed"
SCALED: Verdict = "scaled"
"""It differs, since the demo is scaled down."""

NEARLY = Fraction(95, 100)
MOST = 10**18
"""A value that is larger is a mistake, or an attack."""
DAYS = {"first", "last", "on"}
"""The parameters that say when; all others say of whom."""


class ClaimFigure(Claim):
    """What a report claims, what the events give for it, and what its own arithmetic does."""

    derived: Number | None = Field(description="what the events give; a day as yyyymmdd")
    by_its_own: Number | None = Field(
        description="what the document's own arithmetic gives, on the values that it prints"
    )
    difference: Number | None = Field(description="between days, in days")
    verdict: Verdict
    why: str | None = Field(description="why it is not computable")
    flags: list[str] = Field(description="part and whole of a quotient that are other people's")
    assumed: list[str] = Field([], description="the assumptions of a demo that it rests on")


class Value(NamedTuple):
    """A value, or why there is none."""

    exact: Fraction | None
    why: str | None = None


@dataclass(frozen=True)
class Document:
    """What a report claims, and what else its formulas may name."""

    claims: Sequence[Claim]
    outside_values: Sequence[OutsideValue]
    targets: Sequence[Target]

    @cached_property
    def named(self) -> dict[str, Claim | Target | OutsideValue]:
        """By name; of one name a claim goes before a target, and that before a value from
        outside."""
        return {
            **{each.outside_value_id: each for each in self.outside_values},
            **{each.target_id: each for each in self.targets},
            **{each.claim_id: each for each in self.claims},
        }

    def meant(self, name: str, beside: str) -> str | None:
        """What a name stands for in the formula of the claim of this id."""
        scope = beside
        while scope:
            scope = scope.rpartition(".")[0]
            found = f"{scope}.{name}" if scope else name
            if found in self.named:
                return found
        return None

    def named_by(self, claim: Claim) -> list[str]:
        """What the formula of a claim names, each by its full name."""
        names = Formula(claim.formula).names if claim.formula else ()
        meant = (self.meant(name, claim.claim_id) for name in names)
        return [name for name in meant if name is not None]


def figures(conn: Conn, of: Document) -> list[ClaimFigure]:
    """Every claim of a report, checked."""
    return list(_Reckoning(conn, of).figures())


def number_of(printed: str) -> Fraction:
    """A number as it is printed; a day as yyyymmdd."""
    return Fraction(printed.replace("-", "") if is_day(printed) else printed)


def is_day(printed: str) -> bool:
    """Whether a day is printed, and no number."""
    return "-" in printed[1:]


def day_of(value: Decimal) -> date:
    """The day that such a number writes."""
    return date.fromisoformat(str(int(value)))


class _Reckoning:
    def __init__(self, conn: Conn, of: Document) -> None:
        self.conn, self.document = conn, of
        self.claims = {each.claim_id: each for each in of.claims}
        self.formulas = {each.claim_id: Formula(each.formula) for each in of.claims if each.formula}
        self.means = {
            claim_id: {name: of.meant(name, claim_id) for name in formula.names}
            for claim_id, formula in self.formulas.items()
        }
        self.printed = {name: _printed(each) for name, each in of.named.items()}

    def figures(self) -> Iterator[ClaimFigure]:
        derived = self.derive()
        for claim in self.claims.values():
            own = Value(None)
            if claim.value is not None and claim.claim_id in self.formulas:
                own = self.reckon(claim.claim_id, self.printed)
            yield _figure(claim, derived[claim.claim_id], own, self.mixed(claim.claim_id))

    def derive(self) -> dict[str, Value]:
        """What the events give for each claim: each after those that its formula names."""
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for claim in self.claims.values():
            means = {} if _stands_alone(claim) else self.means.get(claim.claim_id, {})
            sorter.add(claim.claim_id, *(m for m in means.values() if m in self.claims))
        found = dict.fromkeys(
            self.claims, Value(None, "a formula that it hangs on leads back to itself")
        )
        known = {name: each for name, each in self.printed.items() if name not in self.claims}
        with suppress(CycleError):  # what is in no circle can be had all the same
            sorter.prepare()
        while sorter.is_active():
            for claim_id in sorter.get_ready():
                found[claim_id] = self.derived(claim_id, known)
                known[claim_id] = found[claim_id].exact
                sorter.done(claim_id)
        return found

    def derived(self, claim_id: str, known: Mapping[str, Fraction | None]) -> Value:
        claim = self.claims[claim_id]
        if claim.meant == "stated":
            return Value(self.printed[claim_id])
        if claim.measure is not None:
            given = ask(self.conn, claim.measure, claim.parameters, claim.first, claim.last)
            return Value(given.exact, given.why)
        if claim_id in self.formulas:
            return self.reckon(claim_id, known)
        return Value(None, "it has no measure and no formula")

    def reckon(self, claim_id: str, known: Mapping[str, Fraction | None]) -> Value:
        """The formula of a claim over such values."""
        means = self.means[claim_id]
        unknown = [name for name, meant in means.items() if meant is None]
        if unknown:
            return Value(None, f"nothing is called {unknown[0]}")
        values = {name: known.get(meant or name) for name, meant in means.items()}
        try:
            found = self.formulas[claim_id].value(values)
        except Undefined as undefined:
            return Value(None, str(undefined))
        return Value(found) if abs(found) < MOST else Value(None, "it grows too large")

    def mixed(self, claim_id: str) -> list[str]:
        """Where its formula divides some people by a whole that is of others."""
        found = {}
        means = self.means.get(claim_id, {})
        for parts, wholes in self.formulas[claim_id].quotients if means else ():
            for part in parts:
                for whole in wholes:
                    of_part, of_whole = self.population(means[part]), self.population(means[whole])
                    if of_part is None or of_whole is None:
                        continue
                    if not _within(of_part, of_whole):
                        found[part, whole] = (
                            f"{part} ({_said(of_part)}) is divided by {whole} ({_said(of_whole)}):"
                            " part and whole are not of the same people"
                        )
        return list(found.values())

    def population(self, meant: str | None) -> dict[str, str] | None:
        """Whom a value is of, as its parameters say; null if nothing is said."""
        found = self.document.named.get(meant or "")
        if found is None or isinstance(found, Target) or not (found.measure or found.parameters):
            return None
        return {name: said for name, said in found.parameters.items() if name not in DAYS}


def _stands_alone(claim: Claim) -> bool:
    """Whether it is derived without its formula."""
    return claim.meant == "stated" or claim.measure is not None


def _printed(said: Claim | Target | OutsideValue) -> Fraction | None:
    """The value as it is printed; of a target, of its first way."""
    value = said.ways[0].value if isinstance(said, Target) else said.value
    return None if value is None else number_of(value)


def _within(part: Mapping[str, str], whole: Mapping[str, str]) -> bool:
    """Whether all that the part is of is among what the whole is of."""
    return all(
        name in part and (said == ANYBODY or {*part[name].split(",")} <= {*said.split(",")})
        for name, said in whole.items()
    )


def _said(population: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {said}" for name, said in population.items()) or "all"


def _figure(claim: Claim, derived: Value, own: Value, flags: list[str]) -> ClaimFigure:
    given = None if claim.meant == "stated" or derived.exact is None else derived.exact
    value = None if given is None else rounded(given, claim.digits)
    by_its_own = None if own.exact is None else rounded(own.exact, claim.digits)
    printed = None if claim.value is None else number_of(claim.value)
    verdict = _verdict(claim, printed, value, by_its_own)
    apart = by_its_own if value is None and verdict == CONTRADICTS else value
    return ClaimFigure(
        **dict(claim),
        derived=value,
        by_its_own=by_its_own,
        difference=None if claim.value is None else difference(claim.value, apart),
        verdict=verdict,
        why=own.why if value is not None or claim.meant == "stated" else derived.why or own.why,
        flags=flags,
    )


def _verdict(
    claim: Claim, printed: Fraction | None, value: Decimal | None, by_its_own: Decimal | None
) -> Verdict:
    if printed is not None and by_its_own is not None and not _agree(claim, printed, by_its_own):
        return CONTRADICTS
    if claim.meant == "stated":
        return STATED
    if value is None:
        return NOT_COMPUTABLE
    if printed is None:
        return NOT_PRINTED
    return AGREES if _agree(claim, printed, value) else DIFFERS


def _agree(claim: Claim, printed: Fraction, value: Decimal) -> bool:
    if claim.meant == "nearly":
        return printed * NEARLY <= Fraction(value) <= printed
    return Fraction(value) == printed


def difference(printed: str, value: Decimal | None) -> Decimal | None:
    """How much more the value is than what is printed; between days, in days."""
    if value is None:
        return None
    if is_day(printed):
        return Decimal((day_of(value) - date.fromisoformat(printed)).days)
    return value - Decimal(printed)
