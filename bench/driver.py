"""A process that sends commands to a ledger of its own, so many at once, for so long."""

import asyncio
import cProfile
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from api.runtime.clock import Clock
from api.runtime.wiring import settle_in
from bench import population
from bench.profiling import heaviest
from domain.enrolments import Enrol
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.visits import RecordVisit
from ledger.log.batcher import Ledger

Make = Callable[[int], Command]


def _visits(question: dict[str, Any]) -> Make:
    """Visits of members drawn at random, or always of the same."""
    run, prefix = question["run"], question.get("prefix", "m")
    members = 1 if question["kind"] == "same" else question["members"]
    draw = random.Random(run).randint

    def make(number: int) -> Command:
        return RecordVisit(
            key=f"{run}-{number}",
            actor=population.ACTOR,
            member_id=population.member_id(prefix, draw(1, members)),
            club_id=population.CLUB,
            service_id=population.SERVICE,
            desk=population.DESK,
            shown_points=population.PRICE_POINTS,
            confirm_repeat=True,
        )

    return make


def _enrolments(question: dict[str, Any]) -> Make:
    """Every member in turn, into one campaign after the other."""
    run, members, first = question["run"], question["members"], question["campaign"]

    def make(number: int) -> Command:
        return Enrol(
            key=f"{run}-{number}",
            actor=population.ACTOR,
            member_id=population.member_id("m", number % members + 1),
            campaign_id=population.campaign_id(first + number // members),
        )

    return make


MAKERS: dict[str, Callable[[dict[str, Any]], Make]] = {
    "visit": _visits,
    "same": _visits,
    "enrol": _enrolments,
}


async def drive(ledger: Ledger, question: dict[str, Any]) -> dict[str, Any]:
    """Keep `at_once` commands under way for `seconds`; a refusal is a fault."""
    make = MAKERS[question["kind"]](question)
    taken: list[float] = []
    refused: dict[str, int] = {}
    number = 0
    start = time.perf_counter()
    end = start + question["seconds"]

    async def one_after_the_other() -> None:
        nonlocal number
        while (begun := time.perf_counter()) < end:
            command = make(number)
            number += 1
            try:
                await ledger.execute(command)
            except Refusal as refusal:
                refused[refusal.code] = refused.get(refusal.code, 0) + 1
            else:
                taken.append(time.perf_counter() - begun)

    await asyncio.gather(*(one_after_the_other() for _ in range(question["at_once"])))
    elapsed = time.perf_counter() - start
    if refused or not taken:
        return {"fault": f"refused: {refused or 'nothing was done'}"}
    taken.sort()
    return {
        "count": len(taken),
        "seconds": elapsed,
        "p50_ms": _percentile(taken, 50) * 1e3,
        "p99_ms": _percentile(taken, 99) * 1e3,
        "p999_ms": _percentile(taken, 99.9) * 1e3,
    }


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


async def profiled(ledger: Ledger, question: dict[str, Any]) -> dict[str, Any]:
    """The same under the profiler, with its heaviest lines by own time."""
    profile = cProfile.Profile()
    profile.enable()
    answer = await drive(ledger, question)
    profile.disable()
    return {**answer, "profile": heaviest(profile)}


async def serve(config: dict[str, Any]) -> None:
    """Answer questions until the input ends."""
    async with Ledger(config["dsn"], now=Clock().now) as ledger:
        settle_in()
        print(json.dumps({"ready": True}), flush=True)
        while asked := await asyncio.to_thread(sys.stdin.readline):
            question = json.loads(asked)
            answer = await (profiled if question.get("profile") else drive)(ledger, question)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(json.loads(sys.stdin.readline())))
