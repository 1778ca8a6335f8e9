"""With and without a history: an empty log and millions of events, members with few and many."""

from contextlib import ExitStack

from bench import inprocess, lives, population
from bench.ground import Ground
from bench.parts import Subject, part
from ledger.database import connect

LONG_EVENTS = 5_000
"""How many events a member with many has; one with few has five."""
OPENING_LOTS = 2
LONG_MEMBERS = 64
FEW, MANY = "q", "s"
AT_ONCE = 128


@part("history", arena="history")
def history(ground: Ground, stack: ExitStack) -> list[Subject]:
    """An empty log and one of millions of events; members with 5 events and with 5,000."""
    empty = ground.members(stack)
    with connect(empty) as connection:
        # The snapshots stay: a rule asks for nothing else. Nobody will fold this ledger again.
        connection.execute("TRUNCATE stored_events, command_log")
        connection.execute("UPDATE log_end SET position = 0")
        connection.execute("VACUUM ANALYZE")
    full = ground.members(stack)
    events = _fill(ground, full)
    bare, laden = (inprocess.driver(ground, stack, dsn) for dsn in (empty, full))
    title = "visits in process, 128 at once"
    return [
        inprocess.subject("history.empty", f"{title}, an empty log", ground, [bare], AT_ONCE),
        inprocess.subject(
            "history.full",
            f"{title}, {events:,} events in the log",
            ground,
            [laden],
            AT_ONCE,
        ),
        inprocess.subject(
            "history.few",
            f"{title}, {LONG_MEMBERS} members with 5 events each",
            ground,
            [laden],
            AT_ONCE,
            prefix=FEW,
            members=LONG_MEMBERS,
        ),
        inprocess.subject(
            "history.many",
            f"{title}, {LONG_MEMBERS} members with {LONG_EVENTS:,} events each",
            ground,
            [laden],
            AT_ONCE,
            prefix=MANY,
            members=LONG_MEMBERS,
        ),
    ]


def _fill(ground: Ground, dsn: str) -> int:
    """Write the histories; returns how many events the log then holds."""
    now, members = ground.now, ground.options.members
    each = max(1, ground.options.history_events // members // lives.EVENTS_A_VISIT)
    ground.tell(f"Writing a history of {each} visits for each of {members:,} members")
    begun = population.member(lives.NOBODY, now)
    long = lives.lived(now, begun + lives.visits(now, each))
    important = {**begun[0], "command": "member.mark_important", "important": True, "reason": "b"}
    del important["unit_id"]
    five = [*population.member(lives.NOBODY, now, OPENING_LOTS), important]
    few = lives.lived(now, five)
    visits = (LONG_EVENTS - few.events) // lives.EVENTS_A_VISIT
    many = lives.lived(now, five + lives.visits(now, visits))
    with connect(dsn) as connection:
        with (
            lives.without_indexes(connection, "stored_events", "command_log"),
            connection.transaction(),
        ):
            lives.write(connection, long, "m", members, now, after=len(begun))
            lives.write(connection, few, FEW, LONG_MEMBERS, now)
            lives.write(connection, many, MANY, LONG_MEMBERS, now)
        ground.tell("Vacuuming it")
        connection.execute("VACUUM (FREEZE, ANALYZE)")
        connection.execute("CHECKPOINT")
        for prefix in ("m", FEW, MANY):
            lives.check(connection, f"member:{population.member_id(prefix, 1)}")
        found = connection.execute("SELECT position FROM log_end").fetchone()
    assert found is not None
    return int(found[0])
