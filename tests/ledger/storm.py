"""A storm: several processes, killed and cut off at random, and what must hold when it is over.

`python -m tests.ledger.storm worker DSN SEED FILE` is one of the processes: it sends commands of
every kind, some of them twice or without waiting for the answer, and writes each answer down.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import psycopg

from domain.catalogue import COMMANDS
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.kernel.world import World
from ledger.database import bucket_of, connect, lanes_of, meta
from ledger.log import snapshots
from ledger.log.batcher import Ledger
from tests.ledger.facts import a_club, a_member, command, executed, stored_states

ROOT = Path(__file__).parents[2]
MEMBERS, CAP, POINTS = 40, 25, 3_000
START = datetime(2008, 7, 1, 2, tzinfo=UTC)


def prepare(dsn: str) -> None:
    """A club, a capped campaign, and members with points."""
    campaign = command(
        "campaign.launch",
        campaign_id="c1",
        title="移动好礼迎金秋",
        kind="care",
        opens_on=START.date() - timedelta(days=1),
        closes_on=START.date() + timedelta(days=30),
        tiers=("gold",),
        cap=CAP,
    )
    members = [each for n in range(MEMBERS) for each in a_member(f"m{n}", POINTS)]
    executed(dsn, *a_club(7), campaign, *members)


def anything(dice: random.Random, key: str) -> Command:
    """A command of some kind about some member; some of them are refused."""
    member = f"m{dice.randrange(MEMBERS)}"
    kinds: list[tuple[str, dict[str, Any]]] = [
        (
            "visit.record",
            {"club_id": "health", "service_id": "escort", "desk": "d1", "confirm_repeat": True},
        ),
        ("points.debit", {"points": dice.randrange(1, 60), "reason": "x"}),
        ("points.credit", {"points": dice.randrange(1, 40), "source": "x", "rule": "r1"}),
        ("points.reverse_debit", {"debit": dice.randrange(1, 40), "reason": "x"}),
        ("visit.undo", {"visit": dice.randrange(1, 40), "desk": "d1", "reason": "x"}),
        ("campaign.enrol", {"campaign_id": "c1"}),
    ]
    called, fields = dice.choices(kinds, weights=[4, 3, 3, 1, 1, 2])[0]
    said = {"key": key, "actor": "supervisor:li", "at": START, "member_id": member, **fields}
    return COMMANDS[called](**said)


async def work(dsn: str, seed: int, told: TextIO) -> None:
    """Send commands until killed; write down every answer that came."""
    dice = random.Random(seed)
    sent: list[Command] = []

    async def one(ledger: Ledger, each: Command, patience_s: float | None) -> None:
        try:
            receipt = await asyncio.wait_for(ledger.execute(each), patience_s)
        except Refusal as refusal:
            answer: dict[str, Any] = {"refused": refusal.code}
        except TimeoutError:
            return  # Lost: the same key will ask again, perhaps.
        else:
            answer = {"bucket": receipt.bucket, "position": receipt.position}
        told.write(json.dumps({"key": each.key, **answer}) + "\n")
        told.flush()

    async with Ledger(dsn, now=lambda: START) as ledger:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            commands = []
            for _ in range(dice.randrange(1, 60)):
                again = sent and dice.random() < 0.2
                each = dice.choice(sent) if again else anything(dice, f"{seed}-{len(sent)}")
                if not again:
                    sent.append(each)
                commands.append(each)
            dice.shuffle(commands)
            patience = [None if dice.random() < 0.9 else 0.003 for _ in commands]
            await asyncio.gather(*map(one, [ledger] * len(commands), commands, patience))


@dataclass
class Storm:
    """What happened: how often each harm was done."""

    harms: Counter[str]
    acknowledged: int
    refused: int


def blow(dsn: str, seed: int, seconds: float, workers: int, place: Path) -> Storm:
    """Let several processes work for some seconds, and harm them."""
    dice = random.Random(seed)
    harms: Counter[str] = Counter()
    running: list[subprocess.Popen[bytes]] = []
    try:
        running += [_worker(dsn, seed * 1000 + n, place) for n in range(workers)]
        born = workers
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(dice.uniform(0.05, 0.3))
            harm = dice.choice(["kill", "cut", "cut", "freeze"])
            harms[harm] += 1
            victim = dice.randrange(len(running))
            if harm == "kill":
                running[victim].kill()
                running[victim].wait()
                running[victim] = _worker(dsn, seed * 1000 + born, place)
                born += 1
            elif harm == "cut":
                _cut(dsn, dice)
            else:
                os.kill(running[victim].pid, signal.SIGSTOP)
                time.sleep(dice.uniform(0.05, 0.4))
                os.kill(running[victim].pid, signal.SIGCONT)
    finally:
        for process in running:
            process.kill()
            process.wait()
    answers = [answer for file in place.glob("*.jsonl") for answer in _answers(file)]
    refused = sum("refused" in answer for answer in answers)
    _check(dsn, answers)
    return Storm(harms, len(answers) - refused, refused)


def _worker(dsn: str, seed: int, place: Path) -> subprocess.Popen[bytes]:
    arguments = [
        sys.executable,
        "-m",
        "tests.ledger.storm",
        dsn,
        str(seed),
        f"{place}/{seed}.jsonl",
    ]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        said.readline()
    return process


def _cut(dsn: str, dice: random.Random) -> None:
    """End one of the sessions, wherever it is."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
        if found:
            connection.execute("SELECT pg_terminate_backend(%s)", dice.choice(found))


def _answers(file: Path) -> list[dict[str, Any]]:
    """The answers that a process wrote down; the last line may have been cut short."""
    lines = file.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _check(dsn: str, answers: list[dict[str, Any]]) -> None:
    """Everything acknowledged is in the log once, nothing else is, and all sums agree."""
    with connect(dsn) as connection:
        buckets = int(meta(connection)["buckets"])
        keys = {
            key: (bucket, position)
            for key, bucket, position in connection.execute(
                "SELECT key, bucket, position FROM command_log"
            ).fetchall()
        }
        events = connection.execute(
            "SELECT originator_id, originator_version, topic, state, bucket, notification_id"
            " FROM stored_events ORDER BY originator_id, originator_version"
        ).fetchall()
        ends = dict(connection.execute("SELECT bucket, position FROM log_end").fetchall())

    for answer in answers:
        if "refused" in answer:
            assert answer["refused"] != "key_reused", answer
        elif answer["position"]:
            assert keys[answer["key"]] == (answer["bucket"], answer["position"]), answer

    stored = stored_states(dsn)
    lanes: dict[int, list[int]] = {bucket: [] for bucket in ends}
    folded = World()
    versions: Counter[str] = Counter()
    of_command: Counter[tuple[str, str]] = Counter()
    credited: Counter[str] = Counter()
    places = []
    for stream, version, topic, state, bucket, position in events:
        event = snapshots.event_of(topic, state)
        versions[stream] += 1
        assert version == versions[stream], f"{stream} has a gap at {version}"
        assert bucket == bucket_of(stream, buckets)
        assert event.key in keys, f"{topic} has no command"
        of_command[event.key, topic] += 1
        lanes[bucket].append(position)
        folded.fold(stream, event)
        credited[stream] += getattr(event, "change", 0)
        if topic == "campaign.place_taken":
            places.append(getattr(event, "place", 0))

    for bucket, positions in lanes.items():
        assert sorted(positions) == list(range(1, ends[bucket] + 1)), f"lane {bucket} has gaps"
    assert max(of_command.values()) == 1, "a command was carried out twice"
    assert places == list(range(1, len(places) + 1))
    assert len(places) <= CAP
    assert {(s, lane) for s in folded.states for lane in lanes_of(s, buckets)} == stored.keys()
    for (stream, _), snapshot in stored.items():
        state = folded.state(stream)
        assert state == snapshot, f"the snapshot of {stream} is no fold"
        if "points" in state:
            assert sum(lot.points for lot in state["points"].lots.values()) == credited[stream]


if __name__ == "__main__":
    with Path(sys.argv[3]).open("a") as file:
        asyncio.run(work(sys.argv[1], int(sys.argv[2]), file))
