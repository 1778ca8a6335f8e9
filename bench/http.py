"""Ours over HTTP: the real application behind a real server, under the load that wrk makes."""

import http.client
import re
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import quantiles

from psycopg import Connection

from api.doors import PREFIX
from api.runtime.clock import Clock
from bench.children import START_S, Child, environment
from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from bench.words import AbsentError, FaultError, counted
from ledger.database import connect
from ledger.reading import total
from projections.engine import runner

SCRIPT = Path(__file__).parent / "desk.lua"
GRACE_S = 60
EVENTS_A_COMMAND = 2
"""A visit writes its debit and itself, an enrolment its place and itself."""
SETTLE_S = 20
LOOK_AGAIN_S = 0.01
FEWEST_LOOKS = 10
STARTED = "Application startup complete"
_RESULT = re.compile(
    r"^RES requests=(\d+) us=(\d+) p50=(\d+) p99=(\d+) p999=(\d+) max=(\d+) status=(\d+)"
    r" errors=(\d+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers on this machine, and the ledger behind it, if there is one."""

    child: Child
    address: str
    dsn: str


def wrk() -> str:
    """Where the load generator is."""
    found = shutil.which("wrk")
    if found is None:
        raise AbsentError("wrk is not installed (Debian and Ubuntu: apt-get install wrk)")
    return found


def serving(
    ground: Ground,
    stack: ExitStack,
    app: str,
    dsn: str = "",
    *,
    workers: int = 1,
    profile: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Server:
    """Start one of the applications of bench.servers and wait until every worker is up."""
    environ = {f"CLUBLEDGER_{name.upper()}": value for name, value in (settings or {}).items()}
    said = {"app": app, "dsn": dsn, "workers": workers, "profile": profile, "environ": environ}
    child = ground.python(stack, "bench.servers", **said)
    port = child.hear(START_S)["port"]
    until = time.monotonic() + START_S
    while child.log.read_text("utf-8", "replace").count(STARTED) < workers:
        if time.monotonic() > until:
            raise FaultError(f"the server of {app} did not start; see its log")
        time.sleep(0.05)
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    try:
        asked.request("GET", "/livez")
        asked.getresponse().read()
    finally:
        asked.close()
    return Server(child, f"http://127.0.0.1:{port}", dsn)


def load(
    ground: Ground, server: Server, kind: str, connections: int, below: str, who: str = ""
) -> Callable[[int], Outcome]:
    """A subject's `run`. One answer that is no success spoils it."""
    command = [wrk(), "--threads", "1", "--connections", str(connections), "--script", str(SCRIPT)]

    def run(seconds: int) -> Outcome:
        variables = {
            "BENCH_KIND": kind,
            "BENCH_MEMBERS": str(ground.options.members),
            "BENCH_RUN": ground.token(),
            "BENCH_BELOW": below,
            "BENCH_AUTHORIZATION": who,
            "BENCH_CAMPAIGN": str(ground.next_campaign() if kind == "enrol" else 0),
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*command, "--duration", str(seconds), server.address],
            env=environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + GRACE_S,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = _RESULT.search(done.stdout)
        if found is None:
            raise FaultError(f"wrk: {(done.stderr.strip().splitlines() or ['no figures'])[-1]}")
        requests, us, p50, p99, p999, slowest, status, errors = map(int, found.groups())
        if status or errors:
            raise FaultError(f"{status} of {requests} answers were no success, {errors} errors")
        if not requests:
            raise FaultError("no request was answered")
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        more = {"p50_ms": p50 / 1e3, "p99_ms": p99 / 1e3, "p999_ms": p999 / 1e3}
        more |= {"slowest_ms": slowest / 1e3, "cpu_load_us": spent / requests * 1e6}
        return Outcome(requests, us / 1e6, more)

    return run


def logged(run: Callable[[int], Outcome], dsn: str) -> Callable[[int], Outcome]:
    """The same run, believed only if the log grew by what was answered."""

    def checked(seconds: int) -> Outcome:
        with connect(dsn) as connection:
            before = total(connection)
            outcome = run(seconds)
            grown = total(connection) - before
        if grown < outcome.count * EVENTS_A_COMMAND:
            raise FaultError(f"{outcome.count:.0f} answers, but {grown} events in the log")
        return outcome

    return checked


def subject(
    name: str,
    title: str,
    ground: Ground,
    server: Server,
    connections: int,
    *,
    kind: str = "visit",
    below: str = "",
    beside: str = "",
    counts: str = "requests",
    after: Callable[[], None] | None = None,
    who: str = "",
) -> Subject:
    """Requests of one kind on so many connections; on a ledger, checked against its log. `who` is
    what they bring to say who is asking."""
    run = load(ground, server, kind, connections, below, who)
    watch = {"app": [server.child.pid], "postgres": [ground.postgres]}
    return Subject(
        name,
        title,
        logged(run, server.dsn) if counts == "commands" else run,
        counts,
        after=after,
        watch=watch,
        beside=beside,
    )


def ours(
    name: str,
    title: str,
    ground: Ground,
    server: Server,
    connections: int,
    *,
    kind: str = "visit",
    beside: str = "fastapi.c32",
    after: Callable[[], None] | None = None,
    who: str = "",
) -> Subject:
    """Commands to our own application."""
    return subject(
        name,
        title,
        ground,
        server,
        connections,
        kind=kind,
        below=PREFIX,
        beside=beside,
        counts="commands",
        after=after,
        who=who,
    )


@part("http", arena="http")
def over_http(ground: Ground, stack: ExitStack) -> list[Subject]:
    """The real application: visits on 1, 8, 32 and 128 connections, with one worker and two."""
    wrk()
    dsn = ground.members(stack)
    one = serving(ground, stack, "ours", dsn)
    two = serving(ground, stack, "ours", dsn, workers=2)
    subjects = [
        ours(
            f"http.w1.c{n}",
            f"visits over HTTP, {counted(n, 'connection')}",
            ground,
            one,
            n,
            beside=f"fastapi.c{n}",
        )
        for n in (1, 8, 32, 128)
    ]
    for n in (32, 128):
        title = f"visits over HTTP, two workers, {n} connections"
        subjects.append(ours(f"http.w2.c{n}", title, ground, two, n, beside=f"http.w1.c{n}"))
    return subjects


@part("hot", arena="http")
def hot(ground: Ground, stack: ExitStack) -> list[Subject]:
    """Hot streams: enrolments into one campaign with a cap, visits of one member."""
    wrk()
    server = serving(ground, stack, "ours", ground.members(stack))
    return [
        ours(
            "http.enrol.c32",
            "enrolments into one campaign over HTTP, 32 connections",
            ground,
            server,
            32,
            kind="enrol",
            beside="http.w1.c32",
        ),
        ours(
            "http.same.c32",
            "visits of one member over HTTP, 32 connections",
            ground,
            server,
            32,
            kind="same",
            beside="http.w1.c32",
        ),
    ]


@part("followed", arena="http")
def followed(ground: Ground, stack: ExitStack) -> list[Subject]:
    """The same while the answers are followed in the same process, as `serve` does."""
    wrk()
    dsn = ground.members(stack)
    runner.project(dsn)
    server = serving(ground, stack, "followed", dsn)

    def settle() -> None:
        # What is still to be folded would burden whoever is next.
        until = time.monotonic() + SETTLE_S
        with connect(dsn) as connection:
            while _lag(connection) and time.monotonic() < until:
                time.sleep(0.05)

    title = "visits over HTTP with the answers followed, 32 connections"
    subject = ours("http.followed.c32", title, ground, server, 32, beside="http.w1.c32",
                   after=settle)  # fmt: skip
    return [replace(subject, run=lagged(subject.run, dsn))]


def lagged(run: Callable[[int], Outcome], dsn: str) -> Callable[[int], Outcome]:
    """The same run, with how far the answers were behind while it lasted: the age of the oldest
    event that they did not hold, looked at every few milliseconds."""

    def looked(seconds: int) -> Outcome:
        over, ages = threading.Event(), list[float]()

        def look() -> None:
            with connect(dsn) as connection:
                while not over.wait(LOOK_AGAIN_S):
                    lanes = runner.status(connection)
                    ages.append(max(lane.lag_s(Clock().now()) for lane in lanes) * 1e3)

        looker = threading.Thread(target=look)
        looker.start()
        try:
            outcome = run(seconds)
        finally:
            over.set()
            looker.join()
        if len(ages) < FEWEST_LOOKS:
            raise FaultError(f"the lag was looked at {len(ages)} times")
        lag = {f"lag_p{at}_ms": quantiles(ages, n=100)[at - 1] for at in (50, 99)}
        return replace(outcome, more={**outcome.more, **lag})

    return looked


def _lag(connection: Connection[tuple[object, ...]]) -> int:
    return sum(lane.lag for lane in runner.status(connection))
