"""The lines of the customers' own facts: units, joining, tiers, the important mark."""

from demo.assumptions import assumed
from demo.customers import TIERS, Customers
from demo.facts import Scattered, Source, command, told
from demo.instants import iso, on

REASONS = {True: "达到标准 Reached the standard", False: "未达标准 Fell below the standard"}


def facts(those: Customers) -> list[Source]:
    """In the order in which they depend on each other."""
    return [_units(), _joined(those), _opening_tiers(those), _changed(those), _important(those)]


def _units() -> Source:
    units = [
        (at, command("unit.open", at, "manager:branch", unit_id=unit["id"], title=unit["title"]))
        for at, unit in ((on(2000, 1, 4, 9, n), unit) for n, unit in enumerate(assumed("units")))
    ]
    return told(units)


def _joined(those: Customers) -> Source:
    unit_ids = [unit["id"] for unit in assumed("units")]

    def line(k: int) -> bytes:
        return (
            f'{{"command":"member.join","at":"{iso(those.joined[k])}","actor":"clerk:hall1",'
            f'"member_id":"{those.ids[k]}","unit_id":"{unit_ids[those.unit[k]]}",'
            f'"name":"{those.names[k]}","phone":"{those.phones[k]}"}}\n'
        ).encode()

    return Scattered(those.joined, line)


def _opening_tiers(those: Customers) -> Source:
    numbers = list(those.tier_since)
    times = list(those.tier_since.values())

    def line(k: int) -> bytes:
        return _tier(those, times[k], numbers[k], those.tier_2007[numbers[k]], REASONS[True])

    return Scattered(times, line)


def _changed(those: Customers) -> Source:
    rows = []
    for number, changes in those.changes.items():
        before = those.tier_2007[number]
        for at, tier in changes:
            rows.append((at, number, tier, REASONS[tier > before]))
            before = tier

    def line(k: int) -> bytes:
        at, number, tier, reason = rows[k]
        return _tier(those, at, number, tier, reason)

    return Scattered([row[0] for row in rows], line)


def _tier(those: Customers, at: int, number: int, tier: int, reason: str) -> bytes:
    named = f'"{TIERS[tier]}"' if tier else "null"
    return (
        f'{{"command":"tier.change","at":"{iso(at)}","actor":"system:tiers",'
        f'"member_id":"{those.ids[number]}","tier":{named},"reason":"{reason}"}}\n'
    ).encode()


def _important(those: Customers) -> Source:
    marked = [
        (
            at,
            command(
                "member.mark_important", at, "manager:vip-centre", member_id=those.ids[number],
                important=True, reason="重要客户名单 On the list of important customers",
            ),
        )
        for number, at in those.important.items()
    ]  # fmt: skip
    return told(marked)
