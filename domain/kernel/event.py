"""An event: a fact in the past tense, under a name of our own, never edited.

Defining a subclass puts it into the one catalogue; the typed tables of the projections, the
mapper and the documentation are made from it.
"""

from inspect import signature
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from domain.kernel.parts import PARTS, State
from domain.kernel.values import Actor, Codes, Instant, Key

CATALOGUE: dict[str, type["Event"]] = {}
"""Every event by its topic."""
ANY_PART = "any_part"
"""What the one event changes that takes others back: the part that its fact did."""


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
    of a topic and name is in force. A field that is null is named ONLY."""
    kept_in: ClassVar[str] = ""
    """Where the part that it changes holds the fact by this name for as long as it stands, if it
    does: keys of a table, a list, or what is null without the only one."""
    corrects: ClassVar[bool] = False
    """Whether it takes another fact back: once it is known it holds for whatever time is asked."""
    changes: ClassVar[str] = ""
    """The part that it changes, by name: what `apply` takes. None for what no rule asks for."""

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
        taken = [*signature(cls.apply).parameters][1:] if cls.apply is not Event.apply else []
        cls.changes = "".join(taken)
        if taken and cls.changes != ANY_PART:
            if len(taken) > 1:
                raise TypeError(f"{name} would change several parts: let each have its event")
            if cls.changes not in PARTS or PARTS[cls.changes].kind != stream:
                raise TypeError(f"{name} would change {cls.changes}, no part of a {stream}")
        CATALOGUE[name] = cls

    @classmethod
    def upcast(cls, state: dict[str, Any], version: int) -> dict[str, Any]:
        """The state of an older shape in this one. Override it where `version` is raised."""
        raise ValueError(f"{cls.topic} cannot read version {version}")

    @property
    def named(self) -> str:
        """The name of this fact among those of its topic in its stream."""
        values = [getattr(self, field) for field in self.named_by or ()]
        return "/".join([ONLY if value is None else str(value) for value in values]) or ONLY

    @classmethod
    def stands(cls, part: Any, which: str) -> bool:
        """Whether the fact of this name is in force, as far as the part that it changed remembers.
        Override it where `named_by` is said and `kept_in` is not."""
        kept = cls._kept(part)
        return which in kept if cls.named_by else kept is not None

    @classmethod
    def take_back(cls, part: Any, which: str) -> None:
        """Unfold the fact of this name from the part that it changed, in place: as if it had never
        been told. Override it where `stands` is."""
        kept = cls._kept(part)
        if not cls.named_by:
            setattr(part, cls.kept_in, None)
        elif isinstance(kept, dict):
            kept.pop(which, None)
        else:
            setattr(part, cls.kept_in, [each for each in kept if each != which])

    @classmethod
    def _kept(cls, part: Any) -> Any:
        if not cls.kept_in:
            raise TypeError(f"{cls.topic} says nothing of how it is taken back")
        return getattr(part, cls.kept_in)

    @property
    def part(self) -> str:
        """The part that this one changes, by name; empty if it changes none."""
        return self.changes

    def apply(self, *part: Any, **_: Any) -> None:
        """Fold this fact into the part that it changes, in place. The part is named by its only
        parameter, and where no rule asks for the fact there is none."""
        raise TypeError(f"{self.topic} says nothing of how it changes a state")

    def fold(self, state: State) -> str:
        """Fold this fact into the state of its stream; the name of the part that changed."""
        part = self.part
        if part:
            self.apply(state[part])
        else:
            self.apply()
        return part


class Excusable(Event):
    """What may have happened although a rule that protects a live desk stands against it. Of the
    events of a command the first that is one says so."""

    despite: Codes | None = None  # the codes of the rules that it broke, in the order of asking
