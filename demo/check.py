"""`python -m demo.check [scale] [seed]`: replay the demo and compare it with the report.

At full scale it takes a minute; it ends with 1 if a figure differs.
"""

import gc
import sys

from demo.replay import Replay
from demo.tally import figures
from demo.year import DEFAULT_SEED, chapters


def main(scale: str = "1", seed: str = str(DEFAULT_SEED)) -> int:
    """Replay chapter after chapter, then say every figure that should be exact."""
    gc.disable()  # states make no cycles, and a pass over a hundred thousand of them is slow
    replay, lines = Replay(), 0
    for chapter in chapters(scale, int(seed)):
        lines += replay.run(chapter.lines())
        sys.stdout.write(f"{chapter.key}: {chapter.facts:,} facts accepted\n")
    wrong = 0
    for what, reported, derived in figures(replay.tally):
        wrong += reported != derived
        mark = "" if reported == derived else "   DIFFERS"
        sys.stdout.write(f"{what:<32}{reported:>12}{derived:>12}{mark}\n")
    sys.stdout.write(f"{lines:,} facts, {replay.tally.events:,} events\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
