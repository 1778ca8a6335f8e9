"""An event: a fact in the past tense, under a name of our own, never edited.

Defining a subclass puts it into the one catalogue; the typed tables of the projections, the
mapper and the documentation are made from it.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from domain.values import Actor, Instant, Key

CATALOGUE: dict[str, type["Event"]] = {}
"""Every event by its topic."""


class Event(BaseModel):
    """What every event carries. The stream, its version and the recorded time stand in the log.

    `occurred_at` is when it happened in the world; `key` is the idempotency key of the command
    that wrote it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    topic: ClassVar[str]
    stream: ClassVar[str]  # the kind of stream it belongs to: member, club, campaign, ...
    version: ClassVar[int] = 1  # of its shape; older shapes are brought up by `upcast`

    occurred_at: Instant
    actor: Actor
    key: Key

    def __init_subclass__(cls, *, name: str, stream: str, version: int = 1, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if name in CATALOGUE:
            raise TypeError(f"two events are called {name}")
        cls.topic, cls.stream, cls.version = name, stream, version
        CATALOGUE[name] = cls

    @classmethod
    def upcast(cls, state: dict[str, Any], version: int) -> dict[str, Any]:
        """The state of an older shape in this one. Override it where `version` is raised."""
        raise ValueError(f"{cls.topic} cannot read version {version}")

    def apply(self, state: Any) -> None:
        """Fold this fact into the state of its stream, in place."""
        raise TypeError(f"{self.topic} says nothing of how it changes a state")
