"""Import through the ledger's door, beside one INSERT ... SELECT of the rows that it wrote."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta

from bench import population
from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from bench.population import Fact
from ledger.database import connect, install

GRACE_S = 300
LOTS = 2
BILLS = 4
VISITS = 4
FILES = 4
TABLES = ("stored_events", "snapshots", "snapshot_parts", "command_log", "persons", "person_keys")


def facts(now: datetime, numbers: range) -> Iterator[Fact]:
    """What a new installation brings: members with names, lots, bills and visits."""
    opening = population.opening(now)
    if numbers[0] == 1:
        yield from population.house(now, 0)
    for number in numbers:
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


def written(ground: Ground, parts: int) -> list[str]:
    """The facts in the scratch directory, in so many files."""
    members = ground.options.import_members
    paths = []
    for part_number in range(parts):
        first, last = (members * n // parts for n in (part_number, part_number + 1))
        path = ground.scratch / f"facts-{parts}-{part_number}.jsonl"
        with path.open("wb") as file:
            for fact in facts(ground.now, range(first + 1, last + 1)):
                file.write(population.line(fact) + b"\n")
        paths.append(str(path))
    return paths


@part("import", arena="import")
def imports(ground: Ground, stack: ExitStack) -> list[Subject]:
    """Import with validation, and INSERT ... SELECT of the same rows with the same indexes."""
    one, several = written(ground, 1), written(ground, FILES)
    state: dict[str, str] = {}
    databases = ExitStack()
    stack.callback(databases.close)

    def empty() -> None:
        databases.close()
        state["dsn"] = ground.created(databases)
        install(state["dsn"])

    def load(files: list[str]) -> Outcome:
        with ExitStack() as child_stack:
            child = ground.python(
                child_stack,
                "bench.importer",
                dsn=state["dsn"],
                files=files,
                now=ground.now.isoformat(),
            )
            found = child.hear(GRACE_S)
        more = {"peak_mb": found["peak_mb"], "cpu_app_us": found["cpu_s"] / found["events"] * 1e6}
        state["events"] = str(found["events"])
        return Outcome(found["events"], found["seconds"], more)

    def like() -> None:
        with connect(state["dsn"]) as connection:
            for table in TABLES:
                # In the order of the heap.
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

    title = "import with validation by the ledger's rules"
    return [
        Subject(
            "import.files",
            f"{title}, {FILES} files: one is written while the next is decided",
            lambda _: load(several),
            counts="events",
            before=empty,
        ),
        Subject(
            "import.ours",
            f"{title}, one file",
            lambda _: load(one),
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
