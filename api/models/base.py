"""What every answer is made of: views, moments, rates, plain numbers."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, field_validator, model_validator

from domain.values import PROGRAMME_ZONE


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


class View(BaseModel):
    """An answer, read off what a query returns."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    @field_validator("*")
    @classmethod
    def in_the_zone(cls, value: Any) -> Any:
        """Instants are told by the programme's clocks, wherever they were read."""
        return value.astimezone(PROGRAMME_ZONE) if isinstance(value, datetime) else value


class Moment(View):
    """What an answer is as of: what was known by then, of what had happened by then."""

    known_at: datetime | None = Field(
        description="what was asked for, else when the last of these events was recorded;"
        " null before the first"
    )
    effective_at: datetime | None = Field(description="null: whenever it happened")
    positions: str = Field(
        description="the last event of each bucket, as `known_at` takes them",
        examples=["0:1234567"],
    )


class Dated(View):
    """An answer that can be asked as of a moment."""

    moment: Moment | None = Field(None, description="null: the answer is that of now")


class Quotient(View):
    """What a ratio is read as; each kind keeps the form that means something for it."""

    part: int
    whole: int

    @model_validator(mode="before")
    @classmethod
    def _read(cls, ratio: Any) -> Any:
        if hasattr(ratio, "whole"):
            forms = {"mean": ratio.quotient(2), "percent": ratio.percent(4)}
            return {"part": ratio.part, "whole": ratio.whole, **forms}
        return ratio


class Mean(Quotient):
    """A sum over a count; `mean` is rounded half up to two digits."""

    mean: Number | None = Field(description="null if the whole is 0")


class Rate(Quotient):
    """A ratio of two whole numbers; `percent` is rounded half up to four digits."""

    percent: Number | None = Field(description="null if the whole is 0")
