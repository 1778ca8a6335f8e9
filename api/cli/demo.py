"""`demo`: a year of history, loaded, folded and compared with the report."""

import resource
import sys
import time
from typing import Any

from api.cli.reports import report_of, tell
from api.cli.terminal import output
from api.cli.terminal.looking import looking
from api.runtime import demonstration
from api.runtime.settings import Settings
from api.runtime.wiring import Database, opened
from demo import REPORT_ID
from ledger.database import connect, meta
from projections.engine import runner


def run(settings: Settings, scale: str, seed: int, no_figures: bool, as_json: bool) -> int:
    """Load what is not loaded yet, and print the figures."""
    size = demonstration.canonical(scale)
    began = time.monotonic()
    with opened(settings, create=True) as database:
        took = {"install_s": time.monotonic() - began}
        known = demonstration.demo_of(database.meta)
        complete = known is not None and (known.scale, known.seed, known.complete) == (
            size, seed, True,
        )  # fmt: skip
        if not complete:
            took |= _load(database, size, seed)
        if no_figures:
            if as_json:
                output.tell({"loaded": not complete, **_rounded(took)})
            return 0
        now = _as_it_is_now(database)
        with looking(now, None) as (connection, _):
            shown = report_of(now, connection, REPORT_ID)
        code = tell(shown, as_json)
        output.demo_clock(now.clock)
        if complete:
            runner.project(database.dsn)
            if not as_json:
                output.note("The demo was loaded before.")
    return code


def _load(database: Database, scale: str, seed: int) -> dict[str, float]:
    """Load and fold; returns how long each took, and says so."""
    begun = time.monotonic()
    with output.steps() as steps:
        done = demonstration.load(database.dsn, scale, seed, steps.begin, steps.advance)
        loaded = time.monotonic()
        runner.project(database.dsn, lambda at: steps.reach(at.stage, at.done, at.total))
    took = {"load_s": loaded - begun, "project_s": time.monotonic() - loaded}
    resumed = f" ({done.resumed} of {done.chapters} chapters were there)" if done.resumed else ""
    if output.json_only:
        return took
    output.note(
        f"Loaded {done.facts:,} facts as {done.events:,} events in {took['load_s']:.1f} s{resumed},"
        f" folded them in {took['project_s']:.1f} s, peak memory {peak_mib()} MiB."
    )
    return took


def _as_it_is_now(database: Database) -> Database:
    """With the clock that the load has set."""
    with connect(database.dsn) as connection:
        return Database(database.dsn, database.place, meta(connection))


def _rounded(took: dict[str, float]) -> dict[str, Any]:
    return {**{name: round(value, 2) for name, value in took.items()}, "peak_mib": peak_mib()}


def peak_mib() -> int:
    """The most memory that this process, or the largest of its children, ever held at once."""
    unit = 1 if sys.platform == "darwin" else 1024
    most = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return most * unit // 2**20
