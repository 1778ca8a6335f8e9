"""Import through the ledger's door, beside one INSERT ... SELECT of the rows that it wrote."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from bench import population
from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from bench.population import Fact
from ledger.database import connect, install

GRACE_S = 300
LOTS = 2
BILLS = 4
VISITS = 4
TABLES = ("stored_events", "stream_head", "command_log", "persons")


def facts(ground: Ground) -> Iterator[Fact]:
    """A file as a new installation brings it: members with names, lots, bills and visits."""
    now = ground.now
    opening = population.opening(now)
    yield from population.house(now, 0)
    for number in range(1, ground.options.import_members + 1):
        member = population.member_id("m", number)
        joined, *others = population.member(member, now, LOTS)
        yield {**joined, "name": f"客户{number}", "phone": f"+861{number:010d}"}
        yield from others
        for month in range(BILLS):
            at = opening + timedelta(days=31 * (month + 1))
            yield {
                "command": "bill.record",
                "actor": population.ACTOR,
                "at": at.isoformat(),
                "member_id": member,
                "month": f"{at:%Y-%m}",
                "amount_fen": 12_300 + month,
                "margin_fen": 4_100,
            }
        for day in range(VISITS):
            yield population.visit(member, opening + timedelta(days=200 + 40 * day))


def write_file(ground: Ground) -> Path:
    """The file in the scratch directory."""
    path = ground.scratch / "facts.jsonl"
    with path.open("wb") as file:
        for fact in facts(ground):
            file.write(population.line(fact) + b"\n")
    return path


@part("import", arena="import")
def imports(ground: Ground, stack: ExitStack) -> list[Subject]:
    """Import with validation, and INSERT ... SELECT of the same rows with the same indexes."""
    path = write_file(ground)
    state: dict[str, str] = {}
    databases = ExitStack()
    stack.callback(databases.close)

    def empty() -> None:
        databases.close()
        state["dsn"] = ground.created(databases)
        install(state["dsn"])

    def load(_: int) -> Outcome:
        with ExitStack() as child_stack:
            child = ground.python(
                child_stack,
                "bench.importer",
                dsn=state["dsn"],
                file=str(path),
                now=ground.now.isoformat(),
            )
            found = child.hear(GRACE_S)
        more = {"peak_mb": found["peak_mb"], "cpu_app_us": found["cpu_s"] / found["events"] * 1e6}
        state["events"] = str(found["events"])
        return Outcome(found["events"], found["seconds"], more)

    def like() -> None:
        with connect(state["dsn"]) as connection:
            for table in TABLES:
                # In the order of the heap, as it would come out of a staging table.
                made = f"CREATE TABLE copy_of_{table} (LIKE {table} INCLUDING ALL)"
                connection.execute(made.encode())
            connection.execute("CHECKPOINT")

    def insert(_: int) -> Outcome:
        with connect(state["dsn"]) as connection:
            start = time.perf_counter()
            with connection.transaction():
                for table in TABLES:
                    copied = f"INSERT INTO copy_of_{table} SELECT * FROM {table}"
                    connection.execute(copied.encode())
            return Outcome(float(state["events"]), time.perf_counter() - start)

    return [
        Subject(
            "import.ours",
            "import of a file of facts, with validation, by the ledger's rules",
            load,
            counts="events",
            before=empty,
        ),
        Subject(
            "import.insert_select",
            "INSERT ... SELECT of the rows that the import wrote, with the same indexes",
            insert,
            counts="events",
            before=like,
        ),
    ]
