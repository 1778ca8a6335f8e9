"""The express lane at its edge: a rule that breaks is a problem there too, and harms nobody."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from api.doors import DOOR_OF
from api.http import create_lanes
from api.http.doors import body_of
from domain.visits import RecordVisit
from tests.addresses import AsyncClient
from tests.patience import PATIENCE_S

BODY = {"club_id": "health", "service_id": "tea", "desk": "d1", "shown_points": 1}


@pytest.mark.parametrize("express", [True, False])
def test_a_defect_is_told_as_a_problem(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch, express: bool, caplog: Any
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("王小明")

    async def ask() -> None:
        lanes = create_lanes(ledger_dsn, follow=False)
        transport = httpx.ASGITransport(lanes if express else lanes.app)
        async with (
            lanes.app.router.lifespan_context(lanes.app),
            AsyncClient(transport=transport, base_url="http://here", timeout=PATIENCE_S) as client,
        ):
            with monkeypatch.context() as planted:
                planted.setattr(RecordVisit, "decide", broken)
                answer = await client.post(
                    "/members/m1/visits", json=BODY, headers={"Idempotency-Key": "k"}
                )
            assert (answer.status_code, answer.json()["code"]) == (500, "internal")
            assert answer.headers["cache-control"] == "no-store"
            again = await client.post(
                "/members/m1/visits", json=BODY, headers={"Idempotency-Key": "k"}
            )
            assert (again.status_code, again.json()["code"]) == (404, "unknown_member")
        assert "ZeroDivisionError" in caplog.text
        assert "王小明" not in caplog.text

    asyncio.run(ask())


@pytest.mark.parametrize("header", ["Idempotency-Key", "Clubledger-Actor"])
def test_a_header_that_is_there_twice_is_refused(ledger_dsn: str, header: str) -> None:
    async def ask() -> None:
        lanes = create_lanes(ledger_dsn, follow=False)
        async with (
            lanes.app.router.lifespan_context(lanes.app),
            AsyncClient(
                transport=httpx.ASGITransport(lanes), base_url="http://here", timeout=PATIENCE_S
            ) as client,
        ):
            twice = [("Idempotency-Key", "k1"), (header, "clerk:li"), (header, "clerk:wang")]
            answer = await client.post("/members/m1/visits", json=BODY, headers=twice)
            assert (answer.status_code, answer.json()["code"]) == (400, "header_repeated")

    asyncio.run(ask())


def test_a_command_is_kept_with_the_fields_that_were_sent() -> None:
    who = {"key": "k", "actor": "clerk:li"}
    visit = body_of(DOOR_OF["visit.record"]).model_validate(BODY)
    assert json.loads(visit.command(member_id="m1", **who).asked()) == {
        "command": "visit.record", "actor": "clerk:li", "member_id": "m1", **BODY,
    }  # fmt: skip
    said = {"member_id": "m1", "shown_terms_version": 2}
    enrolment = body_of(DOOR_OF["campaign.enrol"]).model_validate(said)
    assert json.loads(enrolment.command(campaign_id="spring", **who).asked()) == {
        "command": "campaign.enrol", "actor": "clerk:li", "member_id": "m1",
        "campaign_id": "spring", "shown_terms_version": 2,
    }  # fmt: skip
