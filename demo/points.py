"""Points: opening lots under the expiry policy of their time, and the credits of 2008.

A half-year's credit is what its bills earn: whole points for the yuan billed, by tier.
"""

from collections.abc import Callable, Iterator
from typing import Any

from demo.assumptions import assumed
from demo.bills import Bills
from demo.customers import NONE, TIERS, Customers
from demo.facts import Block, Source
from demo.instants import DAY, iso, read

H1, H2 = "2008-h1", "2008-h2"


class Lots:
    """Who got how many points when: for each policy, points by customer."""

    def __init__(self, those: Customers, bills: Bills) -> None:
        self.those = those
        self.policies: dict[str, dict[str, Any]] = {p["key"]: p for p in assumed("expiry-policies")}
        self.points = {
            key: self._opening(policy, bills)
            for key, policy in self.policies.items()
            if "left_percent" in policy
        }
        self.points[H1] = self._half_year(read(self.policies[H1]["at"]), bills.sums(0, 6))
        self.points[H2] = self._half_year(read(self.policies[H2]["at"]), bills.sums(6, 12))

    def opening_balances(self) -> list[int]:
        """Everybody's points when 2008 begins: no lot of the opening lapses before it ends."""
        balances = [0] * len(self.those)
        for key, credited in self.points.items():
            if key not in (H1, H2):
                for number, points in credited.items():
                    balances[number] += points
        return balances

    def lot_of(self, number: int, key: str) -> int:
        """The number of a customer's lot, as his stream counts them."""
        keys = list(self.points)
        return sum(number in self.points[earlier] for earlier in keys[: keys.index(key) + 1])

    def _opening(self, policy: dict[str, Any], bills: Bills) -> dict[int, int]:
        """What was left, at the opening, of the lot that a policy's period had earned."""
        those, rates = self.those, _rates()
        holders = [tier in assumed("who-has-lots")[policy["key"]] for tier in TIERS]
        latest = read(policy["at"]) - policy["months"] * 15 * DAY
        earned = policy["months"] * policy["left_percent"]
        found = {}
        for number in range(those.joined_before_q4):
            tier = those.tier_2007[number]
            if those.joined[number] > latest:
                break
            important = policy["key"] == "2007-h2" and number in those.important
            if holders[tier] or important:
                fen = bills.before[number] * earned // 100
                found[number] = fen * rates[tier] // 1_000_000
        return found

    def _half_year(self, at: int, billed: list[int]) -> dict[int, int]:
        those, rates = self.those, _rates()
        holders = [tier in assumed("who-has-lots")["2008"] for tier in TIERS]
        found = {}
        for number, fen in enumerate(billed):
            tier = those.tier_at(number, at)
            points = fen * rates[tier] // 1_000_000
            if holders[tier] and points and those.here(number, at):
                found[number] = points
        return found

    def facts(self) -> list[Source]:
        """A block of credits for each policy."""
        return [
            Block(read(self.policies[key]["at"]), len(credited), self._lines(key))
            for key, credited in self.points.items()
        ]

    def _lines(self, key: str) -> Callable[[], Iterator[bytes]]:
        policy, ids = self.policies[key], self.those.ids
        at = iso(read(policy["at"]))
        head = f'{{"command":"points.credit","at":"{at}","actor":"system:points","member_id":"'
        tail = f',"source":"bills of {key}","rule":"{policy["rule"]}"'
        if "expires" in policy:
            tail += f',"expires_at":"{iso(read(policy["expires"]))}"'

        def lines() -> Iterator[bytes]:
            for number, points in self.points[key].items():
                yield f'{head}{ids[number]}","points":{points}{tail}}}\n'.encode()

        return lines


def _rates() -> list[int]:
    """Basis points of a point a yuan by tier; without a tier the lowest rate."""
    rates: dict[str, int] = assumed("earning-rate")
    lowest = min(rates.values())
    found = [rates.get(tier, lowest) for tier in TIERS]
    found[NONE] = lowest
    return found
