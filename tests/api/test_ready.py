"""Whether the answers follow, as every worker and a monitor see it."""

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.http.server import follower
from api.runtime import metrics, readiness
from ledger.database import connect
from projections.engine.runner import LaneStatus, Standstill
from projections.webhooks import WebhookRow
from tests.api.running import asked
from tests.patience import some_turns
from tests.projections.histories import lay_rows
from tests.projections.workings import a_newer_version_comes

GOOD = b'{"occurred_at": "2008-01-01T00:00:00Z", "actor": "a:b", "key": "k", "title": "A"}'


async def until_ready(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """The answer of /readyz, once it has this status."""
    while (answer := await client.get("/readyz")).status_code != status:
        await some_turns()
    return answer


def test_a_standstill_is_known_to_every_worker_and_ends_when_the_cause_is_mended(
    installed: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "AGAIN_S", 0.1)
    dsn = installed(4)

    async def watch() -> None:
        async with asked(dsn, follow=True) as one, asked(dsn) as another:
            assert (await another.get("/readyz")).json() == {"status": "ready"}
            with connect(dsn) as conn:
                lay_rows(conn, [(3, "unit:a", "unit.opened", b"{}", 1)])
                for client in (one, another):
                    (told,) = (await until_ready(client, 503)).json()["reasons"]
                    assert told["code"] == "answers_stand_still"
                    where = {"bucket": 3, "position": 1, "topic": "unit.opened"}
                    assert told.items() >= where.items()
                    status = (await client.get("/status")).json()
                    assert status["standstills"] == [where]
                    assert status["behind"] == 1
                    assert status["behind_s"] == status["lanes"][3]["lag_s"] > 0
                    assert (await client.get("/livez")).status_code == 200
                said = await another.get("/metrics")
                assert said.headers["content-type"] == metrics.MEDIA_TYPE
                assert 'clubledger_answers_standstill_position{bucket="3"} 1.0\n' in said.text
                assert 'clubledger_answers_lag_events{bucket="3"} 1.0\n' in said.text
                conn.execute("UPDATE ledger.stored_events SET state = %b", (GOOD,))
                await until_ready(another, 200)
                assert (await another.get("/status")).json()["standstills"] == []

    asyncio.run(watch())


def test_every_reason_is_told_at_once_in_order_with_its_numbers(
    installed: Callable[[int], str], tmp_path: Path
) -> None:
    dsn = installed(1)

    async def watch() -> None:
        room = shutil.disk_usage(tmp_path).free // readiness.MB + 1_000_000
        async with asked(dsn, data_dir=tmp_path, ready_lag_events=1, ready_free_mb=room) as client:
            with connect(dsn) as conn:
                rows = [(0, f"unit:{n}", "unit.opened", GOOD, n) for n in (1, 2)]
                lay_rows(conn, rows)
                (disk, behind) = (await client.get("/readyz")).json()["reasons"]
                assert (disk["code"], disk["wanted_mb"]) == ("disk_nearly_full", room)
                assert disk["free_mb"] < room
                assert (behind["code"], behind["events"], behind["most"]) == (
                    "answers_behind", 2, 1
                )  # fmt: skip
                a_newer_version_comes(conn)
                told = (await client.get("/readyz")).json()["reasons"]
                assert [each["code"] for each in told] == ["other_version", "disk_nearly_full"]
                assert told[0]["migrations"] == []
                conn.execute("INSERT INTO migrations VALUES ('0999_later.sql', '')")
                told = (await client.get("/readyz")).json()["reasons"]
                assert [each["code"] for each in told] == ["other_version", "disk_nearly_full"]
                assert told[0]["migrations"] == ["0999_later.sql"]

    asyncio.run(watch())


def test_metrics_are_what_prometheus_reads() -> None:
    then, now = datetime(2009, 1, 1, tzinfo=UTC), datetime(2009, 1, 1, 0, 0, 2, tzinfo=UTC)
    lanes = [LaneStatus(0, 9, 9, None), LaneStatus(1, 7, 4, then)]
    counted: dict[str, Any] = {
        "lag": 2,
        "taken": 4,
        "failed": 3,
        "dead_letters": 1,
        "standing": "tries again",
    }
    gone, failing = (
        WebhookRow.model_construct(None, removed_at=removed_at, **counted)
        for removed_at in (then, None)
    )
    webhooks = [gone, failing]
    still = [Standstill(1, 5, "unit.opened")]
    of_jobs = ({"queued": 2, "failed": 1}, 7.5)
    said = metrics.of_database(lanes, still, webhooks, of_jobs, now).decode()
    found = {
        (sample.name.removeprefix("clubledger_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(said)
        for sample in family.samples
    }
    assert found == {
        ("database_up",): 1,
        ("log_position", "0"): 9,
        ("log_position", "1"): 7,
        ("answers_position", "0"): 9,
        ("answers_position", "1"): 4,
        ("answers_lag_events", "0"): 0,
        ("answers_lag_events", "1"): 3,
        ("answers_lag_seconds", "0"): 0,
        ("answers_lag_seconds", "1"): 2,
        ("jobs", "running"): 0,
        ("jobs", "succeeded"): 0,
        ("jobs", "cancelled"): 0,
        ("jobs", "queued"): 2,
        ("jobs", "failed"): 1,
        ("jobs_oldest_queued_seconds",): 7.5,
        ("answers_standstill_position", "0"): 0,
        ("answers_standstill_position", "1"): 5,
        ("webhooks", "delivers"): 0,
        ("webhooks", "tries again"): 1,
        ("webhooks", "stopped"): 0,
        ("webhook_messages_total", "taken"): 4,
        ("webhook_messages_total", "failed"): 3,
        ("webhook_lag_events",): 2,
        ("webhook_dead_letters",): 1,
    }
