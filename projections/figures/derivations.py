"""How each figure of the report is derived from the answers, under the ids of `figures.toml`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from functools import cached_property
from typing import Any

from projections import bindings, campaigns, clubs, cohorts, members, visits
from projections.engine.connection import Conn
from projections.engine.days import end_of, months_between
from projections.engine.ratio import Ratio, rounded
from projections.figures import evidence, returns

RETENTION_2007 = Fraction("91.40")  # 98.82 - 7.42
RETENTION_CONTEST = Fraction("86.00")  # 98.82 - 12.82
RETENTION_CHALLENGE = Fraction(83)
ON_NET_2007 = Fraction("99.94")  # 99.95 - 0.01
"""Last year's values and targets, in percent: claims of the document, not derived."""
THE_THREE = ("yi_lu_zou_guo", "ten_years_gift", "golden_autumn")
TIERS = ("diamond", "gold", "silver", "member")


@dataclass(frozen=True, slots=True)
class Derived:
    """An exact value with its inputs; without a value, `why` says what is missing."""

    value: Fraction | int | None
    inputs: dict[str, Any] = field(default_factory=dict)
    why: str | None = None
    note: str | None = None


@dataclass
class Report:
    """The answers at a date, each asked once."""

    conn: Conn
    on: date

    @property
    def first(self) -> date:
        return self.on.replace(month=1, day=1)

    @property
    def year_before(self) -> date:
        return date(self.on.year - 1, 12, 31)

    @cached_property
    def tiers(self) -> members.Tiers:
        return members.tiers(self.conn, self.on)

    @cached_property
    def growth(self) -> members.Growth:
        return members.growth(self.conn, self.on, self.year_before)

    @cached_property
    def on_net(self) -> members.OnNet:
        return members.on_net(self.conn, self.on)

    def cohort(self, purpose: str) -> str | None:
        """The latest cohort for this purpose that had been taken by the date."""
        known = [c for c in self.all_cohorts if c.purpose == purpose and c.taken_on <= self.on]
        return max(known, key=lambda c: (c.taken_on, c.cohort_id)).cohort_id if known else None

    @cached_property
    def all_cohorts(self) -> list[cohorts.Cohort]:
        return cohorts.cohorts(self.conn)

    @cached_property
    def retention(self) -> cohorts.Retention | None:
        cohort = self.cohort("retention")
        return cohorts.retention(self.conn, cohort, self.on) if cohort else None

    @cached_property
    def binding(self) -> bindings.BindingRate | None:
        cohort = self.cohort("binding")
        return bindings.binding_rate(self.conn, cohort, self.on) if cohort else None

    @cached_property
    def launched(self) -> dict[str, campaigns.Campaign]:
        return {found.campaign_id: found for found in campaigns.campaigns(self.conn, self.on)}

    def opens_on(self, club: str) -> date | None:
        """The day on which a club opens, if it had said so by the date."""
        found = self.conn.execute(
            "SELECT opens_on FROM club_opened WHERE club_id = %s AND occurred_at < %s",
            (club, end_of(self.on)),
        ).fetchone()
        return None if found is None else found[0]

    @cached_property
    def activities(self) -> list[clubs.Activity]:
        held = clubs.activities(self.conn, "car")
        end = evidence.bounds(self.on)
        return [each for each in held if end["start"] <= each.held_at < end["end"]]


Derive = Callable[[Report], Derived]
DERIVE: dict[str, Derive] = {}
"""How each figure is derived; those that the document only claims have none."""


def derives(*ids: str) -> Callable[[Derive], Derive]:
    """Registers a function for these figures."""

    def register(function: Derive) -> Derive:
        DERIVE.update(dict.fromkeys(ids, function))
        return function

    return register


# ------------------------------------------------------------------------------------ members
@derives("members.vip_total")
def _vips(report: Report) -> Derived:
    return Derived(report.tiers.vips, {tier: getattr(report.tiers, tier) for tier in TIERS})


@derives("members.growth")
def _growth(report: Report) -> Derived:
    return Derived(report.growth.added, _of_growth(report))


@derives("members.growth_rate")
def _growth_rate(report: Report) -> Derived:
    return _percent(report.growth.rate.value, _of_growth(report))


def _of_growth(report: Report) -> dict[str, Any]:
    growth = report.growth
    return {f"VIPs at {growth.on}": growth.vips, f"VIPs at {growth.against}": growth.before}


def _tier(tier: str) -> Derive:
    return lambda report: Derived(getattr(report.tiers, tier))


for _name in TIERS:
    derives(f"members.{_name}")(_tier(_name))


@derives("members.silver_and_above")
def _silver_and_above(report: Report) -> Derived:
    return _share(report, report.tiers.silver_and_above)


@derives("members.ordinary_share")
def _ordinary_share(report: Report) -> Derived:
    return _share(report, report.tiers.member)


def _share(report: Report, part: int) -> Derived:
    vips = report.tiers.vips
    return _percent(Fraction(part, vips) if vips else None, {"part": part, "VIPs": vips})


def _percent(value: Fraction | None, inputs: dict[str, Any], note: str | None = None) -> Derived:
    if value is None:
        return Derived(None, inputs, "the whole is zero")
    return Derived(value * 100, inputs, note=note)


# -------------------------------------------------------------------------- retention, network
@derives("retention.retention_rate")
def _retention_rate(report: Report) -> Derived:
    return _above(_of_retention(report), 0)


@derives("retention.above_challenge")
def _above_challenge(report: Report) -> Derived:
    return _above(_of_retention(report), RETENTION_CHALLENGE)


@derives("retention.above_2007")
def _retention_above_2007(report: Report) -> Derived:
    return _above(_of_retention(report), RETENTION_2007)


@derives("retention.above_contest")
def _above_contest(report: Report) -> Derived:
    return _above(_of_retention(report), RETENTION_CONTEST)


def _of_retention(report: Report) -> Derived:
    found = report.retention
    if found is None:
        return Derived(None, why="there is no cohort for retention")
    parts = {name: getattr(found, name) for name in ("cohort_id", "base", "left", "low", "lost")}
    note = None
    if found.size not in (None, found.base):
        note = f"The cohort was frozen with {found.size} customers and holds {found.base}."
    return _percent(found.rate.value, parts, note)


@derives("on_net.on_net_rate")
def _on_net_rate(report: Report) -> Derived:
    found = report.on_net
    return _percent(found.rate.value, {"VIPs": found.vips, "left": found.left})


@derives("on_net.above_2007")
def _on_net_above_2007(report: Report) -> Derived:
    return _above(_on_net_rate(report), ON_NET_2007)


def _above(rate: Derived, claim: Fraction | int) -> Derived:
    """A rate, or how far it lies above a claim, in percentage points."""
    if rate.value is None:
        return rate
    inputs = {**rate.inputs, "claimed": rounded(claim, 2)} if claim else rate.inputs
    return Derived(rate.value - claim, inputs, note=rate.note)


# -------------------------------------------------------------------------------------- clubs
@derives("clubs.health_opened")
def _health_opened(report: Report) -> Derived:
    opens_on = report.opens_on("health")
    if opens_on is None:
        return Derived(None, why="there is no health club")
    return Derived(int(f"{opens_on:%Y%m%d}"), {"opens on": opens_on})


@derives("clubs.health_visits")
def _health_visits(report: Report) -> Derived:
    found = visits.club_use(report.conn, "health", date.min.replace(year=1900), report.on)
    if found is None or report.opens_on("health") is None:
        return Derived(None, why="there is no health club")
    return Derived(found.visits, {"distinct members": found.distinct_members})


@derives("clubs.car_activities")
def _car_activities(report: Report) -> Derived:
    return Derived(len(report.activities), {a.title: a.held_at for a in report.activities})


@derives("clubs.car_attendance")
def _car_attendance(report: Report) -> Derived:
    by_title = {activity.title: activity.attendances for activity in report.activities}
    return Derived(sum(activity.attendances for activity in report.activities), by_title)


@derives("clubs.lounge_monthly")
def _lounge_monthly(report: Report) -> Derived:
    opens_on = report.opens_on("lounge")
    if opens_on is None:
        return Derived(None, why="there is no station lounge")
    came = visits.use(report.conn, report.first, report.on, ("club_id", "tier"), club_id="lounge")
    of_vips = sum(each.visits for each in came if each.tier is not None)
    mean = Ratio(of_vips, months_between(max(report.first, opens_on), report.on))
    inputs = {"visits": of_vips, "months open": mean.whole}
    why = None if mean.whole else "the lounge was not open"
    return Derived(mean.value, inputs, why)


@derives("clubs.lounge_emergency")
def _lounge_emergency(report: Report) -> Derived:
    found = clubs.emergencies(report.conn, report.first, report.on, "lounge")
    by_category = dict.fromkeys(("elderly", "child", "other"), 0)
    for each in found:
        by_category[each.category] += each.people
    admissions = sum(each.admissions for each in found)
    return Derived(sum(by_category.values()), {**by_category, "admissions": admissions})


# ---------------------------------------------------------------------------------- campaigns
def _campaign_figures(campaign_id: str) -> None:
    @derives(f"campaigns.{campaign_id}.participants")
    def _participants(report: Report) -> Derived:
        found = report.launched.get(campaign_id)
        return (
            Derived(found.participants, _of_campaign(found)) if found else _no_campaign(campaign_id)
        )

    @derives(f"campaigns.{campaign_id}.prepaid_yuan")
    def _prepaid(report: Report) -> Derived:
        found = report.launched.get(campaign_id)
        if found is None:
            return _no_campaign(campaign_id)
        return Derived(Fraction(found.prepaid_fen, 100), _of_campaign(found))

    @derives(f"campaigns.{campaign_id}.mean_prepaid")
    def _mean(report: Report) -> Derived:
        found = report.launched.get(campaign_id)
        if found is None or not found.participants:
            return _no_campaign(campaign_id)
        return Derived(Fraction(found.prepaid_fen, 100 * found.participants), _of_campaign(found))

    @derives(f"campaigns.{campaign_id}.return")
    def _return(report: Report) -> Derived:
        launched = report.launched.get(campaign_id)
        if launched is None:
            return Derived(None, why="Not computable: unknown campaign.")
        found = returns.campaign_return(report.conn, launched, report.on)
        if found.value is None:
            return Derived(None, why=f"Not computable: {found.reason}.")
        assert found.offered is not None is not found.control
        inputs = {
            "first month": found.first_month,
            "last month": found.last_month,
            "customers offered": found.offered.customers,
            "margin offered (fen)": found.offered.margin_fen,
            "customers control": found.control.customers,
            "margin control (fen)": found.control.margin_fen,
            "incremental margin (fen)": found.incremental_fen,
            "cost (fen)": found.cost_fen,
            "low": found.low,
            "high": found.high,
        }
        note = f"95% interval from {found.low} to {found.high}."
        return Derived(Fraction(found.value), inputs, note=note)


def _of_campaign(found: campaigns.Campaign) -> dict[str, Any]:
    return {
        "participants": found.participants,
        "prepaid (fen)": found.prepaid_fen,
        "gift credit (fen)": found.gift_fen,
        "other costs (fen)": found.other_costs_fen,
    }


def _no_campaign(campaign_id: str) -> Derived:
    return Derived(None, why=f"nobody takes part in {campaign_id}")


for _name in THE_THREE:
    _campaign_figures(_name)


@derives("campaigns.all_three.participants")
def _all_participants(report: Report) -> Derived:
    each = {
        name: report.launched[name].participants for name in THE_THREE if name in report.launched
    }
    return Derived(sum(each.values()), each)


@derives("campaigns.all_three.prepaid_yuan")
def _all_prepaid(report: Report) -> Derived:
    fen = {n: report.launched[n].prepaid_fen for n in THE_THREE if n in report.launched}
    return Derived(Fraction(sum(fen.values()), 100), {f"{n} (fen)": x for n, x in fen.items()})


# ------------------------------------------------------------------------------------ binding
_NO_BASE = Derived(None, why="there is no cohort for binding")


@derives("binding.base")
def _binding_base(report: Report) -> Derived:
    found = report.binding
    return _NO_BASE if found is None else Derived(found.base, {"cohort_id": found.cohort_id})


@derives("binding.bound")
def _bound(report: Report) -> Derived:
    found = report.binding
    return _NO_BASE if found is None else Derived(found.bound, {"cohort_id": found.cohort_id})


@derives("binding.rate")
def _binding_rate(report: Report) -> Derived:
    found = report.binding
    if found is None:
        return _NO_BASE
    return _percent(found.rate.value, {"bound": found.bound, "base": found.base})
