"""`compare`: what is live beside what the events give, row by row."""

import time
from contextlib import suppress
from typing import Any

from api.cli.terminal import layouts, output
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from ledger.checking import Sample
from projections.audit import audit
from projections.audit.comparing import Comparison
from projections.engine import runner

SAID = {
    "changed": "changed",
    "missing": "missing",
    "extra": "there without reason",
    "unlike": "the table is not there or has other columns: `clubledger rebuild` makes it anew",
}


def run(
    settings: Settings,
    second_opinion: bool,
    members: int | None,
    seed: int,
    limit: int,
    as_json: bool,
) -> int:
    """Compare, and tell every row that differs; returns 1 if there is one."""
    checks: list[audit.Check] = [*audit.ALWAYS]
    checks += ["second opinion"] if second_opinion else []
    begun = time.monotonic()
    with opened(settings) as database:
        with suppress(runner.PoisonedEvent):
            # Where answers stand still, what they hold can be compared all the same.
            runner.project(database.dsn)
        with output.steps() as steps:
            found = audit.compare(
                database.dsn,
                checks,
                Sample(members, seed),
                limit,
                lambda at: steps.reach(at.stage, at.done, at.total),
            )
    if as_json:
        output.tell(found)
    else:
        _told(found, time.monotonic() - begun)
    return 1 if found.different else 0


def _told(found: audit.Audit, took_s: float) -> None:
    behind = f"; they lack {found.behind:,} more" if found.behind else ""
    output.say(f"{output.counted(found.events, 'event')} in the answers{behind}")
    drawn = "every stream"
    if found.sample_members is not None:
        drawn = f"{found.sample_members:,} members at most, drawn with seed {found.seed}"
    for each in found.comparisons:
        rows = output.counted(sum(tally.rows for tally in each.tables), "row")
        scope = output.counted(len(each.tables), "table") if each.against == "replay" else drawn
        said = f"{each.different:,} DIFFER" if each.different else "none differs"
        old = sum(tally.unchecked for tally in each.tables)
        more = f", {old:,} folded by earlier rules and not compared" if old else ""
        output.say(f"{each.against:<16}{rows} ({scope}): {said}{more}")
    for each in found.comparisons:
        _differences(each)
    output.say(f"compared in {took_s:.1f} s")


def _differences(found: Comparison) -> None:
    if not found.different:
        return
    output.say(f"\n{found.against}")
    for tally in found.tables:
        counts = {kind: getattr(tally, kind) for kind in SAID}
        if any(counts.values()):
            said = ", ".join(f"{number:,} {kind}" for kind, number in counts.items() if number)
            output.say(f"  {tally.table}: {said}")
    width = output.stdout().width
    for each in found.differences:
        key = ", ".join(f"{name} {value}" for name, value in each.key.items())
        output.say(layouts.folded(f"{each.table} {key}: {SAID[each.kind]}", width, "  ", "    "))
        for value in each.values:
            said = f"{value.column}: {_shown(value.live)}, should be {_shown(value.expected)}"
            output.say(layouts.folded(said, width, "    ", "      "))
    if found.different > len(found.differences):
        output.say(f"  ... and {found.different - len(found.differences):,} more")


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
