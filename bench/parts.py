"""What can be measured: subjects, the parts that bring them, and the arenas in which they meet.

A part is one function. It opens what it needs on the stack it is given and returns its subjects;
everything in one arena is then run round after round, so that what is compared is measured within
the same minute.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.ground import Ground


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did: so many of what the subject counts, in so many seconds, and more."""

    count: float
    seconds: float
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that can be run for a few seconds.

    `watch` names processes whose time on the processors is counted: who -> the roots' pids.
    `beside` names the subject next to which it is run, because the two are compared.
    """

    name: str
    title: str
    run: Callable[[int], Outcome]
    counts: str = "commands"
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    watch: Mapping[str, Sequence[int]] = field(default_factory=dict)
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Arena:
    """Subjects that meet in the same rounds.

    Warm: each is run once before it counts. In order: always as listed, because one prepares what
    the next needs.
    """

    title: str
    warm: bool = True
    in_order: bool = False
    most_rounds: int = 1_000


ARENAS: Mapping[str, Arena] = {
    "http": Arena("Over HTTP"),
    "inprocess": Arena("In process, and PostgreSQL alone"),
    "history": Arena("With and without a history"),
    "tail": Arena("The tail over HTTP, with 32 connections"),
    "pages": Arena("Pages, one clerk after the other"),
    "fresh": Arena("A database that is new", warm=False, in_order=True, most_rounds=3),
    "import": Arena("Import", warm=False, in_order=True, most_rounds=3),
    "reads": Arena("Reading the log", warm=False, most_rounds=3),
    "profile": Arena("Profile", warm=False, most_rounds=1),
}
"""In the order in which they are played and reported."""


Open = Callable[[Ground, ExitStack], list[Subject]]


@dataclass(frozen=True, slots=True)
class Part:
    """A part that `--parts` can name."""

    name: str
    arena: str
    about: str
    open: Open
    always: bool = True
    """Otherwise only where it is asked for by its name."""


PARTS: dict[str, Part] = {}


def part(name: str, *, arena: str, always: bool = True) -> Callable[[Open], Open]:
    """Register a function as a part; the first line of its docstring says what it measures."""

    def register(function: Open) -> Open:
        assert arena in ARENAS, f"there is no arena {arena}"
        assert name not in PARTS, f"two parts are called {name}"
        about = (function.__doc__ or "").strip().splitlines()[0]
        PARTS[name] = Part(name, arena, about, function, always)
        return function

    return register
