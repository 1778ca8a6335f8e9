"""The audit: live answers beside a fresh replay, snapshots beside events, SQL beside Python."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Literal

from pydantic import Field, ValidationError

from ledger import checking
from ledger.checking import Disagreement, Folded, Sample, Unchecked
from ledger.database import connect
from ledger.locks import Lock
from ledger.log import snapshots
from projections.audit.comparing import Comparing, Comparison, compare_tables
from projections.audit.cross_check import SecondOpinion
from projections.engine.answer import Answer
from projections.engine.building import Builder, Progress, Report
from projections.engine.catalogue import PROJECTIONS
from projections.engine.connection import Conn
from projections.engine.event_tables import PoisonedEvent, typed_tables
from projections.engine.runner import missing, prepare
from projections.engine.schemas import LIVE, SCRATCH, drop, log_ends, positions, session_lock
from projections.engine.windows import fold_window

Check = Literal["replay", "snapshots", "second opinion"]
ALWAYS: tuple[Check, ...] = ("replay", "snapshots")
EVERYONE = Sample(members=None)
BATCH = 500
"""Streams whose rows are asked for together."""


class Audit(Answer):
    """The live answers and the snapshots of the streams, held against the log."""

    events: int = Field(description="that the answers hold")
    behind: int = Field(description="that they do not hold yet")
    sample_members: int | None = Field(description="null: all of them")
    seed: int = Field(description="that drew the sample")
    comparisons: list[Comparison]

    @property
    def different(self) -> int:
        return sum(comparison.different for comparison in self.comparisons)


def compare(
    dsn: str,
    checks: Collection[Check] = ALWAYS,
    sample: Sample = EVERYONE,
    limit: int = 100,
    report: Report | None = None,
) -> Audit:
    """Hold the live answers and the snapshots against the log, all of it at one position.

    Writes nothing but a scratch schema, and keeps no one from writing or folding. The replay is
    of everything; snapshots and second opinion are of the sample. At most `limit` differences are
    listed of each comparison. Raises PoisonedEvent for an event that cannot be read.
    """
    with connect(dsn) as conn:
        prepare(conn)
        with session_lock(conn, Lock.BUILDER):
            try:
                if "replay" in checks:
                    _replay(dsn, conn, report)
                with _one_state(conn):
                    return _compared(conn, checks, sample, limit, report)
            finally:
                drop(conn, SCRATCH)


def _replay(dsn: str, conn: Conn, report: Report | None) -> None:
    """As far as the live answers say they are: to be behind is not to differ."""
    ends = log_ends(conn)
    held = {bucket: min(upto, ends.get(bucket, 0)) for bucket, upto in positions(conn).items()}
    Builder(dsn, SCRATCH, report).build(conn, held)


@contextmanager
def _one_state(conn: Conn) -> Iterator[None]:
    """All that is read is of one moment, whoever writes and folds meanwhile."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        conn.execute(f"LOCK TABLE {LIVE.answers}.checkpoint IN ACCESS SHARE MODE")
        yield


def _compared(
    conn: Conn, checks: Collection[Check], sample: Sample, limit: int, report: Report | None
) -> Audit:
    ends, held = log_ends(conn), positions(conn)
    comparisons = {check: Comparing(check, limit) for check in checks}
    if "replay" in checks:
        _compare_replay(conn, comparisons["replay"], report)
    if "snapshots" in checks:
        into = comparisons["snapshots"]
        questions = (checking.lanes, checking.versions, checking.strays, checking.keys)
        for found in chain.from_iterable(question(conn) for question in questions):
            _note(into, found)
    if "snapshots" in checks or "second opinion" in checks:
        opinion = None
        if "second opinion" in checks:
            opinion = SecondOpinion(conn, comparisons["second opinion"])
        _walk(conn, sample, comparisons.get("snapshots"), opinion, report)
    behind = sum(max(end - held.get(bucket, 0), 0) for bucket, end in ends.items())
    return Audit(
        events=sum(ends.values()) - behind,
        behind=behind,
        sample_members=sample.members,
        seed=sample.seed,
        comparisons=[each.found() for each in comparisons.values()],
    )


def _compare_replay(conn: Conn, into: Comparing, report: Report | None) -> None:
    """Every table, after the replay has caught up with what was folded while it was made."""
    ends = log_ends(conn)
    held = {bucket: min(upto, ends.get(bucket, 0)) for bucket, upto in positions(conn).items()}
    for window in missing(positions(conn, SCRATCH), held):
        fold_window(conn, SCRATCH, window)
    pairs = [(LIVE.typed, SCRATCH.typed, table.name) for table in typed_tables().values()]
    names = [name for kind in PROJECTIONS.values() for name in kind.table_names()]
    pairs += [(LIVE.answers, SCRATCH.answers, name) for name in ("checkpoint", *names)]
    for number, (live, replayed, name) in enumerate(pairs, 1):
        compare_tables(conn, into, f"{live}.{name}", f"{replayed}.{name}")
        if report:
            report(Progress("tables", number, len(pairs)))


def _walk(
    conn: Conn,
    sample: Sample,
    into: Comparing | None,
    opinion: SecondOpinion | None,
    report: Report | None,
) -> None:
    """The streams of the sample, each folded once for its snapshot and once for the answers."""
    batch: list[Folded] = []
    seen = 0
    total = sum(log_ends(conn).values()) if sample.members is None else 0

    def compare_batch() -> None:
        if into is not None:
            into.tally("ledger.snapshots").rows += len(batch)
            for found in checking.states(conn, batch):
                _note(into, found)
        if opinion is not None:
            opinion.members([folded.stream for folded in batch])
        batch.clear()
        if report:
            report(Progress("streams", seen, total or seen))

    with checking.streams(conn, sample) as streams:
        for stream, events in streams:
            state, version = snapshots.fresh(stream), 0
            for stored in events:
                try:
                    event = snapshots.event_of(stored.topic, stored.state)
                    event.fold(state)
                    if opinion is not None:
                        opinion.take(stored, event)
                except (ValidationError, LookupError, ValueError, AssertionError) as error:
                    why = type(error).__name__  # Its text may quote what the event holds.
                    raise PoisonedEvent(
                        stored.bucket, stored.position, stored.topic, why
                    ) from error
                version, seen = stored.version, seen + 1
            batch.append(Folded(stream, version, state))
            if len(batch) == BATCH:
                compare_batch()
    compare_batch()
    if opinion is not None and sample.members is None:
        opinion.programme()


def _note(into: Comparing, found: Disagreement | Unchecked) -> None:
    if isinstance(found, Unchecked):
        into.tally(found.table).unchecked += 1
    else:
        into.differs(found.table, found.key, found.live, found.expected)
