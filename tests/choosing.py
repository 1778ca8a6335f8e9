"""Which tests run, and in which order.

The slow ones run in CI, by `--all`, and when they are named. Those that run with one bucket and
with four do so by `--all` where that can matter (BOTH), everywhere by `--both`: else each runs with
one of the two, always the same.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from zlib import crc32

import pytest

from tests.postgres import BUCKETS

LONGEST = """
fuzz/test_fuzz projections/test_corrections api/test_cli_streams api/test_crashes api/test_lives
api/test_dry_run bench/test_bench hostile/test_hostile_minutes projections/test_rebuilding
api/test_leaving api/test_strangers architecture/test_how_to projections/test_auditing
api/test_echoes api/test_asof api/test_audit projections/test_asof ledger/test_embedded_stops
pages/test_offered pages/test_desk pages/test_every_page pages/test_audit_journey
projections/test_told_late projections/test_whatif projections/test_runner
projections/test_populations projections/test_folds domain/test_laws domain/test_parts
ledger/test_storm ledger/test_importing
"""
"""The files that take a minute or more begin first: else one of them runs alone at the end."""

BOTH = """
ledger/ projections/test_folds projections/test_asof projections/test_whatif
projections/test_told_late projections/test_zone projections/test_queries projections/test_runner
"""
"""Where the number of buckets can matter: what writes to lanes, and what is folded of them against
plain Python. Of the others each runs with one of the two, always the same."""

UNCOUNTED = """
architecture/ bench/ demo/ docs/ fuzz/ hostile/ pages/
api/analyst/ api/test_audit api/test_backup api/test_batch api/test_blind api/test_check
api/test_cli api/test_compose api/test_crashes api/test_demo_day api/test_doors
api/test_draining api/test_echoes api/test_exceptions api/test_exports api/test_front
api/test_hostile api/test_http api/test_jobs api/test_lists api/test_lives api/test_measures
api/test_openapi api/test_personal api/test_questions api/test_racing api/test_reports
api/test_revival api/test_spans api/test_sql api/test_strangers api/test_stream
api/test_tutorial
domain/test_campaign_laws domain/test_laws domain/test_parts domain/test_whatif_laws
ledger/test_storm projections/test_corrections projections/test_folds
"""
"""Of which no lines are counted where CI counts them: what they run others run, too, or processes
of their own do, and a process that is traced takes up to twice as long."""


def longest_first(items: list[pytest.Item]) -> None:
    """Those of the longest files come first."""
    first = {f"tests/{name}.py": n for n, name in enumerate(LONGEST.split())}
    items.sort(key=lambda item: first.get(item.nodeid.partition("::")[0], len(first)))


def left_out(items: Iterable[pytest.Item], slow: bool, both: bool) -> set[pytest.Item]:
    """What does not run."""
    twins = defaultdict[str, dict[pytest.Item, int]](dict)
    for item in items:
        if (buckets := buckets_of(item)) is not None and not both and not (slow and matters(item)):
            twins[re.sub(r"\b[14]( buckets?)?\b", "", item.nodeid)][item] = buckets
    others = {
        item
        for name, pair in twins.items()
        for item, buckets in pair.items()
        if {*pair.values()} == {*BUCKETS} and buckets != BUCKETS[crc32(name.encode()) % 2]
    }
    return others | {item for item in items if item.get_closest_marker("slow") and not slow}


def matters(item: pytest.Item) -> bool:
    """Whether the number of buckets can matter for it."""
    return within(item, BOTH)


def buckets_of(item: pytest.Item) -> int | None:
    """With how many buckets it runs, if that is one of its parameters."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    buckets = params.get("ledger_dsn", params.get("buckets"))
    return buckets if buckets in BUCKETS else None


@contextmanager
def counting(item: pytest.Item) -> Iterator[None]:
    """Meanwhile lines are counted, if anybody asked for that and it is one whose lines are."""
    plugin = item.config.pluginmanager.get_plugin("_cov")
    if plugin is None or not within(item, UNCOUNTED):
        yield
        return
    plugin.cov_controller.pause()
    try:
        yield
    finally:
        plugin.cov_controller.resume()


def within(item: pytest.Item, names: str) -> bool:
    """Whether it is in one of these files or directories."""
    return item.nodeid.startswith(tuple(f"tests/{name}" for name in names.split()))
