"""The same facts as JSON Lines, CSV and workbooks, through `clubledger import`, in turn."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench import population
from bench.children import environment
from bench.ground import Ground
from bench.options import REPOSITORY
from bench.parts import Outcome, Subject, part
from bench.words import FaultError
from domain.kernel.values import PROGRAMME
from ledger.database import install

BILLS = 8
"""Of each member: 96,000 of 12,000."""
GRACE_S = 600
CUSTOMERS = ("客户编号", "姓名", "入网日期")
SHEET = ("客户编号", "账期", "账单金额", "毛利")
MAPPING = """
[missing]
actor = "system:bench"
[[table]]
files = "customers.*"
[[table.fact]]
kind = "member.join"
[table.fact.fields]
member_id = "客户编号"
name = "姓名"
unit_id = { value = "u1" }
at = "入网日期"
[[table]]
files = "bills.*"
[[table.fact]]
kind = "bill.record"
[table.fact.fields]
member_id = "客户编号"
month = "账期"
amount_fen = "账单金额"
margin_fen = "毛利"
at = { column = "账期", day_of_month = "last", time = "20:00" }
"""


def members(ground: Ground) -> range:
    """Their numbers."""
    return range(1, ground.options.import_members + 1)


def months(now: datetime) -> list[str]:
    """The latest months that have ended."""
    year, month = now.year, now.month
    numbers = [year * 12 + month - 2 - n for n in range(BILLS)]
    return [f"{number // 12}-{number % 12 + 1:02}" for number in reversed(numbers)]


def customers(ground: Ground, joined: datetime) -> Iterator[list[str]]:
    """Rows of customers."""
    for n in members(ground):
        yield [population.member_id("m", n), f"客户{n}", f"{joined:%Y/%m/%d}"]


def bills(ground: Ground) -> Iterator[list[Any]]:
    """Rows of bills, month after month."""
    for month in months(ground.now):
        for n in members(ground):
            yield [population.member_id("m", n), month, (5_000 + n % 9_000) / 100, n % 50 - 5]


def facts(ground: Ground, joined: datetime) -> Iterator[population.Fact]:
    """What the rows say."""
    for member, name, _ in customers(ground, joined):
        yield {
            "command": "member.join", "actor": population.ACTOR, "at": joined.isoformat(),
            "member_id": member, "unit_id": population.UNIT, "name": name,
        }  # fmt: skip
    for number, month, amount, margin in bills(ground):
        begins = datetime(int(month[:4]), int(month[5:]), 28, 20, tzinfo=PROGRAMME.zone)
        following = (begins + timedelta(days=4)).replace(day=1)
        yield {
            "command": "bill.record", "actor": population.ACTOR,
            "at": (following - timedelta(days=1)).isoformat(), "member_id": number,
            "month": month, "amount_fen": round(amount * 100),
            "margin_fen": margin * 100,
        }  # fmt: skip


def written(ground: Ground) -> dict[str, list[Path]]:
    """The files of each form. The house comes first in all of them."""
    import xlsxwriter  # type: ignore[import-untyped]

    where = ground.scratch
    joined = population.opening(ground.now).astimezone(PROGRAMME.zone)
    joined = joined.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    house, lines = where / "house.jsonl", where / "facts.jsonl"
    first = [population.line(fact) + b"\n" for fact in population.house(ground.now, 0)]
    house.write_bytes(b"".join(first))
    with lines.open("wb") as file:
        file.writelines(first)
        file.writelines(population.line(fact) + b"\n" for fact in facts(ground, joined))
    found = {"jsonl": [lines], "csv": [house], "xlsx": [house]}
    made: dict[str, tuple[Iterable[Any], Iterable[list[Any]]]] = {
        "customers": (CUSTOMERS, customers(ground, joined)),
        "bills": (SHEET, bills(ground)),
    }
    for name, (header, rows) in made.items():
        kept = list(rows)
        with (where / f"{name}.csv").open("w", encoding="gb18030", newline="") as sheet:
            csv.writer(sheet).writerows([header, *kept])
        book = xlsxwriter.Workbook(str(where / f"{name}.xlsx"), {"constant_memory": True})
        page = book.add_worksheet()
        for number, row in enumerate([header, *kept]):
            page.write_row(number, 0, row)
        book.close()
        found["csv"].append(where / f"{name}.csv")
        found["xlsx"].append(where / f"{name}.xlsx")
    (where / "mapping.toml").write_text(MAPPING, "utf-8")
    return found


@part("tables", arena="import")
def tables(ground: Ground, stack: ExitStack) -> list[Subject]:
    """Import of the same facts as JSON Lines, CSV and xlsx, from the file to the commit."""
    files = written(ground)
    databases = ExitStack()
    stack.callback(databases.close)
    state: dict[str, str] = {}

    def empty() -> None:
        databases.close()
        state["dsn"] = ground.created(databases)
        install(state["dsn"])

    def load(form: str, _: int) -> Outcome:
        mapped = [] if form == "jsonl" else ["--mapping", str(ground.scratch / "mapping.toml")]
        done = subprocess.run(
            [sys.executable, "-c", "from api.cli import main; main()", "import", "--json",
             *map(str, files[form]), *mapped],
            env=environment(CLUBLEDGER_DATABASE_URL=state["dsn"]),
            cwd=REPOSITORY,
            capture_output=True,
            timeout=GRACE_S,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise FaultError(f"the import of {form} failed: {done.stderr.decode()[-300:]}")
        told = json.loads(done.stdout)
        return Outcome(told["facts"], told["took_s"])

    return [
        Subject(f"tables.{form}", title, partial(load, form), "facts", before=empty)
        for form, title in (
            ("jsonl", "clubledger import of facts as JSON Lines, in order"),
            ("csv", "the same facts as CSV in GB18030, mapped and merged"),
            ("xlsx", "the same facts as workbooks, mapped and merged"),
        )
    ]
