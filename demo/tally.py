"""What the events of the demo add up to, written anew from their meaning.

It shares nothing with the projections, so that the two can be held against each other.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from demo.bills import LOW_FEN
from demo.customers import TIERS
from demo.reported import (
    BINDING_BASE,
    BOUND,
    CAMPAIGNS,
    HEALTH_VISITS,
    LOUNGE_VISITS,
    ON_NET_PERCENT,
    RETENTION_PERCENT,
    VIP_GROWTH,
    VIPS,
)
from demo.staying import COHORT, LOST_FROM_MONTHS
from domain.kernel.event import Event
from domain.kernel.values import local_date

LAST_DAY = date(2008, 12, 31)
BASE = "binding-2008q4"


@dataclass
class Tally:
    """What is counted from the events as they come."""

    events: int = 0
    tier: dict[str, str] = field(default_factory=dict)
    tier_2007: dict[str, str] = field(default_factory=dict)
    left: dict[str, date] = field(default_factory=dict)  # on which day
    cohorts: dict[str, set[str]] = field(default_factory=dict)
    frozen: dict[str, int] = field(default_factory=dict)
    low: Counter[str] = field(default_factory=Counter)
    visits: Counter[tuple[str, int]] = field(default_factory=Counter)  # (club, month), net
    enrolled: Counter[str] = field(default_factory=Counter)
    prepaid_fen: Counter[str] = field(default_factory=Counter)
    arms: dict[str, dict[str, str]] = field(default_factory=dict)
    margins: dict[str, dict[str, int]] = field(default_factory=dict)
    bindings: dict[tuple[str, int], tuple[date, date]] = field(default_factory=dict)

    def take(self, stream: str, event: Event) -> None:
        """Count one event."""
        self.events += 1
        name = stream.partition(":")[2]
        counter = _COUNTERS.get(event.topic)
        if counter is not None:
            counter(self, name, event)

    def bound_on(self, day: date, cohort: str) -> int:
        """Members of a cohort bound on this day, each once, and on the network."""
        gone = {member for member, left_on in self.left.items() if left_on <= day}
        bound = {member for (member, _), (a, b) in self.bindings.items() if a <= day < b} - gone
        return len(bound & self.cohorts[cohort])

    def lost(self, cohort: str = COHORT) -> tuple[int, int]:
        """(members who left, members who stayed and were low in three or more months)."""
        members = self.cohorts[cohort]
        gone = members & self.left.keys()
        low = {m for m, months in self.low.items() if months >= LOST_FROM_MONTHS}
        return len(gone), len(members & low - gone)

    def visits_of(self, club: str) -> int:
        """Visits to a club that were not undone."""
        return sum(visits for (of, _), visits in self.visits.items() if of == club)


def _tier_changed(tally: Tally, member: str, event: Any) -> None:
    opening = local_date(event.occurred_at).year < 2008
    for tiers in (tally.tier, tally.tier_2007) if opening else (tally.tier,):
        if event.tier is None:
            tiers.pop(member, None)
        else:
            tiers[member] = event.tier


def _bill_issued(tally: Tally, member: str, event: Any) -> None:
    tally.low[member] += event.amount_fen < LOW_FEN
    if member in tally.margins:
        tally.margins[member][event.month] = event.margin_fen


def _offered(tally: Tally, member: str, event: Any) -> None:
    tally.arms.setdefault(event.campaign_id, {})[member] = event.arm
    tally.margins[member] = {}


def _enrolled(tally: Tally, member: str, event: Any) -> None:
    tally.enrolled[event.campaign_id] += 1
    tally.prepaid_fen[event.campaign_id] += event.prepaid_fen


def _visited(tally: Tally, member: str, event: Any) -> None:
    tally.visits[event.club_id, local_date(event.occurred_at).month] += 1


def _visit_undone(tally: Tally, member: str, event: Any) -> None:
    tally.visits[event.club_id, local_date(event.visited_at).month] -= 1


def _started(tally: Tally, member: str, event: Any) -> None:
    tally.bindings[member, event.binding] = (event.starts_on, event.ends_on)


def _ended(tally: Tally, member: str, event: Any) -> None:
    starts_on, ends_on = tally.bindings[member, event.binding]
    tally.bindings[member, event.binding] = (starts_on, min(ends_on, event.ended_on))


_COUNTERS: dict[str, Any] = {
    "tier.changed": _tier_changed,
    "member.left": lambda tally, member, event: tally.left.update(
        {member: local_date(event.occurred_at)}
    ),
    "bill.issued": _bill_issued,
    "cohort.included": lambda tally, member, event: tally.cohorts.setdefault(
        event.cohort_id, set()
    ).add(member),
    "cohort.frozen": lambda tally, cohort, event: tally.frozen.update({cohort: event.size}),
    "campaign.offered": _offered,
    "campaign.enrolled": _enrolled,
    "visit.recorded": _visited,
    "visit.undone": _visit_undone,
    "binding.started": _started,
    "binding.ended": _ended,
}


def percent(part: int, whole: int) -> str:
    """A share in per cent, rounded half up to two decimals as the report prints it."""
    return str((Decimal(100 * part) / whole).quantize(Decimal("0.01"), ROUND_HALF_UP))


def figures(tally: Tally) -> list[tuple[str, str, str]]:
    """(what, as reported, as the events give it) of all that the demo makes come out exactly."""
    tiers = Counter(tally.tier.values())
    vips, base = len(tally.tier), len(tally.cohorts[COHORT])
    vips_left = len(tally.left.keys() & tally.tier.keys())
    found: list[tuple[str, object, object]] = [
        ("VIP customers", sum(VIPS.values()), vips),
        *((tier, VIPS[tier], tiers[tier]) for tier in reversed(TIERS[1:])),
        ("VIP growth", VIP_GROWTH, vips - len(tally.tier_2007)),
        ("retention rate", RETENTION_PERCENT, percent(base - sum(tally.lost()), base)),
        (
            "on-net rate",
            ON_NET_PERCENT,
            percent(vips - vips_left, vips),
        ),
        ("health club visits", HEALTH_VISITS, tally.visits_of("health")),
        ("lounge visits", LOUNGE_VISITS, tally.visits_of("lounge")),
        ("binding base", BINDING_BASE, tally.frozen[BASE]),
        ("bound", BOUND, tally.bound_on(LAST_DAY, BASE)),
    ]
    for campaign, (enrolled, yuan) in CAMPAIGNS.items():
        found.append((f"{campaign} participants", enrolled, tally.enrolled[campaign]))
        found.append((f"{campaign} prepaid fen", yuan * 100, tally.prepaid_fen[campaign]))
    return [(what, str(reported), str(derived)) for what, reported, derived in found]
