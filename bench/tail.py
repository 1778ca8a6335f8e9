"""The tail: how slow the slowest requests are, in peace and beside what a database has to do."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from bench import http
from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from bench.words import FaultError
from ledger.database import connect
from projections.engine import runner

CONNECTIONS = 32
PAUSE_S = 0.2
REBUILDER = "bench-rebuild"
PATIENCE_S = 20
VACUUM = "VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) stored_events"
"""Harsher than autovacuum: it reads every page and never pauses."""


def beside(
    run: Callable[[int], Outcome], dsn: str, statement: str, pause_s: float = PAUSE_S
) -> Callable[[int], Outcome]:
    """The run while a statement is executed again and again."""

    def both(seconds: int) -> Outcome:
        over = threading.Event()
        failures: list[str] = []
        done = [0]

        def disturb() -> None:
            try:
                with connect(dsn) as connection:
                    while not over.wait(pause_s):
                        connection.execute(statement.encode())
                        done[0] += 1
            except psycopg.Error as failure:
                failures.append(str(failure))

        thread = threading.Thread(target=disturb, daemon=True)
        thread.start()
        try:
            outcome = run(seconds)
        finally:
            over.set()
            thread.join(PATIENCE_S)
        if failures:
            raise FaultError(f"{statement}: {failures[0]}")
        return Outcome(outcome.count, outcome.seconds, {**outcome.more, "disturbed": done[0]})

    return both


class Rebuilds:
    """A process that rebuilds the answers again and again."""

    def __init__(self, ground: Ground, dsn: str) -> None:
        self._ground = ground
        self._dsn = dsn
        self._stack = ExitStack()

    def start(self) -> None:
        """Begin, and wait until it is at work."""
        dsn = make_conninfo(self._dsn, application_name=REBUILDER)
        child = self._ground.python(self._stack, "bench.rebuilder", dsn=dsn)
        child.hear(PATIENCE_S)

    def stop(self) -> None:
        """End it; what it left half done the next one goes on with."""
        with self._ground.admin() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = %s",
                (REBUILDER,),
            )
        self._stack.close()


@part("tail", arena="tail")
def tail(ground: Ground, stack: ExitStack) -> list[Subject]:
    """p50, p99 and p99.9 over HTTP in peace, during checkpoints, a vacuum of the log, a rebuild."""
    http.wrk()
    dsn = ground.members(stack)
    runner.project(dsn)
    floor = http.serving(ground, stack, "floor")
    server = http.serving(ground, stack, "ours", dsn)
    watch: dict[str, Any] = {"app": [server.child.pid], "postgres": [ground.postgres]}
    rebuilds = Rebuilds(ground, dsn)
    run = http.logged(http.load(ground, server, "visit", CONNECTIONS, ""), dsn)
    title = "visits over HTTP"
    return [
        http.subject("tail.floor", "empty FastAPI POST", ground, floor, CONNECTIONS),
        Subject("tail.quiet", f"{title}, in peace", run, watch=watch),
        Subject(
            "tail.checkpoint",
            f"{title}, during checkpoints",
            beside(run, dsn, "CHECKPOINT"),
            watch=watch,
        ),
        Subject(
            "tail.vacuum",
            f"{title}, while the log is vacuumed and frozen",
            beside(run, dsn, VACUUM),
            watch=watch,
        ),
        Subject(
            "tail.rebuild",
            f"{title}, while the answers are rebuilt",
            run,
            before=rebuilds.start,
            after=rebuilds.stop,
            watch=watch,
        ),
    ]
