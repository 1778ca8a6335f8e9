"""Trying a command tells what would come of it, by the same rules, and never writes."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg
import pytest

from api.doors import DOOR_OF
from api.http.doors import body_of
from api.runtime.clock import Clock
from domain.catalogue import COMMANDS
from ledger.database import connect
from ledger.embedded import running
from ledger.log.batcher import Ledger
from ledger.log.receipts import Trial
from tests.addresses import Client
from tests.api.running import clubledger
from tests.api.story import STORY, prepare, shown_once
from tests.patience import PATIENCE_S

DRY = {"Prefer": "dry-run"}
CREDIT = {"points": 5, "source": "s", "rule": "r"}
VISIT = {"club_id": "tennis", "service_id": "hour", "desk": "d1", "shown_points": 60}
WRITTEN = (
    *("stored_events", "snapshots", "snapshot_parts", "command_log", "persons", "person_keys"),
    "log_end",
)


def dsn_of(data_dir: Path) -> str:
    found = running(data_dir)
    assert found is not None
    return found.dsn


def written(dsn: str) -> list[Any]:
    """All that a command could have written, whatever it is."""
    with connect(dsn) as conn:
        return [
            conn.execute(
                f"SELECT '{table}', count(*), md5(string_agg(t::text, ',' ORDER BY t::text))"
                f" FROM ledger.{table} t"
            ).fetchone()
            for table in WRITTEN
        ]


def sent(http: httpx.Client, name: str, key: str, **headers: str) -> httpx.Response:
    """The example of a command, to its door."""
    door = DOOR_OF[name]
    body = {**COMMANDS[name].example, **body_of(door).example}
    path = door.path.format(**{field: body.pop(field) for field in door.ids})
    return http.post(path, json=body, headers={"Idempotency-Key": key, **headers})


@pytest.fixture
def told(owned: httpx.Client, own_ledger: Path) -> httpx.Client:
    """A server on the ledger that the examples are of, asked by who may ask everything."""
    prepare(own_ledger)
    return owned


def examples(document: Any) -> Iterator[tuple[str, Any]]:
    """What a reader of the document can copy: addresses and bodies."""
    for path, methods in document["paths"].items():
        taken = methods.get("post", {})
        said = taken.get("requestBody", {}).get("content", {}).get("application/json")
        if said is not None and taken["tags"] not in (
            ["access"],
            ["jobs"],
        ):  # not prepared by a page
            ref = said["schema"]["$ref"]
            body = document["components"]["schemas"][ref.rpartition("/")[2]]
            ids = [each for each in taken.get("parameters", ()) if each["in"] == "path"]
            for n, example in enumerate(body["examples"]):
                yield path.format(**{p["name"]: p["schema"]["examples"][n] for p in ids}), example


def test_what_is_tried_is_what_then_comes(told: httpx.Client, own_ledger: Path) -> None:
    """Each example of the document is taken by itself; each command of a history is tried, carried
    out and tried again."""
    empty, dsn = told, dsn_of(own_ledger)
    before = written(dsn)
    for n, (path, body) in enumerate(examples(told.get("/openapi.json").json())):
        alone = told.post(path, json=body, headers={"Idempotency-Key": f"alone-{n}", **DRY})
        assert alone.status_code == 200, (path, body, alone.text)
        each = alone.json().get("outcomes", ())
        assert [one["status"] for one in each] == [200] * len(each), alone.text
    assert n >= sum(door.tag != "access" for door in DOOR_OF.values())
    for name in STORY:
        tried = sent(empty, name, name, **DRY)
        assert (tried.status_code, tried.headers["preference-applied"]) == (200, "dry-run"), name
        assert written(dsn) == before, name
        done = sent(empty, name, name)
        assert done.status_code == 201, (name, done.json())
        assert "preference-applied" not in done.headers
        found, receipt = tried.json(), done.json() | shown_once(name)
        receipt.pop("token", None)  # of a key, whose secret is made with it
        assert {**found["receipt"], "bucket": 0, "position": receipt["position"]} == receipt, name
        with connect(dsn) as conn:
            came = conn.execute(
                "SELECT originator_id, topic FROM stored_events WHERE notification_id > %s"
                " ORDER BY notification_id",
                (_events(before),),
            ).fetchall()
        assert [(each["stream"], each["topic"]) for each in found["events"]] == came, name
        before = written(dsn)
        again = sent(empty, name, name, **DRY).json()
        assert (again["replayed"], again["receipt"], again["events"]) == (True, receipt, []), name
    assert written(dsn) == before


def _events(counted: list[Any]) -> int:
    """How many events there were: with one bucket it is the last position."""
    return int(next(n for table, n, _ in counted if table == "stored_events"))


def test_a_batch_is_tried_as_if_those_before_had_come(told: httpx.Client, own_ledger: Path) -> None:
    empty, dsn = told, dsn_of(own_ledger)
    before = written(dsn)
    said = [{"command": name, "key": name, **COMMANDS[name].example} for name in STORY]
    bad = [{"command": "points.credit", "key": "x", "member_id": "m1"}, {"command": "no"}]
    reused = {**said[0], "reason": "another"}
    tried = empty.post("/commands", json={"commands": [*said, *bad, reused]}, headers=DRY)
    assert (tried.status_code, tried.headers["preference-applied"]) == (200, "dry-run")
    assert written(dsn) == before
    outcomes = tried.json()["outcomes"]
    assert [each["status"] for each in outcomes] == [200] * len(said) + [422, 422, 422]
    assert outcomes[-1]["problem"]["code"] == "key_reused"
    done = empty.post("/commands", json={"commands": said}).json()["outcomes"]
    for name, could, came in zip(STORY, outcomes, done, strict=False):
        assert could["receipt"] is None
        receipt = came["receipt"] | shown_once(name)
        assert could["tried"]["receipt"].items() <= receipt.items(), name
        assert came["tried"] is None


def test_however_it_is_preferred_the_express_lane_writes_nothing(
    told: httpx.Client, own_ledger: Path
) -> None:
    before = written(dsn_of(own_ledger))
    for prefer in (
        ["dry-run"],
        ["Dry-Run"],
        ["respond-async, dry-run"],
        ["wait=10", "dry-run; why=asked"],
        ['reason="a, \\"b", dry-run'],
        ["dry-run=true"],
    ):
        headers = [("Idempotency-Key", "k"), *(("Prefer", each) for each in prefer)]
        answer = told.post("/members/m1/visits", json=VISIT, headers=headers)
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "dry-run")
        assert written(dsn_of(own_ledger)) == before


def test_another_preference_is_passed_over(told: httpx.Client) -> None:
    for n, prefer in enumerate(("respond-async", 'reason="dry-run"', "wait=1; dry-run", "")):
        headers = {"Idempotency-Key": f"k{n}", "Prefer": prefer}
        visit = {**VISIT, "confirm_repeat": n > 0}
        answer = told.post("/members/m1/visits", json=visit, headers=headers)
        assert answer.status_code == 201, answer.json()


def test_what_would_be_refused_is_told_so(told: httpx.Client, own_ledger: Path) -> None:
    before = written(dsn_of(own_ledger))
    for body, status, code in (
        ({**VISIT, "shown_points": 59}, 409, "price_changed"),
        ({**VISIT, "service_id": "none"}, 404, "unknown_service"),
        ({**VISIT, "at": "2499-01-01T00:00:00Z"}, 422, "dated_in_future"),
        ({**VISIT, "desk": 5}, 422, "invalid"),
        ([], 422, "invalid"),
    ):
        answer = told.post("/members/m1/visits", json=body, headers={"Idempotency-Key": "k", **DRY})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    for content, why in (
        (
            b'{"club_id": "tennis", "desk"',
            "it is no JSON: Expecting ':' delimiter at line 1 column 29",
        ),
        (b'{"desk": "\xed\xa0\x80" 1}', "it is not UTF-8: byte 11 begins no character"),
    ):
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json", **DRY}
        cut = told.post("/members/m1/visits", content=content, headers=headers)
        assert (cut.status_code, cut.json()["code"]) == (400, "malformed")
        assert cut.json()["detail"] == f"The request cannot be read: {why}."
    no_key = told.post("/members/m1/visits", json=VISIT, headers=DRY)
    assert no_key.json()["code"] == "key_missing"
    assert written(dsn_of(own_ledger)) == before


def test_a_key_that_stands_for_something_else_is_told_so(told: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k"}
    assert told.post("/members/m1/credits", json=CREDIT, headers=headers).status_code == 201
    other = told.post(
        "/members/m1/credits", json={**CREDIT, "points": 6}, headers={**headers, **DRY}
    )
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert other.headers["preference-applied"] == "dry-run"


def test_free_visits_left_are_told(told: httpx.Client, own_ledger: Path) -> None:
    price = {"title": "Tea", "points": 10, "free_visits": {"gold": 2}}
    gold = {"tier": "gold", "reason": "r"}
    for path, body in (("/clubs/tennis/services/tea/prices", price), ("/members/m1/tier", gold)):
        told.post(path, json=body, headers={"Idempotency-Key": path})
    visit = {**VISIT, "service_id": "tea", "shown_points": 0, "confirm_repeat": True}
    left, receipts = [], []
    for n in range(2):
        headers = {"Idempotency-Key": f"v{n}"}
        tried = told.post("/members/m1/visits", json=visit, headers={**headers, **DRY}).json()
        left.append((tried["receipt"]["payment"], tried["outlook"]["free_visits_left"]))
        receipts.append(told.post("/members/m1/visits", json=visit, headers=headers).json())
    assert left == [("free_visit", 1), ("free_visit", 0)]
    paid = told.post(
        "/members/m1/visits",
        json={**visit, "shown_points": 10},
        headers={"Idempotency-Key": "v3", **DRY},
    ).json()
    assert (paid["receipt"]["points"], paid["outlook"]) == (10, {"free_visits_left": 0})
    places = [f"{each['bucket']}:{each['position']}" for each in receipts]
    now = told.get("/members/m1", params={"wait_for": places[-1]}).json()
    tea: dict[str, Any] = {}
    for moment, used in ((None, 2), (places[1], 2), (places[0], 1)):
        then = told.get("/members/m1", params={"known_at": moment}).json() if moment else now
        assert "free_visits" in then, (moment, then)
        (tea,) = then["free_visits"]
        assert (tea["service_id"], tea["granted"], tea["used"], tea["left"]) == (
            "tea", 2, used, 2 - used,
        )  # fmt: skip
    shown = clubledger("member", "m1", "--known-at", places[0], data_dir=own_ledger)
    assert f"free      1 of 2 visits of {tea['year']} to tennis/tea left, 1 used" in shown.out


def test_nobody_who_tries_waits_for_a_lane(told: httpx.Client, own_ledger: Path) -> None:
    """While another transaction holds every lane, a trial is answered all the same."""
    with connect(dsn_of(own_ledger)) as conn, conn.transaction():
        conn.execute("SELECT take_lanes('{0}'::int2[])")
        answer = told.post(
            "/members/m1/visits", json=VISIT, headers={"Idempotency-Key": "k", **DRY}
        )
        assert answer.status_code == 200


def test_many_who_try_at_once_disturb_nobody_who_writes(
    told: httpx.Client, own_ledger: Path
) -> None:
    ended: list[int] = []

    def trying() -> None:
        with Client(base_url=told.base_url, headers=told.headers, timeout=PATIENCE_S) as http:
            for n in range(20):
                headers = {"Idempotency-Key": f"w{n}", **DRY}
                ended.append(
                    http.post("/members/m1/credits", json=CREDIT, headers=headers).status_code
                )

    threads = [threading.Thread(target=trying) for _ in range(6)]
    for each in threads:
        each.start()
    receipts = [
        told.post("/members/m1/credits", json=CREDIT, headers={"Idempotency-Key": f"w{n}"}).json()
        for n in range(20)
    ]
    for each in threads:
        each.join()
    assert ended == [200] * 120
    spendable = [each["spendable_points"] for each in receipts]
    assert [b - a for a, b in pairwise(spendable)] == [5] * 19


def test_postgresql_writes_nothing_for_who_tries(ledger_dsn: str) -> None:
    """Even if a rule came to write, the connection of trials would not."""

    async def write() -> None:
        async with Ledger(ledger_dsn, now=lambda: datetime(2009, 1, 5, tzinfo=UTC)) as ledger:
            await ledger.attempt()
            wire = await ledger._wire("trial")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await wire.connection.execute("DELETE FROM log_end")

    asyncio.run(write())


def test_what_is_tried_apart_is_told_as_if_it_were_alone(
    told: httpx.Client, own_ledger: Path
) -> None:
    visit, credit = (cast(Any, COMMANDS[name]) for name in ("visit.record", "points.credit"))
    asked = [
        visit(key="a", actor="clerk:li", member_id="m1", **VISIT),
        credit(key="b", actor="clerk:li", member_id="m1", **CREDIT),
        visit(key="c", actor="clerk:li", member_id="m1", **VISIT),
        visit(key="d", actor="clerk:li", member_id="nobody", **VISIT),
    ]

    async def attempt() -> None:
        async with Ledger(dsn_of(own_ledger), now=Clock().now) as ledger:

            async def said(*commands: Any, apart: bool = True) -> list[Any]:
                found = await ledger.attempt(*commands, apart=apart)
                return [
                    (each.body, each.outlook, [event.topic for event in each.events])
                    if isinstance(each, Trial)
                    else each
                    for each in found
                ]

            alone = [each for one in asked for each in await said(one, apart=False)]
            assert await said(*asked) == alone
            assert await said(*reversed(asked)) == alone[::-1]
            assert await said(*asked, apart=False) != alone, "each meets those before it"

    asyncio.run(attempt())


def test_a_rule_that_breaks_on_one_leaves_the_others_their_trial(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, joined = (cast(Any, COMMANDS[name]) for name in ("unit.open", "member.join"))

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    async def attempt() -> list[Any]:
        async with Ledger(ledger_dsn, now=lambda: datetime(2009, 1, 5, tzinfo=UTC)) as ledger:
            monkeypatch.setattr(joined, "decide", broken)
            return await ledger.attempt(
                joined(key="1", actor="clerk:li", member_id="m1", unit_id="u1"),
                opened(key="2", actor="clerk:li", unit_id="u1", title="West"),
            )

    failed, tried = asyncio.run(attempt())
    assert type(failed).__name__ == "CommandFailed"
    assert [each.topic for each in tried.events] == ["unit.opened"]
