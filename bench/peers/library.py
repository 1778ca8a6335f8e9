"""Stock eventsourcing beside ours."""

from contextlib import ExitStack

from bench import http
from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from bench.peers import stock
from bench.words import counted

GRACE_S = 60
START_S = 60


@part("stock", arena="inprocess")
def in_process(ground: Ground, stack: ExitStack) -> list[Subject]:
    """Stock eventsourcing doing the same command in process, with 1 thread and with 8."""
    dsn = ground.created(stack)
    stock.open_accounts(dsn, ground.options.members, ground.now)
    child = ground.python(stack, "bench.peers.stock_driver", dsn=dsn)
    child.hear(START_S)

    def subject(threads: int) -> Subject:
        def run(seconds: int) -> Outcome:
            question = {"threads": threads, "seconds": seconds, "run": ground.token()}
            question["members"] = ground.options.members
            found = child.ask(question, seconds + GRACE_S)
            return Outcome(found["count"], found["seconds"])

        return Subject(
            f"stock.t{threads}",
            f"stock eventsourcing in process, {counted(threads, 'thread')}",
            run,
            watch={"app": [child.pid], "postgres": [ground.postgres]},
        )

    return [subject(1), subject(8)]


@part("stock_http", arena="http")
def over_http(ground: Ground, stack: ExitStack) -> list[Subject]:
    """Stock eventsourcing doing the same command over HTTP, in FastAPI's thread pool."""
    http.wrk()
    dsn = ground.created(stack)
    stock.open_accounts(dsn, ground.options.members, ground.now)
    server = http.serving(ground, stack, "stock", dsn)
    title = "stock eventsourcing over HTTP, 32 connections"
    return [http.subject("stock.http.c32", title, ground, server, 32, beside="http.w1.c32")]
