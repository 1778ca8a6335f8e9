"""The state of the answers as Prometheus text, asked of the database: every worker says the same.

A client library keeps its numbers in the process, which here knows none of them.
"""

from collections.abc import Sequence
from datetime import datetime

from projections.runner import LaneStatus, Standstill

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(lanes: Sequence[LaneStatus], standstills: Sequence[Standstill], now: datetime) -> str:
    """A gauge a figure, a line a lane."""
    still = {each.bucket: each.position for each in standstills}
    gauges: dict[str, tuple[str, Sequence[float]]] = {
        "clubledger_log_position": ("Events in the log.", [lane.head for lane in lanes]),
        "clubledger_answers_position": (
            "Events that the answers hold.",
            [lane.position for lane in lanes],
        ),
        "clubledger_answers_lag_events": (
            "Events that the answers do not hold yet.",
            [lane.lag for lane in lanes],
        ),
        "clubledger_answers_lag_seconds": (
            "Age of the oldest event that the answers do not hold yet.",
            [lane.lag_s(now) for lane in lanes],
        ),
        "clubledger_answers_standstill_position": (
            "Position of an event that the answers cannot take; 0 if there is none.",
            [still.get(lane.bucket, 0) for lane in lanes],
        ),
    }
    lines = []
    for name, (said, values) in gauges.items():
        lines += [f"# HELP {name} {said}", f"# TYPE {name} gauge"]
        lines += [
            f'{name}{{bucket="{lane.bucket}"}} {value}'
            for lane, value in zip(lanes, values, strict=True)
        ]
    return "\n".join(lines) + "\n"
