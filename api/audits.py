"""What an audit tells, as models, beside those of the other doors."""

from typing import Any

from pydantic import Field

from api.models import View
from projections import auditing


class Value(View):
    """What a column holds, and what it should; null where there is no such row."""

    column: str
    live: Any
    expected: Any


class Difference(View):
    """A row that is not what it should be."""

    table: str
    kind: str = Field(
        description="changed; missing; extra: there without reason; unlike: the table is not there"
        " or has other columns"
    )
    key: dict[str, Any]
    values: list[Value] = Field(description="the columns that differ")


class Tally(View):
    """How many rows of a table were looked at, and how many differ in which way."""

    table: str
    rows: int
    changed: int
    missing: int
    extra: int
    unlike: int
    unchecked: int = Field(description="snapshots folded by earlier rules: nothing relies on them")


class Comparison(View):
    """What was held against what."""

    against: str = Field(description="replay; snapshots; second opinion")
    different: int = Field(description="rows that differ, listed or not")
    tables: list[Tally]
    differences: list[Difference] = Field(description="the first of them")


class Audit(View):
    """The live answers and the snapshots of the streams, held against the log."""

    events: int = Field(description="that the answers hold")
    behind: int = Field(description="that they do not hold yet")
    sample_members: int | None = Field(description="null: all of them")
    seed: int = Field(description="that drew the sample")
    comparisons: list[Comparison]


def told(found: auditing.Audit) -> Audit:
    """What an audit found."""
    return Audit(
        events=found.events,
        behind=found.behind,
        sample_members=found.sample.members,
        seed=found.sample.seed,
        comparisons=[
            Comparison(
                against=each.against,
                different=each.different,
                tables=[Tally.model_validate(tally) for tally in each.tables.values()],
                differences=[Difference.model_validate(one) for one in each.differences],
            )
            for each in found.comparisons
        ],
    )
