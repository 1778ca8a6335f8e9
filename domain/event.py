"""An event: a fact in the past tense, under a name of our own, never edited.

Defining a subclass puts it into the one catalogue; the typed tables of the projections, the
mapper and the documentation are made from it.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from domain.values import Actor, Instant, Key

CATALOGUE: dict[str, type["Event"]] = {}
"""Every event by its topic."""


ONLY = "-"
"""The name of a fact that is the only one of its topic in its stream."""


class Event(BaseModel):
    """What every event carries. The stream, its version and the recorded time stand in the log.

    `occurred_at` is when it happened in the world; `key` is the idempotency key of the command
    that wrote it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    topic: ClassVar[str]
    stream: ClassVar[str]  # the kind of stream it belongs to: member, club, campaign, ...
    version: ClassVar[int] = 1  # of its shape; older shapes are brought up by `upcast`
    named_by: ClassVar[tuple[str, ...] | None] = None
    """The fields that name this fact in its stream, by which a correction takes it back; no field
    where a stream has one such fact at most, null for what no correction names. At most one fact
    of a topic and name is in force."""
    kept_in: ClassVar[str] = ""
    """The part of the state that holds the fact by this name for as long as it stands, if one does:
    keys of a table, a list, or what is null without the only one."""
    corrects: ClassVar[bool] = False
    """Whether it takes another fact back: once it is known it holds for whatever time is asked."""

    occurred_at: Instant
    actor: Actor
    key: Key

    def __init_subclass__(
        cls, *, name: str = "", stream: str = "", version: int = 1, **rest: Any
    ) -> None:
        super().__init_subclass__(**rest)
        if not name:
            return  # a base of several events
        if name in CATALOGUE:
            raise TypeError(f"two events are called {name}")
        cls.topic, cls.stream, cls.version = name, stream, version
        CATALOGUE[name] = cls

    @classmethod
    def upcast(cls, state: dict[str, Any], version: int) -> dict[str, Any]:
        """The state of an older shape in this one. Override it where `version` is raised."""
        raise ValueError(f"{cls.topic} cannot read version {version}")

    @property
    def named(self) -> str:
        """The name of this fact among those of its topic in its stream."""
        return "/".join(str(getattr(self, field)) for field in self.named_by or ()) or ONLY

    @classmethod
    def stands(cls, state: Any, which: str) -> bool:
        """Whether the fact of this name is in force, as far as the state of its stream remembers.
        Override it where `named_by` is said and `kept_in` is not."""
        kept = cls._kept(state)
        return which in kept if cls.named_by else kept is not None

    @classmethod
    def take_back(cls, state: Any, which: str) -> None:
        """Unfold the fact of this name from the state of its stream, in place: as if it had never
        been told. Override it where `stands` is."""
        kept = cls._kept(state)
        if not cls.named_by:
            setattr(state, cls.kept_in, None)
        elif isinstance(kept, dict):
            kept.pop(which, None)
        else:
            setattr(state, cls.kept_in, [each for each in kept if each != which])

    @classmethod
    def _kept(cls, state: Any) -> Any:
        if not cls.kept_in:
            raise TypeError(f"{cls.topic} says nothing of how it is taken back")
        return getattr(state, cls.kept_in)

    def apply(self, state: Any) -> None:
        """Fold this fact into the state of its stream, in place."""
        raise TypeError(f"{self.topic} says nothing of how it changes a state")
