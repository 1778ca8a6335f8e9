"""Whether the answers follow, as every worker and a monitor see it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from api.http.server import follower
from api.runtime import metrics
from ledger.database import connect
from projections.engine.runner import LaneStatus, Standstill
from tests.api.running import asked
from tests.patience import some_turns
from tests.projections.histories import lay_rows

GOOD = b'{"occurred_at": "2008-01-01T00:00:00Z", "actor": "a:b", "key": "k", "title": "A"}'


async def until_ready(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """The answer of /ready, once it has this status."""
    while (answer := await client.get("/ready")).status_code != status:
        await some_turns()
    return answer


def test_a_standstill_is_known_to_every_worker_and_ends_when_the_cause_is_mended(
    installed: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "AGAIN_S", 0.1)
    dsn = installed(4)

    async def watch() -> None:
        async with asked(dsn, follow=True) as one, asked(dsn) as another:
            assert (await another.get("/ready")).json() == {"status": "ready"}
            with connect(dsn) as conn:
                lay_rows(conn, [(3, "unit:a", "unit.opened", b"{}", 1)])
                for client in (one, another):
                    told = (await until_ready(client, 503)).json()
                    assert told["code"] == "answers_stand_still"
                    where = {"bucket": 3, "position": 1, "topic": "unit.opened"}
                    assert told.items() >= where.items()
                    status = (await client.get("/status")).json()
                    assert status["standstills"] == [where]
                    assert status["behind"] == 1
                    assert status["behind_s"] == status["lanes"][3]["lag_s"] > 0
                    assert (await client.get("/health")).status_code == 200
                said = await another.get("/metrics")
                assert said.headers["content-type"] == metrics.MEDIA_TYPE
                assert 'clubledger_answers_standstill_position{bucket="3"} 1\n' in said.text
                assert 'clubledger_answers_lag_events{bucket="3"} 1\n' in said.text
                conn.execute("UPDATE ledger.stored_events SET state = %b", (GOOD,))
                await until_ready(another, 200)
                assert (await another.get("/status")).json()["standstills"] == []

    asyncio.run(watch())


def test_metrics_are_what_prometheus_reads() -> None:
    then, now = datetime(2009, 1, 1, tzinfo=UTC), datetime(2009, 1, 1, 0, 0, 2, tzinfo=UTC)
    lanes = [LaneStatus(0, 9, 9, None), LaneStatus(1, 7, 4, then)]
    assert (
        metrics.text(lanes, [Standstill(1, 5, "unit.opened")], now)
        == """\
# HELP clubledger_log_position Events in the log.
# TYPE clubledger_log_position gauge
clubledger_log_position{bucket="0"} 9
clubledger_log_position{bucket="1"} 7
# HELP clubledger_answers_position Events that the answers hold.
# TYPE clubledger_answers_position gauge
clubledger_answers_position{bucket="0"} 9
clubledger_answers_position{bucket="1"} 4
# HELP clubledger_answers_lag_events Events that the answers do not hold yet.
# TYPE clubledger_answers_lag_events gauge
clubledger_answers_lag_events{bucket="0"} 0
clubledger_answers_lag_events{bucket="1"} 3
# HELP clubledger_answers_lag_seconds Age of the oldest event that the answers do not hold yet.
# TYPE clubledger_answers_lag_seconds gauge
clubledger_answers_lag_seconds{bucket="0"} 0.0
clubledger_answers_lag_seconds{bucket="1"} 2.0
# HELP clubledger_answers_standstill_position Position of an event that the answers cannot take;\
 0 if there is none.
# TYPE clubledger_answers_standstill_position gauge
clubledger_answers_standstill_position{bucket="0"} 0
clubledger_answers_standstill_position{bucket="1"} 5
"""
    )
