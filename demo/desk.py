"""The desks: visits to lounge and health club, gifts for points, and what was taken back.

Drawn in the order in which it happened, with every customer's points and free visits kept, so that
nobody is planned to pay what he does not have. A visit that will be undone does not give its points
back here: the plan is on the safe side, the ledger gives them back.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from demo import examples
from demo.assumptions import assumed
from demo.customers import DIAMOND, GOLD, SILVER, TIERS, Customers
from demo.facts import Source, command, told
from demo.instants import DAY, on, read
from demo.points import H1, H2, Lots
from demo.scaling import some
from demo.slots import GIFT, LOUNGE, Slot, slots

TRIES = 2_000
"""A desk that finds no guest among so many draws has too few people who can pay."""


@dataclass(frozen=True)
class Service:
    """A service's price, by the tier's number."""

    id: str
    points: list[int]
    companion: int
    free: list[int]


def services(club_id: str) -> list[Service]:
    """The services of a club as they are priced all year."""
    club = next(club for club in assumed("club-hours-and-prices") if club["id"] == club_id)
    return [
        Service(
            service["id"],
            [service.get("tier_points", {}).get(tier, service["points"]) for tier in TIERS],
            service.get("companion", 0),
            [service.get("free", {}).get(tier, 0) for tier in TIERS],
        )
        for service in club["services"]
    ]


class Desk:
    """What happens at the desks in 2008, in order."""

    def __init__(self, those: Customers, lots: Lots) -> None:
        self.those, self.lots = those, lots
        self.draw: Random = those.scale.random("desk")
        self.balances = lots.opening_balances()
        self.visits: dict[int, int] = {}
        self.debits: dict[int, int] = {}
        self.free: dict[tuple[int, str], int] = {}  # (customer, club/service) -> used
        self.seen: set[tuple[int, str, int]] = set()  # (customer, club, day)
        self.pools = {club: self._pool(club) for club in ("lounge", "health", GIFT)}
        self.services = {club: services(club) for club in ("lounge", "health")}
        self.weights = {"lounge": _lounge_weights(), "health": _health_weights()}
        self.found: list[tuple[int, bytes]] = []

    def facts(self) -> list[Source]:
        """Draw the year."""
        half = read(self.lots.policies[H1]["at"])
        credited = False
        for slot in slots(self.those.scale):
            if slot.at >= half and not credited:
                credited = True
                self._credit(H1)
            if slot.club == GIFT:
                self._gift(slot)
            else:
                self._visit(slot)
        self._credit(H2)
        self._spend_nearly_all()
        self._take_credits_back()
        return [told(self.found)]

    def _pool(self, club: str) -> list[int]:
        """Who may come, as often as he is likelier to."""
        those, guests = self.those, assumed("lounge-guests")
        pool = []
        for number in range(len(examples.PLANNED), len(those)):
            tier = max(those.tier_2007[number], those.tier_2008[number])
            if club == LOUNGE and tier:
                travels = self.draw.random() * 10_000 < guests["travellers_bp"][TIERS[tier]]
                often = guests["weights"][TIERS[tier]] * self.draw.choice((1, 1, 1, 2, 4))
                pool += [number] * (often * travels)
            elif tier >= GOLD or (number in those.important and club != LOUNGE):
                pool += [number] * (2 if tier == DIAMOND else 1)
            elif club == GIFT and tier >= SILVER:
                pool.append(number)
        return pool

    def _credit(self, key: str) -> None:
        for number, points in self.lots.points[key].items():
            self.balances[number] += points

    def _eligible(self, number: int, slot: Slot) -> bool:
        those = self.those
        if not those.here(number, slot.at):
            return False
        if (number, slot.club, slot.at // DAY) in self.seen:
            return False
        tier = those.tier_at(number, slot.at)
        marked = those.important.get(number, slot.at + 1) <= slot.at
        return tier > 0 if slot.club == LOUNGE else tier >= GOLD or marked

    def _visit(self, slot: Slot) -> None:
        companions = self.draw.choices(range(4), assumed("companions"))[0]
        service = self.draw.choices(self.services[slot.club], self.weights[slot.club])[0]
        pool = self.pools[slot.club]
        for turn in range(TRIES):
            number = slot.guest if slot.guest is not None and not turn else self.draw.choice(pool)
            if not self._eligible(number, slot):
                continue
            tier = self.those.tier_at(number, slot.at)
            key = (number, f"{slot.club}/{service.id}")
            free = self.free.get(key, 0) < service.free[tier]
            price = service.companion * companions + (0 if free else service.points[tier])
            if price <= self.balances[number]:
                break
        else:
            raise RuntimeError(f"nobody can pay for {service.id}")
        self.seen.add((number, slot.club, slot.at // DAY))
        self.balances[number] -= price
        self.visits[number] = self.visits.get(number, 0) + 1
        self.debits[number] = self.debits.get(number, 0) + (price > 0)
        desk = f"{slot.club}-{1 + slot.at // 60 % 2}"
        fields: dict[str, Any] = {"companions": companions} if companions else {}
        line = command(
            "visit.record", slot.at, f"clerk:{slot.club}{1 + slot.at % 4}",
            member_id=self.those.ids[number], club_id=slot.club, service_id=service.id,
            desk=desk, shown_points=price, **fields,
        )  # fmt: skip
        self.found.append((slot.at, line))
        if slot.taken_back:
            self._undo(slot, number, desk)
        elif free:
            self.free[key] = self.free.get(key, 0) + 1

    def _undo(self, slot: Slot, number: int, desk: str) -> None:
        """By the desk itself within a quarter of an hour, else by a supervisor."""
        late = self.draw.random() < 0.2
        seconds = self.draw.randint(3_600, 10_000) if late else self.draw.randint(60, 840)
        line = command(
            "visit.undo", slot.at + seconds, "supervisor:he01" if late else "clerk:desk",
            member_id=self.those.ids[number], visit=self.visits[number], desk=desk,
            reason="登记错误 Entered by mistake",
        )  # fmt: skip
        self.found.append((slot.at + seconds, line))

    def _gift(self, slot: Slot) -> None:
        gift = self.draw.choice(assumed("gifts-for-points")["gifts"])
        for _ in range(TRIES):
            number = self.draw.choice(self.pools[GIFT])
            if self.balances[number] >= gift["points"] and self.those.here(number, slot.at):
                break
        else:
            raise RuntimeError("nobody can pay for a gift")
        self._debit(slot.at, number, gift["points"], gift["title"])
        if slot.taken_back:
            at = slot.at + self.draw.randint(DAY, 9 * DAY)
            line = command(
                "points.reverse_debit", at, "supervisor:he01", member_id=self.those.ids[number],
                debit=self.debits[number], reason="礼品退回 The gift came back",
            )  # fmt: skip
            self.found.append((at, line))

    def _debit(self, at: int, number: int, points: int, reason: str) -> None:
        self.balances[number] -= points
        self.debits[number] = self.debits.get(number, 0) + 1
        line = command(
            "points.debit", at, "partner:gift-shop", member_id=self.those.ids[number],
            points=points, reason=reason,
        )  # fmt: skip
        self.found.append((at, line))

    def _spend_nearly_all(self) -> None:
        """The example who is short of points spends them on New Year's Eve."""
        number = examples.SHORT_OF_POINTS
        rest = self.balances[number] - examples.POINTS_LEFT
        self._debit(on(2008, 12, 31, 22, 30), number, rest, "积分换礼 年终兑换 Year-end gifts")

    def _take_credits_back(self) -> None:
        """From customers who spent nothing, so that their lots are whole."""
        credited = self.lots.points[H1]
        pool = [
            n for n in credited if n >= len(examples.PLANNED) and n not in self.debits
        ]  # in the order of joining
        for number in some(self.draw, pool, self.those.scale.of(assumed("credits-taken-back"))):
            at = on(2008, 7, self.draw.randint(8, 28), 15) + self.draw.randrange(3_600)
            line = command(
                "points.reverse_credit", at, "supervisor:he01", member_id=self.those.ids[number],
                lot=self.lots.lot_of(number, H1), points=1 + credited[number] // 8,
                reason="账单更正 The bill was corrected",
            )  # fmt: skip
            self.found.append((at, line))


def _lounge_weights() -> list[int]:
    waiting: int = assumed("lounge-guests")["waiting_bp"]
    return [waiting, 10_000 - waiting]


def _health_weights() -> list[int]:
    return list(assumed("health-services").values())
