"""Facts on their way into chapters: when each happened, and its line once it is asked for.

Only instants are kept; a line is written when its chapter is, so that a year of 1.9 million lines
needs little memory.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from demo.instants import iso


@dataclass(frozen=True)
class Scattered:
    """Facts at various instants: `line(k)` is the k-th, which happened at `times[k]`."""

    times: Sequence[int]
    line: Callable[[int], bytes]


@dataclass(frozen=True)
class Block:
    """Many facts of one instant, after all others of that instant."""

    at: int
    count: int
    lines: Callable[[], Iterator[bytes]]


Source = Scattered | Block
"""Facts of one topic. In a list of sources the earlier come first at the same instant."""


def command(name: str, at: int, actor: str, **fields: Any) -> bytes:
    """One line in full. Lines by the hundred thousand are written by hand instead."""
    said = {"command": name, "at": iso(at), "actor": actor, **fields}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def told(facts: list[tuple[int, bytes]]) -> Scattered:
    """A few facts whose lines are written already."""
    facts.sort(key=itemgetter(0))
    return Scattered([at for at, _ in facts], lambda k: facts[k][1])


_BITS = 20
"""Room for the number of a fact within its topic: a million."""


def within(sources: Sequence[Source], first: int, until: int) -> Callable[[], Iterator[bytes]]:
    """The facts from `first` to before `until`, in the order in which they happened."""

    def lines() -> Iterator[bytes]:
        scattered = [source for source in sources if isinstance(source, Scattered)]
        blocks = [source for source in sources if isinstance(source, Block)]
        due = [block for block in blocks if first <= block.at < until]
        due.sort(key=lambda block: block.at)
        order = sorted(
            ((at - first) * len(scattered) + topic) << _BITS | k
            for topic, source in enumerate(scattered)
            for k, at in enumerate(source.times)
            if first <= at < until
        )
        written = [source.line for source in scattered]
        mask = (1 << _BITS) - 1
        for packed in order:
            at, topic = divmod(packed >> _BITS, len(written))
            while due and due[0].at < at + first:
                yield from due.pop(0).lines()
            yield written[topic](packed & mask)
        for block in due:
            yield from block.lines()

    return lines


def count_within(sources: Sequence[Source], first: int, until: int) -> int:
    """How many facts that are."""
    count = 0
    for source in sources:
        if isinstance(source, Block):
            count += source.count * (first <= source.at < until)
        else:
            count += sum(first <= at < until for at in source.times)
    return count
