"""Answers as of a moment: all figures the first time and again, and one member with a long life."""

import http.client
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from functools import partial
from itertools import count, cycle
from statistics import quantiles

from api.doors import PREFIX
from api.runtime import demonstration
from bench import lives, population
from bench.ground import Ground
from bench.http import serving
from bench.parts import Outcome, Subject, part
from bench.words import FaultError
from ledger.database import connect, install
from projections.asof import pairs
from projections.engine import runner
from projections.engine.answer import Moment
from projections.engine.days import end_of
from projections.engine.measure import overview
from projections.engine.moments import Asked, moment

SCALE, QUICK_SCALE = "0.05", "0.002"
"""Of the demo year whose figures are asked for."""
MONTH_END = date(2008, 11, 30)
LONG_EVENTS = 1_000
LONGEST_EVENTS = (40_000, 4_000)
"""Half of them are lines of a statement; where things are quick, fewer."""
LONG_MEMBERS, LONG, LONGEST = 10, "p", "q"
FEW_MEMBERS = 5_000


@part("asof", arena="reads")
def figures(ground: Ground, stack: ExitStack) -> list[Subject]:
    """All measures of the demo year as of a month end: the first time, and again."""
    dsn = ground.created(stack)
    install(dsn)
    scale = QUICK_SCALE if ground.options.members <= FEW_MEMBERS else SCALE
    demonstration.load(dsn, scale, 2008, lambda *_: None, lambda _: None)
    runner.project(dsn)
    before = count()
    with connect(dsn) as connection:
        month_end = moment(connection, Asked(end_of(MONTH_END)), ground.now)
    (bucket, last), *_ = month_end.positions

    def asked(then: Moment) -> Outcome:
        start = time.perf_counter()
        with pairs.answers(dsn, then) as connection:
            list(overview(connection, MONTH_END))
        return Outcome(1, time.perf_counter() - start)

    def first(_: int) -> Outcome:
        place = ((bucket, last - next(before)),)
        return asked(Moment(known_at=month_end.known_at, effective_at=None, positions=place))

    def again(_: int) -> Outcome:
        return asked(month_end)

    title = f"all measures of the demo year at {scale} as of a month end"
    watch = {"postgres": [ground.postgres]}
    return [
        Subject("asof.first", f"{title}, the first time", first, "answers", watch=watch),
        Subject(
            "asof.again",
            f"{title}, again",
            again,
            "answers",
            before=lambda: pairs.build(dsn, month_end),
            watch=watch,
            beside="asof.first",
        ),
    ]


@part("past", arena="reads")
def member(ground: Ground, stack: ExitStack) -> list[Subject]:
    """A member's card and his statement as of a moment over HTTP, one request after the other."""
    dsn = ground.members(stack)
    begun = population.member(lives.NOBODY, ground.now)
    events = {LONG: LONG_EVENTS, LONGEST: LONGEST_EVENTS[ground.options.quick]}
    decided = {
        prefix: lives.lived(
            ground.now,
            begun + lives.visits(ground.now, (many - len(begun)) // lives.EVENTS_A_VISIT),
        )
        for prefix, many in events.items()
    }
    with connect(dsn) as connection:
        for prefix, life in decided.items():
            lives.write(connection, life, prefix, LONG_MEMBERS, ground.now)
    runner.project(dsn)
    with connect(dsn) as connection:
        connection.execute("VACUUM (ANALYZE)")
        then = moment(connection, Asked(None), ground.now).cursor
    server = serving(ground, stack, "ours", dsn)
    watch = {"app": [server.child.pid], "postgres": [ground.postgres]}

    def subject(name: str, what: str, prefix: str, below: str) -> Subject:
        paths = cycle(
            f"{PREFIX}/members/{population.member_id(prefix, n)}{below}?known_at={then}"
            for n in range(1, LONG_MEMBERS + 1)
        )
        title = f"{what} with {decided[prefix].events:,} events as of a moment over HTTP"
        run = partial(_asked, server.address.removeprefix("http://"), paths)
        return Subject(name, f"{title}, 1 connection", run, "requests", watch=watch)

    return [
        subject("asof.member", "a member", LONG, ""),
        subject("asof.statement", "the statement of a member", LONG, "/statement"),
        subject("asof.statement_long", "the statement of a member", LONGEST, "/statement"),
    ]


def _asked(address: str, paths: Iterator[str], seconds: int) -> Outcome:
    """Request after request for so long, each timed."""
    asking = http.client.HTTPConnection(address, timeout=10)
    took_ms, until = list[float](), time.perf_counter() + seconds
    while (start := time.perf_counter()) < until or len(took_ms) < 2:
        asking.request("GET", next(paths))
        answer = asking.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise FaultError(f"what is as of a moment was answered with {answer.status}")
        took_ms.append((time.perf_counter() - start) * 1e3)
    asking.close()
    cuts = quantiles(took_ms, n=100, method="inclusive")
    more = {"p50_ms": cuts[49], "p99_ms": cuts[98], "slowest_ms": max(took_ms)}
    return Outcome(len(took_ms), sum(took_ms) / 1e3, more)
