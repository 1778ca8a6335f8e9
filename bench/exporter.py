"""A process that writes what makes a measure up as a file, and tells what that took."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from tempfile import TemporaryFile

from api import answers
from api.runtime.exports import FORMATS, Export
from bench.memory import peak_mb
from ledger.database import connect, keep_time, meta
from projections.engine import runner
from projections.engine.answer import Answer


def main() -> None:
    """Read what to write from the first line; write it; tell."""
    asked = json.loads(sys.stdin.readline())
    counted = [0]

    @contextmanager
    def counting(export: Export) -> Iterator[Iterator[Answer]]:
        def each(rows: Iterator[Answer]) -> Iterator[Answer]:
            for row in rows:
                counted[0] += 1
                yield row

        with export.rows as rows:
            yield each(rows)

    with connect(asked["dsn"]) as connection, TemporaryFile() as out:
        known = meta(connection)
        keep_time(known)
        with runner.snapshot(connection):
            start, spent = time.perf_counter(), time.process_time()
            on = date.fromisoformat(asked["on"])
            export = answers.contributions_export(
                connection, known, asked["measure"], asked["params"], on, None, "bench"
            )
            FORMATS[asked["format"]].write(replace(export, rows=counting(export)), out)
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - spent
    told = {"rows": counted[0], "seconds": seconds, "cpu_s": cpu_s, "peak_mb": peak_mb()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
