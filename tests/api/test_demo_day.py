"""A demo that is served begins a day at 9:00, whenever it was loaded, and says so."""

import asyncio
import re
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

import demo
from api.http.sessions import INVITED_PATH
from api.runtime.clock import OFFSET, Clock, offset_to
from api.runtime.demonstration import BEGAN, COMPLETE, SCALE, SEED, invitations
from ledger.database import connect, meta, set_meta
from ledger.embedded import running
from tests.addresses import at
from tests.api.running import Server, clubledger, serving, started, stopped
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


def test_a_demo_invites_its_people_by_links_that_open_once(own_ledger: Path) -> None:
    assert clubledger("import", "-", data_dir=own_ledger).code == 0
    shows(own_ledger, demo.CLOCK_STARTS_AT + timedelta(hours=1))
    found = running(own_ledger)
    assert found is not None
    with connect(found.dsn) as connection:
        clock = Clock.of(meta(connection))
    process = started("serve", "--port", "0", data_dir=own_ledger, cold=True)
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline().decode() for _ in range(3 + len(demo.STAFF))]
        told = dict(re.findall(r"^  (\w+) +(http.+)$", "".join(lines), re.MULTILINE))
        assert [*told] == [each.role_id for each in demo.STAFF]
        for employee, link in zip(demo.STAFF, told.values(), strict=True):
            assert f"{INVITED_PATH}#in_{employee.user_id}_" in link
        page, _, invitation = told["administrator"].partition("#")
        assert httpx.get(page, timeout=PATIENCE_S).status_code == 200
        said = {"invitation": invitation, "user_id": "sun", "password": "correct horse battery"}
        address = page.removesuffix(INVITED_PATH)
        taken = [
            httpx.post(f"{address}{at(INVITED_PATH)}", json=said, timeout=PATIENCE_S).status_code
            for _ in range(2)
        ]
        assert taken == [200, 403]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    again = asyncio.run(invitations(found.dsn, clock))
    assert [role for role, _ in again] == [each.role_id for each in demo.STAFF[:-1]]
