"""At full scale the figures are the report's, counted from the lines without deciding them.

`python -m demo.check` decides all of them, too; it takes a minute.
"""

from collections import Counter
from datetime import date
from typing import Any

import msgspec
import pytest

import demo
from demo.reported import BINDING_BASE, BOUND, CAMPAIGNS, HEALTH_VISITS, LOUNGE_VISITS, VIPS
from domain.kernel.values import add_months

LAST_DAY = date(2008, 12, 31)
decode = msgspec.json.Decoder().decode
Lines = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def counted() -> tuple[Lines, Counter[str], Counter[str], set[str]]:
    """(lines by command without the bills, bills by month, low months by member, all keys)."""
    lines: Lines = {}
    months: Counter[str] = Counter()
    low: Counter[str] = Counter()
    keys: set[str] = set()
    for chapter in demo.chapters("1", demo.DEFAULT_SEED):
        facts, latest = 0, ""
        for line in chapter.lines():
            fact = decode(line)
            facts += 1
            assert latest <= fact["at"]
            latest = fact["at"]
            if fact["command"] == "bill.record":
                months[fact["month"]] += 1
                if fact["amount_fen"] < 5_000:
                    low[fact["member_id"]] += 1
            elif fact["command"] not in ("points.credit", "member.join"):
                lines.setdefault(fact["command"], []).append(fact)
            else:
                keys.add(fact["member_id"])
        assert facts == chapter.facts
    return lines, months, low, keys


@pytest.mark.slow
def test_the_full_year_gives_the_reported_figures(
    counted: tuple[Lines, Counter[str], Counter[str], set[str]],
) -> None:
    lines, months, low, members = counted
    assert len(members) == BINDING_BASE
    assert sum(months.values()) > 1_200_000
    assert len(months) == 12

    tiers, opening = {}, set()
    for fact in lines["tier.change"]:
        tiers[fact["member_id"]] = fact["tier"]
        if fact["at"] < "2008":
            opening.add(fact["member_id"])
    assert Counter(tier for tier in tiers.values() if tier) == VIPS
    assert sum(VIPS.values()) - len(opening) == 4_044

    left = {fact["member_id"] for fact in lines["member.leave"]}
    assert sum(1 for member in left if tiers.get(member)) == 38
    cohort = [f["member_id"] for f in lines["cohort.include"] if f["cohort_id"] == "vip-2007q4"]
    lost = [m for m in cohort if m in left or low[m] >= 3]
    assert (len(cohort), len(lost)) == (60_000, 708)

    undone = Counter((f["member_id"], f["visit"]) for f in lines["visit.undo"])
    numbers: Counter[str] = Counter()
    visits: Counter[str] = Counter()
    for fact in lines["visit.record"]:
        numbers[fact["member_id"]] += 1
        if (fact["member_id"], numbers[fact["member_id"]]) not in undone:
            visits[fact["club_id"]] += 1
    assert visits == {"lounge": LOUNGE_VISITS, "health": HEALTH_VISITS}
    assert min(f["at"] for f in lines["visit.record"] if f["club_id"] == "health") > "2008-06-30"
    assert len(lines["activity.hold"]) == 4
    assert len(lines["activity.attend"]) == 1_987


@pytest.mark.slow
def test_the_full_year_binds_and_enrols_as_reported(
    counted: tuple[Lines, Counter[str], Counter[str], set[str]],
) -> None:
    lines = counted[0]
    sums: Counter[str] = Counter()
    participants: Counter[str] = Counter()
    for fact in lines["campaign.enrol"]:
        participants[fact["campaign_id"]] += 1
        sums[fact["campaign_id"]] += fact["prepaid_fen"]
    assert {c: (participants[c], sums[c]) for c in participants} == {
        campaign: (count, yuan * 100) for campaign, (count, yuan) in CAMPAIGNS.items()
    }

    ended = {(f["member_id"], f["binding"]) for f in lines["binding.end"]}
    terms = {(f["campaign_id"], 1): f["months_bound"] for f in lines["campaign.launch"]}
    terms |= {(f["campaign_id"], 2): f["months_bound"] for f in lines["campaign.change_terms"]}
    spans = [
        (f["at"], f["member_id"], terms[f["campaign_id"], f["shown_terms_version"]], f["at"][:10])
        for f in lines["campaign.enrol"]
    ]
    spans += [(f["at"], f["member_id"], 0, f["ends_on"]) for f in lines["binding.start"]]
    numbers: Counter[str] = Counter()
    bound = set()
    for _, member, months, day in sorted(spans):
        numbers[member] += 1
        ends_on = add_months(date.fromisoformat(day), months)
        if ends_on > LAST_DAY and (member, numbers[member]) not in ended:
            bound.add(member)
    assert len(bound) == BOUND
