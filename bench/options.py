"""What a run is asked for."""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
FULL_MEMBERS = 76_385


@dataclass(frozen=True, slots=True)
class Options:
    """How long, how often, and on how much data."""

    seconds: int = 2
    rounds: int = 7
    members: int = FULL_MEMBERS
    history_events: int = 10_000_000
    import_members: int = 12_000
    demo_scale: float = 1.0
    opening_seconds: int = 10
    """How long a fresh database's beginning lasts."""
    minutes: float = 23.0
    """After this no further round begins."""
    quick: bool = False

    @property
    def warm_up(self) -> bool:
        """Whether everything is run once before it counts."""
        return not self.quick


FULL = Options()
QUICK = Options(
    seconds=1,
    rounds=1,
    members=2_000,
    history_events=100_000,
    import_members=600,
    demo_scale=0.02,
    opening_seconds=1,
    minutes=1.7,
    quick=True,
)
