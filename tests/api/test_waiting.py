"""Reads that wait for a position: they keep nobody else waiting, and wait for nothing in vain."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from api.http.server import reads
from ledger.database import bucket_of, connect
from projections.engine import runner
from tests.api.running import asked
from tests.patience import PATIENCE_S, SOON_S, comes_true
from tests.projections.histories import furnished, lay


@pytest.fixture
def behind(installed: Callable[[int], str]) -> str:
    """A ledger whose answers hold nothing of it yet."""
    dsn = installed(1)
    with connect(dsn) as conn:
        lay(conn, furnished().log)
    return dsn


@pytest.fixture
def waiters(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Who has begun to wait, as long as it takes."""
    begun, reach = list[tuple[int, int]](), reads.Reads.reach

    async def counted(self: reads.Reads, wait_for: tuple[int, int] | None) -> None:
        if wait_for is not None:
            begun.append(wait_for)
        await reach(self, wait_for)

    monkeypatch.setattr(reads.Reads, "reach", counted)
    monkeypatch.setattr(reads, "WAIT_S", PATIENCE_S)
    return begun


def test_who_waits_keeps_nobody_waiting(behind: str, waiters: list[tuple[int, int]]) -> None:
    async def ask() -> None:
        async with asked(behind) as client:
            waiting = [
                asyncio.create_task(client.get(f"{path}?wait_for=0:1"))
                for path in ("/clubs", "/figures", "/campaigns", "/members/m1") * 5
            ]
            assert await comes_true(lambda: len(waiters) == len(waiting))
            for path in ("/livez", "/readyz", "/status", "/clubs", "/figures"):
                answer = await client.get(path)
                assert answer.status_code == 200, answer.text
                assert not any(task.done() for task in waiting), path
            await asyncio.to_thread(runner.project, behind)
            for answer in await asyncio.gather(*waiting):
                assert answer.status_code == 200, answer.text

    asyncio.run(ask())


def test_who_waits_is_told_when_it_takes_too_long(
    behind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "WAIT_S", SOON_S)

    async def ask() -> None:
        async with asked(behind) as client:
            for path in ("/clubs", "/figures", "/campaigns", "/members/m1"):
                answer = await client.get(f"{path}?wait_for=0:1")
                assert (answer.status_code, answer.json()["code"]) == (504, "not_caught_up")

    asyncio.run(ask())


def test_a_page_that_waits_for_what_was_written_is_asked_for_again(
    behind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "WAIT_S", SOON_S)

    async def ask() -> None:
        async with asked(behind) as client:
            browser = httpx.AsyncClient(transport=client._transport, base_url="http://here")
            for place, again in (("0:1", "1"), ("0:999999", None)):
                told = await browser.get(f"/campaigns?wait_for={place}")
                assert (told.status_code, told.headers.get("refresh")) == (504, again)
                part = await browser.get(
                    f"/campaigns?wait_for={place}", headers={"HX-Request": "true"}
                )
                assert (part.status_code, part.headers.get("refresh")) == (504, None)

    asyncio.run(ask())


def test_nothing_is_recorded_as_shown_to_a_member_that_cannot_be_shown_yet(
    behind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "WAIT_S", SOON_S)

    async def ask() -> None:
        async with asked(behind) as client:
            member = {"member_id": "own", "unit_id": "own", "name": "李"}
            for to, said in (("/units", {"unit_id": "own", "title": "Own"}), ("/members", member)):
                told = await client.post(to, json=said, headers={"Idempotency-Key": to})
                assert told.status_code == 201, told.text
            path, key = "/members/own/own-data", {"Idempotency-Key": "own"}
            refused = await client.post(path, headers=key)
            assert (refused.status_code, refused.json()["code"]) == (504, "not_caught_up")
            for in_full in (["李"], []):
                await asyncio.to_thread(runner.project, behind)
                shown = (await client.post(path, headers=key)).json()
                assert [each["value"] for each in shown["told"]] == in_full
                assert shown["events"][-1]["topic"] == "member.unmasked"

    asyncio.run(ask())


def test_who_asks_for_his_own_data_waits_for_his_lane_alone(
    installed: Callable[[int], str],
) -> None:
    dsn = installed(4)
    own, other = (f"member:{each}" for each in ("a", "b"))
    assert bucket_of(own, 4) != bucket_of(other, 4)

    async def ask() -> None:
        async with asked(dsn) as client:

            async def told(path: str, key: str, **said: str) -> int:
                headers = {"Idempotency-Key": key}
                return (await client.post(path, json=said, headers=headers)).status_code

            assert await told("/units", "1", unit_id="u", title="U") == 201
            assert await told("/members", "2", member_id="a", unit_id="u") == 201
            await asyncio.to_thread(runner.project, dsn)
            assert await told("/members", "3", member_id="b", unit_id="u") == 201
            assert await told("/members/a/own-data", "4") == 200

    asyncio.run(ask())


def test_who_waits_is_answered_when_it_is_there(
    behind: str, waiters: list[tuple[int, int]]
) -> None:
    async def ask() -> None:
        async with asked(behind) as client:
            waiting = asyncio.create_task(client.get("/clubs?wait_for=0:1"))
            assert await comes_true(lambda: len(waiters) == 1)
            assert not waiting.done()
            await asyncio.to_thread(runner.project, behind)
            assert len((await waiting).json()["clubs"]) == 2

    asyncio.run(ask())


@pytest.mark.parametrize("place", ["0:999999", "7:1", "63:0"])
def test_what_the_log_does_not_hold_is_not_waited_for(
    behind: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "WAIT_S", 10 * PATIENCE_S)

    async def ask() -> None:
        async with asked(behind) as client:
            answer = await asyncio.wait_for(client.get(f"/figures?wait_for={place}"), PATIENCE_S)
            assert (answer.status_code, answer.json()["code"]) == (504, "not_caught_up")
            assert ("log_end" in answer.json()) == place.startswith("0:")
            assert "999999" not in answer.text

    asyncio.run(ask())


def test_a_read_is_answered_on_another_connection_when_the_server_has_ended_the_one_it_had(
    behind: str,
) -> None:
    async def ask() -> None:
        async with asked(behind) as client:
            for path in ("/clubs", "/members/m1?effective_at=2020-01-01"):
                assert (await client.get(path)).status_code == 200
                with connect(behind) as conn:
                    conn.execute(
                        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                assert (await client.get(path)).status_code == 200, path

    asyncio.run(ask())
