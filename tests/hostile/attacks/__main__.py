"""One attack as a process of its own: `python -m tests.hostile.attacks KIND PORT SEED SECONDS`.

It says "begun" when it begins, and runs with the lowest priority: real attackers would not take
the processor of the machine that they attack. Where the kernel shares it out between sessions
first, the priority of a process counts within its own only, so that takes one more word.
"""

import asyncio
import os
import random
import resource
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from tests.hostile.attacks.lines import Attack, Target

AUTOGROUP = Path("/proc/self/autogroup")


def main(kind: str, port: int, seed: str, seconds: float) -> None:
    """Attack for so long."""
    attack: Attack = import_module(f"tests.hostile.attacks.{kind}").attack
    os.nice(19)
    with suppress(OSError):
        AUTOGROUP.write_text("19")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    target = Target(port, random.Random(seed), time.monotonic() + seconds)

    async def run() -> None:
        await asyncio.wait_for(attack(target), seconds + 5)

    asyncio.run(run())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
