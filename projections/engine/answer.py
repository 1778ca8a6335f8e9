"""An answer: what a query returns is what the doors show, with all that is said of its fields; and
the moment that it is as of."""

from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from domain.catalogue import CATALOGUE
from domain.kernel.values import PROGRAMME
from projections.engine.event_tables import Window

D = TypeVar("D", bound="Dated")


class Answer(BaseModel):
    """A row or more of what was asked. Its fields are the columns of files, too."""

    model_config = ConfigDict(frozen=True)

    def model_post_init(self, _: Any) -> None:
        """Instants are told by the programme's clocks, wherever they were read."""
        told = self.__dict__
        for name in _instants(type(self)):
            if isinstance(said := told.get(name), datetime):
                told[name] = said.astimezone(PROGRAMME.zone)


@cache
def _instants(answer: type[Answer]) -> tuple[str, ...]:
    """The fields that may hold an instant."""
    kinds = {name: field.annotation for name, field in answer.model_fields.items()}
    return tuple(name for name, kind in kinds.items() if {Any, datetime} & {kind, *get_args(kind)})


def plain_number(value: Decimal) -> int | float:
    """A decimal as a JSON number: whole if it is whole, else as short as it was written."""
    return int(value) if value == value.to_integral_value() else float(value)


Number = Annotated[
    Decimal,
    PlainSerializer(plain_number, return_type=int | float, when_used="json"),
    Field(json_schema_extra={"type": "number"}),
]


def _cursor(positions: tuple[tuple[int, int], ...]) -> str:
    return ",".join(f"{bucket}:{position}" for bucket, position in positions)


class Moment(Answer):
    """What an answer is as of: what was known by then, of what had happened by then."""

    known_at: datetime | None = Field(
        description="what was asked for, else when the last of these events was recorded;"
        " null before the first"
    )
    effective_at: datetime | None = Field(description="null: whenever it happened")
    positions: Annotated[
        tuple[tuple[int, int], ...], PlainSerializer(_cursor, return_type=str, when_used="json")
    ] = Field(
        description="the last event of each bucket, as `known_at` takes them",
        examples=["0:1234567"],
    )

    @property
    def lanes(self) -> list[Window]:
        """The windows of the log that it holds."""
        return [Window(bucket, 0, upto) for bucket, upto in self.positions if upto]

    @property
    def condition(self) -> str:
        """The same for a typed table, in SQL with literal bounds."""
        if self.effective_at is None:
            return self.known()
        return f"{self.known()} AND occurred_at <= '{self.effective_at.isoformat()}'::timestamptz"

    def known(self, alias: str = "") -> str:
        """Of that, what was known, whenever it had occurred. So a correction counts: what is known
        to be wrong was wrong all the time."""
        lanes = " OR ".join(lane.condition(alias=alias) for lane in self.lanes)
        return f"({lanes or 'false'})"

    def condition_of(self, topic: str) -> str:
        """The condition for the events of a topic."""
        return self.known() if CATALOGUE[topic].corrects else self.condition

    @property
    def cursor(self) -> str:
        """The positions as one word, with which the same moment can be asked for again."""
        return _cursor(self.positions)

    @property
    def at(self) -> datetime | None:
        """The time for which its answers are asked; null before the first event."""
        return self.effective_at or self.known_at


class Dated(Answer):
    """An answer that can be asked as of a moment."""

    moment: Moment | None = Field(None, description="null: the answer is that of now")


def dated(found: D, moment: Moment | None) -> D:
    """The answer with the moment that it is as of."""
    return found if moment is None else found.model_copy(update={"moment": moment})
