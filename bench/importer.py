"""A process that imports files and tells how long it took and how much memory it needed."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from bench.memory import peak_mb
from ledger.importing import Importer


def lines_of(path: str) -> Callable[[], Iterable[bytes]]:
    """The file's lines, from the start each time they are asked for."""
    return lambda: Path(path).open("rb")


def main() -> None:
    """Read what to import from the first line; import it; tell."""
    asked = json.loads(sys.stdin.readline())
    files = [(f"bench-{n}", lines_of(path)) for n, path in enumerate(asked["files"])]
    importer = Importer(asked["dsn"], now=datetime.fromisoformat(asked["now"]))
    start, spent = time.perf_counter(), time.process_time()
    if len(files) == 1:
        done = [importer.load(lines, key=name) for name, lines in files]
    else:
        done = list(importer.load_all(files))
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - spent
    rejected = [each for file in done for each in file.rejections]
    if rejected:
        print(json.dumps({"fault": f"lines were rejected: {rejected[0]}"}))
        return
    events = sum(each.events for each in done)
    told = {"events": events, "seconds": seconds, "cpu_s": cpu_s, "peak_mb": peak_mb()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
