"""A command: what somebody asks for, and the rule that decides it.

`decide` is given the states of the streams that the command names and returns events or raises a
refusal. It reads no clock and changes no state: events do, one after the other, as the ledger
applies them. A command names its streams in two tables, `writes` and `reads`: kind -> the field
that holds the id. At most one stream of a kind, so an event's kind says where it goes.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict

from domain.event import Event
from domain.personal import Sealed, is_sealed
from domain.values import Actor, Instant, Key

COMMANDS: dict[str, type["Command"]] = {}
"""Every command by its name, as it stands in an import file."""

ADDRESSED: dict[str, str] = {}
"""The field that holds the id of each kind of stream: `places` are those of a `campaign_id`."""

REFERENCE: set[str] = set()
"""The kinds that commands read without writing them: read by many, written seldom."""

NO_KEY = "-"
"""Without a key: left out, null and blank are the same, in a file as in a request. Only a command
of an import file may be: the import gives it one by its line."""
FILE_KEYS, DUE_KEYS = "file:", "due:"
"""What the keys of files and their lines begin with, and those of due work."""
RESERVED_KEYS = (FILE_KEYS, DUE_KEYS)
"""Ours: nobody else may bring a key that begins so, or his command would pass for another's."""
ASKED_KEYS = rf"^(?!-$|{'|'.join(RESERVED_KEYS)})[\x21-\x7e]{{1,128}}$"
"""The keys that may be brought, as a pattern for who reads a description."""

E = TypeVar("E", bound=Event)


def _asked_key(key: Any) -> Any:
    """Blanks around a key are none of it, as in a header; nothing but blanks is no key."""
    if key is None:
        return NO_KEY
    return key.strip() or NO_KEY if isinstance(key, str) else key


AskedKey = Annotated[Key, BeforeValidator(_asked_key)]
"""A key as it is brought to any door."""


class Command(BaseModel):
    """What every command carries. `at` is when it happened; absent, it happens now."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    writes: ClassVar[dict[str, str]] = {}
    reads: ClassVar[dict[str, str]] = {}
    called: ClassVar[str] = ""
    """Its name, as it stands in an import file."""
    kinds: ClassVar[tuple[str, ...]] = ()
    """The kinds of its streams: those it writes, then those it reads."""
    identifying: ClassVar[tuple[str, ...]] = ()
    """Its fields that are sealed: they stand in no event and in no command that is kept."""
    marks_sealed: ClassVar[bool] = False
    """Whether it keeps null in place of those that were sent, since its events hang on which."""

    key: AskedKey = NO_KEY
    actor: Actor
    at: Instant | None = None

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.kinds = (*cls.writes, *cls.reads)
        cls.identifying = tuple(
            name for name, field in cls.model_fields.items() if is_sealed(field.annotation)
        )
        cls._not_kept = {"command", "key", *(() if cls.marks_sealed else cls.identifying)}
        cls._addresses = tuple(
            (f"{kind}:", field) for kind, field in (*cls.writes.items(), *cls.reads.items())
        )
        if "command" not in cls.model_fields:
            return  # a base of several commands
        name = get_args(cls.model_fields["command"].annotation)[0]
        if name in COMMANDS:
            raise TypeError(f"two commands are called {name}")
        cls.called = name
        cls._begins = b'{"command":"%s",' % name.encode()
        COMMANDS[name] = cls
        REFERENCE.update(cls.reads)
        for kind, field in (*cls.writes.items(), *cls.reads.items()):
            if ADDRESSED.setdefault(kind, field) != field:
                raise TypeError(f"{kind} is addressed as {field} and as {ADDRESSED[kind]}")

    _addresses: ClassVar[tuple[tuple[str, str], ...]] = ()
    _not_kept: ClassVar[set[str]] = set()
    _begins: ClassVar[bytes] = b"{"

    def streams(self) -> list[str]:
        """The names of its streams, one for each of its kinds."""
        return [prefix + getattr(self, field) for prefix, field in self._addresses]

    decide: ClassVar[Callable[..., list[Event]]]
    """decide(at, **states): the events this command makes happen at `at`, or a refusal."""

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        """What the asker is told, from the events written and the states after them."""
        return {}

    def sealed(self) -> dict[str, Sealed | None]:
        """What it says of who somebody is, to be kept outside the log: the fields that were sent,
        null where something is taken away."""
        if not self.identifying:
            return {}
        return {n: getattr(self, n) for n in self.identifying if n in self.model_fields_set}

    def asked(self) -> bytes:
        """It as it was asked, in JSON: the fields that were sent, but for the key, which stands
        beside it wherever it is kept, and for what is sealed."""
        sent = self.__pydantic_serializer__.to_json(
            self, exclude_unset=True, exclude=self._not_kept
        )
        return self._begins + sent[1:]

    def event(self, kind: type[E], at: datetime, /, **fields: Any) -> E:
        """An event of this command's doing, validated like one that is read."""
        fields["occurred_at"], fields["actor"], fields["key"] = at, self.actor, self.key
        made: E = kind.__pydantic_validator__.validate_python(fields)
        return made

    @property
    def role(self) -> str:
        """The part of the actor before the colon."""
        return self.actor.partition(":")[0]
