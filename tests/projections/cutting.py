"""The log folded in windows that end anywhere, beside plain Python."""

from itertools import pairwise
from typing import Any

from projections.audit import doubts
from projections.audit.doubts import Doubt
from projections.engine.event_tables import Window
from projections.engine.reference import Stored
from projections.engine.schemas import LIVE, log_ends
from projections.engine.windows import advance
from tests.projections.doubting import Doubting
from tests.projections.histories import lay
from tests.projections.tables import emptied, in_python, in_sql


def fold_cut(conn: Any, cuts: list[int]) -> None:
    """Folds each lane in windows that end at these cuts."""
    for bucket, end in log_ends(conn).items():
        edges = [0, *sorted({cut % end for cut in cuts if end} - {0}), end]
        for after, upto in pairwise(edges):
            if upto > after:
                advance(conn, LIVE, Window(bucket, after, upto))


def agreed(conn: Any, log: list[Stored], cuts: list[int]) -> list[Doubt]:
    """Both folds of this log end in the same tables and doubts; the doubts."""
    emptied(conn)
    lay(conn, log)
    fold_cut(conn, cuts)
    found, wanted = in_sql(conn), in_python(log)
    for table, rows in wanted.items():
        assert found[table] == rows, table
    doubting = Doubting(log).all()
    assert doubts.doubts(conn) == doubting
    return doubting
