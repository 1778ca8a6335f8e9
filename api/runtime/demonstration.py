"""The demo: a year of history loaded in chapters, and a clock that goes on from its end.

Each chapter is one transaction under a key of its own, so a load that was killed goes on where it
stopped. A ledger holds one demo or none: other events, scales or seeds are refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from psycopg import Connection
from pydantic import Field

from api.runtime import report_files
from api.runtime.clock import OFFSET, Clock, offset_to
from api.runtime.failures import Rejected, WrongUse
from domain.access import AddUser, GrantRole, InviteUser, UserExists, UserIsDisabled
from domain.kernel.values import PROGRAMME, local_date, start_of
from ledger import clocks, reading
from ledger.credentials import mint
from ledger.database import connect, meta, set_meta
from ledger.importing import Importer
from ledger.locks import Lock
from ledger.log.batcher import Ledger
from ledger.sessions import has_password
from projections.engine.answer import Answer

if TYPE_CHECKING:
    from demo import Employee

SCALE, SEED, COMPLETE = "demo_scale", "demo_seed", "demo_complete"
BEGAN = "demo_day_began"
"""The names under which the demo is remembered in the installation's facts."""
STAFFED_BY = "administrator:demo"
"""Who adds the demo's people, as events name him."""
OPENS, NOON, HOUR = 9, 12, timedelta(hours=1)
"""The hours between which a demo is shown its clubs open for long enough."""


class Demo(Answer):
    """The demo that is loaded."""

    scale: str
    seed: int
    complete: bool
    day_began: datetime | None = Field(
        None,
        description="what its clock was set to when `serve` last began a day of it; null: never",
    )


@dataclass
class Loaded:
    """What a load did. `facts` and `events` count what was written now."""

    chapters: int = 0
    resumed: int = 0
    facts: int = 0
    events: int = 0


def demo_of(known: Mapping[str, str]) -> Demo | None:
    """The demo in an installation, from the facts kept with it."""
    if SCALE not in known:
        return None
    began = datetime.fromisoformat(known[BEGAN]) if BEGAN in known else None
    return Demo(
        scale=known[SCALE], seed=int(known[SEED]), complete=COMPLETE in known, day_began=began
    )


@contextmanager
def served(dsn: str) -> Iterator[datetime | None]:
    """While a ledger is served. A demo that nobody else serves begins a day: its clock shows 9:00
    of the first day that its log leaves free, unless it shows a morning there already. Yields what
    it was set to, if it was: else the examples of the pages would find the clubs closed at night.
    """
    with closing(connect(dsn)) as session:
        known = demo_of(meta(session))
        if known is None or not known.complete:
            yield None
            return
        begun = None
        if session.execute("SELECT pg_try_advisory_lock(%s)", (Lock.SERVING,)).fetchone() == (
            True,
        ):
            begun = _begin_day(session)
            session.execute("SELECT pg_advisory_unlock(%s)", (Lock.SERVING,))
        session.execute("SELECT pg_advisory_lock_shared(%s)", (Lock.SERVING,))
        yield begun  # The session holds the lock until it ends, however it ends.


def _begin_day(session: Connection[Any]) -> datetime | None:
    """Set the clock, if it does not show a morning of the day of what was recorded last."""
    import demo

    now = Clock.of(meta(session)).now().astimezone(PROGRAMME.zone)
    last = max(clocks.read(session).recorded_at or demo.CLOCK_STARTS_AT, demo.CLOCK_STARTS_AT)
    day = local_date(last)
    if now.date() == day and OPENS <= now.hour < NOON and now >= last:
        return None
    start = start_of(day) + OPENS * HOUR
    if start < last:
        start = start_of(day + timedelta(days=1)) + OPENS * HOUR
    set_meta(session, **{OFFSET: str(offset_to(start)), BEGAN: start.isoformat()})
    return start


async def invitations(dsn: str, clock: Clock) -> list[tuple[str, str]]:
    """(role, what invites him) of each of the demo's people who has not chosen a password yet. Who
    is not there is added; who was disabled since is not invited again."""
    import demo

    with connect(dsn) as connection:
        have = {each.user_id for each in demo.STAFF if has_password(connection, each.user_id)}
    made = list[tuple[str, str]]()
    async with Ledger(dsn, now=clock.now) as ledger:
        for each in demo.STAFF:
            if each.user_id in have:
                continue
            token = await _invited(ledger, dsn, each)
            made += [] if token is None else [(each.role_id, token)]
    return made


async def _invited(ledger: Ledger, dsn: str, who: "Employee") -> str | None:
    """What invites one of the demo's people; None if he may come in no more."""
    key, user_id = f"demo-staff-{who.user_id}", who.user_id
    with suppress(UserExists):
        await ledger.execute(AddUser(key=key, actor=STAFFED_BY, user_id=user_id))
    grant = GrantRole(
        key=f"{key}-{who.role_id}",
        actor=STAFFED_BY,
        user_id=user_id,
        role_id=who.role_id,
        clubs=who.clubs,
        units=who.units,
    )
    await ledger.execute(grant)
    invite = InviteUser(key=f"{key}-{uuid4().hex}", actor=STAFFED_BY, user_id=user_id)
    try:
        invited = await ledger.execute(invite)
    except UserIsDisabled:
        return None
    with connect(dsn) as connection:
        return mint(connection, f"user:{user_id}", int(invited.body["secret"]))


def assumed(figure_id: str) -> list[str]:
    """The assumptions of the demo that a figure rests on, named for it or for all of its kind."""
    from demo import ASSUMED

    return sorted(
        {
            assumption
            for figure, assumptions in ASSUMED.items()
            if figure_id == figure or figure_id.startswith(f"{figure}.")
            for assumption in assumptions
        }
    )


def canonical(scale: str) -> str:
    """A scale in one writing, so that 1, 1.0 and 1.00 are the same demo."""
    from demo import SMALLEST

    try:
        value = Decimal(scale)
    except InvalidOperation as error:
        raise WrongUse("A scale is a number such as 0.01.") from error
    if not (value.is_finite() and Decimal(SMALLEST) <= value <= 1):
        raise WrongUse(f"A scale is at least {SMALLEST} and at most 1.")
    return format(value.normalize(), "f")


def load(
    dsn: str,
    scale: str,
    seed: int,
    chapter_begins: Callable[[str, int], None],
    facts_done: Callable[[int], None],
) -> Loaded:
    """Load what is not loaded yet. `chapter_begins` hears its title and about how many facts."""
    with connect(dsn) as session:
        found = session.execute("SELECT pg_try_advisory_lock(%s)", (Lock.LOADING,)).fetchone()
        if found != (True,):
            chapter_begins("waiting for another load of the demo", 0)
            session.execute("SELECT pg_advisory_lock(%s)", (Lock.LOADING,))
        # The session holds the lock until it ends, however it ends.
        return _load(dsn, scale, seed, chapter_begins, facts_done)


def _load(
    dsn: str,
    scale: str,
    seed: int,
    chapter_begins: Callable[[str, int], None],
    facts_done: Callable[[int], None],
) -> Loaded:
    """Under the lock of loads."""
    import demo

    done = Loaded()
    if _claim(dsn, scale, seed, demo.CLOCK_STARTS_AT, demo.ZONE_NAME):
        return done
    chapter_begins("drawing the year", 0)
    importer = Importer(dsn, now=demo.CLOCK_STARTS_AT, recorded_as_occurred=True)

    def files() -> Iterator[tuple[str, Callable[[], Iterable[bytes]]]]:
        for chapter in demo.chapters(scale, seed):
            chapter_begins(chapter.title, chapter.facts)
            yield chapter.key, chapter.lines
        report = report_files.read(demo.REPORT, demo.CLOCK_STARTS_AT, "manager:vip")
        lines = report_files.lines([told.command for told in report.told])
        chapter_begins("the report", len(lines))
        yield "demo-report", lambda: iter(lines)

    for imported in importer.load_all(files(), facts_done):
        if not imported.kept:
            first = imported.rejections[0]
            raise Rejected(
                f"The demo's own line {first.line} of {imported.key} was refused: {first.reason}"
            )
        done.chapters += 1
        done.resumed += imported.replayed
        if not imported.replayed:
            done.facts += imported.facts
            done.events += imported.events
    with connect(dsn) as connection:
        # The year is over when the last of it is there: only now the clock is set going, from what
        # was recorded last, if somebody wrote while it was loaded.
        last = clocks.read(connection).recorded_at or demo.CLOCK_STARTS_AT
        offset = offset_to(max(last, demo.CLOCK_STARTS_AT))
        set_meta(connection, **{OFFSET: str(offset), COMPLETE: "yes"})
    return done


def _claim(dsn: str, scale: str, seed: int, starts_at: datetime, zone: str) -> bool:
    """Mark an empty ledger as this demo's, or see that it is. Whether all of it is there."""
    with connect(dsn) as connection, connection.transaction():
        facts = meta(connection)
        known = demo_of(facts)
        if known is None:
            if facts["zone"] != zone:
                raise Rejected(
                    f"This ledger keeps the time of {facts['zone']}, and the demo's year is one of"
                    f" {zone}: give the demo a data directory of its own (--data-dir)."
                )
            events = reading.total(connection)
            if events:
                raise Rejected(
                    f"This ledger holds {events:,} events that are not the demo's:"
                    " give the demo a data directory of its own (--data-dir)."
                )
            offset = str(offset_to(starts_at))
            set_meta(connection, **{OFFSET: offset, SEED: str(seed), SCALE: scale})
            return False
        if (known.scale, known.seed) != (scale, seed):
            raise Rejected(
                f"This ledger holds the demo of scale {known.scale} and seed {known.seed},"
                f" not of scale {scale} and seed {seed}: one ledger holds one demo."
            )
        return known.complete
