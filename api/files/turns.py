"""The turns of kinds of fact within one instant, and the hour of what says only its day.

A customer joins before he gets a tier, has points before he spends them, and leaves last. A file
that says a day and no hour means the day's beginning for what begins, and its end for what ends.
"""

from datetime import time

TURNS: tuple[tuple[str, ...], ...] = (
    ("unit.open", "club.open", "service.price", "campaign.launch", "cohort.open"),
    ("emergency.declare", "campaign.change_terms", "activity.hold"),
    ("member.join", "member.return"),
    ("member.move", "member.change_details", "member.mark_important", "tier.change"),
    ("bill.record",),
    ("points.carry_over", "points.credit"),
    ("campaign.offer",),
    ("campaign.enrol", "binding.start"),
    ("visit.record", "visit.admit_in_emergency", "points.debit", "activity.attend"),
    (),  # whatever has no turn of its own
    ("visit.undo", "points.reverse_debit", "points.reverse_credit"),
    ("cohort.include",),
    ("cohort.freeze", "points.expire", "emergency.end", "binding.end", "campaign.close"),
    ("member.leave",),
)
"""First what others hang on, last what ends."""
TURN = {kind: number for number, kinds in enumerate(TURNS) for kind in kinds}
OTHERS = TURNS.index(())
BEGINNING_HOUR, ENDING_HOUR = time(0, 0), time(23, 59, 59)
ENDS = ("expires_at",)
"""Fields of an instant that is the last; other ones begin something."""
JOINING = TURN["member.join"]
ENDING = TURN["cohort.include"]


def turn_of(kind: str) -> int:
    """Its turn among the facts of one instant."""
    return TURN.get(kind, OTHERS)


def missing_time(kind: str) -> time:
    """The hour of a fact that says its day alone, unless the mapping says another."""
    turn = turn_of(kind)
    if turn <= JOINING + 1:
        return BEGINNING_HOUR
    return time(12, 0) if turn < ENDING else ENDING_HOUR
