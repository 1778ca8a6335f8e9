"""Every measure of the catalogue, computed of the branch's people in plain Python.

Each is written from the page of measures and from the rules, and counts what `people` remembers: it
asks neither the ledger nor its SQL. What a measure counts are rows of (what it is of, what each
adds); `plainly` filters, groups and adds them up.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, TypeAlias

from tests.api.analyst.generator import Branch
from tests.api.analyst.house import ACTIVITIES, CAMPAIGNS, CLUBS, COHORTS, LAST
from tests.api.analyst.people import (
    Member,
    Posting,
    active,
    at,
    end_of,
    month_of,
    months_on,
)  # fmt: skip

Row: TypeAlias = tuple[dict[str, str | None], dict[str, int]]
NOW = at(date(2026, 6, 1))
"""When everything told has happened."""


@dataclass(frozen=True)
class Asked:
    """A branch, and what is asked of it."""

    branch: Branch
    on: date
    first: date
    said: Mapping[str, Any]

    @property
    def members(self) -> Iterable[Member]:
        return self.branch.members.values()

    def within(self, day: date) -> bool:
        return self.first <= day <= self.on

    @property
    def months(self) -> list[str]:
        """Those that have one of its days."""
        count = (self.on.year - self.first.year) * 12 + self.on.month - self.first.month + 1
        return [month_of(months_on(self.first.replace(day=1), n)) for n in range(count)]


Of: TypeAlias = Callable[[Asked], Iterator[Row]]


# --------------------------------------------------------------------------------- bindings
def binding_base(q: Asked) -> Iterator[Row]:
    for m in q.members:
        if q.said["cohort_id"] in m.cohorts:
            tier, unit = m.cohorts[q.said["cohort_id"]]
            bound = m.on_network_after(q.on) and any(active(m, b, q.on) for b in m.bindings)
            yield {"tier": tier, "unit_id": unit}, {"base": 1, "bound": int(bound)}


def bindings(q: Asked) -> Iterator[Row]:
    for m in q.members:
        for b in m.bindings:
            yield (
                {
                    "policy": b.policy, "campaign_id": b.campaign, "unit_id": b.unit,
                    "tier": m.tier(NOW), "cause": b.cause,
                },
                {
                    "active": int(active(m, b, q.on) and m.on_network_after(q.on)),
                    "started": int(q.within(b.starts_on)),
                    "ended_early": int(b.ended_on is not None and q.within(b.ended_on)),
                },
            )  # fmt: skip


# ------------------------------------------------------------------------------------ points
def lots(q: Asked) -> Iterator[Row]:
    end, start = end_of(q.on), at(q.first)
    days = int(q.said.get("days", 90))
    for m in q.members:
        for lot in m.lots:
            left = lot.left_before(end)
            gone = lot.expires_at is not None and lot.expires_at < end
            soon = lot.expires_at is not None and lot.expires_at < end + timedelta(days=days)
            yield (
                {"tier": m.tier(NOW), "unit_id": m.unit(NOW), "source": lot.source},
                {
                    "outstanding": 0 if gone else left,
                    "spendable": 0 if gone or lot.available_from >= end else left,
                    "lapsing": left if soon and not gone else 0,
                    "expired": left if gone and lot.expires_at and lot.expires_at >= start else 0,
                },
            )


def movements(q: Asked) -> Iterator[Row]:
    sums = {
        "points.credited": ("credited", 1), "points.carried_over": ("credited", 1),
        "points.debited": ("debited", 1), "points.debit_reversed": ("debited", -1),
        "points.credit_reversed": ("reversed", 1),
    }  # fmt: skip

    def row(of: Posting) -> Row:
        name, sign = sums[of.topic]
        key = {"tier": of.tier, "unit_id": of.unit, "topic": of.topic}
        return key, {"credited": 0, "debited": 0, "reversed": 0, name: sign * of.points}

    for m in q.members:
        yield from (row(each) for each in m.postings if q.within(each.when.date()))


# ----------------------------------------------------------------------------------- members
def holders(q: Asked) -> Iterator[Row]:
    end, before = end_of(q.on) - timedelta(microseconds=1), at(q.first) - timedelta(microseconds=1)
    for m in q.members:
        for when, name in ((end, "vips"), (before, "before")):
            tier = m.tier(when)
            if tier is not None:
                gone = name == "vips" and not m.on_network(when)
                added = {"vips": 0, "before": 0, "left": int(gone), name: 1}
                yield {"tier": tier, "unit_id": m.unit(when)}, added


def customers(q: Asked) -> Iterator[Row]:
    for m in q.members:
        joined = m.joined_at.date()
        if joined <= q.on:
            yield (
                {"tier": m.tier(NOW), "unit_id": m.unit(end_of(q.on) - timedelta(microseconds=1))},
                {
                    "on_network": int(m.on_network_after(q.on)),
                    "joined": int(q.within(joined)),
                    "left": int(any(q.within(gone.date()) for gone, _ in m.away)),
                },
            )


# --------------------------------------------------------------------------------- campaigns
def offered(m: Member, campaign: str, q: Asked, arm: str = "offered") -> bool:
    """Whether he is in that arm by the end of the day."""
    known = m.offers.get(campaign)
    return known is not None and known[1] == arm and known[0] < end_of(q.on)


def enrolments(q: Asked) -> Iterator[Row]:
    for m in q.members:
        for campaign, each in m.enrolments.items():
            if each.when < end_of(q.on):
                yield (
                    {"campaign_id": campaign, "tier": each.tier, "unit_id": each.unit},
                    {
                        "participants": 1,
                        "prepaid_fen": each.prepaid_fen,
                        "gift_fen": each.gift_fen,
                        "walk_ins": int(not offered(m, campaign, q)),
                    },
                )


def costs(q: Asked) -> Iterator[Row]:
    for key, added in enrolments(q):
        yield key, {**added, "other_costs_fen": 0}
    for name, campaign in CAMPAIGNS.items():
        if campaign.terms[0][0] < end_of(q.on):
            added = {"participants": 0, "gift_fen": 0, "other_costs_fen": campaign.costs_fen}
            yield {"campaign_id": name}, added


def offers(q: Asked) -> Iterator[Row]:
    for m in q.members:
        for campaign, (when, arm, tier, unit) in m.offers.items():
            if when < end_of(q.on):
                took = campaign in m.enrolments and m.enrolments[campaign].when < end_of(q.on)
                yield (
                    {"campaign_id": campaign, "tier": tier, "unit_id": unit},
                    {
                        "offered": int(arm == "offered"),
                        "control": int(arm == "control"),
                        "enrolled": int(arm == "offered" and took),
                    },
                )


def whole_months(first: date, on: date) -> list[str]:
    """The months that lie whole between a day and the end of another."""
    month = first if first.day == 1 else months_on(first.replace(day=1), 1)
    found = []
    while months_on(month, 1) <= on + timedelta(days=1):
        found.append(month_of(month))
        month = months_on(month, 1)
    return found


def returns(q: Asked) -> Iterator[Row]:
    name = q.said["campaign_id"]
    months = whole_months(CAMPAIGNS[name].opens_on, q.on)
    for m in q.members:
        known, enrolled = m.offers.get(name), m.enrolments.get(name)
        took = enrolled is not None and enrolled.when < end_of(q.on)
        for arm in ("offered", "control"):
            if offered(m, name, q, arm):
                told = [m.bills[month][1] for month in months if month in m.bills]
                margin = sum(each or 0 for each in told)
                yield {}, {
                    arm: 1, f"margin_{arm}_fen": margin, f"squares_{arm}": margin * margin,
                    f"bills_{arm}": sum(each is not None for each in told),
                    f"kept_{arm}": int(m.on_network_after(q.on)),
                    "gift_fen": enrolled.gift_fen if took and enrolled and arm == "offered" else 0,
                }  # fmt: skip
        if took and not (known and offered(m, name, q)):
            yield {}, {"walk_ins": 1}
    launched = CAMPAIGNS[name].terms[0][0] < end_of(q.on)
    yield (
        {},
        {
            "whole_months": len(months),
            "other_costs_fen": CAMPAIGNS[name].costs_fen if launched else 0,
        },
    )


# ------------------------------------------------------------------------------------- clubs
def openings(q: Asked) -> Iterator[Row]:
    club = CLUBS[q.said["club_id"]]
    said = min(price.since for prices in club.services.values() for price in prices)
    if said < end_of(q.on):
        yield {}, {"day": int(f"{club.opens_on:%Y%m%d}")}


def emergencies(q: Asked) -> Iterator[Row]:
    for when, category, people in q.branch.emergency:
        if q.within(when.date()):
            yield {"club_id": "lounge", "category": category}, {"people": people}


def activities(q: Asked) -> Iterator[Row]:
    for (club, activity), (held, cost) in ACTIVITIES.items():
        if q.within(held.date()):
            key: dict[str, str | None] = {"club_id": club, "activity_id": activity}
            yield key, {"activities": 1, "cost_fen": cost}


def attendances(q: Asked) -> Iterator[Row]:
    for m in q.members:
        for (club, activity), tier in m.attended.items():
            if q.within(ACTIVITIES[club, activity][0].date()):
                key = {"club_id": club, "activity_id": activity, "tier": tier}
                yield key, {"attendances": 1}


# --------------------------------------------------------------------------------- retention
def kept(q: Asked) -> Iterator[Row]:
    low_fen, low_months = (int(q.said.get(n, d)) for n, d in (("low_fen", 5000), ("low_months", 3)))
    months = whole_months(q.first, q.on)
    years_before = [f"{int(month[:4]) - 1}{month[4:]}" for month in months]
    for m in q.members:
        if q.said["cohort_id"] not in m.cohorts:
            continue
        tier, unit = m.cohorts[q.said["cohort_id"]]
        gone = m.joined_at < end_of(q.on) and not m.on_network_after(q.on)
        low = sum(m.bills[month][0] < low_fen for month in months if month in m.bills)
        yield (
            {"tier": tier, "unit_id": unit},
            {
                "base": 1,
                "left": int(gone),
                "low": int(not gone and low >= low_months),
                "revenue_fen": sum(m.bills[x][0] for x in months if x in m.bills),
                "revenue_before_fen": sum(m.bills[x][0] for x in years_before if x in m.bills),
            },
        )


def bills(q: Asked) -> Iterator[Row]:
    months, cohort = whole_months(q.first, q.on), q.said.get("cohort_id")
    for m in q.members:
        if cohort is not None and cohort not in m.cohorts:
            continue
        for month in set(months) & m.bills.keys():
            last = months_on(date.fromisoformat(f"{month}-01"), 1) - timedelta(days=1)
            then = end_of(last) - timedelta(microseconds=1)
            key = {"tier": m.tier(then), "unit_id": m.unit(then), "month": month}
            yield key, {"billed_fen": m.bills[month][0]}


# ------------------------------------------------------------------------------------ visits
def visits(q: Asked) -> Iterator[Row]:
    for m in q.members:
        for v in m.visits:
            if q.within(v.when.date()) and not v.undone:
                yield (
                    {
                        "club_id": v.club, "service_id": v.service, "tier": v.tier,
                        "unit_id": v.unit, "payment": v.payment, "desk": v.desk,
                    },
                    {
                        "visits": 1, "companions": v.companions, "points": v.points,
                        "free_visits": int(v.payment == "free_visit"),
                    },
                )  # fmt: skip


def visits_of_one(q: Asked) -> Iterator[Row]:
    club = q.said["club_id"]
    yield from ((key, added) for key, added in visits(q) if key["club_id"] == club)


def months_open(q: Asked) -> int:
    """The calendar months in which the club was open on some of the days."""
    first = max(q.first, CLUBS[q.said["club_id"]].opens_on)
    return 0 if first > q.on else len(Asked(q.branch, q.on, first, {}).months)


def visitors(q: Asked) -> Iterator[Row]:
    for m in q.members:
        came = [
            v
            for v in m.visits
            if q.within(v.when.date())
            and not v.undone
            and q.said.get("club_id") in (None, v.club)
            and q.said.get("service_id") in (None, v.service)
        ]
        if came:
            key = {"tier": m.tier(NOW), "unit_id": m.unit(NOW)}
            yield key, {"members": 1, "visits": len(came)}


def eligible(q: Asked) -> Iterator[Row]:
    name, end = q.said["club_id"], end_of(q.on) - timedelta(microseconds=1)
    club = CLUBS[name]
    for m in q.members:
        tier = m.tier(end)
        important = club.important and m.is_important(end)
        if m.on_network(end) and (tier in club.tiers or important):
            came = any(
                v.club == name and not v.undone and q.within(v.when.date()) for v in m.visits
            )
            yield {"tier": tier, "unit_id": m.unit(end)}, {"eligible": 1, "came": int(came)}


def entitled(q: Asked) -> Iterator[Row]:
    end = end_of(q.on) - timedelta(microseconds=1)
    for name, club in CLUBS.items():
        for service, prices in club.services.items():
            known = [price for price in prices if price.since <= end]
            price = max(known, key=lambda each: each.since, default=None)
            for m in q.members:
                tier = m.tier(end)
                if price is None or tier not in price.free or not m.on_network(end):
                    continue
                used = sum(
                    (v.club, v.service, v.payment) == (name, service, "free_visit")
                    and not v.undone
                    and q.within(v.when.date())
                    for v in m.visits
                )
                yield (
                    {"club_id": name, "service_id": service, "tier": tier, "unit_id": m.unit(end)},
                    {"granted": price.free[tier], "used": used},
                )


# ---------------------------------------------------------------------------------- measures
Value: TypeAlias = Callable[["Sums"], Fraction | int | None]


@dataclass(frozen=True)
class Plain:
    """A measure in plain Python."""

    of: Of
    value: Value
    once: Callable[[Asked], dict[str, int]] = lambda _: {}


class Sums(dict[str, int]):
    """What the rows add up to; s.visits is its sum of visits."""

    def __getattr__(self, name: str) -> int:
        return self.get(name, 0)


def share(part: Fraction | int, whole: Fraction | int) -> Fraction | None:
    return Fraction(part) / whole if whole else None


def percent(part: int, whole: int) -> Fraction | None:
    return share(100 * part, whole)


def cost_offered(s: "Sums") -> Fraction:
    """What those who were offered cost: their gifts, and their share of all else by heads."""
    heads = s.offered + s.walk_ins
    return s.gift_fen + Fraction(s.other_costs_fen * s.offered, heads or 1)


def incremental(s: "Sums") -> Fraction | None:
    """In fen: more of them all than as many of the control group."""
    if (
        s.control < 2
        or s.offered < 2
        or not s.whole_months
        or not s.bills_offered
        or not s.bills_control
    ):
        return None
    margins = Fraction(s.margin_offered_fen, s.offered) - Fraction(s.margin_control_fen, s.control)
    return margins * s.offered


def returned(s: "Sums") -> Fraction | None:
    more, cost = incremental(s), cost_offered(s)
    return None if more is None or not s.gift_fen + s.other_costs_fen else (more - cost) / cost


def interval(s: "Sums") -> tuple[float, float]:
    """The return, 95% sure: Welch's, by the normal approximation."""
    spread = 0.0
    for heads, total, squares in (
        (s.offered, s.margin_offered_fen, s.squares_offered),
        (s.control, s.margin_control_fen, s.squares_control),
    ):
        spread += (squares - total * total / heads) / (heads - 1) / heads
    value, cost = returned(s), cost_offered(s)
    assert value is not None
    away = 1.959963984540054 * spread**0.5 * s.offered / float(cost)
    return float(value) - away, float(value) + away


def per_retained(s: "Sums") -> Fraction | None:
    if s.control < 2 or s.offered < 2 or not s.gift_fen + s.other_costs_fen:
        return None
    more = s.kept_offered - Fraction(s.kept_control * s.offered, s.control)
    return cost_offered(s) / more / 100 if more > 0 else None


def worth(q: Asked) -> dict[str, int]:
    return {"fen_per_1000": int(q.said.get("fen_per_1000", 0))}


PLAINLY: dict[str, Plain] = {
    "bindings.base": Plain(binding_base, lambda s: s.base),
    "bindings.bound": Plain(binding_base, lambda s: s.bound),
    "bindings.rate": Plain(binding_base, lambda s: percent(s.bound, s.base)),
    "bindings.active": Plain(bindings, lambda s: s.active),
    "bindings.started": Plain(bindings, lambda s: s.started),
    "bindings.ended_early": Plain(bindings, lambda s: s.ended_early),
    "points.outstanding": Plain(lots, lambda s: s.outstanding),
    "points.spendable": Plain(lots, lambda s: s.spendable),
    "points.lapsing": Plain(lots, lambda s: s.lapsing),
    "points.liability": Plain(
        lots,
        lambda s: Fraction(s.outstanding * s.fen_per_1000, 100_000) if s.fen_per_1000 else None,
        worth,
    ),
    "points.credited": Plain(movements, lambda s: s.credited),
    "points.debited": Plain(movements, lambda s: s.debited),
    "points.expired": Plain(lots, lambda s: s.expired),
    "points.reversed": Plain(movements, lambda s: s.reversed),
    "points.use_rate": Plain(movements, lambda s: percent(s.debited, s.credited)),
    "members.vips": Plain(holders, lambda s: s.vips),
    "members.growth": Plain(holders, lambda s: s.vips - s.before),
    "members.growth_rate": Plain(holders, lambda s: percent(s.vips - s.before, s.before)),
    "members.on_net_rate": Plain(holders, lambda s: percent(s.vips - s.left, s.vips)),
    "members.on_network": Plain(customers, lambda s: s.on_network),
    "members.joined": Plain(customers, lambda s: s.joined),
    "members.left": Plain(customers, lambda s: s.left),
    "campaigns.participants": Plain(enrolments, lambda s: s.participants),
    "campaigns.prepaid": Plain(enrolments, lambda s: Fraction(s.prepaid_fen, 100)),
    "campaigns.mean_prepaid": Plain(
        enrolments, lambda s: share(s.prepaid_fen, 100 * s.participants)
    ),
    "campaigns.gifts": Plain(enrolments, lambda s: Fraction(s.gift_fen, 100)),
    "campaigns.cost": Plain(costs, lambda s: Fraction(s.gift_fen + s.other_costs_fen, 100)),
    "campaigns.cost_per_participant": Plain(
        costs, lambda s: share(s.gift_fen + s.other_costs_fen, 100 * s.participants)
    ),
    "campaigns.walk_ins": Plain(enrolments, lambda s: s.walk_ins),
    "campaigns.offered": Plain(offers, lambda s: s.offered),
    "campaigns.control": Plain(offers, lambda s: s.control),
    "campaigns.incremental": Plain(
        returns, lambda s: None if (more := incremental(s)) is None else more / 100
    ),
    "campaigns.return": Plain(returns, returned),
    "campaigns.cost_per_retained": Plain(returns, per_retained),
    "campaigns.take_up": Plain(offers, lambda s: percent(s.enrolled, s.offered)),
    "clubs.opened_on": Plain(openings, lambda s: s.day or None),
    "clubs.emergency_people": Plain(emergencies, lambda s: s.people),
    "clubs.activities": Plain(activities, lambda s: s.activities),
    "clubs.activity_cost": Plain(activities, lambda s: Fraction(s.cost_fen, 100)),
    "clubs.attendances": Plain(attendances, lambda s: s.attendances),
    "retention.base": Plain(kept, lambda s: s.base),
    "retention.left": Plain(kept, lambda s: s.left),
    "retention.low": Plain(kept, lambda s: s.low),
    "retention.lost": Plain(kept, lambda s: s.left + s.low),
    "retention.rate": Plain(kept, lambda s: percent(s.base - s.left - s.low, s.base)),
    "retention.revenue_rate": Plain(kept, lambda s: percent(s.revenue_fen, s.revenue_before_fen)),
    "bills.amount": Plain(bills, lambda s: Fraction(s.billed_fen, 100)),
    "visits.count": Plain(visits, lambda s: s.visits),
    "visits.companions": Plain(visits, lambda s: s.companions),
    "visits.points": Plain(visits, lambda s: s.points),
    "visits.free": Plain(visits, lambda s: s.free_visits),
    "visits.monthly": Plain(
        visits_of_one, lambda s: share(s.visits, s.months), lambda q: {"months": months_open(q)}
    ),
    "visits.members": Plain(visitors, lambda s: s.members),
    "visits.each": Plain(visitors, lambda s: share(s.visits, s.members)),
    "visits.eligible": Plain(eligible, lambda s: s.eligible),
    "visits.reach": Plain(eligible, lambda s: percent(s.came, s.eligible)),
    "visits.entitlement": Plain(entitled, lambda s: percent(s.used, s.granted)),
}


def rounded(value: Fraction | int | None, digits: int) -> str | None:
    """As it is printed: half up, away from zero."""
    if value is None:
        return None
    scaled = abs(Fraction(value)) * 10**digits + Fraction(1, 2)
    whole = scaled.numerator // scaled.denominator
    text = f"{whole:0{digits + 1}}"
    text = f"{text[:-digits]}.{text[-digits:]}" if digits else text
    return f"-{text}" if value < 0 and whole else text


ALL = "all of it"


def plainly(
    measure_id: str, asked: Asked, rows: list[Row], by: str | None, digits: int
) -> dict[str | None, tuple[str | None, Sums]]:
    """What a measure comes to in each part, with its sums; in all, if it is by nothing."""
    plain = PLAINLY[measure_id]
    found: dict[str | None, Sums] = {} if by else {ALL: Sums()}
    for key, added in rows:
        if all(key.get(name, value) == value for name, value in asked.said.items()):
            sums = found.setdefault(key.get(by) if by else ALL, Sums())
            for name, number in added.items():
                sums[name] = sums.get(name, 0) + number
    once = plain.once(asked)
    for sums in found.values():
        sums.update(once)
    return {key: (rounded(plain.value(sums), digits), sums) for key, sums in found.items()}


QUESTIONS = [
    (LAST, None),
    (date(2024, 2, 29), None),
    (date(2025, 6, 30), date(2024, 7, 15)),
    (date(2025, 3, 17), date(2025, 2, 20)),
    (date(2025, 8, 17), date(2024, 1, 20)),
]
"""(the day, the first day if it is said)"""
NEEDED = {
    "campaign_id": list(CAMPAIGNS),
    "club_id": list(CLUBS),
    "cohort_id": list(COHORTS),
}
