"""A stop in the middle of everything: what was acknowledged is there, what was begun is ended."""

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from api.http.batch import MOST_COMMANDS
from domain.catalogue import COMMANDS
from tests.api.running import ENDLESS as STREAM
from tests.api.running import Server, serving, stopped
from tests.patience import PATIENCE_S, a_moment, eventually

LOADED = 5 * MOST_COMMANDS
UNIT = COMMANDS["unit.open"].example


def written(http: httpx.Client, key: str) -> httpx.Response:
    """A unit of that name, by that key."""
    body = {**UNIT, "unit_id": key}
    return http.post("/v1/units", json=body, headers={"Idempotency-Key": key})


@contextmanager
def slow(server: Server, path: str) -> Iterator[socket.socket]:
    """A line on which this is asked, whose reader takes little at once."""
    address = httpx.URL(server.address)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        line.settimeout(PATIENCE_S)
        line.connect((address.host, address.port or 80))
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
        yield line


def test_a_stop_loses_nothing_that_was_acknowledged_and_ends_what_it_has_begun(
    own_ledger: Path,
) -> None:
    server = serving(own_ledger, "--workers", "2")
    with httpx.Client(base_url=server.address, timeout=PATIENCE_S) as http:
        for n in range(0, LOADED, MOST_COMMANDS):
            commands = [
                {"command": "unit.open", "key": f"l{each}", **UNIT, "unit_id": f"l{each}"}
                for each in range(n, n + MOST_COMMANDS)
            ]
            assert http.post("/v1/commands", json={"commands": commands}).status_code == 200
    asked, acknowledged = list[str](), dict[str, Any]()

    def write(who: int) -> None:
        with httpx.Client(base_url=server.address, timeout=PATIENCE_S) as http:
            for n in range(1_000_000):
                asked.append(key := f"w{who}-{n}")
                try:
                    answer = written(http, key)
                except httpx.TransportError:
                    return
                if answer.status_code == 503:
                    assert answer.json()["code"] == "stopping"
                    return
                acknowledged[key] = answer.json()

    def follow() -> list[int]:
        with (
            httpx.Client(base_url=server.address, timeout=PATIENCE_S) as http,
            http.stream("GET", f"{STREAM}?after=0:{LOADED}") as answer,
        ):
            lines = [each for each in answer.iter_lines() if each.startswith("data: {")]
        return [json.loads(each.removeprefix("data: "))["position"] for each in lines]

    with ThreadPoolExecutor(5) as threads, slow(server, "/v1/events?limit=1000") as line:
        followed = threads.submit(follow)
        writers = [threads.submit(write, who) for who in range(4)]
        page = line.recv(1)
        assert eventually(lambda: len(acknowledged) > 100)
        server.process.send_signal(signal.SIGTERM)
        while part := line.recv(16_384):
            page += part
            a_moment()
        for each in writers:
            each.result()
        positions = followed.result()
    assert stopped(server, 0).code == 0
    head, _, body = page.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert len(json.loads(body)["events"]) == 1000, "who reads slowly gets it whole"
    assert positions == [*range(LOADED + 1, LOADED + 1 + len(positions))], "in order, none missed"
    again = serving(own_ledger)
    with httpx.Client(base_url=again.address, timeout=PATIENCE_S) as http:
        there = http.get("/v1/events", params={"after": LOADED}).json()
        assert there["log_end"] >= LOADED + len(acknowledged)
        assert there["log_end"] <= LOADED + len(asked)
        for key in asked:
            answer = written(http, key)
            assert answer.status_code == 201
            assert acknowledged.get(key, answer.json()) == answer.json()
        assert http.get("/v1/events").json()["log_end"] == LOADED + len(asked), "each once"
    assert stopped(again).code == 0
