"""Looking at the answers from the command line: as they are now, or as of a moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from psycopg import Connection

from api.cli.terminal import output
from api.runtime import problems
from api.runtime.failures import Rejected
from api.runtime.wiring import Database
from domain.kernel.refusal import Refusal
from ledger.clocks import ClockAhead, LogAhead
from ledger.database import connect
from projections.asof import pairs
from projections.engine import moments, runner
from projections.engine.answer import Moment
from projections.engine.moments import Asked


@contextmanager
def looking(
    database: Database, asked: Asked | None, *, kept: bool = False
) -> Iterator[tuple[Connection[Any], Moment | None]]:
    """(a connection that reads the answers, brought up to date; the moment they are as of).

    As of now they are the live ones, unless it is to be `kept` for who looks again.
    """
    clock = database.clock.now
    now = clock()
    if asked is None or (asked.is_now(now) and not kept):
        runner.project(database.dsn)
        with connect(database.dsn) as connection, runner.snapshot(connection):
            yield connection, moments.of_live(connection, asked, clock) if asked else None
        return
    with connect(database.dsn) as connection, refusable():
        moment = moments.moment(connection, asked, now)
    with output.steps() as steps:

        def report(at: runner.Progress) -> None:
            steps.reach(at.stage, at.done, at.total)

        with pairs.answers(database.dsn, moment, report) as connection:
            yield connection, moment


@contextmanager
def holding(
    database: Database, asked: Asked | None
) -> Iterator[tuple[Connection[Any], Moment | None]]:
    """(a connection that reads the live answers, which hold the moment; the moment). They may hold
    more, and who asks leaves that out."""
    if asked is None:
        with looking(database, None) as found:
            yield found
        return
    with connect(database.dsn) as connection, refusable():
        moment = moments.moment(connection, asked, database.clock.now())
    pairs.bring_live(database.dsn, moment)
    with connect(database.dsn) as connection, runner.snapshot(connection):
        yield connection, moment


@contextmanager
def refusable() -> Iterator[None]:
    """A moment that the log does not hold ends the command with a sentence.

    Clocks that disagree are no refusal of what was asked: the ledger cannot be used.
    """
    try:
        yield
    except (ClockAhead, LogAhead):
        raise
    except Refusal as refusal:
        told = {"refusal": refusal.code, **refusal.numbers()}
        raise Rejected(problems.of_refusal(refusal)["detail"], told) from None


def last_fact_line(day: date) -> str:
    """Why figures of now may be of days on which nothing happened, and how to see others."""
    return f"The last fact about customers is of {day}: --effective-at {day}."


def say_moment(moment: Moment | None) -> None:
    """Above an answer: what it is as of."""
    if moment is not None:
        output.say(f"As of {moment_line(moment)}.\n")


def moment_line(moment: Moment) -> str:
    """A moment for a reader."""
    known = f"what was known by {output.local(moment.known_at) or 'nobody yet'}"
    happened = ""
    if moment.effective_at is not None:
        happened = f" and had happened by {output.local(moment.effective_at)}"
    return f"{known} ({moment.cursor}){happened}"
