"""The auditor's pages: the log and the changes as the API answers them, to whom it does."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape

import httpx
import pytest

from api.doors import PREFIX
from api.http.pages import telling, words
from api.http.pages.measures import event_address
from api.http.pages.page import AUDIT
from api.runtime.clock import Clock
from domain.kernel.values import add_months, local_date
from domain.simulation.scenario import CHANGES
from tests.addresses import Patient
from tests.pages.conftest import Claimed, House, customer
from tests.patience import PATIENCE_S, eventually

HOSTILE = "<script>alert(1)</script>“'\""
FROM_A_PAGE = {"sec-fetch-site": "same-origin", "hx-request": "true"}
ENGLISH = {"accept-language": "en"}


@pytest.fixture(scope="module")
def pages(house: House) -> Iterator[httpx.Client]:
    """A client of the branch's server, with a customer whose life is looked at."""
    house.tell({"command": "unit.open", "unit_id": "audited", "title": HOSTILE})
    told = customer("audited-1", 1_200)
    house.tell(*({**each, "unit_id": "audited"} if "unit_id" in each else each for each in told))
    house.settle()
    with Patient(base_url=house.address, timeout=PATIENCE_S) as client:
        yield client


def text_of(answer: httpx.Response) -> str:
    """What a reader reads of a page."""
    assert answer.status_code == 200, answer.text
    assert "<script>alert" not in answer.text
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text)))


def links_of(answer: httpx.Response, path: str) -> list[str]:
    """Where a page leads under this path, but for the event after which is shown how it stood."""
    without = re.sub(r'<div id="then".*?</div>', "", answer.text, flags=re.DOTALL)
    found = [unescape(each) for each in re.findall(r'href="([^"]+)"', without)]
    return [each for each in found if each.startswith(path)]


def test_a_timeline_tells_every_event_of_the_log_in_sentences_and_in_pages(
    pages: httpx.Client,
) -> None:
    asked = {"kind": "member", "stream_id": "audited-1"}
    told = pages.get(f"{PREFIX}/members/audited-1/events").json()["events"]
    first = pages.get(AUDIT, params={**asked, "limit": len(told) - 1})
    assert "会员 audited-1 的时间线" in text_of(first)
    assert "发放 1,200 积分" in text_of(pages.get(AUDIT, params=asked))
    assert "1,200 points credited" in text_of(pages.get(AUDIT, params=asked, headers=ENGLISH))
    (more,) = [each for each in links_of(first, AUDIT) if "after=" in each]
    second = pages.get(more)
    shown = [each for one in (first, second) for each in links_of(one, f"{AUDIT}/events/")]
    assert shown == [event_address(f"{each['bucket']}:{each['position']}") for each in told]
    unit = text_of(pages.get(AUDIT, params={"kind": "unit", "stream_id": "audited"}))
    assert HOSTILE in unit


def test_a_member_is_shown_as_he_stood_after_an_event_and_as_of_a_date(
    pages: httpx.Client,
) -> None:
    of = {"kind": "member", "stream_id": "audited-1"}
    told = pages.get(f"{PREFIX}/members/audited-1/events").json()["events"]
    for nth, each in enumerate(told, start=1):
        then = {"known_at": f"{each['bucket']}:{each['position']}"}
        then["effective_at"] = each["recorded_at"]
        card = pages.get(f"{PREFIX}/members/audited-1", params=then).json()
        said = text_of(pages.get(AUDIT, params={**of, "until": nth}))
        assert f"第 {nth} 条（共 {len(told)} 条）之后" in said
        assert f"可用积分 {card['spendable_points']:,}" in said
    last = f"{told[-1]['bucket']}:{told[-1]['position']}"
    shown = pages.get(AUDIT, params={**of, "known_at": last}, headers=ENGLISH)
    assert "Points to spend 1,200" in text_of(shown)
    unit = {"kind": "unit", "stream_id": "audited", "until": "1"}
    assert "After event 1 of 1" in text_of(pages.get(AUDIT, params=unit, headers=ENGLISH))
    early = pages.get(AUDIT, params={**of, "effective_at": "1999-01-01"})
    assert early.status_code == 404


def test_what_is_in_doubt_and_what_broke_a_rule_is_listed_as_the_api_does(
    pages: httpx.Client,
) -> None:
    for name in ("doubts", "exceptions"):
        found = pages.get(f"{PREFIX}/{name}", params={"limit": 2}).json()
        answer = pages.get(f"{AUDIT}/{name}", params={"limit": 2})
        places = [event_address(f"{one['bucket']}:{one['position']}") for one in found[name]]
        assert links_of(answer, f"{AUDIT}/events/") == places
        assert bool(places) != (words.say("zh", f"no_{name}") in text_of(answer))


def test_who_is_not_there_has_no_timeline(pages: httpx.Client) -> None:
    assert "请选择对象类别" in text_of(pages.get(AUDIT))
    asked = {"kind": "member", "stream_id": f"nobody{HOSTILE}"}
    assert "没有任何事件" in text_of(pages.get(AUDIT, params=asked))
    assert pages.get(AUDIT, params={"kind": "house", "stream_id": "a"}).status_code == 422


def test_an_event_says_when_by_whom_and_by_which_command_it_came_and_what_came_with_it(
    pages: httpx.Client,
) -> None:
    told = pages.get(f"{PREFIX}/members/audited-1/events").json()["events"]
    credit = next(each for each in told if each["topic"] == "points.credited")
    at = event_address(f"{credit['bucket']}:{credit['position']}")
    said = text_of(pages.get(at, headers=ENGLISH))
    assert "1,200 points credited" in said
    assert credit["key"] in said
    assert credit["actor"] in said
    assert "Its command points.credit" in said
    (back,) = [each for each in links_of(pages.get(at), AUDIT) if "stream_id=" in each]
    assert links_of(pages.get(back), at) == [at]
    before, after = (event_address(f"{credit['bucket']}:{credit['position'] + n}") for n in (-1, 1))
    assert before in links_of(pages.get(at), AUDIT)
    assert pages.get(before).status_code == 200
    assert (after in links_of(pages.get(at), AUDIT)) == (pages.get(after).status_code == 200)
    for place in ("0:999999999", "63:1"):
        assert pages.get(event_address(place)).status_code == 404


def test_two_moments_are_compared_as_the_api_does(pages: httpx.Client) -> None:
    told = pages.get(f"{PREFIX}/members/audited-1/events").json()["events"]
    credit = next(each for each in told if each["topic"] == "points.credited")
    asked = {
        "from": f"{credit['bucket']}:{credit['position'] - 1}",
        "to": f"{credit['bucket']}:{credit['position']}",
    }
    found = pages.get(f"{PREFIX}/changes", params=asked).json()
    answer = pages.get(f"{AUDIT}/compare", params=asked, headers=ENGLISH)
    said = text_of(answer)
    assert found["events"] == [{"topic": "points.credited", "added": 1, "dropped": 0}]
    assert "Points credited points.credited 1 0 Sum 1 0" in said
    assert found["measures"]
    rows = re.findall('<tr><th scope="row"', answer.text)
    assert len(rows) == len(found["measures"]) + len(found["events"])
    for each in found["measures"]:
        assert each["before"] is None or f"{each['before']:,}" in said, each
        assert each["after"] is None or f"{each['after']:,}" in said, each
    then = next(each for each in links_of(answer, "/figures/measures/") if "known_at" in each)
    assert pages.get(then).status_code == 200
    same = {"from": asked["from"], "to": asked["from"]}
    said = text_of(pages.get(f"{AUDIT}/compare", params=same))
    assert "两个时点的指标完全相同" in said
    assert "两个时点所含事件相同" in said
    assert "请选择起始时点" in text_of(pages.get(f"{AUDIT}/compare"))
    assert pages.get(f"{AUDIT}/compare", params={"from": "yesterday"}).status_code == 422


def ended(pages: httpx.Client, answer: httpx.Response, **spoken: str) -> str:
    """What the page of a job says once it has ended; `answer` shows how it stands."""
    assert answer.status_code == 200, answer.text
    (job_id,) = re.findall(r'data-job="([0-9a-f]{16})"', answer.text)
    place = f"/files/jobs/{job_id}"
    assert eventually(lambda: 'hx-trigger="load' not in pages.get(place).text)
    assert 'data-state="succeeded"' in pages.get(place).text
    return text_of(pages.get(place, headers=spoken))


def pressed(pages: httpx.Client, answer: httpx.Response, holding: str) -> httpx.Response:
    """What comes of the first button of a page that sends this."""
    found = [unescape(each) for each in re.findall(r'hx-vals="([^"]+)"', answer.text)]
    vals = json.loads(next(each for each in found if holding in each))
    return pages.post(f"{AUDIT}/jobs", data=vals, headers=FROM_A_PAGE)


def test_rows_that_make_a_figure_differ_foot_to_its_difference(pages: httpx.Client) -> None:
    told = pages.get(f"{PREFIX}/members/audited-1/events").json()["events"]
    credit = next(each for each in told if each["topic"] == "points.credited")
    bucket, position = credit["bucket"], credit["position"]
    asked = {"from": f"{bucket}:{position - 1}", "to": f"{bucket}:{position}"}
    answer = pages.get(f"{AUDIT}/compare", params=asked)
    begun = pressed(pages, answer, "points.outstanding")
    again = pressed(pages, answer, "points.outstanding")
    assert re.findall(r'data-job="\w+"', begun.text) == re.findall(r'data-job="\w+"', again.text)
    said = ended(pages, begun, **ENGLISH)
    assert "+1,200 +1,200 ✓" in said
    assert "1 rows differ" in said
    assert f"+ Points credited {bucket}:{position}" in said
    assert "audited-1" in said


def test_answers_are_proved_by_a_job_and_the_ledgers_health_is_told(pages: httpx.Client) -> None:
    answer = pages.get(f"{AUDIT}/health")
    status = pages.get(f"{PREFIX}/status").json()
    assert f"日志事件数 {status['events']:,}" in text_of(answer)
    said = ended(pages, pressed(pages, answer, '"compare'), **ENGLISH)
    assert "Every row agrees" in said
    assert "a second opinion in plain Python" in said
    said = ended(pages, pressed(pages, answer, '"export_log'))
    assert "events.jsonl" in said
    bad = {"key": "k", "asked": "{"}
    assert "data-code" in pages.post(f"{AUDIT}/jobs", data=bad, headers=FROM_A_PAGE).text


def test_the_log_is_shown_to_whom_the_api_shows_it(claimed: Claimed) -> None:
    with Patient(base_url=claimed.address, timeout=PATIENCE_S) as client:
        for path in (AUDIT, f"{AUDIT}/events/0/1", f"{AUDIT}/health"):
            shown = {
                name: client.get(path, headers={"authorization": f"Bearer {key}"}).status_code
                for name, key in (("west", claimed.key_of_west), ("all", claimed.key_of_all))
            }
            assert shown == {"west": 403, "all": 200}
        west = {"authorization": f"Bearer {claimed.key_of_west}"}
        api = client.get(f"{PREFIX}/changes", params={"from": "0:1"}, headers=west).status_code
        page = client.get(f"{AUDIT}/compare", params={"from": "0:1"}, headers=west).status_code
        assert api == page == 403


def test_what_is_null_or_of_yesterday_is_told_all_the_same() -> None:
    assert telling.sentence("zh", "umbrella.lent", {}) == "umbrella.lent"
    assert "Went from tier — to Gold: asked" in telling.sentence(
        "en", "tier.changed", {"tier": "gold", "reason": "asked"}
    )
    given = [[1, "outside", "spendable", 900], [1, "spendable", "reversed", 100]]
    assert telling.moved(given) == 800
    assert telling.value("zh", "tiers", ["gold", "silver"]) == "金卡、银卡"
    assert telling.value("en", "title", "gold") == "gold"
    assert telling.value("en", "tier_points", {"gold": 1_000}) == "Gold 1,000"


def test_what_if_is_asked_by_a_form_and_told_by_a_job(pages: httpx.Client) -> None:
    at = f"{AUDIT}/what-if"
    start = pages.get(at)
    (key,) = re.findall(r'name="key" value="([^"]+)"', start.text)
    offered = re.findall(r'"add": "(\w+)"', unescape(start.text))
    assert offered == [*CHANGES]

    def asked(path: str, **said: str) -> httpx.Response:
        return pages.post(path, data={"key": key, **said}, headers={**FROM_A_PAGE, **ENGLISH})

    for kind in CHANGES:
        form = asked(f"{at}/try", add=kind)
        assert 'name="0.since"' in form.text
        assert "Not filled in rightly" not in text_of(form)
    empty = text_of(asked(at, **{"0.change": "service_price"}))
    assert "this is needed" in empty
    both = {"0.change": "service_price", "0.club_id": "tea", "0.factor": "1/2", "0.points": "3"}
    assert "one of the two" in text_of(asked(at, **both))
    twice = {
        f"{n}.{k}": v
        for n in (0, 1)
        for k, v in {
            "change": "tier_rule",
            "window": "rolling",
            "thresholds_fen.gold": "500.00",
        }.items()
    }
    assert "is said once" in text_of(asked(at, **twice))
    dropped = asked(f"{at}/try", drop="0", **twice)
    assert 'name="0.window"' not in dropped.text
    assert 'value="500.00"' in dropped.text
    assert asked(at, **{"0.change": "umbrella"}).headers.get("hx-retarget") == "#problem"
    half = {"0.change": "earning_rate", "0.factor": "1/2", "fen_per_1000_points": "1,000.00"}
    begun = asked(at, **half)
    (job_id,) = re.findall(r"/files/jobs/(\w+)/state", begun.text)
    assert job_id in asked(at, **half).text
    shown = pages.get(f"/files/jobs/{job_id}")
    said = ended(pages, shown, **ENGLISH)
    assert "Figures that would be otherwise" in said
    assert "audited-1" in said
    assert "Times 1/2" in said
    made = pages.get(f"{PREFIX}/jobs/{job_id}/files/1")
    assert made.json()["scenario"]["changes"][0]["factor"] == "1/2"
    api = pages.post(f"{PREFIX}/what-if", json=made.json()["scenario"]).json()
    assert api["measures"] == made.json()["measures"]
    for each in api["measures"]:
        assert f"{each['after']:,}" in said, each


def test_corrections_say_what_counted_before_and_what_counts_now(
    pages: httpx.Client, house: House
) -> None:
    him = {"member_id": "corrected-1"}
    long_ago = (Clock().now() - timedelta(days=40)).isoformat()
    (joins, *more) = customer("corrected-1", 700)
    house.tell({**joins, "at": long_ago}, *more)
    last_month = f"{add_months(local_date(Clock().now()).replace(day=1), -1):%Y-%m}"
    bill = {"command": "bill.record", **him, "month": last_month}
    house.tell({**bill, "amount_fen": 163_000}, {"command": "bill.correct", **him,
        "month": last_month, "reason": HOSTILE}, {**bill, "amount_fen": 16_300})  # fmt: skip
    house.tell({"command": "points.reverse_credit", **him, "lot": 1, "points": 100,
                "policy": "forgive", "reason": "typed in twice"})  # fmt: skip
    house.settle()
    told = pages.get(f"{PREFIX}/members/corrected-1/events").json()["events"]
    at = {each["topic"]: each["position"] for each in told}  # of each the last
    rows = pages.get(f"{PREFIX}/lists/corrections", params=him).json()["corrections"]
    assert [(row["kind"], row["topic"], row["position"]) for row in rows] == [
        ("late", "member.joined", at["member.joined"]),
        ("corrected", "bill.issued", at["fact.corrected"]),
        ("reversed", "points.credited", at["points.credit_reversed"]),
    ]
    first = next(each["position"] for each in told if each["topic"] == "bill.issued")
    assert (rows[1]["fact_position"], rows[1]["anew_position"]) == (first, at["bill.issued"])
    assert (rows[2]["which"], rows[2]["fact_position"]) == ("1", at["points.credited"])
    asked = {**him, "kind": "corrected,reversed,late"}
    answer = pages.get(f"{AUDIT}/corrections", params=asked)
    said = text_of(answer)
    assert said.index("1,630.00") < said.index("163.00") < said.index(HOSTILE)
    assert f"更正：{telling.topic('zh', 'bill.issued')}" in said
    places = [
        f"{row['bucket']}:{row[name]}"
        for row in rows
        for name in ("fact_position", "anew_position", "position")
        if row[name]
    ]
    links = links_of(answer, f"{AUDIT}/events/")
    assert {*links} == {event_address(each) for each in places}
    (csv,) = [each for each in links_of(answer, PREFIX) if "format=csv" in each]
    assert pages.get(csv).text.count("corrected-1") >= 3
    page = pages.get(f"{AUDIT}/corrections", params={**asked, "limit": 1})
    (more_,) = [each for each in links_of(page, AUDIT) if "after=" in each]
    assert "1,630.00" in text_of(pages.get(more_))
    none = {**him, "last": "2000-01-01"}
    assert "所选时段没有" in text_of(pages.get(f"{AUDIT}/corrections", params=none))
    assert pages.get(f"{AUDIT}/corrections", params={"kind": "odd"}).status_code == 422
    before = {**asked, "known_at": f"{rows[0]['bucket']}:{at['fact.corrected'] - 1}"}
    assert "1,630.00" not in text_of(pages.get(f"{AUDIT}/corrections", params=before))
