"""Personal data: what says who somebody is, sealed from the door to the store.

A sealed value shows nothing, however it is printed, logged or written as JSON: events, kept
commands and problems cannot hold it by mistake. `ledger/log/persons.py` alone opens one.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Never, get_args

from pydantic import (
    AfterValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from domain.kernel.phones import NoPhoneNumber
from domain.kernel.values import ONE_LINE, PROGRAMME


class Sealed:
    """A text that nobody sees. Two of them can be told apart, and nothing more."""

    __slots__ = ("__content",)

    def __init__(self, content: str) -> None:
        self.__content = content

    def __repr__(self) -> str:
        return "<sealed>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and self.__content == other.__content

    def __hash__(self) -> int:
        return hash(self.__content)

    def __copy__(self) -> "Sealed":
        return self

    def __deepcopy__(self, _: Any) -> "Sealed":
        return self

    def __getstate__(self) -> Never:
        raise TypeError("what is sealed is not written down")

    def __reduce_ex__(self, _: Any) -> Never:
        raise TypeError("what is sealed is not written down")

    @staticmethod
    def opened(sealed: "Sealed") -> str:
        """What is in it. For the store of persons alone; a test holds that."""
        return sealed.__content


@dataclass(frozen=True)
class _Seals:
    """Reads a text by its own type, and seals it there and then. In JSON it is null."""

    read_as: Any

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def sealed(written: Any, read: Any) -> Sealed:
            return written if isinstance(written, Sealed) else Sealed(read(written))

        return core_schema.no_info_wrap_validator_function(
            sealed,
            handler.generate_schema(self.read_as),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _nothing, return_schema=core_schema.none_schema()
            ),
        )


def _nothing(_: Any) -> None:
    return None


def _canonical(written: str) -> str:
    try:
        return PROGRAMME.phones.canonical(written)
    except NoPhoneNumber as why:
        raise PydanticCustomError("phone", str(why)) from None


class _OfThePlan:
    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, __: GetJsonSchemaHandler) -> Any:
        return {"type": "string", "pattern": PROGRAMME.phones.pattern}


_NAME = Annotated[str, StringConstraints(pattern=ONE_LINE, min_length=1, max_length=100)]
_PHONE = Annotated[str, AfterValidator(_canonical), _OfThePlan]

Name = Annotated[Sealed, _Seals(_NAME)]
"""What somebody is called."""
Phone = Annotated[Sealed, _Seals(_PHONE)]
"""A phone number in its one spelling. Every door that takes a number takes this type."""


def is_sealed(annotation: Any) -> bool:
    """Whether a field of this type holds what is sealed."""
    return annotation is Sealed or any(map(is_sealed, get_args(annotation)))
