"""Bindings by family plan and handset, and the base that the binding rate is measured on.

How many are bound in all is reported, by all policies together and each customer once: so many as
the prepaid campaigns leave open are bound by these two alone, and others have them beside.
"""

from collections.abc import Iterator
from typing import Any

from demo.assumptions import assumed
from demo.campaigns import Prepaid
from demo.facts import Block, Source, command, told
from demo.instants import DAY, date_of, iso, office_hours, read
from demo.reported import BOUND
from demo.scaling import some
from domain.kernel.values import add_months

COHORT = "binding-2008q4"
FAMILY, HANDSET = "family_plan", "handset"


class Bindings:
    """Who is bound by which of the two policies, and since when."""

    def __init__(self, prepaid: Prepaid) -> None:
        self.those = prepaid.those
        self.chosen: dict[str, Any] = assumed("family-plan-and-handset")
        self.draw = self.those.scale.random("bindings")
        self.started: list[tuple[int, int, str]] = []  # (at, customer, policy)
        self.cancelled: list[tuple[int, int]] = []
        of, draw = self.those.scale.of, self.draw
        taken = prepaid.bound | set(prepaid.drawn) | {number for _, number, _ in prepaid.ended}
        unbound = [number for number in prepaid.candidates() if number not in taken]
        alone = some(draw, unbound, max(2, of(BOUND) - len(prepaid.bound)))
        beside = some(draw, sorted(prepaid.bound), of(self.chosen["beside_prepay"]))
        self.bound = prepaid.bound | set(alone)
        only = len(alone) * self.chosen["family_only_percent"] // 100
        other = only + len(alone) * self.chosen["handset_only_percent"] // 100
        for number in alone[:only] + alone[other:] + beside[::2]:
            self._start(number, FAMILY)
        for number in alone[only:] + beside[1::2]:
            self._start(number, HANDSET)
        self._cancel([n for n in unbound if n not in self.bound])

    def _start(self, number: int, policy: str) -> None:
        first, last = read(self.chosen["from"]), read(self.chosen["to"])
        self.started.append((office_hours(self.draw, first, last, skew=0.7), number, policy))

    def _cancel(self, unbound: list[int]) -> None:
        """Some try the family plan and give it up."""
        count = assumed("bindings-that-do-not-count")["cancelled_family"]
        enrolled = [n for n in unbound if n < self.those.joined_before_2008]
        first = read(self.chosen["from"])
        for number in some(self.draw, enrolled, self.those.scale.of(count, 1)):
            at = office_hours(self.draw, first, first + 25 * DAY)
            self.started.append((at, number, FAMILY))
            self.cancelled.append((at + self.draw.randint(5, 40) * DAY, number))

    def facts(self) -> list[Source]:
        """Bindings started and cancelled, and the cohort of the base."""
        found = [(at, self._line(at, number, policy)) for at, number, policy in self.started]
        ended = [
            (
                at,
                command(
                    "binding.end", at, "supervisor:he01", member_id=self.those.ids[number],
                    binding=1, ended_on=str(date_of(at)), cause="cancelled",
                    reason="客户申请取消 Cancelled by the customer",
                ),
            )
            for at, number in self.cancelled
        ]  # fmt: skip
        return [told(found), told(ended), *self._base()]

    def _line(self, at: int, number: int, policy: str) -> bytes:
        months: int = self.chosen["family_months" if policy == FAMILY else "handset_months"]
        starts_on = date_of(at)
        return (
            f'{{"command":"binding.start","at":"{iso(at)}","actor":"clerk:hall{at % 9 + 1}",'
            f'"member_id":"{self.those.ids[number]}","policy":"{policy}",'
            f'"starts_on":"{starts_on}","ends_on":"{add_months(starts_on, months)}"}}\n'
        ).encode()

    def _base(self) -> list[Source]:
        """Everybody stands on the province's list."""
        chosen = assumed("base-cohort")
        opened, included, frozen = (read(chosen[k]) for k in ("opened", "included", "frozen"))
        events = [
            (
                opened,
                command(
                    "cohort.open", opened, "system:province", cohort_id=COHORT,
                    title="2008年四季度需捆绑中高端客户 To be bound in 2008 Q4",
                    purpose="binding", taken_on=chosen["on"],
                    criterion="on the province's list, by the bills of January to September 2008",
                ),
            ),
            (
                frozen,
                command(
                    "cohort.freeze", frozen, "system:province", cohort_id=COHORT,
                    size=len(self.those),
                ),
            ),
        ]  # fmt: skip
        return [told(events), Block(included, len(self.those), self._included)]

    def _included(self) -> Iterator[bytes]:
        at = iso(read(assumed("base-cohort")["included"]))
        head = f'{{"command":"cohort.include","at":"{at}","actor":"system:province","member_id":"'
        tail = f'","cohort_id":"{COHORT}"}}\n'
        for member in self.those.ids:
            yield (head + member + tail).encode()
