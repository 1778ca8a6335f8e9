"""Rebuilds of ten million events and of one million, written by SQL into ledgers of their own."""

from contextlib import ExitStack

from bench import lives, population
from bench.ground import Ground
from bench.parts import Subject, part
from bench.reads import rebuilt
from bench.words import FaultError
from ledger.database import connect, install
from ledger.importing import Importer

EVENTS_A_MEMBER = 100
SHARE = 10
MEMBERS = "r"
PATIENCE_S = 3_600


@part("millions", arena="reads", always=False)
def millions(ground: Ground, stack: ExitStack) -> list[Subject]:
    """Rebuilds of 10 million events and of a tenth (--history): minutes, and 15 GB of disk."""
    events = ground.options.history_events
    subjects = []
    sizes = (("millions.rebuild", events), ("millions.rebuild.tenth", events // SHARE))
    for name, number in sizes:
        dsn, written = _filled(ground, stack, number)
        subjects.append(
            Subject(
                name,
                f"rebuild of every answer from {written:,} events",
                rebuilt(ground, dsn, PATIENCE_S),
                counts="events",
                watch={"postgres": [ground.postgres]},
                beside="" if number == events else "millions.rebuild",
            )
        )
    return subjects


def _filled(ground: Ground, stack: ExitStack, events: int) -> tuple[str, int]:
    """A ledger with so many events, or a few less: members who visit a club."""
    dsn, members = ground.created(stack), max(1, events // EVENTS_A_MEMBER)
    ground.tell(f"Writing {events:,} events")
    install(dsn)
    house = (population.line(fact) for fact in population.house(ground.now, 0))
    for done in Importer(dsn, now=ground.now).load_all([("house", lambda: house)]):
        if not done.kept:
            raise FaultError(f"the house was not taken: {done.rejections[:1]}")
    begun = population.member(lives.NOBODY, ground.now)
    visits = (EVENTS_A_MEMBER - len(begun)) // lives.EVENTS_A_VISIT
    life = lives.lived(ground.now, begun + lives.visits(ground.now, visits))
    with connect(dsn) as connection:
        with (
            lives.without_indexes(connection, "stored_events", "command_log"),
            connection.transaction(),
        ):
            lives.write(connection, life, MEMBERS, members, ground.now)
        connection.execute("TRUNCATE command_log")  # No rebuild reads it.
        lives.check(connection, f"member:{population.member_id(MEMBERS, members)}")
        connection.execute("VACUUM (FREEZE, ANALYZE) stored_events")
    return dsn, members * life.events
