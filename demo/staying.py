"""Who stays: the cohort of the end of 2007, who of it was lost, and everybody who left.

Lost is who left by the end of the year, and who is still there with three or more months below 50
yuan. The plan decides the months; the bills follow it.
"""

from random import Random

from demo import examples
from demo.assumptions import assumed
from demo.customers import MEMBER, NONE, SILVER, Customers
from demo.facts import Block, Source, command, told
from demo.instants import iso, office_hours, on, read
from demo.scaling import some

COHORT = "vip-2007q4"
LOST_FROM_MONTHS = 3


def plan(those: Customers) -> None:
    """Draw the cohort, the leavers and the months below 50 yuan."""
    draw = those.scale.random("staying")
    _cohort(those, draw)
    _leavers(those, draw)
    _low(those, draw)


def _cohort(those: Customers, draw: Random) -> None:
    base = assumed("retention-base")
    those.retention |= {n for n in range(len(those)) if those.tier_2007[n] >= SILVER}
    for tier, count in ((MEMBER, base["member"]), (NONE, base["none"])):
        pool = [
            n
            for n in range(len(examples.PLANNED), those.joined_before_q4)
            if those.tier_2007[n] == tier and (tier or n not in those.important)
        ]
        those.retention |= set(some(draw, pool, those.scale.of(count)))


def _leavers(those: Customers, draw: Random) -> None:
    lost, others = assumed("retention-lost"), assumed("leavers")
    of = those.scale.of
    inside = [n for n in _steady(those, SILVER, MEMBER) if n in those.retention]
    outside = [n for n in _steady(those, MEMBER) if n not in those.retention]
    nobody = _steady(those, NONE)
    groups = (
        (inside, lost["left_vip"] - 1),  # and the example
        (outside, others["vip_outside_cohort"]),
        ([n for n in nobody if n in those.retention], lost["left_without_tier"]),
        ([n for n in nobody if n not in those.retention], others["without_tier_outside_cohort"]),
    )
    first = read(others["from"])
    those.left[examples.GONE] = on(2008, 10, 17, 16, 20)
    for pool, count in groups:
        for number in some(draw, pool, of(count, 1)):
            those.left[number] = office_hours(draw, first, on(2008, 12, 29))


def _steady(those: Customers, *tiers: int) -> list[int]:
    """Those of these tiers all year, not marked as important, who were there when it began."""
    return [
        n
        for tier in tiers
        for n in those.steady(tier)
        if n not in those.important and n < those.joined_before_2008
    ]


def is_lost(mask: int) -> bool:
    """Whether so many months below 50 yuan make a customer of the cohort lost."""
    return mask.bit_count() >= LOST_FROM_MONTHS


def _low(those: Customers, draw: Random) -> None:
    lost, of = assumed("retention-lost"), those.scale.of

    def inside(before: int, after: int) -> list[int]:
        return [
            n
            for n in range(len(examples.PLANNED), those.joined_before_q4)
            if (those.tier_2007[n], those.tier_2008[n]) == (before, after)
            and n in those.retention
            and n not in those.left
            and n not in those.important
            and n not in those.low
        ]

    for before, after, count in (
        (MEMBER, MEMBER, lost["low_member"]),
        (MEMBER, NONE, lost["low_member_to_none"]),
        (NONE, NONE, lost["low_none"]),
    ):
        for number in some(draw, inside(before, after), of(count, 1)):
            those.low[number] = _lasting(draw)
    pool = inside(MEMBER, MEMBER) + inside(MEMBER, NONE) + inside(NONE, NONE)
    for number in some(draw, pool, of(assumed("one-or-two-low-months"))):
        those.low[number] = _mask(draw.sample(range(12), draw.choice((1, 1, 2))))
    outside = [
        n
        for n in range(len(examples.PLANNED), those.joined_before_2008)
        if n not in those.retention and n not in those.left and n not in those.important
    ]
    for number in some(draw, outside, of(assumed("low-months-outside-the-cohort"))):
        those.low[number] = _mask(draw.sample(range(12), draw.randint(1, 6)))


def _mask(months: list[int] | range) -> int:
    return sum(1 << month for month in months)


def _lasting(draw: Random) -> int:
    """Three months or more: mostly a decline to the end of the year, else here and there."""
    if draw.random() < 0.7:
        return _mask(range(draw.randint(3, 9), 12))
    return _mask(draw.sample(range(12), draw.randint(LOST_FROM_MONTHS, 7)))


def facts(those: Customers) -> list[Source]:
    """The cohort and the departures."""
    opened, included, frozen = (on(2007, 12, 31, hour) for hour in (21, 22, 23))
    criterion = assumed("retention-base")["criterion_yuan"]
    chosen = sorted(those.retention)
    head = f'{{"command":"cohort.include","at":"{iso(included)}","actor":"system:crm","member_id":"'
    tail = f'","cohort_id":"{COHORT}"}}\n'
    title = "2007年底拍照中高端客户 Cohort of 2007"
    said = f"{criterion} yuan or more in each month of 2007 Q4"
    events = [
        (
            opened,
            command(
                "cohort.open", opened, "system:crm", cohort_id=COHORT, title=title,
                purpose="retention", criterion=said, taken_on="2007-12-31",
            ),
        ),
        (
            frozen,
            command("cohort.freeze", frozen, "system:crm", cohort_id=COHORT, size=len(chosen)),
        ),
    ]  # fmt: skip
    reasons = ("转网 Went to another operator", "搬迁 Moved away", "销户 Closed the account")
    for turn, (number, at) in enumerate(sorted(those.left.items())):
        leave = command(
            "member.leave", at, "clerk:zhou02", member_id=those.ids[number],
            reason=reasons[turn % len(reasons)],
        )  # fmt: skip
        events.append((at, leave))
    return [
        told(events),
        Block(
            included, len(chosen), lambda: ((head + those.ids[n] + tail).encode() for n in chosen)
        ),
    ]
