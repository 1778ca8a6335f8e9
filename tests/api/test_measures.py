"""Measures through both doors: the same numbers, pages and files that foot, precise refusals."""

import csv
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.running import clubledger

COHORT = "binding-2008q4"
ON = "2008-12-31"


@pytest.fixture
def catalogue(http: httpx.Client) -> dict[str, dict[str, Any]]:
    listed = http.get("/measures").json()["measures"]
    return {each["measure_id"]: each for each in listed}


def test_the_catalogue_is_the_same_at_both_doors(catalogue: dict[str, Any]) -> None:
    told = clubledger("measures", "--json").json["measures"]
    assert told == list(catalogue.values())
    assert len(told) > 50
    listed = clubledger("measures")
    assert listed.code == 0
    for measure_id in catalogue:
        assert measure_id in listed.out


def test_both_doors_tell_the_same(http: httpx.Client, demo_dir: Path) -> None:
    asked = {"cohort_id": COHORT, "on": ON, "by": "unit_id"}
    over_http = http.get("/measures/bindings.rate", params=asked).json()
    line = ("measure", "bindings.rate", "--cohort", COHORT, f"--on={ON}", "--by", "unit")
    both = (*line[:-1], "unit,tier", "--json")
    asked_both = {**asked, "by": "unit_id,tier"}
    assert http.get("/measures/bindings.rate", params=asked_both).json() == (
        clubledger(*both, data_dir=demo_dir).json
    )
    told = clubledger(*line, "--json", data_dir=demo_dir).json
    assert told == over_http
    assert told["last_fact_on"] == http.get("/figures").json()["last_fact_on"]
    assert told["value"] == round(100 * sums(told)["bound"] / sums(told)["base"], 2)
    for name, total in sums(told).items():
        assert sum(sums(group)[name] for group in told["groups"]) == total
    shown = clubledger(*line, data_dir=demo_dir).out
    assert f"{told['value']:.2f} %" in shown
    for group in told["groups"]:
        assert group["key"]["unit_id"] in shown


def test_what_nobody_said_is_told_as_it_was_taken(
    catalogue: dict[str, dict[str, Any]], http: httpx.Client, demo_dir: Path
) -> None:
    """Else points about to lapse would be a number without its days."""
    days = catalogue["points.lapsing"]["usual"]["days"]
    asked = {"on": ON}
    usual = http.get("/measures/points.lapsing", params=asked).json()
    assert usual["usual"] == {"days": days}
    said = http.get("/measures/points.lapsing", params={**asked, "days": days}).json()
    assert (said["value"], said["usual"], said["params"]) == (usual["value"], {}, {"days": days})
    shown = clubledger("measure", "points.lapsing", "--on", ON, data_dir=demo_dir).out
    assert f"\n  days {days}\n" in shown
    of_all = http.get("/measures/points.outstanding", params=asked).json()
    assert of_all["usual"] == {}, "it hangs on no number of days"


def sums(told: dict[str, Any]) -> dict[str, int]:
    return {each["name"]: each["value"] for each in told["inputs"]}


def test_pages_and_the_file_hold_the_rows_that_make_it_up(http: httpx.Client) -> None:
    asked = {"cohort_id": COHORT, "on": ON}
    path = "/measures/bindings.bound/contributions"
    rows, page = [], http.get(path, params={**asked, "limit": 7}).json()
    while True:
        rows += page["contributions"]
        if page["next"] is None:
            break
        page = http.get(path, params={**asked, "limit": 7, "cursor": page["next"]}).json()
    assert sum(row["adds"]["bound"] for row in rows) == page["measured"]["value"]
    answer = http.get(path, params={**asked, "format": "csv"})
    text = answer.content.decode("utf-8-sig").splitlines(keepends=True)
    assert "# formula: bound\r\n" in text
    assert f"# inputs.bound: {len(rows)}\r\n" in text
    table = list(csv.DictReader(line for line in text if not line.startswith("#")))
    assert [line["member_id"] for line in table] == [row["of"]["member_id"] for row in rows]
    for line, row in zip(table, rows, strict=True):
        assert line["events"] == ", ".join(f"{e['topic']} {e['place']}" for e in row["events"])


def test_a_measure_as_of_a_moment_is_that_of_the_log_then(
    http: httpx.Client, demo_dir: Path
) -> None:
    past = {"known_at": "2008-06-30"}
    told = http.get("/measures/members.vips", params=past).json()
    assert told["on"] == "2008-06-30"
    assert told["moment"]["known_at"].startswith("2008-06-30T23:59:59")
    now = http.get("/measures/members.vips", params={"on": "2008-06-30"}).json()
    line = ("measure", "members.vips", "--known-at", "2008-06-30", "--json")
    assert clubledger(*line, data_dir=demo_dir).json["value"] == told["value"] == now["value"]
    place = told["moment"]["positions"]  # the same moment by its positions, at both doors
    by_place = http.get("/measures/members.vips", params={"known_at": place}).json()
    line = ("measure", "members.vips", "--known-at", place, "--json")
    assert clubledger(*line, data_dir=demo_dir).json == by_place
    assert by_place["on"] == "2008-06-30"
    assert by_place["last_fact_on"] == "2008-06-30"


@pytest.mark.parametrize(
    ("path", "params", "status", "code", "numbers"),
    [
        ("/measures/none", {}, 404, "unknown_measure", {}),
        ("/measures/none/contributions", {}, 404, "unknown_measure", {}),
        ("/measures/bindings.rate", {}, 422, "wrong_parameters", {"missing": ["cohort_id"]}),
        ("/measures/bindings.rate", {"cohort_id": "x"}, 404, "unknown_cohort", {}),
        ("/measures/visits.count", {"on": "20081231"}, 422, "wrong_parameters",
         {"unreadable": ["on"]}),
        ("/measures/visits.count", {"campaign_id": "x"}, 422, "wrong_parameters",
         {"unknown": ["campaign_id"]}),
        ("/measures/visits.count", {"by": "policy"}, 422, "wrong_parameters",
         {"unknown": ["policy"]}),
        ("/measures/visits.count", {"frm": "x"}, 422, "invalid", {}),
        ("/measures/visits.count", {"club_id": "health,heath"}, 404, "unknown_club", {}),
        ("/measures/visits.count", {"tier": "none,plus"}, 404, "unknown_tier",
         {"tiers": ["diamond", "gold", "silver", "member"]}),
        ("/measures/visits.count/contributions", {"unit_id": "x", "format": "csv"}, 404,
         "unknown_unit", {}),
        ("/exceptions", {"member_id": "x"}, 404, "unknown_member", {}),
        ("/measures/visits.count/contributions", {"cursor": "A" * 40}, 422, "wrong_cursor", {}),
        ("/measures/points.lapsing", {"days": "ten"}, 422, "wrong_parameters",
         {"unreadable": ["days"]}),
    ],
)  # fmt: skip
def test_a_wrong_question_is_refused_with_what_is_wrong(
    http: httpx.Client,
    path: str,
    params: dict[str, str],
    status: int,
    code: str,
    numbers: dict[str, Any],
) -> None:
    answer = http.get(path, params=params)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code), answer.text
    assert numbers.items() <= told.items()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("none",), 2),
        (("bindings.rate", "--cohrt", "x"), 2),
        (("bindings.rate", "--cohort", "x"), 3),
        (("bindings.rate", "--cohort"), 2),
        (("bindings.rate", "--cohort", "x", "--cohort", "y"), 2),
        (("bindings.rate",), 3),
        (("visits.count", "--by", "policy"), 2),
        (("visits.count", "stray"), 2),
    ],
)
def test_wrong_use_on_the_command_line(demo_dir: Path, words: tuple[str, ...], code: int) -> None:
    ended = clubledger("measure", *words, data_dir=demo_dir)
    assert ended.code == code, ended.err
    assert ended.err.startswith("clubledger: ")
    assert not ended.out
