"""Parts: the state of a stream is what its nouns need to know of it, a part each.

A part is defined beside the events that change it, and bounded there: what no rule will ask for
again (spent and expired lots, visits too old to be undone, bindings that ended more than LATE_DAYS
ago) leaves it, and every collection says the most that it may hold. A rule takes the parts that it
needs, by name: `decide(at, membership, points, visits, club)`. An event changes one part, so that
each part is the fold of its own events alone. Most kinds of stream have one part, of their name.

The ledger stores a part as a JSON array of its fields: half the bytes of an object, and read three
times as fast as into a dataclass.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

from msgspec import Struct

MAX_PART_BYTES = 1 << 20
"""No part is longer as it is stored, whatever its stream has seen."""
REMEMBERED = 32
"""The latest debits and visits."""
MAX_CHANGES = 100
"""Changes of one thing of one stream that a fact told late may still have to be judged by."""

S = TypeVar("S", bound=type[Struct])


class Part(NamedTuple):
    """A part of the states of a kind of stream."""

    kind: str
    type: type[Struct]
    counts: bool = False
    """Whether what is left now decides by it (points, places, free visits), whenever a fact was:
    nothing of it is read at a fact's own time."""


PARTS: dict[str, Part] = {}
"""Every part by its name, which is that of its class in small letters."""

State: TypeAlias = dict[str, Any]
"""Of a stream: its parts by name, those that were asked for."""


def part_of(kind: str, counts: bool = False) -> Callable[[S], S]:
    """Makes a structure a part of the streams of this kind."""

    def define(structure: S) -> S:
        name = structure.__name__.lower()
        if name in PARTS:
            raise TypeError(f"two parts are called {name}")
        PARTS[name] = Part(kind, structure, counts)
        parts_of.cache_clear()
        return structure

    return define


@cache
def parts_of(kind: str) -> tuple[str, ...]:
    """The names of the parts of a kind of stream."""
    return tuple(name for name, part in PARTS.items() if part.kind == kind)


def fresh(kind: str) -> State:
    """The state of a stream that has no events yet, whole."""
    return {name: PARTS[name].type() for name in parts_of(kind)}
