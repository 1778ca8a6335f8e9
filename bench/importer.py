"""A process that imports one file and tells how long it took and how much memory it needed."""

import json
import resource
import sys
import time
from datetime import datetime
from pathlib import Path

from ledger.importing import Importer


def main() -> None:
    """Read what to import from the first line; import it; tell."""
    asked = json.loads(sys.stdin.readline())
    path = Path(asked["file"])
    importer = Importer(asked["dsn"], now=datetime.fromisoformat(asked["now"]))
    start, spent = time.perf_counter(), time.process_time()
    done = importer.load(lambda: path.open("rb"), key="bench")
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - spent
    if not done.kept or done.rejected:
        print(json.dumps({"fault": f"{done.rejected} lines were rejected: {done.rejections[:1]}"}))
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_mb = peak / (2**20 if sys.platform == "darwin" else 2**10)
    told = {"events": done.events, "seconds": seconds, "cpu_s": cpu_s, "peak_mb": peak_mb}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
