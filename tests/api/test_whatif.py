"""What if, at both doors, and as its page says it."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.http import create_app, whatif
from domain.simulation.scenario import Scenario
from ledger.database import connect
from ledger.embedded import EmbeddedServer
from ledger.locks import Lock
from projections.engine.schemas import try_session_lock
from tests.addresses import AsyncClient
from tests.api.running import SCALE, clubledger
from tests.patience import PATIENCE_S
from tests.projections.histories import furnished, lay

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "what-if.md"
SCENARIOS = re.compile(r"^```json\n(.+?)\n```$", re.MULTILINE)
SHOWN = re.compile(r"^```console\n\$ clubledger (.+?)\n(.*?)```$", re.MULTILINE | re.DOTALL)
HALF = {"changes": [{"change": "service_price", "club_id": "lounge", "factor": "1/2"}]}


# ------------------------------------------------------------------------------------- its page
def test_the_page_shows_what_is_shown(demo_dir: Path, tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    assert f"clubledger demo --scale {SCALE}" in text
    first, *_ = SCENARIOS.findall(text)
    (tmp_path / "half-lounge.json").write_text(first)
    ((command, wanted),) = SHOWN.findall(text)
    shown = clubledger(*command.split(), data_dir=demo_dir, cwd=tmp_path)
    assert shown.code == 0, shown.err
    assert shown.out == wanted


def test_every_scenario_of_the_page_is_one_and_every_kind_is_told_of() -> None:
    text = PAGE.read_text("utf-8")
    told = [Scenario.model_validate_json(each) for each in SCENARIOS.findall(text)]
    assert len(told) == text.count("```json")
    kinds = set(Scenario.model_json_schema()["properties"]["changes"]["items"]["discriminator"][
        "mapping"
    ])  # fmt: skip
    assert {change.change for scenario in told for change in scenario.changes} == kinds
    assert kinds == set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_the_page_names_the_fields_of_each_change() -> None:
    schema = Scenario.model_json_schema()
    kinds = schema["properties"]["changes"]["items"]["discriminator"]["mapping"]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGE.read_text("utf-8"), re.MULTILINE))
    for kind, reference in kinds.items():
        fields = schema["$defs"][reference.rpartition("/")[2]]["properties"]
        words = {word for each in fields.values() for word in each.get("enum", ())}
        named = set(re.findall(r"`(\w+)`", rows[kind])) - {"calendar_year", "rolling"} - words
        assert named == fields.keys() - {"change", "since"}, kind


# ----------------------------------------------------------------------------- the command line
def supposed(data_dir: Path | None, said: Any, *options: str) -> Any:
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return clubledger("what-if", "-", *options, data_dir=data_dir, stdin=text)


@pytest.mark.slow
def test_json_holds_all_of_it(demo_dir: Path) -> None:
    dear = {"changes": [{"change": "service_price", "club_id": "lounge", "points": 100_000}]}
    found = supposed(demo_dir, dear, "--json", "--top", "2")
    assert found.code == 0, found.err
    told = found.json
    assert {each["code"] for each in told["refusals"]} == {"not_enough_points", "unknown_visit"}
    assert len(told["affected"]) == len(told["refused"]) == 2
    assert told["refused"][0]["numbers"]["needed_points"] >= 100_000
    next_page = supposed(demo_dir, dear, "--json", "--top", "2", "--skip", "2").json
    assert not {m["member_id"] for m in told["affected"]} & {
        m["member_id"] for m in next_page["affected"]
    }
    assert "would be refused" in supposed(demo_dir, dear).out


def test_a_scenario_that_changes_nothing_says_so(demo_dir: Path) -> None:
    found = supposed(demo_dir, {"changes": []})
    assert (found.code, found.out.splitlines()[0]) == (0, "nothing would be otherwise")


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (b"{", 3, "it is no JSON"),
        (b'{"changes": [], "changes": []}', 3, "a key stands twice"),
        ('{"changes": []}'.encode("utf-16"), 3, "it is not UTF-8"),
        (b" " * 1_100_000, 3, "at most 1,048,576 bytes"),
        ({"changes": [{"change": "earning_rate", "factor": 0.5}]}, 3, "changes.0"),
        (
            {"changes": [{"change": "service_price", "club_id": "x", "factor": "1"}]},
            3,
            "unknown_club",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    demo_dir: Path, said: Any, code: int, words: str
) -> None:
    found = supposed(demo_dir, said)
    assert (found.code, found.out) == (code, "")
    assert words in found.err.strip().splitlines()[-1]


def test_a_file_that_cannot_be_read_is_wrong_use(demo_dir: Path) -> None:
    found = clubledger("what-if", "no-such-file.json", "--json", data_dir=demo_dir)
    assert (found.code, found.problem["code"]) == (2, "wrong_use")


# --------------------------------------------------------------------------------- the HTTP door
def test_over_http_it_is_the_same(http: httpx.Client) -> None:
    answer = http.post("/what-if?limit=3", json=HALF)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    (total,) = (
        each
        for each in told["measures"]
        if (each["measure_id"], each["key"]) == ("visits.points", {})
    )
    assert total["difference"] == total["after"] - total["before"] < 0
    assert len(told["affected"]) == 3
    rest = http.post("/what-if?limit=3&skip=3", json=HALF).json()["affected"]
    assert rest[0]["member_id"] not in {each["member_id"] for each in told["affected"]}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"change": "service_price", "club_id": "x", "factor": "1/2"}, 404, "unknown_club"),
        ({"change": "service_price", "club_id": "lounge", "service_id": "x", "points": 1}, 404,
         "unknown_service"),
        ({"change": "campaign_terms", "campaign_id": "x", "gift_bp": 1}, 404, "unknown_campaign"),
        ({"change": "service_price", "club_id": "lounge"}, 422, "invalid"),
        ({"change": "earning_rate", "factor": "1/2", "since": "2008-13-01"}, 422, "invalid"),
    ],
)  # fmt: skip
def test_over_http_what_makes_no_sense_is_a_problem(
    http: httpx.Client, change: dict[str, Any], status: int, code: str
) -> None:
    answer = http.post("/what-if", json={"changes": [change]})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_over_http_there_is_one_at_a_time(http: httpx.Client, demo_dir: Path) -> None:
    with EmbeddedServer(demo_dir) as database, connect(database.dsn) as conn:
        assert try_session_lock(conn, Lock.SUPPOSING)
        answer = http.post("/what-if", json=HALF)
        assert (answer.status_code, answer.json()["code"]) == (503, "what_if_running")
        assert answer.headers["Retry-After"] == "5"
    assert http.post("/what-if", json=HALF).status_code == 200


def test_who_loads_a_demo_keeps_nobody_from_supposing(http: httpx.Client, demo_dir: Path) -> None:
    with EmbeddedServer(demo_dir) as database, connect(database.dsn) as conn:
        assert try_session_lock(conn, Lock.LOADING)
        assert http.post("/what-if", json=HALF).status_code == 200


def test_over_http_it_ends_after_a_time(
    installed: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = installed(1)
    world = furnished()
    world.does("visit.record", member_id="m1", club_id="lounge", service_id="room")
    with connect(dsn) as conn:
        lay(conn, world.log)
    app = create_app(dsn, follow=False)

    async def ask(limit_s: float) -> httpx.Response:
        monkeypatch.setattr(whatif, "LIMIT_S", limit_s)
        async with (
            app.router.lifespan_context(app),
            AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://here", timeout=PATIENCE_S
            ) as http,
        ):
            return await http.post("/what-if", json=HALF)

    for limit_s in (0.0, 0.001):  # looked at between statements alone (0 is no timeout), and both
        answer = asyncio.run(ask(limit_s))
        assert (answer.status_code, answer.json()["code"]) == (504, "what_if_too_long")
    assert asyncio.run(ask(PATIENCE_S)).status_code == 200
