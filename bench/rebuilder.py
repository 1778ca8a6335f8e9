"""A process that rebuilds a ledger's answers, once or until its input ends."""

import json
import os
import sys
import threading
import time

from bench.memory import peak_mb
from projections.engine import runner


def main() -> None:
    """Read the dsn from the first line, say that it begins, go on for ever.

    `once`: no longer, and tell how long it took and how much memory this process ever had.
    """
    config = json.loads(sys.stdin.readline())
    dsn = config["dsn"]
    threading.Thread(target=_end_with_input, daemon=True).start()
    print(json.dumps({"ready": True}), flush=True)
    if config.get("once"):
        start = time.perf_counter()
        runner.rebuild(dsn)
        took_s = time.perf_counter() - start
        print(json.dumps({"seconds": took_s, "peak_mb": peak_mb()}), flush=True)
        return
    while True:
        runner.rebuild(dsn)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
