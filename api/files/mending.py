"""What would mend a rejected line, by the code of its rejection."""

MENDS: dict[str, str] = {
    # of the reading of files
    "empty_cell": "fill the cell, or say “if_empty” or “when” of it in the mapping",
    "misspelt": "correct the cell, or say in the mapping how the column is written",
    "too_many_cells": "take the cells beyond the header away, or put the cell with a separator in"
    " it in quotes",
    # of any line
    "not_valid": "correct what is named",
    "not_utf8": "save the file as UTF-8",
    "json_invalid": "write the line as one JSON object",
    "repeated_key": "leave one of the two",
    "undated_fact": "say “at”, when it happened",
    "line_too_long": "one line is one fact: shorten it",
    "key_reused": "give the other fact a key of its own",
    "key_reserved": "leave the key out, or begin it otherwise",
    "dated_in_future": "correct the day, or import it once it has come",
    "internal": "tell who maintains clubledger; the other lines are not touched",
    # of what must be there before
    "unknown_member": "correct the id, or tell the joining (member.join), dated no later",
    "unknown_unit": "correct the id, or open the unit (unit.open), dated no later",
    "unknown_club": "correct the id, or open the club (club.open), dated no later",
    "unknown_service": "correct the id, or give the service its price from an earlier day",
    "unknown_campaign": "correct the id, or launch the campaign (campaign.launch)",
    "unknown_cohort": "correct the id, or open the cohort (cohort.open)",
    "unknown_activity": "correct the id, or tell the activity (activity.hold)",
    "unknown_fact": "correct the name of what is taken back: it is not there, or no longer",
    # of its time
    "before_joining": "correct the day, or tell the joining by its true day",
    "left_the_network": "correct the day, or the leaving",
    "not_come_yet": "correct the month or day",
    "bill_too_late": "correct the month: bills this old are not taken",
    "too_long_ago": "correct the day; a second visit says “confirm_repeat”",
    "not_open_yet": "correct the day, or the opening of the club",
    "club_closed": "correct the hour, or the club's hours",
    "campaign_not_open": "correct the day, or the campaign's window",
    "campaign_over": "correct the day, or the campaign's window",
    # of what is so already
    "already_joined": "leave it out: the member is there",
    "already_billed": "leave it out, or take the first bill back (bill.correct)",
    "already_enrolled": "leave it out",
    "already_bound": "end or correct the other binding, or leave this one out",
    "already_offered": "leave it out",
    "already_included": "leave it out",
    "already_attended": "leave it out",
    "nothing_changes": "leave it out: it is so already",
    "visit_repeated": "leave it out, or say “confirm_repeat = true” if it was another visit",
    # of what is left and who may
    "not_enough_points": "tell the credits that paid for it, dated before it",
    "not_eligible": "tell the tier or mark of that time, dated before it",
    "price_changed": "leave “shown_points” out, or tell the price of that time",
    "no_free_visit": "leave “payment” out, or tell the service's free visits",
    "in_control_group": "leave it out, correct the offer, or say that it happened despite this",
    "never_excused": "leave that rule out of “despite”: no history may break it",
    "only_histories": "leave “despite” out",
    "on_the_network": "leave it out: he is there",
    "arm_not_given": "say the arm: it was given, not drawn",
    "not_in_segment": "tell the tier of that time, dated before it",
    "cap_reached": "correct the campaign's cap",
    "budget_used_up": "correct the campaign's budget",
    "prepaid_too_small": "correct the sum: yuan or fen, as the mapping says",
}

OTHERWISE = "correct the line, or leave it out"


def mend_of(code: str) -> str:
    """What would mend a line that was rejected for this."""
    return MENDS.get(code, OTHERWISE)
