"""A long list as a file, beside PostgreSQL's own COPY of the same rows."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from functools import partial
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from psycopg.rows import class_row

from api.runtime import demonstration
from api.runtime.exports import FORMATS, Export
from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from ledger.database import connect, install
from projections.engine import runner
from projections.engine.answer import Answer
from projections.engine.connection import Conn, streaming

ROWS, QUICK_ROWS = 155_000, 5_000
"""What a binding rate of a full branch is made of."""
SCALES, QUICK_SCALES = ("0.02", "0.1"), ("0.002", "0.01")
LOTS = "points.outstanding"
"""The measure that is made up of the most rows."""
GRACE_S = 300


class Contribution(Answer):
    """A row of every kind of value, as long as those behind a figure."""

    member_id: str
    unit_id: str
    unit_title: str
    tier: str | None
    joined_at: datetime
    starts_on: date
    ends_on: date | None
    policy: str
    base: int
    bound: int
    bucket: int
    position: int


_MADE = """
    SELECT 'm' || lpad(n::text, 6, '0') AS member_id, 'u' || n % 12 AS unit_id,
        '城南营业厅' || n % 12 AS unit_title,
        CASE WHEN n % 5 > 0 THEN '钻石卡' END AS tier,
        '2008-01-01Z'::timestamptz + n * interval '97 seconds' AS joined_at,
        '2008-01-01'::date + n % 365 AS starts_on,
        CASE WHEN n % 3 > 0 THEN '2009-01-01'::date + n % 365 END AS ends_on,
        '=spring(' || n || ')' AS policy, 1 AS base, n % 2 AS bound, 0 AS bucket, n AS position
    FROM generate_series(1, {rows}) n
"""


@part("exports", arena="reads")
def exports(ground: Ground, stack: ExitStack) -> list[Subject]:
    """155,000 rows of twelve columns as CSV, JSON Lines and xlsx, and as COPY gives them."""
    conn = stack.enter_context(connect(ground.created(stack)))
    rows = QUICK_ROWS if ground.options.quick else ROWS
    made = _MADE.format(rows=rows)

    def timed(write: Callable[[BinaryIO], None]) -> Outcome:
        with TemporaryFile() as out:
            start, cpu = time.perf_counter(), time.process_time()
            write(out)
            spent = time.process_time() - cpu
            return Outcome(rows, time.perf_counter() - start, {"cpu_s": spent})

    def copied(out: BinaryIO) -> None:
        with conn.cursor() as cursor, cursor.copy(f"COPY ({made}) TO STDOUT CSV") as copy:
            for block in copy:
                out.write(block)

    def written(name: str) -> Callable[[int], Outcome]:
        def write(out: BinaryIO) -> None:
            with conn.transaction():
                FORMATS[name].write(Export("bench", {}, Contribution, _rows(conn, made)), out)

        return lambda _: timed(write)

    floor = Subject("export.copy", f"COPY of {rows:,} rows", lambda _: timed(copied), "rows")
    files = [
        Subject(f"export.{name}", f"{rows:,} rows as {name}", written(name), "rows",
                beside="export.copy")
        for name in FORMATS
    ]  # fmt: skip
    return [floor, *files]


@part("contributions", arena="reads")
def contributions(ground: Ground, stack: ExitStack) -> list[Subject]:
    """What makes a measure up as CSV and xlsx, of a small demo and of one five times as large."""
    subjects = []
    scales = QUICK_SCALES if ground.options.quick else SCALES
    for size, scale in zip(("few", "many"), scales, strict=True):
        dsn = ground.created(stack)
        install(dsn)
        demonstration.load(dsn, scale, 2008, lambda *_: None, lambda _: None)
        runner.project(dsn)
        for name in ("csv", "xlsx"):
            asked = {"dsn": dsn, "measure": LOTS, "params": {}, "on": "2008-12-31", "format": name}
            title = f"what makes {LOTS} of the demo at {scale} up, as {name}"
            run = partial(_contributed, ground, asked)
            subjects.append(Subject(f"contributions.{name}.{size}", title, run, "rows"))
    return subjects


def _contributed(ground: Ground, asked: Mapping[str, Any], _: int) -> Outcome:
    with ExitStack() as stack:
        found = ground.python(stack, "bench.exporter", **asked).hear(GRACE_S)
    more = {"cpu_s": found["cpu_s"], "peak_mb": found["peak_mb"]}
    return Outcome(found["rows"], found["seconds"], more)


@contextmanager
def _rows(conn: Conn, made: str) -> Iterator[Iterator[Contribution]]:
    with streaming(conn, class_row(Contribution)) as cursor:
        yield iter(cursor.execute(made))
