"""What reversals take of each lot: a function of what was asked back and what is not spent.

It does not hang on the order in which credits and debits were reversed. A reversed credit is taken
out of its own lot first, whenever points are or come back there; what it lacks, as far as its
policy lets it, out of other lots that were open when it was asked, soonest expiring first. What
nobody could give was forgiven, and is remembered: points that return to such a lot are taken then.
What an event takes is never more than it asks for, or than it returns.
"""

from collections.abc import Iterable
from datetime import datetime

from domain.kernel.bounds import bounds_of
from domain.kernel.postings import Posting
from domain.points.lots import Lot, Points, Reversal


def reversal_of(account: Points, lot: int, at: datetime) -> Reversal:
    """What reversals know of a lot; it is remembered from this instant on, if not from a later."""
    found = account.reversals.setdefault(lot, Reversal(at))
    found.at = max(found.at, at)
    return found


def ask_back(account: Points, lot: int, points: int, at: datetime, *, of_others: bool) -> None:
    """Note that so many points of a credit are asked back, of other lots too if that is said."""
    asked = reversal_of(account, lot, at)
    asked.asked += points
    if of_others:
        upto = account.lots_opened
        claims = {**asked.claims, upto: asked.claims.get(upto, 0) + points}
        if len(claims) > bounds_of(Reversal)["claims"]:
            first, second, *_ = sorted(claims)
            claims[second] += claims.pop(first)  # as if it had been asked then: nothing is undone
        asked.claims = claims


def settle(account: Points, at: datetime, most: int) -> list[Posting]:
    """The postings after which reversals hold what they should of each lot; altogether no more than
    so many points beyond what they held, whatever else could be spent again by now."""
    taken = {number: each.taken for number, each in account.reversals.items()}
    held = {number: _own(account, number, at) for number in taken}
    claims = _claims(account, held)
    gifts: list[tuple[int, int]] = []
    if claims:
        room = bounds_of(Points)["reversals"]  # What would be remembered of more is forgiven.
        lots = list(account.lots.values())
        free = {lot.id: _free(lot, held.get(lot.id, 0), taken.get(lot.id, 0), at) for lot in lots}
        for upto, number, points in claims:
            givers = [lot.id for lot in lots if lot.id <= upto and lot.id != number]
            new = [lot for lot in givers if lot not in held and free[lot] > 0]
            too_many = set(new[max(room - len(held), 0) :])
            givers = [lot for lot in givers if lot not in too_many]
            for giver, given in _spread(points, givers, free):
                held[giver] = held.get(giver, 0) + given
                gifts.append((giver, given))
    too_much = sum(held.values()) - sum(taken.values()) - most
    for giver, given in reversed(gifts):
        cut = max(min(too_much, given, held[giver] - taken.get(giver, 0)), 0)
        held[giver] -= cut
        too_much -= cut
    postings = []
    for number, points in held.items():
        more = points - taken.get(number, 0)
        if more > 0:
            postings.append(Posting(number, "spendable", "reversed", more))
        elif more < 0:
            postings.append(Posting(number, "reversed", "spendable", -more))
    return postings


def let_go(account: Points, number: int, at: datetime) -> None:
    """Forget an empty lot: what it gave for other credits, or others for it, is given for good."""
    if number not in account.reversals:
        return
    own = _own(account, number, at)
    gone = account.reversals.pop(number)
    held = {lot: _own(account, lot, at) for lot in account.reversals}
    rest = gone.taken - own
    for upto, lot, points in _claims(account, held):
        if number <= upto and rest > 0:
            part, each = min(rest, points), account.reversals[lot]
            each.settled += part
            each.claims = {**each.claims, upto: each.claims[upto] - part}
            rest -= part
    given = {lot: each.taken - _own(account, lot, at) for lot, each in account.reversals.items()}
    for lot, points in _spread(sum(_lacking(gone, own).values()), sorted(given), given):
        account.reversals[lot].taken -= points


def _own(account: Points, number: int, at: datetime) -> int:
    """What the reversals of a credit get of its own lot: all that is not spent and had not lapsed
    at this instant, up to what was asked."""
    asked = account.reversals[number]
    return min(asked.asked - asked.settled, account.lots[number].left_at(at) + asked.taken)


def _claims(account: Points, held: dict[int, int]) -> list[tuple[int, int, int]]:
    """(last lot that may give, reversed lot, points that it should have of others), in turn."""
    return sorted(
        (upto, number, points)
        for number, each in account.reversals.items()
        for upto, points in _lacking(each, held[number]).items()
    )


def _lacking(asked: Reversal, own: int) -> dict[int, int]:
    """What other lots should give, if they can: of the latest claims first, for which most can."""
    rest = asked.asked - asked.settled - own
    return dict(_spread(rest, sorted(asked.claims, reverse=True), dict(asked.claims)))


def _free(lot: Lot, own: int, taken: int, at: datetime) -> int:
    """What a lot can give for other credits; one that cannot be spent keeps to what it gave."""
    beyond = lot.left_at(at) + taken - own
    return beyond if lot.spendable_at(at) else min(beyond, max(taken - own, 0))


def _spread(points: int, lots: Iterable[int], room: dict[int, int]) -> list[tuple[int, int]]:
    """(lot, points) until all points have found room, which they use up."""
    spread = []
    for lot in lots:
        part = min(points, room[lot])
        if part > 0:
            spread.append((lot, part))
            room[lot] -= part
            points -= part
    return spread
