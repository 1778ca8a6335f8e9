"""An answer: what a query returns is what the doors show, with all that is said of its fields."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, field_validator

from domain.values import PROGRAMME_ZONE


class Answer(BaseModel):
    """A row or more of what was asked. Its fields are the columns of files, too."""

    model_config = ConfigDict(frozen=True)

    @field_validator("*")
    @classmethod
    def in_the_zone(cls, value: Any) -> Any:
        """Instants are told by the programme's clocks, wherever they were read."""
        return value.astimezone(PROGRAMME_ZONE) if isinstance(value, datetime) else value


def plain_number(value: Decimal) -> int | float:
    """A decimal as a JSON number: whole if it is whole, else as short as it was written."""
    return int(value) if value == value.to_integral_value() else float(value)


def number_or_same(value: Any) -> Any:
    return plain_number(value) if isinstance(value, Decimal) else value


Number = Annotated[
    Decimal,
    PlainSerializer(plain_number, return_type=int | float, when_used="json"),
    Field(json_schema_extra={"type": "number"}),
]
