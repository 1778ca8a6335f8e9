"""When somebody comes to a desk: exactly so many visits a month, and those later taken back."""

from dataclasses import dataclass
from random import Random

from demo import examples
from demo.assumptions import assumed
from demo.instants import DAY, date_of, office_hours, on, read
from demo.scaling import Scale

LOUNGE, HEALTH, GIFT = "lounge", "health", "gift"


@dataclass
class Slot:
    """Somebody comes at this instant; `guest` says who, if it is planned."""

    at: int
    club: str
    taken_back: bool = False
    guest: int | None = None


def slots(scale: Scale) -> list[Slot]:
    """All of the year, in order. Slots taken back stand beside the visits that count."""
    draw = scale.random("slots")
    lounge = _lounge(scale, draw)
    health = _health(scale, draw)
    # The example diamond comes to the lounge three times and to the health club once.
    for part in (5, 3, 2):
        lounge[len(lounge) // part].guest = examples.DIAMOND
    health[len(health) // 2].guest = examples.DIAMOND
    chosen = assumed("visits-undone")
    taken_back = [
        Slot(_by_day(draw, on(2008, 1, 3), on(2008, 12, 28)), LOUNGE, taken_back=True)
        for _ in range(scale.of(chosen[LOUNGE]))
    ] + [
        Slot(office_hours(draw, on(2008, 7, 2), on(2008, 12, 28)), HEALTH, taken_back=True)
        for _ in range(scale.of(chosen[HEALTH]))
    ]
    found = lounge + health + taken_back + _gifts(scale, draw)
    found.sort(key=lambda slot: slot.at)
    return found


def _by_day(draw: Random, first: int, last: int) -> int:
    """Between 7:00 and 20:00, so that taking back stays on the day."""
    day = draw.randint(first // DAY, last // DAY)
    return day * DAY + 7 * 3600 + int(draw.random() * 13 * 3600)


def _lounge(scale: Scale, draw: Random) -> list[Slot]:
    """By month and day; around the clock during the ice disaster, else within the hours."""
    busy: dict[str, int] = assumed("busy-days")
    disaster = assumed("ice-disaster")
    begin, end = read(disaster["from"]), read(disaster["until"])
    club = next(club for club in assumed("club-hours-and-prices") if club["id"] == LOUNGE)
    opens, closes = (minute * 60 for minute in club["hours"])
    found = []
    for month, visits in enumerate(assumed("lounge-by-month"), start=1):
        first = on(2008, month) // DAY
        until = (on(2008, month + 1) if month < 12 else on(2009)) // DAY
        weights = [busy.get(str(date_of(day * DAY)), 1) for day in range(first, until)]
        for day in draw.choices(range(first, until), weights, k=scale.of(visits)):
            at = day * DAY + int(draw.random() * DAY)
            if not begin + 900 <= at < end:
                at = day * DAY + opens + int(draw.random() * (closes - opens))
            found.append(Slot(at, LOUNGE))
    found.sort(key=lambda slot: slot.at)
    return found


def _health(scale: Scale, draw: Random) -> list[Slot]:
    opening, *months = assumed("health-by-month")
    opened = on(2008, 6, 30)
    found = [office_hours(draw, opened, opened) for _ in range(scale.of(opening))]
    for month, visits in enumerate(months, start=7):
        first = on(2008, month)
        last = (on(2008, month + 1) if month < 12 else on(2009)) - DAY
        found += [office_hours(draw, first, last) for _ in range(scale.of(visits))]
    return [Slot(at, HEALTH) for at in sorted(found)]


def _gifts(scale: Scale, draw: Random) -> list[Slot]:
    chosen = assumed("gifts-for-points")
    returned = scale.of(chosen["returned"])
    return [
        Slot(office_hours(draw, on(2008, 1, 4), on(2008, 12, 18)), GIFT, taken_back=turn < returned)
        for turn in range(scale.of(chosen["redemptions"]))
    ]
