"""The HTTP API against a real server: writes that are safe to repeat, refusals, reads."""

import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from api.http.express import HOT
from api.http.server import tracing
from api.log import History, LogPage
from api.runtime import problems
from domain.kernel.command import COMMANDS
from ledger import jobs
from tests.addresses import Client
from tests.api import facts
from tests.api.conftest import loaded_demo
from tests.api.contract import Contract
from tests.api.running import Server, clubledger, serving, stopped
from tests.patience import PATIENCE_S

_numbers = count(1)


def fresh_key() -> str:
    """A key that no other test uses."""
    return f"test-key-{next(_numbers)}"


@pytest.fixture(scope="module")
def demo_dir() -> Iterator[Path]:
    """A demo of these tests' own, since they write to it."""
    with loaded_demo() as (path, _):
        yield path


@pytest.fixture(scope="module")
def server(demo_dir: Path) -> Iterator[Server]:
    running = serving(demo_dir, cold=True)
    yield running
    assert stopped(running).code == 0


@pytest.fixture(scope="module", autouse=True)
def _members(demo_dir: Path, server: Server) -> None:
    """The tests' own members come in by an import while the server runs."""
    done = clubledger("import", "-", data_dir=demo_dir, stdin=facts.lines(facts.facts()))
    assert done.code == 0, done.err


@pytest.fixture(scope="module")
def member_ids() -> Iterator[str]:
    """Gold members with 100 points, each used by one test."""
    return iter([f"t{n}" for n in range(2, facts.MEMBERS + 1)])


@pytest.fixture
def gold(member_ids: Iterator[str]) -> str:
    return next(member_ids)


def visit(
    http: httpx.Client, member_id: str, key: str | None = None, **other: Any
) -> httpx.Response:
    body = {"club_id": "t-club", "service_id": "tea", "desk": "d1", "shown_points": 10, **other}
    headers = {"Idempotency-Key": key or fresh_key()}
    return http.post(f"/members/{member_id}/visits", json=body, headers=headers)


def undo(
    http: httpx.Client, member_id: str, number: int, desk: str = "d1", actor: str = "clerk:li"
) -> httpx.Response:
    headers = {"Idempotency-Key": fresh_key(), "Clubledger-Actor": actor}
    body = {"desk": desk, "reason": "wrong member"}
    return http.post(f"/members/{member_id}/visits/{number}/undo", json=body, headers=headers)


def enrol(
    http: httpx.Client, member_id: str, key: str | None = None, **other: Any
) -> httpx.Response:
    body = {"member_id": member_id, "prepaid_fen": 50_000, **other}
    headers = {"Idempotency-Key": key or fresh_key()}
    return http.post("/campaigns/t-campaign/enrolments", json=body, headers=headers)


def settled(http: httpx.Client, receipt: httpx.Response, path: str, **params: Any) -> Any:
    """What a read says once it has taken in a write."""
    told = receipt.json()
    wait = {"wait_for": f"{told['bucket']}:{told['position']}", **params}
    answer = http.get(path, params=wait)
    assert answer.status_code == 200, answer.text
    return answer.json()


# ------------------------------------------------------------------------------------- visits
def test_a_visit_debits_its_price(http: httpx.Client, gold: str) -> None:
    answer = visit(http, gold, companions=2, shown_points=16)
    assert answer.status_code == 201
    told = answer.json()
    assert (told["visit"], told["payment"], told["points"]) == (1, "points", 16)
    assert told["spendable_points"] == 84
    card = settled(http, answer, f"/members/{gold}")
    assert (card["spendable_points"], card["visits"]) == (84, 1)
    assert [(lot["remaining"], lot["credited"]) for lot in card["lots"]] == [(84, 100)]


def test_the_same_request_again_gets_the_first_answer(http: httpx.Client, gold: str) -> None:
    key = fresh_key()
    first = visit(http, gold, key)
    again = visit(http, gold, key)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert settled(http, first, f"/members/{gold}")["visits"] == 1


def test_another_request_under_the_same_key_is_refused(http: httpx.Client, gold: str) -> None:
    key = fresh_key()
    assert visit(http, gold, key).status_code == 201
    answer = visit(http, gold, key, companions=1, shown_points=13)
    assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")


def test_a_refused_key_is_decided_anew(http: httpx.Client, gold: str) -> None:
    key = fresh_key()
    assert visit(http, gold, key, shown_points=9).json()["code"] == "price_changed"
    assert visit(http, gold, key).status_code == 201


def test_thirty_two_posts_at_once_with_one_key_are_one_visit(
    http: httpx.Client, server: Server, gold: str
) -> None:
    key = fresh_key()
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: visit(http, gold, key), range(32)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 31
    history = http.get(f"/members/{gold}/events").json()["events"]
    assert [event["topic"] for event in history].count("visit.recorded") == 1
    assert [event["topic"] for event in history].count("points.debited") == 1


def test_posts_at_once_never_spend_more_than_there_is(http: httpx.Client, gold: str) -> None:
    def one(_: int) -> httpx.Response:
        return visit(http, gold, confirm_repeat=True)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(one, range(16)))
    taken = [answer for answer in answers if answer.status_code == 201]
    refused = [answer.json() for answer in answers if answer.status_code != 201]
    assert len(taken) == 10
    assert sorted(answer.json()["spendable_points"] for answer in taken) == list(range(0, 100, 10))
    assert {each["code"] for each in refused} == {"not_enough_points"}
    assert {each["spendable_points"] for each in refused} == {0}


def test_a_free_visit_of_the_year_is_used_first(http: httpx.Client) -> None:
    first = visit(http, facts.FREE, service_id="gift", shown_points=0)
    assert (first.json()["payment"], first.json()["points"]) == ("free_visit", 0)
    second = visit(http, facts.FREE, service_id="gift", shown_points=0, confirm_repeat=True)
    assert (second.json()["code"], second.json()["price_points"]) == ("price_changed", 40)
    third = visit(
        http,
        facts.FREE,
        service_id="gift",
        shown_points=0,
        payment="free_visit",
        confirm_repeat=True,
    )
    assert (third.json()["code"], third.json()["granted"]) == ("no_free_visit", 1)


@pytest.mark.parametrize(
    ("member_id", "other", "status", "code", "numbers"),
    [
        (facts.POOR, {}, 409, "not_enough_points", {"needed_points": 10, "spendable_points": 5}),
        (facts.SILVER, {}, 409, "not_eligible", {"tier": "silver", "admitted_tiers": ["gold"]}),
        (facts.LEFT, {}, 409, "left_the_network", {"left_at": "2009-01-05T08:00:00+08:00"}),
        ("nobody", {}, 404, "unknown_member", {}),
        ("t1", {"club_id": "golf"}, 409, "not_open_yet", {"opens_on": "2009-06-01"}),
        ("t1", {"club_id": "none"}, 404, "unknown_club", {}),
        ("t1", {"service_id": "none"}, 404, "unknown_service", {}),
        ("t1", {"shown_points": 9}, 409, "price_changed", {"price_points": 10}),
        ("t1", {"payment": "free_visit"}, 409, "no_free_visit", {"granted": 0}),
    ],
)
def test_a_refusal_is_a_problem_with_its_numbers(
    http: httpx.Client, member_id: str, other: Any, status: int, code: str, numbers: Any
) -> None:
    answer = visit(http, member_id, **other)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code)
    assert {name: told[name] for name in numbers} == numbers
    kind = http.get(told["type"]).json()
    assert (kind["code"], kind["title"], kind["status"]) == (code, told["title"], status)
    assert set(numbers) <= set(kind["members"])


def test_a_second_visit_a_moment_later_is_asked_about(http: httpx.Client, gold: str) -> None:
    assert visit(http, gold).status_code == 201
    assert visit(http, gold).json()["code"] == "visit_repeated"
    assert visit(http, gold, confirm_repeat=True).status_code == 201


def test_the_same_desk_may_undo_its_visit_at_once(http: httpx.Client, gold: str) -> None:
    number = visit(http, gold).json()["visit"]
    other_desk = undo(http, gold, number, desk="d2")
    assert (other_desk.status_code, other_desk.json()["code"]) == (403, "undo_needs_supervisor")
    undone = undo(http, gold, number)
    assert (undone.status_code, undone.json()["spendable_points"]) == (201, 100)
    assert undo(http, gold, number).json()["code"] == "unknown_visit"


def test_a_supervisor_may_undo_from_any_desk(http: httpx.Client, gold: str) -> None:
    number = visit(http, gold).json()["visit"]
    assert undo(http, gold, number, desk="d2", actor="supervisor:wang").status_code == 201


# ---------------------------------------------------------------------------------- campaigns
def test_places_are_given_up_to_the_cap_exactly(
    http: httpx.Client, member_ids: Iterator[str]
) -> None:
    asked = [next(member_ids) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda member_id: enrol(http, member_id), asked))
    places = sorted(answer.json()["place"] for answer in answers if answer.status_code == 201)
    refused = [answer.json() for answer in answers if answer.status_code != 201]
    assert places == [1, 2, 3, 4]
    assert {(each["code"], each["cap"]) for each in refused} == {("cap_reached", 4)}
    enrolled = next(answer for answer in answers if answer.status_code == 201)
    assert enrolled.json()["gift_fen"] == 5_000
    figures = settled(http, enrolled, "/campaigns/t-campaign")
    mean = figures["mean_prepaid_fen"]
    assert mean["mean"] == round(mean["part"] / mean["whole"], 2)
    assert figures["campaign_return"]["value"] is None
    assert figures["campaign_return"]["why"]
    twice = enrol(http, asked[[a.status_code for a in answers].index(201)])
    assert twice.json()["code"] == "already_enrolled"


@pytest.mark.parametrize(
    ("member_id", "other", "status", "code"),
    [
        (facts.SILVER, {}, 409, "not_in_segment"),
        ("t1", {"prepaid_fen": 1}, 422, "prepaid_too_small"),
        ("t1", {"shown_terms_version": 7}, 409, "terms_are_newer"),
        ("nobody", {}, 404, "unknown_member"),
    ],
)
def test_an_enrolment_is_refused(
    http: httpx.Client, member_id: str, other: Any, status: int, code: str
) -> None:
    answer = enrol(http, member_id, **other)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_unknown_campaign_is_refused_by_reads_and_writes(http: httpx.Client) -> None:
    assert http.get("/campaigns/none").json()["code"] == "unknown_campaign"
    headers = {"Idempotency-Key": fresh_key()}
    answer = http.post("/campaigns/none/enrolments", json={"member_id": "t1"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_campaign")


# -------------------------------------------------------------------------------------- reads
def test_members_are_looked_up_by_phone_and_the_number_is_masked(http: httpx.Client) -> None:
    found = http.post("/members/lookup", json={"phone": facts.PHONE}).json()["members"]
    assert [(each["member_id"], each["phone"]) for each in found] == [("t1", "139****0001")]
    shared = http.post("/members/lookup", json={"phone": facts.SHARED_PHONE}).json()["members"]
    assert [each["member_id"] for each in shared] == [facts.POOR, facts.SILVER]
    assert http.post("/members/lookup", json={"phone": "13999999999"}).json() == {"members": []}


def test_an_unknown_member_is_404_everywhere(http: httpx.Client) -> None:
    for path in ("", "/statement", "/events"):
        answer = http.get(f"/members/nobody{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_member")


def test_a_statement_pages_from_new_to_old(http: httpx.Client, gold: str) -> None:
    *_, last = [visit(http, gold, confirm_repeat=True) for _ in range(3)]
    whole = settled(http, last, f"/members/{gold}/statement")
    assert [entry["points"] for entry in whole["entries"]] == [-10, -10, -10, 100]
    assert [entry["balance"] for entry in whole["entries"]] == [70, 80, 90, 100]
    assert whole["next"] is None
    seen, cursor = [], None
    while True:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = http.get(f"/members/{gold}/statement", params=params).json()
        seen += page["entries"]
        if (cursor := page["next"]) is None:
            break
    assert seen == whole["entries"]


def test_the_log_is_read_without_gaps(http: httpx.Client) -> None:
    first = http.get("/events", params={"limit": 7}).json()
    second = http.get("/events", params={"limit": 7, "after": first["next"]}).json()
    positions = [event["position"] for event in first["events"] + second["events"]]
    assert positions == list(range(1, 15))
    end = http.get("/events", params={"after": first["log_end"] + 1000}).json()
    assert (end["events"], end["next"]) == ([], first["log_end"] + 1000)
    assert end["log_end"] == first["log_end"]
    assert http.get("/events", params={"bucket": 63}).json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "page"), [("/events?limit=1000", LogPage), ("/members/t1/events", History)]
)
def test_a_page_of_events_is_what_its_description_says(
    http: httpx.Client, path: str, page: type[BaseModel]
) -> None:
    """It is written without the model, which costs three times as much."""
    told = http.get(path).content
    assert page.model_validate_json(told).model_dump_json().encode() == told


def test_a_history_pages_and_holds_no_name_and_no_phone(http: httpx.Client) -> None:
    whole = http.get("/members/t1/events").json()
    assert [event["stream_version"] for event in whole["events"]] == list(
        range(1, len(whole["events"]) + 1)
    )
    page = http.get("/members/t1/events", params={"limit": 2}).json()
    assert page["events"] == whole["events"][:2]
    rest = http.get("/members/t1/events", params={"cursor": page["next"]}).json()
    assert rest["events"] == whole["events"][2:]
    assert facts.PHONE not in str(whole)
    assert "测试" not in str(whole)


def test_figures_and_their_explanations(http: httpx.Client) -> None:
    measures = http.get("/figures").json()
    assert measures["demo"]["complete"]
    assert {"bindings.rate", "visits.count"} <= {f["measure_id"] for f in measures["figures"]}
    told = http.get("/reports/vip-2008/figures").json()
    assert len(told["figures"]) > 50
    verdicts = {figure["verdict"] for figure in told["figures"]}
    assert "differs" not in verdicts
    assert {"scaled", "agrees", "stated only", "contradicts itself"} <= verdicts
    rate = next(each for each in told["figures"] if each["claim_id"] == "binding.rate")
    path = "/reports/vip-2008/figures/binding.rate"
    explained = http.get(path, params={"limit": 3}).json()
    assert explained["figure"] == rate
    assert explained["measured"]["inputs"]
    assert [each["claim_id"] for each in explained["rests_on"]] == ["binding.bound", "binding.base"]
    assert len(explained["contributions"]) == 3
    more = http.get(path, params={"limit": 3, "cursor": explained["next"]}).json()
    assert more["contributions"][0] not in explained["contributions"]
    stated = http.get("/reports/vip-2008/figures/binding.target_basic").json()
    assert (stated["measured"], stated["contributions"], stated["next"]) == (None, [], None)
    unknown = http.get("/reports/vip-2008/figures/members.none")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_claim")


def test_club_use_by_month(http: httpx.Client) -> None:
    year = {"from": "2008-01-01", "to": "2008-12-31"}
    whole = http.get("/clubs/health/use", params=year).json()
    assert whole["months_open"] == 7
    assert sum(row["visits"] for row in whole["rows"]) == whole["visits"]
    parts = http.get("/clubs/health/use", params={**year, "by": ["month", "tier"]}).json()
    assert sum(row["visits"] for row in parts["rows"]) == whole["visits"]
    turned = http.get("/clubs/health/use", params={"from": "2008-12-31", "to": "2008-01-01"})
    assert turned.status_code == 422
    assert http.get("/clubs/none/use").json()["code"] == "unknown_club"


def test_clubs_and_prices(http: httpx.Client) -> None:
    listed = [club["club_id"] for club in http.get("/clubs").json()["clubs"]]
    assert {"health", "t-club"} <= set(listed)
    services = http.get("/clubs/t-club").json()["services"]
    assert {each["service_id"]: each["points"] for each in services} == {"tea": 10, "gift": 40}
    assert http.get("/clubs/none").json()["code"] == "unknown_club"
    assert "t-campaign" in [c["campaign_id"] for c in http.get("/campaigns").json()["campaigns"]]


def samples(said: str) -> dict[tuple[str, ...], float]:
    """What /metrics says, by the name of each without ours, and the labels."""
    return {
        (sample.name.removeprefix("clubledger_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(said)
        for sample in family.samples
    }


def test_no_label_of_a_metric_holds_what_was_sent(http: httpx.Client, contract: Contract) -> None:
    http.get("/members/13800001111")
    assert visit(http, "13800001111").status_code == 404
    http.request("SECRET", "/13800001111", headers={"Clubledger-Actor": "clerk:13800001111"})
    known = {
        "route": {*contract.document["paths"], "unmatched"},
        "method": {*tracing.METHODS, "other"},
        "status": {str(status) for status in range(200, 600)},
        "command": {*COMMANDS},
        "outcome": {"written", "replayed", "failed", "taken", *problems.codes()},
        "code": {*problems.codes()},
        "bucket": {"0"},
        "standing": {"delivers", "tries again", "stopped"},
        "state": {*jobs.STATES},
    }
    found = text_string_to_metric_families(http.get("/metrics").text)
    labels = [each.labels for family in found for each in family.samples]
    assert {"route", "method", "outcome"} <= {name for each in labels for name in each}
    for each in labels:
        for name, value in each.items():
            if name not in ("le", "version", "python"):
                assert value in known[name], name


def test_every_door_tells_the_demo_clock(http: httpx.Client) -> None:
    alive = http.get("/livez")
    assert alive.headers["clubledger-clock"].startswith("2009-01-05T")
    assert alive.headers["clubledger-clock"].endswith("+08:00")
    status = http.get("/status").json()
    assert status["demo_clock"]
    assert status["clock"].startswith("2009-01-05T")
    assert status["demo"]["scale"] == "0.002"
    assert status["events"] == sum(lane["log_end"] for lane in status["lanes"])


def test_a_read_waits_for_a_position_but_not_for_ever(http: httpx.Client) -> None:
    answer = http.get("/members/t1", params={"wait_for": "0:999999999"})
    assert (answer.status_code, answer.json()["code"]) == (504, "not_caught_up")


# ------------------------------------------------------------------------------ several workers
SLOW_LANE = {"Content-Type": "application/json; charset=utf-8"}
"""The express lane leaves a request with such a header to the application's own route."""


@pytest.mark.parametrize(
    "other",
    [{}, {"shown_points": 11}, {"club_id": "nowhere"}, {"companions": -1}, {"nothing": 1}],
    ids=["taken", "price changed", "unknown club", "not valid", "not known"],
)
def test_the_express_lane_answers_as_the_route_does(
    http: httpx.Client, gold: str, other: dict[str, Any]
) -> None:
    key = fresh_key()
    body = {"club_id": "t-club", "service_id": "tea", "desk": "d1", "shown_points": 10, **other}
    path = f"/members/{gold}/visits"
    headers = {"Idempotency-Key": key, "X-Request-Id": str(uuid4())}
    fast = http.post(path, json=body, headers=headers)
    slow = http.post(path, json=body, headers=headers | SLOW_LANE)
    assert (fast.status_code, fast.json()) == (slow.status_code, slow.json())
    apart = {"date", "clubledger-clock", "idempotent-replayed"}  # the seconds go on between the two
    assert fast.headers.keys() - apart == slow.headers.keys() - apart
    assert ("clubledger-clock" in fast.headers) == ("clubledger-clock" in slow.headers)
    assert {k: v for k, v in fast.headers.items() if k not in apart} == {
        k: v for k, v in slow.headers.items() if k not in apart
    }
    assert ("idempotent-replayed" in slow.headers) == (not other)


def test_every_express_lane_is_a_route_of_the_document(
    http: httpx.Client, contract: Contract
) -> None:
    served = http.get("/openapi.json").json()
    assert served == contract.document, "answers are held against the one beside the tests"
    paths = served["paths"]
    posts = {re.sub(r"{\w+}", "{}", path) for path, methods in paths.items() if "post" in methods}
    assert {f"/{prefix}/{before}/{{}}/{after}" for prefix, before, after in HOT} <= posts


@pytest.mark.slow
def test_workers_share_the_ledger_and_leave_together(demo_dir: Path, gold: str) -> None:
    several = serving(demo_dir, "--workers", "2", environ={"CLUBLEDGER_ACCESS_LOG": "1"})
    try:
        key = fresh_key()
        with (
            ThreadPoolExecutor(8) as pool,
            Client(base_url=several.address, timeout=PATIENCE_S) as client,
        ):
            answers = list(pool.map(lambda _: visit(client, gold, key), range(16)))
        assert {answer.status_code for answer in answers} == {201}
        assert sum("idempotent-replayed" in answer.headers for answer in answers) == 15
        for _ in range(4):  # Whichever of them is asked, on a connection of its own.
            counted = samples(httpx.get(f"{several.address}/metrics", timeout=PATIENCE_S).text)
            assert counted["commands_total", "visit.record", "written"] == 1
            assert counted["commands_total", "visit.record", "replayed"] == 15
            route = ("POST", "/v1/members/{member_id}/visits", "201")
            assert counted["http_request_duration_seconds_count", *route] == 16
            assert counted["batch_commands_sum",] >= 1
            assert counted["http_connections",] >= 1
        ours, number = str(uuid4()), "110101199001011234"
        trace = f"00-{ours.replace('-', '')}-00f067aa0ba902b7-01"
        asked = f"{several.address}/v1/members/{number}?known_at=0:1"
        for sent, kept in (
            ({"X-Request-Id": ours}, ours),
            ({"X-Request-Id": number, "traceparent": trace}, ours.replace("-", "")),
            ({"X-Request-Id": number}, None),
        ):
            given = httpx.get(asked, headers=sent, timeout=PATIENCE_S).headers["x-request-id"]
            assert re.fullmatch("[0-9a-f-]{32,36}", given)
            assert given == (kept or given)
    finally:
        ended = stopped(several, signal.SIGTERM)
    assert ended.code == 0, ended.err
    told = [line for line in map(json.loads, ended.err.splitlines()) if "request_id" in line]
    visits = {"method": "POST", "route": "/v1/members/{member_id}/visits", "status": 201}
    assert sum(visits.items() <= line.items() for line in told) == 16
    assert len({line["request_id"] for line in told}) > 20
    assert ours in {line["request_id"] for line in told}
    assert number not in ended.err
    assert "known_at" not in ended.err
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{several.address}/livez", timeout=PATIENCE_S)


@pytest.mark.parametrize(
    "spelt",
    [
        "10000000001", "+8610000000001", "008610000000001", "+86 1000-000-0001",
        "86 100 0000 0001", " 1000 000 0001 ",
        "\uff0b\uff18\uff16 \uff11\uff10\uff10\uff10 000 0001",
    ],
)  # fmt: skip
def test_a_number_of_the_demo_is_found_however_it_is_spelt(
    http: httpx.Client, demo_dir: Path, spelt: str
) -> None:
    (found,) = http.post("/members/lookup", json={"phone": spelt}).json()["members"]
    assert found["member_id"] == "m000001"
    shown = clubledger("member", spelt, data_dir=demo_dir)
    assert (shown.code, "m000001" in shown.out) == (0, True)
