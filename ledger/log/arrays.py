"""Values as PostgreSQL takes them in binary: psycopg's own cost more than the rules they carry."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from struct import Struct
from typing import Any

_HEAD = Struct(">iiIii").pack
_INT8 = partial(Struct(">iq").pack, 8)
_INT2 = partial(Struct(">ih").pack, 2)
_LENGTH = Struct(">i").pack
_EIGHT = _LENGTH(8)
_EMPTY = Struct(">iiI").pack
_FIELD = Struct(">Ii").pack
_MICROS = Struct(">q").pack
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
BYTEA, INSTANT = 17, 1184
_INT8_, _INT2_, _TEXT = 20, 21, 25


def microseconds(value: datetime) -> bytes:
    """An instant as PostgreSQL holds it: microseconds since the year 2000, by integers alone."""
    since = value - _EPOCH
    return _MICROS((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _array(element: int, count: int, elements: Iterable[bytes]) -> bytes:
    """One dimension of so many elements, each with its length before it."""
    if not count:
        return _EMPTY(0, 0, element)
    return b"".join((_HEAD(1, 1, element, count, 1), *elements))


def int8s(values: Sequence[int]) -> bytes:
    """bigint[]"""
    return _array(_INT8_, len(values), map(_INT8, values))


def int2s(values: Sequence[int]) -> bytes:
    """smallint[]"""
    return _array(_INT2_, len(values), map(_INT2, values))


def byteas(values: Sequence[bytes]) -> bytes:
    """bytea[]"""
    return _array(BYTEA, len(values), _with_lengths(values))


def texts(values: Sequence[str]) -> bytes:
    """text[]"""
    return _array(_TEXT, len(values), _with_lengths([*map(str.encode, values)]))


def words(values: Sequence[str]) -> bytes:
    """text[], of texts that come again and again."""
    return _array(_TEXT, len(values), map(_word, values))


@lru_cache(maxsize=1_000)
def _word(value: str) -> bytes:
    said = value.encode()
    return _LENGTH(len(said)) + said


def _with_lengths(values: Sequence[bytes]) -> list[bytes]:
    """Each with its length before it, as pieces: to join two would copy them once more."""
    pieces = [b""] * (2 * len(values))
    pieces[::2] = map(_LENGTH, map(len, values))
    pieces[1::2] = values
    return pieces


def instants(values: Sequence[bytes]) -> bytes:
    """timestamptz[], of instants in microseconds."""
    return _array(INSTANT, len(values), [_EIGHT + value for value in values])


Kind = tuple[int, Callable[[Sequence[Any]], bytes]]
"""The type of an array as the server numbers it, and what writes one."""
INT2S: Kind = (1005, int2s)
INT8S: Kind = (1016, int8s)
TEXTS: Kind = (1009, texts)
WORDS: Kind = (1009, words)
BYTEAS: Kind = (1001, byteas)
INSTANTS: Kind = (1185, instants)


def composite(fields: Sequence[tuple[int, bytes | None]]) -> bytes:
    """A value of a composite type: of each field its type and itself, or null."""
    pieces = [_LENGTH(len(fields))]
    for kind, value in fields:
        if value is None:
            pieces.append(_FIELD(kind, -1))
        else:
            pieces += (_FIELD(kind, len(value)), value)
    return b"".join(pieces)
