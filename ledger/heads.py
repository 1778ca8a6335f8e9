"""Heads: the folded state of a stream as bytes, and the code version that folded it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from pydantic import AwareDatetime, BaseModel

from domain.catalogue import CATALOGUE, STATES
from domain.event import Event
from ledger import digests

_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(state) for kind, state in STATES.items()
}
encode = msgspec.json.Encoder().encode
"""A state as JSON."""


@cache
def fold_version(kind: str) -> str:
    """A digest of the code that folds the streams of a kind: its state, its events, what they name.

    A head written under another version is folded again from its events when it is next needed.
    """
    events = [event for event in CATALOGUE.values() if event.stream == kind]
    return digests.of_code(STATES[kind], *events, room="domain")


def kind_of(stream: str) -> str:
    """The kind of a stream: what stands before its colon."""
    return stream.partition(":")[0]


def fresh(stream: str) -> Any:
    """The state of a stream that has no events yet."""
    return STATES[kind_of(stream)]()


def decode(stream: str, state: bytes) -> Any:
    """The state that was stored for this stream."""
    return _DECODERS[kind_of(stream)].decode(state)


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


def refold(stream: str, events: list[tuple[str, bytes]]) -> Any:
    """The state of a stream from all its (topic, bytes), in order."""
    state = fresh(stream)
    for topic, stored in events:
        event_of(topic, stored).apply(state)
    return state
