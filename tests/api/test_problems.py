"""Every refusal has a status and a description."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from api.http.server.handlers import as_response
from api.runtime import problems
from domain.catalogue import REFUSALS
from domain.members import LeftTheNetwork
from domain.points.lots import NotEnoughPoints
from domain.visits import NotEligible

DOCS = Path(__file__).parents[2] / "docs" / "http.md"


def test_a_status_is_said_of_refusals_that_have_no_usual_one() -> None:
    assert problems.STATUS.keys() <= REFUSALS.keys()
    assert not {404, 409} & set(problems.STATUS.values())


def test_the_door_takes_no_code_of_a_refusal() -> None:
    assert not problems.DOOR.keys() & REFUSALS.keys()


@pytest.mark.parametrize("code", problems.codes())
def test_what_is_unknown_is_404_and_what_is_too_much_is_503(code: str) -> None:
    status = problems.status_of(code)
    asked_wrongly = (400, 401, 403, 404, 405, 408, 409, 412, 413, 414, 415, 422, 429, 431)
    assert status in (*asked_wrongly, 500, 501, 503, 504)
    assert (status == 404) == (code.startswith("unknown_") or code == "not_found")


def _filled(kind: type[Any], id: str = "x") -> Any:  # noqa: A002
    samples = {"int": 1, "str": "x", "datetime": datetime(2009, 1, 5, tzinfo=UTC)}
    samples |= {"date": date(2009, 1, 5), "bool": True, "list": ["gold"]}

    def sample(field: dataclasses.Field[Any]) -> Any:
        if field.name.endswith("_id"):
            return id
        name = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "str")
        return samples.get(re.split(r"\W", name)[0], "x")

    return kind(**{field.name: sample(field) for field in dataclasses.fields(kind)})


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_every_refusal_becomes_a_problem_with_its_numbers(code: str) -> None:
    refusal = _filled(REFUSALS[code])
    answer = as_response(problems.of_refusal(refusal))
    body = orjson.loads(answer.body)
    assert answer.media_type == "application/problem+json"
    assert answer.status_code == body["status"] == problems.status_of(code)
    assert body.keys() == {"type", "title", "status", "detail", "code", *refusal.numbers()}
    assert (answer.headers.get("retry-after") is not None) == (answer.status_code in (429, 503))


def test_a_problem_says_its_numbers_to_a_reader() -> None:
    told = problems.of_refusal(NotEnoughPoints(needed_points=50, spendable_points=20))
    assert told["detail"].endswith("nothing was taken: needed_points 50, spendable_points 20.")


def test_the_door_brings_no_numbers_but_those_that_it_promises() -> None:
    assert problems.members_of("not_caught_up") == ["log_end", "position"]
    told = problems.document("not_caught_up", None, position=7)
    assert (told["position"], told["detail"][-13:]) == (7, ": position 7.")
    with pytest.raises(AssertionError):
        problems.document("not_caught_up", None, lag=7)


def brought(call: ast.Call) -> Iterator[str]:
    """The names of what a problem is made with, as far as they stand there."""
    said = {each.arg: each.value for each in call.keywords if each.arg}
    more = said.pop("more", call.args[2] if len(call.args) > 2 else None)
    yield from said.keys() - {"detail"}
    for key in more.keys if isinstance(more, ast.Dict) else ():
        if isinstance(key, ast.Constant):
            yield str(key.value)


def test_wherever_the_door_refuses_it_brings_what_it_promises() -> None:
    found = 0
    for file in sorted((DOCS.parents[1] / "api").rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            named, code = ast.unparse(call.func).rpartition(".")[2], call.args[0]
            if named in ("DoorProblem", "document") and isinstance(code, ast.Constant):
                names = {*brought(call)}
                assert names <= {*problems.members_of(str(code.value))}, (file.name, names)
                found += len(names)
    assert found >= 10


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_no_refusal_tells_an_id_that_was_sent(code: str) -> None:
    """What was asked for may be somebody's phone; who asked knows it."""
    told = problems.of_refusal(_filled(REFUSALS[code], id="13899990001"))
    assert not [name for name in told if name.endswith("_id")]
    assert "13899990001" not in str(told)


def test_a_problem_spells_values_as_json_does() -> None:
    told = problems.of_refusal(
        NotEligible(club_id="health", tier=None, important=False, admitted_tiers=["gold", "silver"])
    )["detail"]
    wanted = ': tier null, important false, admitted_tiers ["gold", "silver"].'
    assert told.endswith(wanted)


def test_a_problem_tells_instants_by_the_programmes_clocks() -> None:
    left = LeftTheNetwork(member_id="m1", left_at=datetime(2008, 6, 30, 16, 30, tzinfo=UTC))
    told = problems.of_refusal(left)
    assert told["left_at"].isoformat() == "2008-07-01T00:30:00+08:00"
    assert told["detail"].endswith(": left_at 2008-07-01T00:30:00+08:00.")


def test_a_rejected_line_spells_values_as_people_do() -> None:
    told = str(NotEligible(club_id="c", tier=None, important=False, admitted_tiers=["gold", "x"]))
    assert told.endswith(" (tier=none, important=no, admitted_tiers=gold x)")
    left = LeftTheNetwork(member_id="m1", left_at=datetime(2008, 6, 30, 16, 30, tzinfo=UTC))
    assert str(left).endswith(" (left_at=2008-07-01 00:30:00+08:00)")


def test_the_documentation_lists_every_problem() -> None:
    documented = re.findall(r"^\| `([a-z_]+)` \| (\d+) \|", DOCS.read_text("utf-8"), re.MULTILINE)
    assert documented == [(code, str(problems.status_of(code))) for code in problems.codes()]
