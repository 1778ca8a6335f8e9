"""Arrays as PostgreSQL sends them in binary: psycopg's own cost more than the rules they carry."""

from collections.abc import Iterable, Sequence
from functools import partial
from struct import Struct
from typing import Any, ClassVar

from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEAD = Struct(">iiIii").pack
_INT8 = partial(Struct(">iq").pack, 8)
_INT2 = partial(Struct(">ih").pack, 2)
_LENGTH = Struct(">i").pack
_NULL = _LENGTH(-1)
_EMPTY = Struct(">iiI").pack


class Array:
    """An array in its binary form."""

    oid: ClassVar[int]
    element: ClassVar[int]
    __slots__ = ("said",)

    def __init__(self, elements: Sequence[Any]) -> None:
        if elements:
            head = _HEAD(1, 1, self.element, len(elements), 1)
            self.said = head + b"".join(self.elements(elements))
        else:
            self.said = _EMPTY(0, 0, self.element)

    @staticmethod
    def elements(values: Sequence[Any]) -> Iterable[bytes]:
        """Each element with its length before it."""
        raise TypeError("an array has elements of a type")


class Int8s(Array):
    """bigint[]"""

    oid, element = 1016, 20

    @staticmethod
    def elements(values: Sequence[int]) -> Iterable[bytes]:
        return map(_INT8, values)


class Int2s(Array):
    """smallint[]"""

    oid, element = 1005, 21

    @staticmethod
    def elements(values: Sequence[int]) -> Iterable[bytes]:
        return map(_INT2, values)


class Byteas(Array):
    """bytea[]"""

    oid, element = 1001, 17

    @staticmethod
    def elements(values: Sequence[bytes]) -> Iterable[bytes]:
        return [_LENGTH(len(value)) + value for value in values]


class Texts(Array):
    """text[], whose elements may be null"""

    oid, element = 1009, 25

    @staticmethod
    def elements(values: Sequence[str | None]) -> Iterable[bytes]:
        said = [None if value is None else value.encode() for value in values]
        return [_NULL if value is None else _LENGTH(len(value)) + value for value in said]


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> Buffer:
        return obj.said


def register(connection: AsyncConnection[Any]) -> None:
    """Let a connection send these arrays."""
    for kind in (Int8s, Int2s, Byteas, Texts):
        dumper = type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": kind.oid})
        connection.adapters.register_dumper(kind, dumper)
