"""Many commands in one request: each is answered by itself, and sent again none is done twice."""

from typing import Any

import httpx
import pytest

from api.doors import DOOR_OF
from api.http.batch import MOST_COMMANDS
from domain.catalogue import COMMANDS
from tests.api.story import PREPARED, STORY

SAID = [
    {"command": name, "key": f"s-{name}", **COMMANDS[name].example}
    for name in STORY
    if DOOR_OF[name].scope != "access.write"  # which takes a key
]
SAID[:0] = [{"key": f"p-{n}", **each} for n, each in enumerate(PREPARED)]


def outcomes(http: httpx.Client, *said: dict[str, Any], actor: str = "clerk:li") -> list[Any]:
    """What came of them."""
    headers = {"Clubledger-Actor": actor}
    answer = http.post("/commands", json={"commands": said}, headers=headers)
    assert answer.status_code == 200, answer.json()
    found: list[Any] = answer.json()["outcomes"]
    assert len(found) == len(said)
    return found


def told(found: list[Any]) -> list[tuple[int, str | None]]:
    return [(each["status"], (each["problem"] or {}).get("code")) for each in found]


def test_a_history_in_one_request_is_taken_in_order_and_once(empty: httpx.Client) -> None:
    first = outcomes(empty, *SAID)
    assert told(first) == [(201, None)] * len(SAID)
    again = outcomes(empty, *SAID)
    assert [each.pop("replayed") for each in again] == [True] * len(SAID)
    assert [each.pop("replayed") for each in first] == [False] * len(SAID)
    shown = [each["receipt"] for each in first if "signing_secret" in each["receipt"]]
    assert shown
    for receipt in shown:
        assert receipt["signing_secret"].startswith("whsec_")
        receipt["signing_secret"] = None  # as who sends it again is told
    assert again == first
    assert empty.get("/members/m1/events").json()["events"][-1]["actor"] == "clerk:li"


def test_each_is_answered_by_itself(empty: httpx.Client) -> None:
    unit = {"command": "unit.open", "unit_id": "b-unit", "title": "North"}
    join = {"command": "member.join", "member_id": "b1", "unit_id": "b-unit"}
    credit = {"command": "points.credit", "member_id": "b1", "source": "s", "rule": "r"}
    found = outcomes(
        empty,
        {**unit, "key": "batch-u"},
        {**join, "key": "batch-j", "unit_id": "nowhere"},
        {**join, "key": "batch-j"},
        {**credit, "key": "batch-c", "points": 100.0},
        {**credit, "key": "batch-c", "points": 100},
        {**credit, "key": "batch-c", "points": 5},
        {**credit, "points": 5},
        {**credit, "key": "file:1", "points": 5},
        {**credit, "key": "batch-x", "points": 0, "王小明": 1},
        {"command": "王小明", "key": "batch-x"},
        {},
    )
    assert told(found) == [
        (201, None),
        (404, "unknown_unit"),
        (201, None),
        (201, None),
        (201, None),
        (422, "key_reused"),
        (400, "key_missing"),
        (422, "key_reserved"),
        (422, "invalid"),
        (422, "invalid"),
        (422, "invalid"),
    ]
    assert [each["replayed"] for each in found[3:5]] == [False, True]
    assert found[3]["receipt"] == found[4]["receipt"]
    fields = [[error["field"] for error in each["problem"]["errors"]] for each in found[8:]]
    assert fields == [
        ["body.commands.8.points", "body.commands.8.[6]"],
        ["body.commands.9.command"],
        ["body.commands.10.command"],
    ]
    assert "王小明" not in str(found)


@pytest.mark.parametrize("commands", [[], [{}] * (MOST_COMMANDS + 1), [1], {}, None])
def test_what_is_no_list_of_so_many_commands_is_refused(http: httpx.Client, commands: Any) -> None:
    answer = http.post("/commands", json={"commands": commands})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


def test_nested_deeply_it_is_no_request_and_no_field_is_blamed(http: httpx.Client) -> None:
    deep = "[" * 400 + "]" * 400
    said = f'{{"commands": [{{"command": "campaign.launch", "key": "batch-k", "costs": {deep}}}]}}'
    headers = {"Content-Type": "application/json"}
    answer = http.post("/commands", content=said, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert answer.json()["detail"] == "The request cannot be read: it is nested too deeply."
