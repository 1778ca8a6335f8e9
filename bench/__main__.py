"""`python -m bench`: measure everything in one run, and write the tables.

A full run of all parts writes docs/benchmarks.*; a quick or partial one writes build/bench/.
"""

import argparse
import contextlib
import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import psycopg

from bench import goals, machine, report
from bench.catalogue import ABSENT, PARTS, Part
from bench.ground import Ground, opened
from bench.options import FULL, QUICK, REPOSITORY, Options
from bench.parts import ARENAS, Subject
from bench.rounds import Series, play
from bench.words import AbsentError, FaultError
from ledger.embedded import EmbeddedError

INTERRUPTED = 130
FEWEST_MEMBERS = 1_000


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    known = "\n".join(f"  {each.name:12} {each.about}" for each in PARTS.values())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the ledger beside its floors and peers, durably, in one run.",
        epilog=f"parts:\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--parts", help="only these, separated by commas")
    parser.add_argument("--quick", action="store_true", help="see that it works; no real figures")
    parser.add_argument("--seconds", type=_positive, help="of each run")
    parser.add_argument("--rounds", type=_positive, help="at most")
    parser.add_argument("--members", type=_positive, help=f"at least {FEWEST_MEMBERS:,}")
    parser.add_argument(
        "--history", type=_positive, help="events of the long history, and of millions"
    )
    parser.add_argument("--scale", type=_share, help="of the demo year: 0.02, or 1 in full")
    parser.add_argument("--minutes", type=float, help="after which no further round begins")
    parser.add_argument("--out", type=Path, help="the directory to write to")
    parser.add_argument(
        "--scratch", type=Path, help="where the databases are made for the run (12 GB in full)"
    )
    found = parser.parse_args(given)
    unknown = set(_names(found.parts)) - PARTS.keys()
    if unknown:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))} (known: {', '.join(PARTS)})")
    if found.members is not None and found.members < FEWEST_MEMBERS:
        parser.error(f"--members must be at least {FEWEST_MEMBERS}")
    return found


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise ValueError(text)
    return value


def _names(parts: str | None) -> list[str]:
    return [name for name in (parts or "").split(",") if name]


def chosen_parts(wanted: Sequence[str]) -> list[Part]:
    """The parts that are named; without a name, all that do not wait to be."""
    return [part for part in PARTS.values() if (part.name in wanted if wanted else part.always)]


def options_of(found: argparse.Namespace) -> Options:
    """The run's options: the full or the quick ones, and what was asked for instead."""
    names = {"history": "history_events", "scale": "demo_scale"}
    asked = {
        names.get(name, name): getattr(found, name)
        for name in ("seconds", "rounds", "members", "history", "scale", "minutes")
        if getattr(found, name) is not None
    }
    return dataclasses.replace(QUICK if found.quick else FULL, **asked)


def main(given: Sequence[str] | None = None) -> int:
    """Run, and say how it went: 0 if everything that was asked for was measured or left out."""
    found = arguments(given)
    options = options_of(found)
    wanted = _names(found.parts)
    chosen, usual = chosen_parts(wanted), chosen_parts([])
    whole = {each.name for each in usual} <= {each.name for each in chosen} and not options.quick
    folder = found.out or (REPOSITORY / "docs" if whole else REPOSITORY / "build" / "bench")
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, _interrupt)
    start = time.monotonic()

    def tell(said: str) -> None:
        passed = int(time.monotonic() - start)
        print(f"[{passed // 60:02}:{passed % 60:02}] {said}", file=sys.stderr, flush=True)

    try:
        with opened(options, found.scratch, tell) as ground:
            described = machine.described(ground.scratch)
            series = measured(ground, chosen, start + options.minutes * 60)
            if not wanted:
                ground.left_out.update(ABSENT)
                ground.left_out.update(
                    {each.name: "takes long: --parts runs it" for each in PARTS.values()
                     if not each.always}
                )  # fmt: skip
            result = report.Result(
                measured_at=ground.now.isoformat(timespec="minutes"),
                quick=options.quick,
                commit=_commit(),
                minutes=(time.monotonic() - start) / 60,
                options=dataclasses.asdict(options),
                machine=described,
                postgresql=ground.settings,
                found=series,
                goals=goals.judged(series),
                left_out=ground.left_out,
                texts=ground.texts,
            )
            failed = ground.failed or any(not each.valid for each in series.values())
    except KeyboardInterrupt:
        tell("Interrupted: nothing was written")
        return INTERRUPTED
    except (machine.NotDurableError, EmbeddedError) as failure:
        print(failure, file=sys.stderr)
        return 1
    for path in report.write(result, folder):
        print(path)
    for judged in result.goals:
        if judged.ratio is not None:
            word = "met" if judged.met else "missed"
            asked = f"{judged.goal.comparison} {judged.goal.goal:g}"
            print(f"{judged.ratio.median:8.2f}  goal {asked:8} {word:7} {judged.goal.text}")
    for what, why in result.left_out.items():
        print(f"left out: {what}: {why}")
    return 1 if failed else 0


def _interrupt(_: int, __: FrameType | None) -> None:
    """Once: a second Ctrl-C must not cut short the cleaning up."""
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, signal.SIG_IGN)
    raise KeyboardInterrupt


def measured(ground: Ground, chosen: Sequence[Part], until: float) -> dict[str, Series]:
    """Play every arena that has parts; each gives back what it holds before the next opens."""
    found: dict[str, Series] = {}
    for name, arena in ARENAS.items():
        here = [each for each in chosen if each.arena == name]
        if not here:
            continue
        if time.monotonic() > until:
            ground.left_out.update({each.name: "no time was left for it" for each in here})
            continue
        with ExitStack() as stack:
            subjects = [subject for each in here for subject in _opened(ground, each, stack)]
            found.update(play(name, arena, subjects, ground.options, until, ground.tell))
    return found


def _opened(ground: Ground, part: Part, stack: ExitStack) -> list[Subject]:
    """A part's subjects; one that cannot be opened is left out, and said so."""
    ground.tell(f"Opening {part.name}: {part.about}")
    try:
        with ExitStack() as own:
            subjects = part.open(ground, own)
            stack.push(own.pop_all())
            return subjects
    except AbsentError as absent:
        ground.left_out[part.name] = str(absent)
    except (FaultError, psycopg.Error, OSError, subprocess.SubprocessError) as failure:
        said = (str(failure).strip().splitlines() or [type(failure).__name__])[0]
        ground.left_out[part.name] = f"failed: {said}"
        ground.failed = True
    ground.tell(f"Left out {part.name}: {ground.left_out[part.name]}")
    return []


def _commit() -> str:
    """Which sources were measured, if git knows."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        return done.stdout.strip()
    return "unknown"


if __name__ == "__main__":
    sys.exit(main())
