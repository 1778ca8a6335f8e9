"""Digits are no times: every door takes an instant or a day in ISO 8601 and in no other way.

The walks see every model, route and option there is, so that a bare `datetime` or `date`, which
pydantic and Click would read from a number, does not come in again.
"""

import inspect
import json
import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import httpx
import pytest
from pydantic import BaseModel, TypeAdapter

from api.cli.commands import app as command_line
from api.http import create_app
from domain.catalogue import CATALOGUE, COMMANDS
from domain.kernel.values import DAY_PATTERN, INSTANT_PATTERN
from domain.simulation.scenario import Scenario
from ledger.commands import parse as parse_fact
from ledger.rejects import why
from tests.api.running import clubledger

DIGITS = ("2008123123", "20081231", "1214870400", "1214874000000", "1214874000.5", "0")
FORMS = {"date": DAY_PATTERN, "date-time": INSTANT_PATTERN}
MODELS: list[type[BaseModel]] = [*CATALOGUE.values(), *COMMANDS.values(), Scenario]


def bare(fragment: Any) -> Iterator[Any]:
    """The times in a JSON schema that say no pattern of ours."""
    if isinstance(fragment, dict):
        form = fragment.get("format", "")
        if re.match("date|time|duration", str(form)) and FORMS.get(form) != fragment.get("pattern"):
            yield fragment
        for each in fragment.values():
            yield from bare(each)
    elif isinstance(fragment, list):
        for each in fragment:
            yield from bare(each)


def requests(document: dict[str, Any]) -> dict[str, Any]:
    """What requests bring: parameters, bodies, and the schemas that these refer to."""
    found: dict[str, Any] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            asked = [operation.get("parameters", []), operation.get("requestBody", {})]
            found[f"{method} {path}"] = asked
            waiting = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(asked))
            while waiting:
                name = waiting.pop()
                if name not in found:
                    found[name] = document["components"]["schemas"][name]
                    text = json.dumps(found[name])
                    waiting += re.findall(r'"#/components/schemas/([^"]+)"', text)
    return found


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(create_app("", follow=False).openapi()))
    return made


# --------------------------------------------------------------------------------- the walks
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_model_has_a_bare_time(model: type[BaseModel]) -> None:
    assert not list(bare(model.model_json_schema()))


def test_no_request_has_a_bare_time(document: dict[str, Any]) -> None:
    found = requests(document)
    assert "Scenario" in found
    assert not [name for name, schema in found.items() if list(bare(schema))]


def hints_of(function: Any) -> list[Any]:
    """The types of a function's parameters, those within Annotated and unions too."""
    waiting, found = list(get_type_hints(function, include_extras=True).values()), []
    while waiting:
        found.append(each := waiting.pop())
        waiting += get_args(each)
    return found


def test_no_option_is_a_bare_time() -> None:
    commands = [each.callback for each in command_line.registered_commands if each.callback]
    assert len(commands) > 10
    for command in commands:
        assert not {date, datetime} & {h for h in hints_of(command) if inspect.isclass(h)}


class Planted(BaseModel):
    at: datetime
    days: dict[str, list[date | None]]


def test_the_walk_sees_a_bare_time() -> None:
    assert len(list(bare(Planted.model_json_schema()))) == 2
    assert len(list(bare(TypeAdapter(date | None).json_schema()))) == 1
    assert date in hints_of(lambda_with_a_day)


def lambda_with_a_day(day: "date | None" = None) -> None: ...


# --------------------------------------------------------------------------------- the doors
FACTS: tuple[dict[str, Any], ...] = (
    {"command": "points.credit", "points": 500, "source": "s", "rule": "v"},
    {"command": "tier.change", "tier": "diamond", "reason": "x"},
    {
        "command": "binding.start",
        "policy": "handset",
        "starts_on": "2008-07-01",
        "ends_on": "2009-07-01",
    },
)
COMMON = {"at": "2008-07-01T03:00:00+08:00", "actor": "system:billing", "member_id": "m2"}


@pytest.mark.parametrize(
    ("fact", "field"),
    [
        (FACTS[0], "at"),
        (FACTS[0], "expires_at"),
        (FACTS[0], "available_from"),
        (FACTS[1], "at"),
        (FACTS[2], "starts_on"),
        (FACTS[2], "ends_on"),
    ],
)
def test_a_fact_dated_in_digits_is_refused(fact: dict[str, Any], field: str) -> None:
    whole = {**COMMON, **fact}
    parse_fact(json.dumps(whole))
    for digits in DIGITS:
        for written in (digits, json.loads(digits)):
            with pytest.raises(ValueError, match=field) as refused:
                parse_fact(json.dumps({**whole, field: written}))
            code, reason, *_ = why(refused.value)
            assert (code, "is written" in reason) == ("not_valid", True)
            assert not re.search(rf"\b{re.escape(digits)}\b", reason) or digits == "0"


def test_a_query_parameter_in_digits_is_refused(
    document: dict[str, Any], http: httpx.Client
) -> None:
    asked = 0
    for path, methods in document["paths"].items():
        parameters = methods.get("get", {}).get("parameters", [])
        times = [p for p in parameters if "18:00" in str(p) or DAY_PATTERN in str(p)]
        for name in (each["name"] for each in times if each["in"] == "query"):
            needed = {"from": "2008-01-01"} if path == "/v1/changes" else {}
            for digits in DIGITS:
                known = path.replace("{measure_id}", "visits.count")
                address = re.sub(r"\{[^}]+\}", "lounge", known)
                answer = http.get(address, params={**needed, name: digits})
                assert answer.status_code == 422, (path, name, answer.text)
                told = answer.json()
                fields = [each["field"] for each in told.get("errors", ())]
                assert told.get("unreadable", fields) in ([name], [f"query.{name}"])
                asked += 1
    assert asked >= 12 * len(DIGITS)


def test_a_scenario_in_digits_is_refused(http: httpx.Client) -> None:
    for digits in (*DIGITS, *map(json.loads, DIGITS)):
        change = {"change": "service_price", "club_id": "lounge", "factor": "1/2", "since": digits}
        answer = http.post("/what-if", json={"changes": [change]})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"].endswith("since")


@pytest.mark.parametrize(
    "words",
    [
        ("figures", "--known-at"),
        ("figures", "--effective-at"),
        ("member", "m1", "--known-at"),
        ("member", "m1", "--effective-at"),
        ("changes", "--from"),
        ("changes", "--from", "2008-01-01", "--to"),
        ("changes", "--from", "2008-01-01", "--from-effective"),
        ("changes", "--from", "2008-01-01", "--to-effective"),
    ],
    ids=" ".join,
)
def test_an_option_in_digits_is_refused(data_dir: Path, words: tuple[str, ...]) -> None:
    for digits in DIGITS[:2]:
        ended = clubledger(*words, digits, data_dir=data_dir)
        assert (ended.code, "a day (2008-12-31)" in ended.err) == (2, True), ended.err
