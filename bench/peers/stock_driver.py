"""A process that sends visits to the library's application from so many threads, for so long."""

import gc
import json
import random
import sys
import threading
import time
from typing import Any

from bench import population
from bench.peers.stock import Desk, desk
from bench.requests import VisitRequest


def drive(application: Desk, question: dict[str, Any]) -> dict[str, Any]:
    """Visits of random members from so many threads."""
    request = VisitRequest(
        club_id=population.CLUB,
        service_id=population.SERVICE,
        desk=population.DESK,
        shown_points=population.PRICE_POINTS,
    )
    counts: list[int] = []
    start = time.perf_counter()
    end = start + question["seconds"]

    def work(seed: str) -> None:
        draw, done = random.Random(seed).randint, 0
        while time.perf_counter() < end:
            application.visit(population.member_id("m", draw(1, question["members"])), request)
            done += 1
        counts.append(done)

    threads = [
        threading.Thread(target=work, args=(f"{question['run']}-{n}",))
        for n in range(question["threads"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(counts) < len(threads):
        return {"fault": "a thread failed; see the log"}
    return {"count": sum(counts), "seconds": time.perf_counter() - start}


def main() -> None:
    """Answer questions until the input ends."""
    application = desk(json.loads(sys.stdin.readline())["dsn"])
    gc.collect()
    gc.freeze()
    print(json.dumps({"ready": True}), flush=True)
    for asked in sys.stdin:
        print(json.dumps(drive(application, json.loads(asked))), flush=True)
    application.close()


if __name__ == "__main__":
    main()
