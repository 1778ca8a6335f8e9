"""Bulletin: a measure by unit on a day, ranked, beside its targets and the day before."""

from datetime import date, timedelta
from decimal import Decimal

from pydantic import Field

from projections import reports
from projections.engine.answer import Answer, Dated, Number
from projections.engine.connection import Conn
from projections.engine.measure import Group, Input, Measured, Params, measured
from projections.figures.claims import Document
from projections.figures.targets import TargetProgress, progress
from projections.reports import Target


class UnitLine(Answer):
    """A unit on the day. What shares a value shares a rank, and the next ones are left out."""

    rank: int | None = Field(description="1, 2, 2, 4; null: not computable")
    unit_id: str
    unit_title: str | None
    value: Number | None
    change: Number | None = Field(description="from the day before")
    inputs: list[Input]


class Bulletin(Dated):
    """A measure by unit on a day, the highest first, and in all."""

    measured: Measured
    before: Number | None = Field(description="in all, on the day before")
    change: Number | None
    units: list[UnitLine]
    targets: list[TargetProgress] = Field(description="of the day, of units and of all")


def bulletin(conn: Conn, measure_id: str, params: Params, on: date) -> Bulletin:
    """The bulletin of a day. Raises what `measured` raises."""
    before = measured(conn, measure_id, params, on - timedelta(days=1), ["unit_id"])
    now = measured(conn, measure_id, params, on, ["unit_id"])
    was = {each.key["unit_id"]: each.value for each in before.groups}
    titles = dict(conn.execute("SELECT unit_id, title FROM unit").fetchall())
    return Bulletin(
        measured=now,
        before=before.value,
        change=_change(before.value, now.value),
        units=[
            UnitLine(
                rank=rank,
                unit_id=each.key["unit_id"] or "",
                unit_title=titles.get(each.key["unit_id"]),
                value=each.value,
                change=_change(was.get(each.key["unit_id"]), each.value),
                inputs=each.inputs,
            )
            for rank, each in ranked(now.groups)
        ],
        targets=progress(conn, Document([], reports.outside_values(conn), []), _of(conn, now)),
    )


def ranked(groups: list[Group]) -> list[tuple[int | None, Group]]:
    """(rank, group), highest first: what is equal shares a rank, and what has no value has none."""
    known = sorted((each.value for each in groups if each.value is not None), reverse=True)
    ranks = {value: known.index(value) + 1 for value in dict.fromkeys(known)}
    found = [(None if each.value is None else ranks[each.value], each) for each in groups]
    return sorted(found, key=lambda one: len(groups) + 1 if one[0] is None else one[0])


def _change(before: Decimal | None, after: Decimal | None) -> Decimal | None:
    return None if before is None or after is None else after - before


def _of(conn: Conn, now: Measured) -> list[Target]:
    """The targets of this measure whose days hold this day, asked with the same."""
    return [
        each
        for each in reports.targets(conn)
        if each.measure == now.measure_id
        and each.first <= now.on <= each.last
        and each.parameters == now.params
    ]
