"""A demo that is served begins a day at 9:00, whenever it was loaded, and says so."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

import demo
from api.runtime.clock import OFFSET, offset_to
from api.runtime.demonstration import BEGAN, COMPLETE, SCALE, SEED
from ledger.database import connect, meta, set_meta
from ledger.embedded import running
from tests.api.running import Server, clubledger, serving, stopped
from tests.patience import PATIENCE_S


def shows(data_dir: Path, at: datetime, **facts: str) -> None:
    """Let the ledger pass for a demo whose clock shows this."""
    found = running(data_dir)
    assert found is not None
    with connect(found.dsn) as conn:
        known = {SCALE: "0.002", SEED: "2008", COMPLETE: "yes", OFFSET: str(offset_to(at))}
        set_meta(conn, **known, **facts)


def status(server: Server) -> Any:
    return httpx.get(f"{server.address}/v1/status", timeout=PATIENCE_S).json()


def day_and_hour(told: Any) -> str:
    return str(told["clock"])[:13]


def test_a_demo_that_is_served_begins_at_nine(own_ledger: Path) -> None:
    assert clubledger("import", "-", data_dir=own_ledger).code == 0
    evening = demo.CLOCK_STARTS_AT + timedelta(hours=10)
    shows(own_ledger, evening)
    first = serving(own_ledger)
    try:
        told = status(first)
        assert day_and_hour(told) == "2009-01-05T09"
        assert told["demo"]["day_began"] == "2009-01-05T09:00:00+08:00"
        shows(own_ledger, evening)
        second = serving(own_ledger)  # whoever serves it beside him leaves the clock as it is
        assert day_and_hour(status(second)) == "2009-01-05T19"
        assert stopped(second).code == 0
        unit = {"unit_id": "u9", "title": "North"}
        answer = httpx.post(
            f"{first.address}/v1/units",
            json=unit,
            headers={"Idempotency-Key": "k"},
            timeout=PATIENCE_S,
        )
        assert answer.status_code == 201
    finally:
        ended = stopped(first)
    assert ended.code == 0
    assert "clock was set to 2009-01-05 09:00:00" in ended.err
    third = serving(own_ledger)  # in the log it is already the evening of the day before
    try:
        assert day_and_hour(status(third)) == "2009-01-06T09"
    finally:
        stopped(third)
    shown = clubledger("status", data_dir=own_ledger).out
    assert "its day began at 2009-01-06 09:00:00" in shown


def test_a_morning_goes_on_and_a_real_ledger_has_no_days_of_a_demo(own_ledger: Path) -> None:
    assert clubledger("import", "-", data_dir=own_ledger).code == 0
    real = serving(own_ledger)
    try:
        told = status(real)
    finally:
        assert stopped(real).code == 0
    assert (told["demo"], told["demo_clock"]) == (None, False)
    shows(own_ledger, demo.CLOCK_STARTS_AT + timedelta(hours=1))
    going = serving(own_ledger)
    try:
        told = status(going)
    finally:
        assert "was set to" not in stopped(going).err
    assert day_and_hour(told) == "2009-01-05T10"
    found = running(own_ledger)
    assert found is not None
    with connect(found.dsn) as conn:
        assert BEGAN not in meta(conn)
