"""The log as server-sent events: nothing is missed, nothing told twice, and a stop ends it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from domain.catalogue import COMMANDS
from tests.addresses import Client
from tests.api.running import ENDLESS as STREAM
from tests.api.running import serving, stopped
from tests.patience import PATIENCE_S


def told(lines: Iterator[str]) -> dict[str, str]:
    """The next event."""
    found: dict[str, str] = {}
    for line in lines:
        if not line and "data" in found:
            return found
        name, _, said = line.partition(": ")
        if name:  # else it is a comment, or the end of one
            found[name] = said
    raise AssertionError("it ended")


def opened(http: httpx.Client, unit: str) -> None:
    body = {**COMMANDS["unit.open"].example, "unit_id": unit}
    answer = http.post("/units", json=body, headers={"Idempotency-Key": unit})
    assert answer.status_code == 201, answer.json()


def page(http: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/events").json()["events"]
    return found


def test_who_follows_the_log_is_told_each_event_once_until_the_server_stops(
    own_ledger: Path,
) -> None:
    running = serving(own_ledger)
    with Client(base_url=running.address, timeout=PATIENCE_S) as http:
        opened(http, "one")
        with http.stream("GET", STREAM) as now, http.stream("GET", f"{STREAM}?after=0:0") as old:
            assert now.headers["content-type"].startswith("text/event-stream")
            late, early = now.iter_lines(), old.iter_lines()
            assert json.loads(told(early)["data"]) == page(http)[0]
            opened(http, "two")
            second = told(late)
            assert told(early) == second
            assert json.loads(second["data"]) == page(http)[1]
            assert (second["event"], second["id"]) == (page(http)[1]["topic"], "0:2")
        opened(http, "three")
        seen = {"Last-Event-ID": second["id"]}
        with http.stream("GET", f"{STREAM}?after=0:0", headers=seen) as again:
            lines = again.iter_lines()
            assert json.loads(told(lines)["data"]) == page(http)[2]
            assert http.head(STREAM).status_code == 200
            assert stopped(running).code == 0
            assert not [line for line in lines if line.startswith("data")], "it ended in order"


def test_a_place_that_the_log_has_not_is_refused(http: httpx.Client) -> None:
    for place in ("0:999999999", "63:0"):
        answer = http.get(STREAM, params={"after": place})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    for place in ("0", "0:1,", "x", "0:-1"):
        answer = http.get(STREAM, params={"after": place})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
