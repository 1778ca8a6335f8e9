"""A command: what somebody asks for, and the rule that decides it.

A command names its streams in two tables, `writes` and `reads`: kind -> the field that holds the
id. Of several streams of a kind each further one has a *role*: role -> (kind, field).

`refuses` are the refusals that `decide` raises, in the order in which it asks, and no others.

`decide` is given what it takes, and nothing else is loaded: parts of those streams, by name, those
of a role as `role_part`. It returns events or raises a refusal. It reads no clock and changes no
state: events do, one after the other, as the ledger folds them, each in a part that `decide` took.
An event's kind says where it goes; one that goes to a role is wrapped: `To("receiver", event)`.

A rule that protects a live desk (`DeskRule`) is asked by `unless_despite` instead of `raise`: what
is told of the past may name it in `despite`, and is decided as if that rule were not asked.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from inspect import signature
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict

from domain.kernel.event import ANY_PART, Event, Excusable
from domain.kernel.parts import State, parts_of
from domain.kernel.personal import Sealed, is_sealed
from domain.kernel.refusal import DeskRule, Refusal
from domain.kernel.values import Actor, Codes, Instant, Key

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


class Role(NamedTuple):
    """A stream of a command: its kind, the field that holds its id, and as what it is there, which
    is its kind unless there are several of one."""

    name: str
    kind: str
    field: str

    def names(self, part: str) -> str:
        """What `decide` calls a part of it."""
        return part if self.name == self.kind else f"{self.name}_{part}"


class Taken(NamedTuple):
    """A part that `decide` takes: what it calls it, and the number of its stream."""

    parameter: str
    stream: int
    part: str


class To(NamedTuple):
    """An event that goes to the stream of a role."""

    role: str
    event: Event


D = TypeVar("D", bound=Event | To)
Decided = Sequence[Event | To]
"""What `decide` returns."""

Change: TypeAlias = tuple[int, Event, str]
"""What comes of a command: an event, after the number of its stream and before the part that it
changes, if any."""


def excused(decided: Iterable[D], despite: tuple[str, ...]) -> list[D]:
    """The same, and the first of them that can says despite which rules it happened."""
    found = list(decided)
    for place, each in enumerate(found):
        if isinstance(each, Excusable):
            found[place] = each.model_copy(update={"despite": despite})
            return found
    raise TypeError(f"none of {[type(each).__name__ for each in found]} says what it broke")


def saying(**fields: Any) -> Mapping[str, Any]:
    """What an example says, as JSON has it."""
    return fields


class Receipt(TypedDict):
    """What is told of a command that was carried out, beside where the log holds it."""


class Command(BaseModel):
    """What every command carries. `at` is when it happened; absent, it happens now."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    writes: ClassVar[Mapping[str, str | tuple[str, str]]] = {}
    reads: ClassVar[Mapping[str, str | tuple[str, str]]] = {}
    refuses: ClassVar[tuple[type[Refusal], ...]] = ()
    """What `decide` raises, in the order in which it asks; no other refusal comes of it."""
    answers: ClassVar[type[Receipt]] = Receipt
    """What `receipt` returns, as that says."""
    example: ClassVar[Mapping[str, Any]] = {}
    """A small one, as JSON has it; those of all commands make a history."""
    called: ClassVar[str] = ""
    """Its name, as it stands in an import file."""
    roles: ClassVar[tuple[Role, ...]] = ()
    """Its streams: those it writes, then those it reads."""
    takes: ClassVar[tuple[Taken, ...]] = ()
    """The parts that `decide` takes: these are loaded, and its events may change no others."""
    _goes: ClassVar[dict[str, int]] = {}
    """The number of each role that it writes."""
    _changes: ClassVar[frozenset[tuple[int, str, str]]] = frozenset()
    """(number of the stream, its kind, part) of what its events may change: of what it writes, what
    `decide` takes or no part."""
    _known: ClassVar[dict[type[Any], tuple[int, str]]] = {}
    """Kinds of events that it made before: the number of the stream, and the part that changes."""
    identifying: ClassVar[tuple[str, ...]] = ()
    """Its fields that are sealed: they stand in no event and in no command that is kept."""
    marks_sealed: ClassVar[bool] = False
    """Whether it keeps null in place of those that were sent, since its events hang on which."""
    erases: ClassVar[bool] = False
    """Whether what is kept of its member outside the log is destroyed with it."""
    discloses: ClassVar[bool] = False
    """Whether its answer is filled in, once, with what is kept of its member outside the log."""
    stronger: ClassVar[str] = ""
    """The role that may do more by it than others; empty: whoever may do it may do all of it."""

    key: AskedKey = NO_KEY
    actor: Actor
    at: Instant | None = Field(None, description="when it happened; now, if it is left out")
    despite: Codes = Field(
        (),
        description="codes of rules that protect a live desk, which it may have broken; only what"
        " tells a history may say so",
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.roles = tuple(
            Role(name, *((name, of) if isinstance(of, str) else of))
            for name, of in (*cls.writes.items(), *cls.reads.items())
        )
        cls.identifying = tuple(
            name for name, field in cls.model_fields.items() if is_sealed(field.annotation)
        )
        cls._not_kept = {"command", "key", *(() if cls.marks_sealed else cls.identifying)}
        cls._addresses = tuple((f"{role.kind}:", role.field) for role in cls.roles)
        if "command" not in cls.model_fields:
            return  # a base of several commands
        name = get_args(cls.model_fields["command"].annotation)[0]
        if name in COMMANDS:
            raise TypeError(f"two commands are called {name}")
        cls.called, cls.answers = name, cls.receipt.__annotations__["return"]
        cls._begins = b'{"command":"%s",' % name.encode()
        cls._known = {}
        cls.takes = tuple(map(cls._taken, [*signature(cls.decide).parameters][2:]))
        written = cls.roles[: len(cls.writes)]
        cls._goes = {role.name: number for number, role in enumerate(written)}
        cls._changes = frozenset(
            (number, role.kind, part)
            for number, role in enumerate(written)
            for part in ("", *(taken.part for taken in cls.takes if taken.stream == number))
        )
        COMMANDS[name] = cls
        REFERENCE.update(role.kind for role in cls.roles[len(cls.writes) :])
        for role, kind, field in cls.roles:
            if role == kind and ADDRESSED.setdefault(kind, field) != field:
                raise TypeError(f"{kind} is addressed as {field} and as {ADDRESSED[kind]}")

    @classmethod
    def _taken(cls, parameter: str) -> Taken:
        """What a parameter of `decide` stands for."""
        for number, role in enumerate(cls.roles):
            for part in parts_of(role.kind):
                if role.names(part) == parameter:
                    return Taken(parameter, number, part)
        raise TypeError(f"{cls.called} takes {parameter}, which is a part of none of its streams")

    _addresses: ClassVar[tuple[tuple[str, str], ...]] = ()
    _not_kept: ClassVar[set[str]] = set()
    _begins: ClassVar[bytes] = b"{"

    def streams(self) -> list[str]:
        """The names of its streams, one for each of its roles."""
        return [prefix + getattr(self, field) for prefix, field in self._addresses]

    decide: ClassVar[Callable[..., Decided]]
    """decide(at, **parts): the events this command makes happen at `at`, or a refusal."""

    def parts(self, states: Sequence[State]) -> dict[str, Any]:
        """What `decide` takes, out of the states of its streams."""
        found = {}
        for parameter, number, part in self.takes:  # a comprehension costs a frame, each time
            found[parameter] = states[number][part]
        return found

    def decided(self, at: datetime, **parts: Any) -> Decided:
        """What `decide` returns: of a history, as if those of its exceptions that are needed were
        rules that nobody asks."""
        if not self.despite:
            return self.decide(at, **parts)
        needed: tuple[str, ...] = ()
        while True:
            try:
                decided = self.model_copy(update={"despite": needed}).decide(at, **parts)
            except DeskRule as broken:
                if broken.code in needed or broken.code not in self.despite:
                    raise
                needed = (*needed, broken.code)
            else:
                return excused(decided, needed) if needed else decided

    def unless_despite(self, broken: DeskRule) -> None:
        """Refuses what breaks this rule, unless it is decided despite it."""
        if broken.code not in self.despite:
            raise broken

    def changes(self, at: datetime, parts: dict[str, Any]) -> list[Change]:
        """What comes of it, decided on these parts; or a refusal."""
        places = self._known
        found: list[Change] = []
        decide = self.decided if self.despite else self.decide
        each: Any
        for each in decide(at, **parts):
            place = places.get(type(each))
            found.append(self._placed(each) if place is None else (place[0], each, place[1]))
        return found

    def _placed(self, decided: Event | To) -> Change:
        """It with its place, if this command may change what it changes."""
        role, event = decided if isinstance(decided, To) else (decided.stream, decided)
        number, part = self._goes.get(role, -1), event.part
        if (number, event.stream, part) not in self._changes:
            what = f"{event.topic} changes {part or 'nothing'} of {role}"
            raise TypeError(f"{what}, which {self.called} does not take, or only reads")
        if event is decided and event.changes != ANY_PART:
            self._known[type(event)] = number, part
        return number, event, part

    def receipt(self, events: list[Event], **parts: Any) -> Receipt:
        """What the asker is told, from the events written and the parts after them."""
        return {}

    def outlook(self, at: datetime, **parts: Any) -> Mapping[str, Any]:
        """What is told beside the receipt to who only tries it, from the parts after it."""
        return {}

    def sealed(self) -> dict[str, Sealed | None]:
        """What it says of who somebody is, to be kept outside the log: the fields that were sent,
        null where something is taken away."""
        if not self.identifying:
            return {}
        return {n: getattr(self, n) for n in self.identifying if n in self.model_fields_set}

    def asked(self) -> bytes:
        """It as it was asked, in JSON, but for the key, which stands beside it wherever it is kept,
        and for what is sealed. What was left out, and what says the same, is not in it."""
        unset, left_out = self.marks_sealed, self._not_kept
        if unset and self.at is None:  # Its other nulls say that something is taken away.
            left_out = {*left_out, "at"}
        sent = self.__pydantic_serializer__.to_json(
            self, exclude_unset=unset, exclude_defaults=not unset, exclude=left_out
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
