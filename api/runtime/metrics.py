"""The state of the answers as Prometheus text, asked of the database: every worker says the same.

How its writes go a worker knows of itself alone, and says so beside its number.
"""

from collections.abc import Sequence
from datetime import datetime

from ledger.trouble import Trouble
from projections.engine.runner import LaneStatus, Standstill

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(lanes: Sequence[LaneStatus], standstills: Sequence[Standstill], now: datetime) -> str:
    """A gauge a figure, a line a lane."""
    still = {each.bucket: each.position for each in standstills}
    gauges: dict[str, tuple[str, Sequence[float]]] = {
        "clubledger_log_position": ("Events in the log.", [lane.log_end for lane in lanes]),
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


def of_database(*, answers: bool) -> str:
    """Whether the database answers; while it does not, nothing is known of the answers."""
    name = "clubledger_database_up"
    return f"# HELP {name} 1 while the database answers.\n# TYPE {name} gauge\n{name} {answers:d}\n"


def of_worker(trouble: Trouble, worker: int) -> str:
    """How the writes of a worker go; the age is -1 before the first."""
    age = -1.0 if trouble.well_s is None else trouble.well_s
    lines = [
        "# HELP clubledger_writes_failing 1 while writes fail.",
        "# TYPE clubledger_writes_failing gauge",
        f'clubledger_writes_failing{{worker="{worker}"}} {int(trouble.failing)}',
        "# HELP clubledger_last_write_age_seconds Age of the last write or trial that was done.",
        "# TYPE clubledger_last_write_age_seconds gauge",
        f'clubledger_last_write_age_seconds{{worker="{worker}"}} {age}',
    ]
    counters = {
        "clubledger_batch_retries_total": (
            "Tries that something stood in the way of.",
            trouble.retries,
        ),
        "clubledger_batches_failed_total": ("Batches that were given up.", trouble.failed),
    }
    for name, (said, counted) in counters.items():
        lines += [f"# HELP {name} {said}", f"# TYPE {name} counter"]
        lines += [
            f'{name}{{worker="{worker}",cause="{cause}"}} {times}'
            for cause, times in sorted(counted.items())
        ]
    return "\n".join(lines) + "\n"
