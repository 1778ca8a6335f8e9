"""emmett-postgresql, from npm, in a node process of its own."""

from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from bench.children import Child
from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from bench.peers import packages
from bench.words import counted

PACKAGES = {
    "@event-driven-io/emmett": "0.42.0",
    "@event-driven-io/emmett-postgresql": "0.42.0",
    "@event-driven-io/pongo": "0.16.11",
}
SCRIPT = Path(__file__).with_suffix(".mjs")
GRACE_S = 60
START_S = 60


@part("emmett", arena="inprocess")
def emmett(ground: Ground, stack: ExitStack) -> list[Subject]:
    """emmett-postgresql doing the same command in process, with 1, 8 and 32 clients."""
    node = packages.node()
    modules = packages.installed(PACKAGES)
    dsn = ground.created(stack)
    child = stack.enter_context(
        Child(
            [node, SCRIPT],
            {"url": _url(dsn)},
            ground.scratch / "emmett.log",
            {"BENCH_MODULES": str(modules)},
        )
    )
    child.hear(START_S)

    def subject(clients: int) -> Subject:
        def run(seconds: int) -> Outcome:
            question = {"clients": clients, "seconds": seconds, "members": ground.options.members}
            found = child.ask(question, seconds + GRACE_S)
            return Outcome(found["count"], found["seconds"])

        return Subject(
            f"emmett.c{clients}",
            f"emmett-postgresql in process, {counted(clients, 'client')}",
            run,
            watch={"app": [child.pid], "postgres": [ground.postgres]},
        )

    return [subject(1), subject(8), subject(32)]


def _url(dsn: str) -> str:
    """As node's driver wants it; a socket's directory goes behind the question mark."""
    known = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    user, password = quote(known["user"], safe=""), quote(known["password"], safe="")
    where = urlencode({"host": known["host"], "port": known["port"]})
    return f"postgresql://{user}:{password}@localhost/{quote(known['dbname'], safe='')}?{where}"
