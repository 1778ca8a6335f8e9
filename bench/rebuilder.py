"""A process that rebuilds a ledger's answers until its input ends."""

import json
import os
import sys
import threading

from projections import runner


def main() -> None:
    """Read the dsn from the first line, say that it begins, go on for ever."""
    dsn = json.loads(sys.stdin.readline())["dsn"]
    threading.Thread(target=_end_with_input, daemon=True).start()
    print(json.dumps({"ready": True}), flush=True)
    while True:
        runner.rebuild(dsn)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
