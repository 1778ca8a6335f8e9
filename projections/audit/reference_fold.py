"""The same answers folded in plain Python, an event at a time: the second opinion.

It shares nothing with the SQL but the names of tables and columns. Tests compare the two over
histories that nobody thought of; an auditor may do so over a sample.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from domain import (
    admissions,
    bindings,
    campaigns,
    clubs,
    cohorts,
    enrolments,
    members,
    units,
    visits,
)
from domain.kernel.correction import TakesBack
from domain.kernel.event import Event
from domain.kernel.postings import ACCOUNTS, MovesPoints, Postings, balances
from domain.kernel.values import local_date
from domain.points import movements

Row = dict[str, Any]
LOW_YUAN = 50


@dataclass(frozen=True, slots=True)
class Stored:
    """An event with its place in the log."""

    bucket: int
    position: int
    stream: str
    event: Event

    @property
    def id(self) -> str:
        return self.stream.partition(":")[2]


class ReferenceFold:
    """All tables: by name, the rows by their key.

    `gaps`: events were left out, so that one may speak of a row that is not there; it changes none.
    """

    def __init__(self, *, gaps: bool = False) -> None:
        self.tables: dict[str, dict[tuple[Any, ...], Row]] = {}
        self.gaps = gaps
        self._spans: dict[str, list[Row]] = {}  # by member, in the order of time
        # What can be corrected, by stream, topic and name.
        self._told: dict[tuple[str, str, str], Stored] = {}
        self._places = set[tuple[str, int]]()  # taken, by campaign

    def take(self, table: str) -> list[Row]:
        """The rows of a table, which are then forgotten: what keeps a long log in little memory."""
        found = self.rows(table)
        self.tables.pop(table, None)
        self._spans.clear()  # Whoever takes rows is done with the members they are about.
        self._told.clear()
        return found

    def rows(self, table: str) -> list[Row]:
        """The rows of a table, with what SQL generates."""
        found = self.tables.get(table, {}).values()
        return [{**row, **generated(table, row)} for row in found]

    def fold(self, log: Iterable[Stored]) -> "ReferenceFold":
        """Take events in the order of their lanes."""
        for stored in log:
            self._handler(stored)(stored, stored.event)
            if isinstance(stored.event, MovesPoints):
                self._moved(stored, stored.event.postings)
            if stored.event.named_by is not None:
                self._told[stored.stream, stored.event.topic, stored.event.named] = stored
        return self

    def _handler(self, stored: Stored) -> Callable[..., None]:
        if isinstance(stored.event, TakesBack):
            return self._taken_back
        return getattr(self, f"on_{stored.event.topic.replace('.', '_')}", ignored)

    def _taken_back(self, at: Stored, event: TakesBack) -> None:
        wrong = self._told.pop((at.stream, event.fact, event.which), None)
        assert wrong or self.gaps, f"{event.fact} {event.which} is corrected and was never told"
        if wrong:
            self._handler(wrong)(wrong, wrong.event, -1)

    def _add(self, table: str, key: tuple[Any, ...], **row: Any) -> Row:
        assert key not in self.tables.setdefault(table, {}), f"two rows of {table} for {key}"
        return self.tables[table].setdefault(key, row)

    def _row(self, table: str, *key: Any) -> Row:
        if self.gaps and key not in self.tables.get(table, {}):
            return defaultdict(int)
        return self.tables[table][key]

    def _sum(self, table: str, key: Row, **amounts: int) -> None:
        rows = self.tables.setdefault(table, {})
        row = rows.setdefault(tuple(key.values()), {**key, **dict.fromkeys(amounts, 0)})
        for name, amount in amounts.items():
            row[name] += amount

    def _drop_zero(self, table: str, counted: str, key: Row) -> None:
        """A row of which nothing is left is none."""
        if not self.tables[table][tuple(key.values())][counted]:
            del self.tables[table][tuple(key.values())]

    def _latest(self, row: Row, since: str, event: Event, **values: Any) -> None:
        """Take in what holds from then on, unless a later value is known."""
        if not row[since] or row[since] <= event.occurred_at:
            row.update({since: event.occurred_at, **values})

    # ------------------------------------------------------------------------ units, members
    def on_unit_opened(self, at: Stored, event: units.UnitOpened) -> None:
        known = self.tables.get("unit", {}).get((at.id,))
        if known:
            self._latest(known, "titled_at", event, title=event.title)
            known["opened_at"] = min(known["opened_at"], event.occurred_at)
        else:
            self._add("unit", (at.id,), bucket=at.bucket, unit_id=at.id, title=event.title,
                      titled_at=event.occurred_at, opened_at=event.occurred_at)  # fmt: skip

    def on_member_joined(self, at: Stored, event: members.MemberJoined) -> None:
        self._add("member", (at.id,), bucket=at.bucket, member_id=at.id, unit_id=event.unit_id,
                  joined_at=event.occurred_at, tier=None, tier_since=None, important=False,
                  important_since=None, left_at=None)  # fmt: skip

    def on_member_marked_important(self, at: Stored, event: members.MemberMarkedImportant) -> None:
        row = self._row("member", at.id)
        self._latest(row, "important_since", event, important=event.important)

    def on_member_left(self, at: Stored, event: members.MemberLeft, sign: int = 1) -> None:
        self._row("member", at.id)["left_at"] = event.occurred_at if sign > 0 else None

    def on_tier_changed(self, at: Stored, event: members.TierChanged) -> None:
        self._latest(self._row("member", at.id), "tier_since", event, tier=event.tier)
        spans = self._spans.setdefault(at.id, [])
        self._turns(spans, -1)
        spans.append(self._add(
            "tier_span", (at.id, at.position), bucket=at.bucket, member_id=at.id,
            position=at.position, tier=event.tier, unit_id=event.unit_id, since=event.occurred_at,
            until=None, reason=event.reason))  # fmt: skip
        spans.sort(key=lambda span: (span["since"], span["position"]))
        for span, following in zip(spans, [*spans[1:], None], strict=True):
            span["until"] = following and following["since"]
        self._turns(spans, 1)

    def _turns(self, spans: list[Row], sign: int) -> None:
        """Put what spans of tiers add to the days in, or take it out; no row is left at zero."""
        days = self.tables.setdefault("tier_day", {})
        for span in spans:
            for instant, delta in ((span["since"], sign), (span["until"], -sign)):
                if span["tier"] is not None and instant is not None:
                    key = {"bucket": span["bucket"], "day": local_date(instant),
                           "unit_id": span["unit_id"], "tier": span["tier"]}  # fmt: skip
                    self._sum("tier_day", key, delta=delta)
                    if not days[tuple(key.values())]["delta"]:
                        del days[tuple(key.values())]

    def on_bill_issued(self, at: Stored, event: members.BillIssued, sign: int = 1) -> None:
        year, month = (int(part) for part in event.month.split("-"))
        key = {"bucket": at.bucket, "member_id": at.id, "year": year}
        low = event.amount_fen < LOW_YUAN * 100
        bit = sign * 2 ** (month - 1)
        self._sum("bill_year", key, billed_months=bit, low_months=bit if low else 0,
                  amount_fen=sign * event.amount_fen,
                  margin_fen=sign * (event.margin_fen or 0))  # fmt: skip
        self._drop_zero("bill_year", "billed_months", key)

    # -------------------------------------------------------------------------------- points
    def _moved(self, at: Stored, postings: Postings) -> None:
        for lot, accounts in balances(postings).items():
            changes = {name: accounts[name] for name in ACCOUNTS}
            for name, change in changes.items():
                self._row("lot", at.id, lot)[name] += change
            self._sum("account", {"bucket": at.bucket, "member_id": at.id}, **changes)

    def on_points_credited(self, at: Stored, event: movements.PointsCredited) -> None:
        self._add("lot", (at.id, event.lot), bucket=at.bucket, member_id=at.id, lot=event.lot,
                  **dict.fromkeys(ACCOUNTS, 0), earned_at=event.occurred_at,
                  available_from=event.available_from or event.occurred_at,
                  expires_at=event.expires_at, source=event.source, rule=event.rule)  # fmt: skip

    # --------------------------------------------------------------------------------- clubs
    def on_club_opened(self, at: Stored, event: clubs.ClubOpened) -> None:
        self._add("club", (at.id,), bucket=at.bucket, club_id=at.id, title=event.title,
                  opens_on=event.opens_on, opens_minute=event.opens_minute,
                  closes_minute=event.closes_minute, tiers=list(event.tiers),
                  important=event.important, capacity=event.capacity,
                  in_emergency=False, switched_at=None)  # fmt: skip

    def on_emergency_declared(self, at: Stored, event: clubs.EmergencyDeclared) -> None:
        self._latest(self._row("club", at.id), "switched_at", event, in_emergency=True)

    def on_emergency_ended(self, at: Stored, event: clubs.EmergencyEnded) -> None:
        self._latest(self._row("club", at.id), "switched_at", event, in_emergency=False)

    def on_service_priced(self, at: Stored, event: clubs.ServicePriced) -> None:
        self._add("service", (at.id, event.service_id, event.price_version), bucket=at.bucket,
                  club_id=at.id, service_id=event.service_id, price_version=event.price_version,
                  title=event.title, points=event.points, tier_points=dict(event.tier_points),
                  companion_points=event.companion_points, free_visits=dict(event.free_visits),
                  since=event.occurred_at)  # fmt: skip

    def on_visit_emergency_admitted(
        self, at: Stored, event: admissions.EmergencyAdmitted, sign: int = 1
    ) -> None:
        key = {"bucket": at.bucket, "club_id": at.id, "day": local_date(event.occurred_at),
               "category": event.category}  # fmt: skip
        self._sum("emergency_use", key, admissions=sign, people=sign * event.people)
        self._drop_zero("emergency_use", "admissions", key)

    def on_activity_held(self, at: Stored, event: clubs.ActivityHeld, sign: int = 1) -> None:
        if sign < 0:
            del self.tables["activity"][at.id, event.activity_id]
            return
        self._add("activity", (at.id, event.activity_id), bucket=at.bucket, club_id=at.id,
                  activity_id=event.activity_id, title=event.title, held_at=event.occurred_at,
                  cost_fen=event.cost_fen, fee_fen=event.fee_fen,
                  commission_fen=event.commission_fen)  # fmt: skip

    def on_activity_attended(
        self, at: Stored, event: visits.ActivityAttended, sign: int = 1
    ) -> None:
        key = {"bucket": at.bucket, "club_id": event.club_id, "activity_id": event.activity_id,
               "tier": event.tier}  # fmt: skip
        self._sum("activity_use", key, attendances=sign)
        self._drop_zero("activity_use", "attendances", key)

    def on_visit_recorded(self, at: Stored, event: visits.VisitRecorded) -> None:
        row = self._add("visit", (at.id, event.visit), bucket=at.bucket, member_id=at.id,
                        visit=event.visit, position=at.position, occurred_at=event.occurred_at,
                        club_id=event.club_id, service_id=event.service_id, tier=event.tier,
                        important=event.important, unit_id=event.unit_id,
                        companions=event.companions, payment=event.payment, points=event.points,
                        price_version=event.price_version, desk=event.desk, actor=event.actor,
                        undone_at=None)  # fmt: skip
        self._use(row, 1)

    def on_visit_undone(self, at: Stored, event: visits.VisitUndone) -> None:
        row = self._row("visit", at.id, event.visit)
        row["undone_at"] = event.occurred_at
        self._use(row, -1)

    def _use(self, visit: Row, sign: int) -> None:
        key = {name: visit[name] for name in ("bucket", "club_id", "service_id", "tier", "unit_id")}
        free = visit["payment"] == "free_visit"
        self._sum("club_use", {**key, "month": month_of(visit["occurred_at"])}, visits=sign,
                  companions=sign * visit["companions"], points=sign * visit["points"],
                  free_visits=sign if free else 0)  # fmt: skip

    # ----------------------------------------------------------- campaigns, bindings, cohorts
    def on_campaign_launched(self, at: Stored, event: campaigns.CampaignLaunched) -> None:
        self._add("campaign", (at.id,), bucket=at.bucket, campaign_id=at.id, title=event.title,
                  kind=event.kind, opens_on=event.opens_on, closes_on=event.closes_on,
                  tiers=list(event.tiers), untiered=event.untiered, cap=event.cap,
                  budget_fen=event.budget_fen, control_bp=event.control_bp,
                  other_costs_fen=sum(cost.cost_fen for cost in event.costs),
                  launched_at=event.occurred_at, closed_at=None, places=0)  # fmt: skip
        self._terms(at, event, 1)

    def on_campaign_terms_changed(self, at: Stored, event: campaigns.TermsChanged) -> None:
        self._terms(at, event, event.terms_version)

    def _terms(
        self, at: Stored, event: campaigns.CampaignLaunched | campaigns.TermsChanged, version: int
    ) -> None:
        self._add("campaign_terms", (at.id, version), bucket=at.bucket, campaign_id=at.id,
                  terms_version=version, prepaid_min_fen=event.prepaid_min_fen,
                  gift_bp=event.gift_bp, months_bound=event.months_bound,
                  min_monthly_fen=event.min_monthly_fen, since=event.occurred_at)  # fmt: skip

    def on_campaign_closed(
        self, at: Stored, event: campaigns.CampaignClosed, sign: int = 1
    ) -> None:
        self._row("campaign", at.id)["closed_at"] = event.occurred_at if sign > 0 else None

    def on_campaign_place_taken(self, at: Stored, event: enrolments.PlaceTaken) -> None:
        self._row("campaign", at.id)["places"] += 1
        self._places.add((at.id, event.place))

    def on_campaign_place_freed(self, at: Stored, event: enrolments.PlaceFreed) -> None:
        if (at.id, event.place) in self._places:
            self._row("campaign", at.id)["places"] -= 1

    def on_campaign_enrolled(
        self, at: Stored, event: enrolments.CampaignEnrolled, sign: int = 1
    ) -> None:
        key = {"bucket": at.bucket, "campaign_id": event.campaign_id, "tier": event.tier,
               "unit_id": event.unit_id}  # fmt: skip
        self._sum("campaign_use", key, participants=sign, prepaid_fen=sign * event.prepaid_fen,
                  gift_fen=sign * event.gift_fen)  # fmt: skip
        self._drop_zero("campaign_use", "participants", key)

    def on_binding_started(self, at: Stored, event: bindings.BindingStarted, sign: int = 1) -> None:
        if sign < 0:
            del self.tables["binding"][at.id, event.binding]
            return
        self._add("binding", (at.id, event.binding), bucket=at.bucket, member_id=at.id,
                  binding=event.binding, policy=event.policy, campaign_id=event.campaign_id,
                  unit_id=event.unit_id, starts_on=event.starts_on, ends_on=event.ends_on,
                  ended_on=None, cause=None)  # fmt: skip

    def on_binding_ended(self, at: Stored, event: bindings.BindingEnded, sign: int = 1) -> None:
        row = self._row("binding", at.id, event.binding)
        ended_on, cause = (event.ended_on, event.cause) if sign > 0 else (None, None)
        row.update(ended_on=ended_on, cause=cause)

    def on_cohort_opened(self, at: Stored, event: cohorts.CohortOpened) -> None:
        self._add("cohort", (at.id,), bucket=at.bucket, cohort_id=at.id, title=event.title,
                  purpose=event.purpose, criterion=event.criterion, taken_on=event.taken_on,
                  opened_at=event.occurred_at, frozen_at=None, size=None)  # fmt: skip

    def on_cohort_frozen(self, at: Stored, event: cohorts.CohortFrozen) -> None:
        self._row("cohort", at.id).update(frozen_at=event.occurred_at, size=event.size)

    def on_cohort_included(self, at: Stored, event: cohorts.CohortIncluded, sign: int = 1) -> None:
        if sign < 0:
            del self.tables["cohort_member"][event.cohort_id, at.id]
            return
        self._add("cohort_member", (event.cohort_id, at.id), bucket=at.bucket,
                  cohort_id=event.cohort_id, member_id=at.id, tier=event.tier,
                  unit_id=event.unit_id)  # fmt: skip


def ignored(at: Stored, event: Event, sign: int = 1) -> None:
    """No answer asks for this event."""


def generated(table: str, row: Row) -> Row:
    """The columns that SQL computes from the others of a row."""
    if table == "binding":
        return {"until": row["ended_on"] or row["ends_on"]}
    return {}


def month_of(instant: datetime) -> date:
    """The first day of the programme's month."""
    return local_date(instant).replace(day=1)
