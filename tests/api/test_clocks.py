"""Clocks that disagree: who would write is told what to do, and nothing is written."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from api.http import create_app
from api.runtime.clock import Clock
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from ledger.clocks import ClockAhead
from ledger.database import connect
from ledger.embedded import running
from tests.addresses import AsyncClient
from tests.api.running import clubledger
from tests.patience import PATIENCE_S

LINE = {
    "command": "unit.open",
    "at": "2008-07-01T09:00:00+08:00",
    "actor": "system:setup",
    "unit_id": "south",
    "title": "城南",
}


@pytest.fixture
def run_away(own_ledger: Path) -> Path:
    """A ledger that somebody wrote to under a clock that was ten years ahead."""
    assert clubledger("import", "-", data_dir=own_ledger, stdin=b"").code == 0
    server = running(own_ledger)
    assert server is not None
    with connect(server.dsn) as connection:
        connection.execute("UPDATE log_end SET recorded_at = now() + interval '10 years'")
    return own_ledger


def test_every_command_that_writes_is_refused_and_says_what_to_do(run_away: Path) -> None:
    fact = json.dumps(LINE).encode()
    for words in (("import", "-"), ("serve", "--port", "0"), ("demo", "--scale", "0.002")):
        ended = clubledger(*words, data_dir=run_away, stdin=fact)
        assert (ended.code, ended.out) == (4, ""), ended.err
        assert "`clubledger clock`" in ended.err
        assert len(ended.err.splitlines()) == 1
        ended = clubledger(*words, "--json", data_dir=run_away, stdin=fact)
        assert (ended.code, ended.problem["code"]) == (4, "log_ahead")
        assert "recorded_at" in ended.problem
    assert clubledger("status", "--json", data_dir=run_away).json["events"] == 0

    shown = clubledger("clock", data_dir=run_away)
    assert (shown.code, "refused: log_ahead" in shown.out) == (0, True), shown.out
    assert "--stand-still" in shown.err
    assert clubledger("clock", "--json", data_dir=run_away).json["writes"] == "log_ahead"
    told = clubledger("clock", "--stand-still", "--json", data_dir=run_away).json
    assert (told["writes"], told["stands_still_until"]) == ("taken", told["recorded"])
    assert clubledger("import", "-", data_dir=run_away, stdin=fact).code == 0
    (event,) = clubledger("events", "--json", data_dir=run_away).json["events"]
    assert datetime.fromisoformat(event["recorded_at"]) == datetime.fromisoformat(told["recorded"])


def test_a_process_whose_clock_is_ahead_does_not_open_to_write(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = Clock().now() + timedelta(days=3653)
    monkeypatch.setattr(Clock, "now", lambda _: ahead)
    settings = Settings(database_url=ledger_dsn)  # type: ignore[arg-type]
    with pytest.raises(ClockAhead), opened(settings, create=True):
        pass
    with opened(settings) as database:  # who only reads may
        assert database.clock.now() == ahead


def test_a_desk_is_told_503_and_nothing_is_written(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> httpx.Response:
        app = create_app(ledger_dsn, follow=False)
        async with (
            app.router.lifespan_context(app),
            AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://here", timeout=PATIENCE_S
            ) as client,
        ):
            clubs = app.state.house.clock
            clubs.offset_s = 3653 * 86_400  # jumps ten years while it serves
            return await client.post(
                "/members/m1/visits",
                headers={"Idempotency-Key": "k1"},
                json={"club_id": "c", "service_id": "s", "desk": "d1", "shown_points": 1},
            )

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["code"]) == (503, "clock_ahead")
    assert answer.json()["allowed_s"] == 60
    with psycopg.connect(ledger_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM ledger.command_log").fetchone() == (0,)
