"""`python -m tests.hostile --minutes 60 --seed 7`: the hostile hour. It ends with 1 if a fault was
found, and tells what it was that held and what did not."""

import argparse
import json
import random
import re
import sys
from dataclasses import asdict
from pathlib import Path

from tests.hostile.hour import Report, live

SHOWN = 40


def main() -> int:
    """Run it and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--report", type=Path, help="write the whole of it there, as JSON")
    parser.add_argument("--keep", type=Path, help="a directory for what everybody wrote down")
    said = parser.parse_args()
    _say(f"seed {said.seed}, {said.minutes:g} minutes")
    report = live(said.seed, said.minutes, _say, said.keep)
    if said.report is not None:
        said.report.write_text(json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n")
    _say(told(report))
    return 1 if report.faults else 0


def told(report: Report) -> str:
    """The report in words."""
    facts = [
        f"seed {report.seed}: {report.written:,} commands acknowledged, {report.attacks} attacks,"
        f" {sum(map(len, report.harms.values()))} harms, {report.lives} lives of the server",
        f"kept of the calm rate (median): {report.shares}",
        f"seconds to recover: { {name: max(each) for name, each in report.harms.items()} }",
        f"commands by exit code: {report.commands}",
        f"at most (MB; shared pages once, shared_buffers apart): {report.peak_mb}",
        f"at longest (s): {report.longest_s}",
        *(f"not done: {each}" for each in report.not_done),
        f"{len(report.faults)} faults",
        *_by_kind(report.faults),
        *(f"evidence: {file}" for file in report.evidence),
    ]
    return "\n".join(facts)


def _by_kind(faults: list[str]) -> list[str]:
    """The first of each kind, which are sentences that differ in numbers only."""
    kinds: dict[str, list[str]] = {}
    for each in faults:
        kinds.setdefault(re.sub(r"[\d.,]+", "n", each), []).append(each)
    return [f"  {each[0]}" + f" (and {len(each) - 1} like it)" * (len(each) > 1)
            for each in [*kinds.values()][:SHOWN]]  # fmt: skip


def _say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
