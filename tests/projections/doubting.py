"""Doubts once more, in plain Python over the events, a fact at a time."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from domain.kernel.correction import TakesBack
from domain.kernel.values import local_date, local_minute, start_of
from projections.audit.doubts import Doubt, Judged
from projections.engine.reference import Stored

Told = tuple[datetime, int, Any]
"""When a value began to hold, how late among others it was told, and the value."""


def held(told: Iterable[Told], at: datetime, otherwise: Any = None) -> Any:
    """What holds at an instant by all that was told."""
    known = [each for each in told if each[0] <= at]
    return max(known, key=lambda each: each[:2])[2] if known else otherwise


def counted(log: Iterable[Stored]) -> list[Stored]:
    """What no later event corrects."""
    found: list[Stored] = []
    for stored in log:
        event = stored.event
        if isinstance(event, TakesBack):
            told = (stored.stream, event.fact, event.which)
            found.remove(
                next(s for s in reversed(found) if (s.stream, s.event.topic, s.event.named) == told)
            )
        found.append(stored)
    return found


class Doubting:
    """All that was told, by topic; and what of it was taken back."""

    def __init__(self, log: Iterable[Stored]) -> None:
        self.log = counted(log)
        self.order = {id(stored): n for n, stored in enumerate(self.log)}
        self.undone = {(s.id, s.event.visit) for s in self.of("visit.undone")}

    def of(self, *topics: str, stream: str | None = None) -> list[Any]:
        return [
            stored
            for stored in self.log
            if stored.event.topic in topics and (stream is None or stored.id == stream)
        ]

    def values(self, found: Iterable[Any], value: Callable[[Any], Any]) -> list[Told]:
        return [(s.event.occurred_at, self.order[id(s)], value(s.event)) for s in found]

    def tier(self, member: str, at: datetime) -> Any:
        return held(self.values(self.of("tier.changed", stream=member), lambda e: e.tier), at)

    def units(self, member: str) -> list[Told]:
        told = self.of("member.joined", "member.moved", "member.returned", stream=member)
        return self.values(told, lambda e: e.unit_id)

    def emergency(self, club: str, at: datetime) -> bool:
        switches = self.of("emergency.declared", "emergency.ended", stream=club)
        declared = self.values(switches, lambda e: e.topic == "emergency.declared")
        return bool(held(declared, at))

    def differences(self, stored: Any) -> dict[str, tuple[Any, Any]]:
        """By what it was judged and what now holds, where that is another."""
        event, member = stored.event, stored.id
        if event.topic == "visit.recorded" and (member, event.visit) in self.undone:
            return {}
        at = self.judged_at(event)
        found: dict[str, tuple[Any, Any]] = {}
        if "tier" in type(event).model_fields and event.topic != "tier.changed":
            found["tier"] = event.tier, self.tier(member, at)
        if event.topic == "tier.changed":
            tiers = self.values(self.of("tier.changed", stream=member), lambda e: e.tier)
            before = [each for each in tiers if each[:2] < (at, self.order[id(stored)])]
            found["tier_before"] = event.from_tier, held(before, at)
        if "unit_id" in type(event).model_fields and event.topic not in SAY_THE_UNIT:
            found["unit"] = event.unit_id, held(self.units(member), at)
        if event.topic == "member.moved":
            before = [e for e in self.units(member) if e[:2] < (at, self.order[id(stored)])]
            found["unit_before"] = event.from_unit_id, held(before, at)
        if event.topic == "visit.recorded":
            found |= self.of_visit(stored, at)
        if event.topic == "visit.emergency_admitted":
            found["emergency"] = "true", str(self.emergency(stored.id, at)).lower()
        if event.topic == "activity.attended":
            held_at = [
                s.event.occurred_at
                for s in self.of("activity.held", stream=event.club_id)
                if s.event.activity_id == event.activity_id
            ]
            found["held"] = text(event.held_at), text(min(held_at, default=None))
        if event.topic == "campaign.enrolled":
            found["terms"] = str(event.terms_version), str(self.terms(event.campaign_id, at))
            found["bound"] = None, self.excluded(event, member, at)
            found["arm"] = None, self.given_into(event.campaign_id, member, at)
        if event.topic in ("campaign.enrolled", "campaign.offered"):
            closings = [
                s.event.occurred_at for s in self.of("campaign.closed", stream=event.campaign_id)
            ]
            found["closed"] = None, text(min([c for c in closings if c <= at], default=None))
        if (event.topic in ON_THE_NETWORK and getattr(event, "visit", None) is None) or (
            event.topic == "visit.recorded"
        ):
            left = [s.event.occurred_at for s in self.of("member.left", stream=member)]
            back = {s.event.left_at: s.event.occurred_at
                    for s in self.of("member.returned", stream=member)}  # fmt: skip
            away = [when for when in left if when <= at and not (when in back and back[when] <= at)]
            found["left"] = None, text(min(away, default=None))
        excused = {ABOUT[code] for code in getattr(event, "despite", None) or () if code in ABOUT}
        return {a: each for a, each in found.items() if each[0] != each[1] and a not in excused}

    def excluded(self, event: Any, member: str, at: datetime) -> str | None:
        """The policy by which he was bound, of those that the campaign does not stand beside."""
        day, found = local_date(at), []
        started = {s.event.binding: s.event for s in self.of("binding.started", stream=member)}
        ended = {s.event.binding: s.event.ended_on for s in self.of("binding.ended", stream=member)}
        back = {s.event.left_at: local_date(s.event.occurred_at)
                for s in self.of("member.returned", stream=member)}  # fmt: skip
        own = started.get(event.binding)
        last = max(day, own.ends_on - timedelta(days=1)) if own else day
        for number, bound in started.items():
            away = [left for left, home in back.items() if left <= at and home > bound.starts_on]
            until = min([ended.get(number, bound.ends_on), *map(local_date, away)])
            if bound.occurred_at < at and bound.starts_on <= last and day < until:
                found.append(bound.policy)
        return min((policy for policy in found if policy in (event.excludes or ())), default=None)

    def given_into(self, campaign: str, member: str, at: datetime) -> str | None:
        given = [
            s.event.arm
            for s in self.of("campaign.offered", stream=member)
            if s.event.campaign_id == campaign and s.event.given and s.event.occurred_at <= at
        ]
        return "control" if "control" in given else None

    def of_visit(self, stored: Any, at: datetime) -> dict[str, tuple[Any, Any]]:
        event, member = stored.event, stored.id
        marks = self.values(
            self.of("member.marked_important", stream=member), lambda e: e.important
        )
        prices = [s for s in self.of("service.priced", stream=event.club_id)
                  if s.event.service_id == event.service_id]  # fmt: skip
        version = held(self.values(prices, lambda e: e.price_version), at)
        (club,) = self.of("club.opened", stream=event.club_id)
        open_then = club.event.opens_minute <= local_minute(at) < club.event.closes_minute
        words = [str(mark).lower() for mark in (event.important, held(marks, at, False))]
        return {
            "important": (words[0], words[1]),
            "price": (str(event.price_version), version and str(version)),
            "emergency": ("true", str(open_then or self.emergency(event.club_id, at)).lower()),
        }

    def terms(self, campaign: str, at: datetime) -> int:
        told = self.of("campaign.launched", "campaign.terms_changed", stream=campaign)
        values = self.values(told, lambda e: getattr(e, "terms_version", 1))
        first = min(values, key=lambda each: each[:2])
        return int(held(values, at, first[2]))

    def judged_at(self, event: Any) -> datetime:
        day = None
        if event.topic == "activity.attended":
            return event.held_at  # type: ignore[no-any-return]
        if event.topic == "cohort.included":
            ((day),) = [s.event.taken_on for s in self.of("cohort.opened", stream=event.cohort_id)]
        if event.topic == "binding.ended":
            day = event.ended_on
        if day is None:
            return event.occurred_at  # type: ignore[no-any-return]
        last = start_of(day + timedelta(days=1)) - timedelta.resolution
        return last if event.topic == "binding.ended" else min(event.occurred_at, last)

    def all(self) -> list[Doubt]:
        """As the query tells them."""
        found = []
        for stored in sorted(self.log, key=lambda each: (each.bucket, each.position)):
            differences = [
                Judged(about=about, judged_by=judged_by, holds=holds)
                for about, (judged_by, holds) in sorted(self.differences(stored).items())
            ]
            if differences:
                event = stored.event
                found.append(
                    Doubt(
                        bucket=stored.bucket,
                        position=stored.position,
                        stream=stored.stream,
                        topic=event.topic,
                        occurred_at=event.occurred_at,
                        differences=differences,
                    )
                )
        return found


SAY_THE_UNIT = {"member.joined", "member.moved", "member.returned", "unit.opened", "target.set"}
ON_THE_NETWORK = {
    "points.credited", "points.carried_over", "points.debited", "member.marked_important",
    "tier.changed", "member.moved",
    "campaign.offered", "campaign.enrolled", "binding.started", "binding.ended",
    "activity.attended", "cohort.included",
}  # fmt: skip


ABOUT = {
    "terms_are_newer": "terms", "in_control_group": "arm", "campaign_over": "closed",
    "club_closed": "emergency", "no_emergency": "emergency", "already_bound": "bound",
}  # fmt: skip
"""By a rule that a history says it broke, what is no doubt then."""


def text(instant: datetime | None) -> str | None:
    return None if instant is None else f"{instant:%Y-%m-%dT%H:%M:%S.%f}Z"
