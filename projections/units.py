"""Units: the county branches and city district offices, by name."""

from domain.members import UnknownUnit
from domain.units import UnitOpened
from projections.engine.names import named
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Stored, folded
from projections.engine.views import view


class Units(Projection):
    """A row a unit, under the name that it took last."""

    tables = (
        """
        CREATE TABLE unit (
            bucket smallint NOT NULL,
            unit_id text NOT NULL,
            title text NOT NULL,
            titled_at timestamptz NOT NULL,
            opened_at timestamptz NOT NULL,
            PRIMARY KEY (unit_id, bucket)
        )
        """,
    )
    fold = (
        """
        INSERT INTO unit (bucket, unit_id, title, titled_at, opened_at)
        SELECT DISTINCT ON (unit_id) bucket, unit_id, title, occurred_at,
            min(occurred_at) OVER (PARTITION BY unit_id)
        FROM {unit_opened}
        ORDER BY unit_id, occurred_at DESC, position DESC
        ON CONFLICT (unit_id, bucket) DO UPDATE
        SET title = CASE WHEN unit.titled_at <= excluded.titled_at THEN excluded.title
                ELSE unit.title END,
            titled_at = greatest(unit.titled_at, excluded.titled_at),
            opened_at = least(unit.opened_at, excluded.opened_at)
        """,
    )


named("unit_id", UnknownUnit)

view(
    "units",
    "Every unit.",
    "SELECT unit_id, title, opened_at FROM unit",
    """
    unit_id text: its id
    title text
    opened_at timestamptz: when it was opened
    """,
    key=("unit_id",),
    same=("unit_id",),
    day="opened_at",
)


# ----------------------------------------------------------------------- the same in plain Python
@folded(UnitOpened)
def _unit_opened(fold: ReferenceFold, at: Stored, event: UnitOpened) -> None:
    known = fold.tables.get("unit", {}).get((at.id,))
    if known:
        fold.latest(known, "titled_at", event, title=event.title)
        known["opened_at"] = min(known["opened_at"], event.occurred_at)
    else:
        fold.add("unit", (at.id,), bucket=at.bucket, unit_id=at.id, title=event.title,
                 titled_at=event.occurred_at, opened_at=event.occurred_at)  # fmt: skip
