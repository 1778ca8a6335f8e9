"""`python -m demo.check [scale] [seed]`: replay the demo and compare it with the report.

At full scale it takes a minute, and it ends with 1 if a figure differs. At another scale
totals are smaller; then only a refusal makes it fail.
"""

import gc
import sys

from demo.replay import Replay
from demo.scaling import scale_of
from demo.tally import figures
from demo.year import DEFAULT_SEED, chapters


def main(scale: str = "1", seed: str = str(DEFAULT_SEED)) -> int:
    """Replay chapter after chapter, then say every figure that should be exact."""
    gc.disable()  # states make no cycles, and a pass over a hundred thousand of them is slow
    replay, lines = Replay(), 0
    for chapter in chapters(scale, int(seed)):
        lines += replay.run(chapter.lines())
        sys.stdout.write(f"{chapter.key}: {chapter.facts:,} facts accepted\n")
    found = figures(replay.tally)
    for what, reported, derived in found:
        sys.stdout.write(f"{what:<28}{reported:>12} reported{derived:>12} derived\n")
    sys.stdout.write(f"{lines:,} facts, {replay.tally.events:,} events\n")
    wrong = [what for what, reported, derived in found if reported != derived]
    if scale_of(scale, 0).factor != 1:
        return 0
    sys.stdout.write(f"Differing: {', '.join(wrong) or 'none'}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
