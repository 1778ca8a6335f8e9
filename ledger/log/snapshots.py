"""Snapshots: the folded state of a stream as bytes, and the code version that folded it.

The row of a snapshot holds the parts that lie together (IN_THE_ROW); every other part has a row of
its own beside it, which is read and written only for a command that takes it. A part that has none
is as it was before the first event: which parts there are, and what changes them, is in the version
of the row, so that a part that is new is folded where there are events for it.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from pydantic import AwareDatetime, BaseModel

from domain.catalogue import CATALOGUE, PARTS
from domain.kernel import parts
from domain.kernel.command import Command
from domain.kernel.event import ANY_PART, Event
from domain.kernel.parts import State, parts_of
from ledger import digests

IN_THE_ROW = {"member": ("membership", "bills", "points", "visits", "inclusions")}
"""What a visit or a debit needs, and what is small and nearly everybody's: three numbers that each
bill changes, two names of cohorts. Kinds that are not here have all their parts in it."""
DIGITS = 10
"""Of the digest of a part, and of those in a row, as stored."""

encode_part = msgspec.json.Encoder().encode
"""A part as JSON."""


# ---------------------------------------------------------------------------- what lies where
def kind_of(stream: str) -> str:
    """The kind of a stream: what stands before its colon."""
    return stream.partition(":")[0]


@cache
def in_the_row(kind: str) -> tuple[str, ...]:
    """The parts that lie in the row of a snapshot of this kind."""
    return IN_THE_ROW.get(kind) or parts_of(kind)


@cache
def beside_the_row(kind: str) -> tuple[str, ...]:
    """The parts that have a row of their own."""
    return tuple(part for part in parts_of(kind) if part not in in_the_row(kind))


@cache
def lies_beside(part: str) -> bool:
    """Whether a part has a row of its own; no part has none."""
    return part in PARTS and part in beside_the_row(PARTS[part].kind)


@cache
def taken_beside(command: type[Command]) -> tuple[tuple[int, str], ...]:
    """The parts with a row of their own that a command takes, each with the number of its stream
    among those of the command."""
    return tuple(
        (number, part)
        for _, number, part in command.takes
        if part in beside_the_row(PARTS[part].kind)
    )


# ------------------------------------------------------------------------------- what folds it
@cache
def _changes(part: str) -> tuple[type[Event], ...]:
    """The events that may change a part."""
    return tuple(
        event
        for event in CATALOGUE.values()
        if event.stream == PARTS[part].kind and event.changes in (part, ANY_PART)
    )


@cache
def part_version(part: str) -> str:
    """A digest of what folds a part: it, the events that change it, and what they name."""
    return digests.of_code(PARTS[part].type, *_changes(part), room="domain")[:DIGITS]


@cache
def row_version(kind: str) -> str:
    """A digest of what folds the parts in the row.

    A row written under another version is folded again from the events when it is next needed.
    """
    return digests.of_text(*map(part_version, in_the_row(kind)))[:DIGITS]


@cache
def fold_version(kind: str) -> str:
    """The version of a row, and a digest of which parts lie beside it and what may change them."""
    beside = [
        " ".join([part, *sorted(event.topic for event in _changes(part))])
        for part in sorted(beside_the_row(kind))
    ]
    return row_version(kind) + digests.of_text(*beside)[: digests.LENGTH - DIGITS]


def unknown(stream: str, fold: str) -> list[str]:
    """The parts that a snapshot of this version says nothing of, or that other rules folded: those
    in the row first. One that names no version is of the library's recorder: it folds nothing."""
    kind = kind_of(stream)
    now = fold_version(kind)
    if fold == now:
        return []
    row, beside = in_the_row(kind), beside_the_row(kind)
    return [
        *(() if fold[:DIGITS] == now[:DIGITS] else row),
        *(() if fold[DIGITS:] == now[DIGITS:] else beside),
    ]


# ------------------------------------------------------------------------------------- as bytes
@cache
def _row_decoder(kind: str) -> msgspec.json.Decoder[Any]:
    types = tuple(PARTS[part].type for part in in_the_row(kind))
    return msgspec.json.Decoder(tuple[types])  # type: ignore[valid-type]


@cache
def _part_decoder(part: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(PARTS[part].type)


@cache
def _row_of(kind: str) -> tuple[str, Callable[[State], Any]]:
    """What folds a row of this kind, and what takes its parts out of a state."""
    row = in_the_row(kind)
    return fold_version(kind), itemgetter(*row) if len(row) > 1 else lambda state: (state[row[0]],)


def row(stream: str, state: State) -> tuple[str, bytes]:
    """The row of a state: its version, and it as JSON."""
    fold, parts = _row_of(stream[: stream.find(":")])
    return fold, encode_part(parts(state))


def decode(stream: str, state: bytes) -> State:
    """The parts in the row that was stored for this stream."""
    kind = kind_of(stream)
    return dict(zip(in_the_row(kind), _row_decoder(kind).decode(state), strict=True))


def decode_part(part: str, state: bytes) -> Any:
    """A part that was stored in a row of its own."""
    return _part_decoder(part).decode(state)


def copied(state: State) -> State:
    """A state of its own, by way of what would be stored: a tenth of what a deep copy takes."""
    return {part: decode_part(part, encode_part(said)) for part, said in state.items()}


def fresh(stream: str) -> State:
    """The state of a stream that has no events yet, whole."""
    return parts.fresh(kind_of(stream))


def event_of(topic: str, state: bytes) -> Event:
    """An event from its stored bytes: validated, and brought up if its shape is an older one."""
    kind = CATALOGUE[topic]
    if kind.version == 1:
        return kind.model_validate_json(state)
    fields = msgspec.json.decode(state)
    version = fields.pop("v", 1)
    while version < kind.version:
        fields, version = kind.upcast(fields, version), version + 1
    return kind.model_validate_json(msgspec.json.encode(fields))


@cache
def reader(topic: str, wanted: tuple[str, ...]) -> Callable[[Sequence[bytes]], Sequence[Any]]:
    """What reads the stored bytes of many events of one name at once: the wanted fields, of their
    types, not validated again.

    They were validated when they were written. A long stream is read in a fraction of the time.
    """
    kind = CATALOGUE[topic]
    if kind.version > 1:
        return lambda states: [event_of(topic, state) for state in states]
    decode = msgspec.json.Decoder(list[_struct(kind, wanted)]).decode  # type: ignore[misc]
    return lambda states: decode(b"[%s]" % b",".join(states))


def _struct(kind: type[BaseModel], wanted: tuple[str, ...] = ()) -> type[msgspec.Struct]:
    """A structure with the fields of a model, or those of them that are wanted."""
    fields: list[Any] = []
    for name in wanted or kind.model_fields:
        field = kind.model_fields[name]
        default = () if field.is_required() else (field.get_default(call_default_factory=True),)
        fields.append((name, _plain(field.annotation), *default))
    return msgspec.defstruct(kind.__name__, fields, kw_only=True, gc=False)  # no cycles in them


def _plain(annotation: Any) -> Any:
    """A field's type without what pydantic alone understands."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _plain(inner[0])
    if origin in (Union, UnionType):
        return Union[tuple(map(_plain, inner))]  # noqa: UP007 - made, not written
    if origin in (tuple, dict, list):
        return origin[tuple(part if part is ... else _plain(part) for part in inner)]
    if annotation is AwareDatetime:
        return datetime
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _struct(annotation)
    return annotation


def bytes_of(event: Event) -> bytes:
    """The bytes that are stored, hashed and never changed: JSON without the absent fields."""
    state = event.__pydantic_serializer__.to_json(event, exclude_none=True)
    if event.version == 1:
        return state
    return b'{"v":%d,%s' % (event.version, state[1:])


def refold(stream: str, events: Iterable[tuple[str, bytes]], wanted: Collection[str] = ()) -> State:
    """The state of a stream, or the wanted parts of it, from its (topic, bytes), in order."""
    state = fresh(stream)
    if wanted:
        state = {part: state[part] for part in wanted}
    for topic, stored in events:
        event = event_of(topic, stored)
        if event.part in state:
            event.fold(state)
    return state
