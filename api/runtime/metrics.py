"""Metrics, as Prometheus reads them. No label holds an id, an address or anything that was sent.

What a worker counts adds up over all workers, whichever of them is asked: with more than one they
count in files of a directory that they share (`shared_by_workers`), which the library sums up. How
far log and answers are is asked of the database.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from importlib.metadata import version
from platform import python_version

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

from api.runtime.settings import shares_metrics, sharing_metrics
from ledger import jobs
from ledger.trouble import Observer
from projections.engine.runner import LaneStatus, Standstill
from projections.webhooks import WebhookRow

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4

disable_created_metrics()
OWN = CollectorRegistry()

requests = Histogram(
    "clubledger_http_request_duration_seconds",
    "Requests that were answered, by how long that took.",
    ("method", "route", "status"),
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=OWN,
)
turned_away = Counter(
    "clubledger_http_turned_away",
    "Requests and connections that were turned away before they had a route.",
    ("code",),
    registry=OWN,
)
connections = Gauge(
    "clubledger_http_connections",
    "Connections that are open.",
    multiprocess_mode="livesum",
    registry=OWN,
)
commands = Counter(
    "clubledger_commands",
    "Commands, by what came of them: `written`, `replayed`, the code of a refusal, `failed`.",
    ("command", "outcome"),
    registry=OWN,
)
batches = Histogram(
    "clubledger_batch_commands",
    "Batches that were written, by the commands in them.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
    registry=OWN,
)
retries = Counter(
    "clubledger_batch_retries",
    "Tries that something stood in the way of.",
    ("cause",),
    registry=OWN,
)
failed = Counter(
    "clubledger_batches_failed", "Batches that were given up.", ("cause",), registry=OWN
)
writes_failing = Gauge(
    "clubledger_writes_failing",
    "1 while writes of a worker fail.",
    multiprocess_mode="livemax",
    registry=OWN,
)
last_write = Gauge(
    "clubledger_last_write_timestamp_seconds",
    "When a write or a trial was last done; 0 before the first.",
    multiprocess_mode="max",
    registry=OWN,
)

request = cache(requests.labels)
"""The histogram of (method, route, status)."""
command = cache(commands.labels)
"""The counter of (command, outcome)."""


class Counted(Observer):
    """What the ledger does, counted."""

    def wrote(self, commands: int) -> None:
        """A batch of so many commands is in."""
        batches.observe(commands)

    def met(self, cause: str) -> None:
        """Something stands in the way."""
        retries.labels(cause).inc()

    def gave_up(self, cause: str) -> None:
        """Something was not done."""
        failed.labels(cause).inc()
        writes_failing.set(1)

    def well(self) -> None:
        """Something was done."""
        writes_failing.set(0)
        last_write.set_to_current_time()


@contextmanager
def shared_by_workers() -> Iterator[None]:
    """Within, processes that are started count in one place, which is gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="clubledger-metrics-") as directory,
        sharing_metrics(directory),
    ):
        yield


def forget(worker: int) -> None:
    """This process has ended: what it had open is closed; what it counted stays."""
    if shares_metrics():
        multiprocess.mark_process_dead(worker)


def own() -> bytes:
    """What workers know of themselves."""
    registry = OWN
    if shares_metrics():
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry) + _of_build()


def of_database(
    lanes: Sequence[LaneStatus] | None,
    standstills: Sequence[Standstill],
    webhooks: Sequence[WebhookRow],
    of_jobs: tuple[Mapping[str, int], float],
    now: datetime,
) -> bytes:
    """How far log, answers, webhooks and jobs are (`ledger.jobs.standing`); None: the database does
    not answer."""
    asked = CollectorRegistry()
    up = Gauge("clubledger_database_up", "1 while the database answers.", registry=asked)
    up.set(lanes is not None)
    if lanes is None:
        return generate_latest(asked)
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
    for name, (said, values) in gauges.items():
        gauge = Gauge(name, said, ("bucket",), registry=asked)
        for lane, value in zip(lanes, values, strict=True):
            gauge.labels(lane.bucket).set(value)
    _of_webhooks([each for each in webhooks if each.removed_at is None], asked)
    _of_jobs(*of_jobs, asked)
    return generate_latest(asked)


def _of_jobs(states: Mapping[str, int], waits_s: float, asked: CollectorRegistry) -> None:
    """Those that have ended are counted for as long as they are kept."""
    said = "Jobs by how they stand; what has ended is counted for a day."
    standing = Gauge("clubledger_jobs", said, ("state",), registry=asked)
    for name in jobs.STATES:
        standing.labels(name).set(states.get(name, 0))
    said = "How long the job has waited for its turn that has waited longest; 0 if none waits."
    Gauge("clubledger_jobs_oldest_queued_seconds", said, registry=asked).set(waits_s)


def _of_webhooks(webhooks: Sequence[WebhookRow], asked: CollectorRegistry) -> None:
    """All together: no label says which, since a name is what somebody sent."""
    said = "Messages to webhooks, by what came of each try: `taken`, `failed`."
    messages = Counter("clubledger_webhook_messages", said, ("outcome",), registry=asked)
    messages.labels("taken").inc(sum(each.taken for each in webhooks))
    messages.labels("failed").inc(sum(each.failed for each in webhooks))
    standing = Gauge(
        "clubledger_webhooks", "Webhooks, by how they stand.", ("standing",), registry=asked
    )
    for name in ("delivers", "tries again", "stopped"):
        standing.labels(name).set(sum(each.standing == name for each in webhooks))
    gauges = {
        "clubledger_webhook_lag_events": (
            "Events that the webhook which is furthest behind has not come to yet.",
            max((each.lag for each in webhooks), default=0),
        ),
        "clubledger_webhook_dead_letters": (
            "Events that webhooks were given up on.",
            sum(each.dead_letters for each in webhooks),
        ),
    }
    for name, (text, value) in gauges.items():
        Gauge(name, text, registry=asked).set(value)


def _of_build() -> bytes:
    built = CollectorRegistry()
    said = {"version": version("clubledger"), "python": python_version()}
    Gauge("clubledger_build_info", "What answers: 1.", tuple(said), registry=built).labels(
        **said
    ).set(1)
    return generate_latest(built)
