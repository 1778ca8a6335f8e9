"""Ours in process: commands into the ledger without HTTP, in one process and in two."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from bench.children import START_S, Child
from bench.ground import Ground
from bench.parts import Outcome, Subject, part

GRACE_S = 60


def driver(ground: Ground, stack: ExitStack, dsn: str) -> Child:
    """A process with a ledger of its own."""
    child = ground.python(stack, "bench.driver", dsn=dsn)
    child.hear(START_S)
    return child


def driven(
    ground: Ground, children: Sequence[Child], at_once: int, **question: Any
) -> Callable[[int], Outcome]:
    """A subject's `run`: each process keeps so many commands under way. Latencies: the worst."""

    def run(seconds: int) -> Outcome:
        asked: dict[str, Any] = {"kind": "visit", "members": ground.options.members, **question}
        asked |= {"at_once": at_once, "seconds": seconds}
        if asked["kind"] == "enrol":
            asked["campaign"] = ground.next_campaign()
        for child in children:
            child.tell({**asked, "run": ground.token()})
        answers = [child.hear(seconds + GRACE_S) for child in children]
        more = {name: max(each[name] for each in answers) for name in ("p50_ms", "p99_ms")}
        more["p999_ms"] = max(each["p999_ms"] for each in answers)
        return Outcome(
            sum(each["count"] for each in answers),
            max(each["seconds"] for each in answers),
            more,
        )

    return run


def subject(
    name: str,
    title: str,
    ground: Ground,
    children: Sequence[Child],
    at_once: int,
    *,
    beside: str = "",
    **question: Any,
) -> Subject:
    """Commands in process."""
    return Subject(
        name,
        title,
        driven(ground, children, at_once, **question),
        beside=beside,
        watch={"app": [child.pid for child in children], "postgres": [ground.postgres]},
    )


@part("inprocess", arena="inprocess")
def in_process(ground: Ground, stack: ExitStack) -> list[Subject]:
    """Ledger.execute with 32, 128 and 256 commands at once, 1 and 4 buckets, 1 and 2 processes."""
    # Each of its own: members whose visits pile up within minutes have snapshots as nobody has.
    first = driver(ground, stack, ground.members(stack))
    dsn = ground.members(stack)
    one, other = driver(ground, stack, dsn), driver(ground, stack, dsn)
    lanes = ground.members(stack, buckets=4)
    lane, beside_it = driver(ground, stack, lanes), driver(ground, stack, lanes)
    title = "visits in process"
    return [
        subject(
            "inprocess.128", f"{title}, 128 at once", ground, [first], 128, beside="pgbench.c32"
        ),
        subject("inprocess.32", f"{title}, 32 at once", ground, [one], 32, beside="pgbench.c32"),
        subject("inprocess.256", f"{title}, 256 at once", ground, [one], 256, beside="pgbench.c32"),
        subject(
            "inprocess.p2.128",
            f"{title}, two processes with 128 at once each",
            ground,
            [one, other],
            128,
            beside="inprocess.128",
        ),
        subject(
            "inprocess.b4.128",
            f"{title}, four buckets, 128 at once",
            ground,
            [lane],
            128,
            beside="inprocess.128",
        ),
        subject(
            "inprocess.b4.p2.128",
            f"{title}, four buckets, two processes with 128 at once each",
            ground,
            [lane, beside_it],
            128,
            beside="inprocess.128",
        ),
        subject(
            "inprocess.same.128",
            "visits of one member in process, 128 at once",
            ground,
            [one],
            128,
            kind="same",
            beside="inprocess.128",
        ),
        subject(
            "inprocess.enrol.128",
            "enrolments into one campaign in process, 128 at once",
            ground,
            [one],
            128,
            kind="enrol",
            beside="inprocess.128",
        ),
    ]
