"""Measures as tests ask them."""

from datetime import date
from typing import Any

from projections.engine.connection import Conn
from projections.engine.measure import measured


def sums(conn: Conn, measure_id: str, on: date, **params: Any) -> dict[str, int]:
    """The inputs of a measure by name."""
    return measured(conn, measure_id, params, on).sums()
