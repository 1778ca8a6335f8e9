"""Every command has its door: its example is taken there, its receipt is what the class says."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from api.doors import DOOR_OF, DOORS
from api.http.doors import body_of
from api.http.express import HOT
from domain.catalogue import COMMANDS
from tests.api.story import STORY, prepare, shown_once


def posted(http: httpx.Client, name: str, key: str, **instead: Any) -> httpx.Response:
    """The example of a command, to its door."""
    example = {**COMMANDS[name].example, **body_of(DOOR_OF[name]).example}
    door, body = DOOR_OF[name], {**example, **instead}
    path = door.path.format(**{field: body.pop(field) for field in door.ids})
    return http.post(path, json=body, headers={"Idempotency-Key": key})


def test_every_command_has_one_door_and_one_example() -> None:
    assert sorted(door.name for door in DOORS) == sorted(COMMANDS) == sorted(STORY)
    assert len(HOT) == sum(door.hot for door in DOORS)


def test_every_command_is_taken_at_its_door_and_sent_again_is_the_same(
    owned: httpx.Client, own_ledger: Path
) -> None:
    receipts = {}
    prepare(own_ledger)
    for name in STORY:
        answer = posted(owned, name, name)
        assert answer.status_code == 201, (name, answer.json())
        receipts[name] = answer.json()
        told = {*COMMANDS[name].answers.__annotations__, "bucket", "position"}
        shown = {"token"} if DOOR_OF[name].mints else set()
        assert answer.json().keys() == told | shown, name
    for name in STORY:
        again = posted(owned, name, name)
        assert again.headers["idempotent-replayed"] == "true"
        first = {field: said for field, said in receipts[name].items() if field != "token"}
        assert again.json() == first | shown_once(name)
        assert posted(owned, name, f"{name}-anew").status_code in (201, 403, 404, 409), name


def test_lists_and_whole_numbers_are_what_json_means_by_them() -> None:
    body = body_of(DOOR_OF["campaign.launch"])
    said = {**body.example, "cap": 5.0, "costs": [{"item": "leaflets", "cost_fen": 100.0}]}
    asked: Any = body.model_validate(said).command(key="k", actor="clerk:li")
    assert asked == body.model_validate_json(json.dumps(said)).command(key="k", actor="clerk:li")
    assert (asked.cap, asked.tiers, asked.costs[0].cost_fen) == (5, ("gold", "silver"), 100)
    price = body_of(DOOR_OF["service.price"])
    free: Any = price.model_validate({**price.example, "free_visits": {"gold": 2.0}})
    with pytest.raises(ValidationError):
        price.model_validate({**price.example, "free_visits": {"gold": 2.5}})
    assert free.free_visits == {"gold": 2}
