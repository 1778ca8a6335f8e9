"""What parts that a command does not take cost it: a rate with six large ones, and without.

`python -m bench.unused [--beside CHECKOUT]`: two databases with the same members. In one of them
every member has six more parts, of 50 kB each, that no command takes. In turns so many visits and
debits are carried out on each, by a process each time; with `--beside` also by the code of another
checkout, on a database that this made.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import Struct, field

SIZE_BYTES = 50_000
PARTS = 6
AT_ONCE = 256
MEMBER, CLUB, ACTOR = "m%04d", "health", "system:bench"
NOW = "2009-01-05T10:00:00+08:00"


def parent(options: argparse.Namespace) -> None:
    """Play the rounds, and tell the rates and their ratios."""
    from ledger.embedded import EmbeddedServer

    place = Path(tempfile.mkdtemp(prefix="clubledger-unused-"))
    place.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        cases = {"without": (Path.cwd(), 0), "with six": (Path.cwd(), PARTS)}
        if options.beside:
            cases["before"] = (options.beside.resolve(), 0)
        dsns = {}
        server = stack.enter_context(EmbeddedServer(place / "data"))
        for number, (name, (code, parts)) in enumerate(cases.items()):
            dsns[name] = _database(server.dsn, f"unused_{number}")
            said = {"dsn": dsns[name], "parts": parts, "members": options.members}
            _child(code, {"do": "prepare", **said})
        rates: dict[tuple[str, str], list[float]] = {}
        used: dict[tuple[str, str], list[float]] = {}
        for round_ in range(options.rounds + 1):
            for kind in ("visit", "debit"):
                order = list(cases) if round_ % 2 else list(cases)[::-1]
                for name in order:
                    code, parts = cases[name]
                    said = {"dsn": dsns[name], "parts": parts, "members": options.members}
                    asked = {"do": "run", "kind": kind, "count": options.count, "round": round_}
                    found = _child(code, {**said, **asked})
                    if round_:  # the first warms up
                        rates.setdefault((kind, name), []).append(found["rate"])
                        used.setdefault((kind, name), []).append(found["us"])
        for kind in ("visit", "debit"):
            _tell(kind, {name: rates[kind, name] for name in cases})
            for name in cases:
                print(f"{kind:6} {name:9} {statistics.median(used[kind, name]):6.1f} us of Python")


def _tell(kind: str, rates: dict[str, list[float]]) -> None:
    for name, found in rates.items():
        print(f"{kind:6} {name:9} {statistics.median(found):8.0f}/s", end="")
        for other, beside in rates.items():
            if other != name and (name, other) != ("without", "with six"):
                ratios = [one / two for one, two in zip(found, beside, strict=True)]
                print(f"   {statistics.median(ratios):.3f} of {other}", end="")
        print()


def _database(dsn: str, name: str) -> str:
    import psycopg
    from psycopg.conninfo import make_conninfo

    with psycopg.connect(make_conninfo(dsn, dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return make_conninfo(dsn, dbname=name)


def _child(code: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Ask this file, run by the code of a checkout."""
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), json.dumps(question)],
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise SystemExit(ran.stderr)
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


# ------------------------------------------------------------------------------------- a child
class Unused0(Struct, array_like=True):
    """A part of a member that no command takes."""

    words: list[str] = field(default_factory=list)


class Unused1(Unused0, array_like=True):
    """And five more."""


class Unused2(Unused0, array_like=True): ...


class Unused3(Unused0, array_like=True): ...


class Unused4(Unused0, array_like=True): ...


class Unused5(Unused0, array_like=True): ...


def register(number: int) -> list[str]:
    """Make these parts of a member."""
    kinds = [Unused0, Unused1, Unused2, Unused3, Unused4, Unused5][:number]
    if kinds:
        from domain.kernel.parts import part_of

        for kind in kinds:
            part_of("member")(kind)
    return [kind.__name__.lower() for kind in kinds]


def prepare(question: dict[str, Any]) -> dict[str, Any]:
    """Install a ledger with its members, who have all that they need for long."""
    names = register(question["parts"])
    from datetime import UTC, datetime

    from ledger.database import connect, install
    from ledger.importing import Importer

    now, at = datetime.fromisoformat(NOW).astimezone(UTC), "2008-01-01T10:00:00+08:00"
    said = {"actor": ACTOR, "at": at}
    club = {**said, "club_id": CLUB}
    lines: list[dict[str, Any]] = [
        {"command": "unit.open", "unit_id": "u1", "title": "u", **said},
        {"command": "club.open", "title": "c", "opens_on": "2008-01-01", "tiers": ["gold"], **club},
        {"command": "service.price", "service_id": "s", "title": "s", "points": 1, **club},
    ]
    for number in range(question["members"]):
        member = {**said, "member_id": MEMBER % number}
        lines += [
            {"command": "member.join", "unit_id": "u1", **member},
            {"command": "tier.change", "tier": "gold", "reason": "x", **member},
            {"command": "points.credit", "points": 10**9, "source": "x", "rule": "x", **member},
        ]
    install(question["dsn"], 1)
    encoded = [json.dumps(line).encode() for line in lines]
    done = Importer(question["dsn"], now=now).load(lambda: encoded, key="members")
    assert not done.rejected
    with connect(question["dsn"]) as connection:
        if names:
            from ledger.log import snapshots

            dice = random.Random(1)
            words = [dice.randbytes(24).hex() for _ in range(SIZE_BYTES // 50)]
            state = json.dumps([words]).encode()
            for name in names:
                connection.execute(
                    "INSERT INTO snapshot_parts (bucket, originator_id, part, fold, state)"
                    " SELECT bucket, originator_id, %s, %s, %s FROM snapshots"
                    " WHERE originator_id LIKE 'member:%%'",
                    (name, snapshots.part_version(name), state),
                )
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return {}


def run(question: dict[str, Any]) -> dict[str, Any]:
    """Carry out so many commands, so many at once; how many a second."""
    register(question["parts"])
    import uvloop

    return uvloop.run(_run(question))


async def _run(question: dict[str, Any]) -> dict[str, Any]:
    from datetime import UTC, datetime

    from domain.catalogue import COMMANDS
    from ledger.log.batcher import Ledger

    now = datetime.fromisoformat(NOW).astimezone(UTC)
    dice = random.Random(question["round"])
    visit: dict[str, Any] = {
        "club_id": CLUB,
        "service_id": "s",
        "desk": "d",
        "confirm_repeat": True,
    }
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "visit": ("visit.record", visit),
        "debit": ("points.debit", {"points": 1, "reason": "x"}),
    }
    name, said = kinds[question["kind"]]
    begins = f"{question['kind']}-{question['round']}"
    commands = []
    for n in range(question["count"]):
        member = MEMBER % dice.randrange(question["members"])
        words = {"key": f"{begins}-{n}", "actor": ACTOR, "member_id": member, **said}
        commands.append(COMMANDS[name].model_validate(words))
    async with Ledger(question["dsn"], now=lambda: now) as ledger:
        gc.collect()
        gc.freeze()
        waiting = iter(commands)
        begun = time.perf_counter()

        async def one_after_the_other() -> None:
            for command in waiting:
                await ledger.execute(command)

        used = time.process_time()
        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
        us = (time.process_time() - used) / len(commands) * 1e6
        return {"rate": len(commands) / (time.perf_counter() - begun), "us": us}


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("{"):
        import_module("bench")  # of that checkout: it knows the keys of what it makes
        asked = json.loads(sys.argv[1])
        print(json.dumps({"prepare": prepare, "run": run}[asked["do"]](asked)))
    else:
        known = argparse.ArgumentParser(description=__doc__)
        known.add_argument("--beside", type=Path, help="a checkout of other code")
        known.add_argument("--rounds", type=int, default=7)
        known.add_argument("--count", type=int, default=20_000)
        known.add_argument("--members", type=int, default=400)
        parent(known.parse_args())
