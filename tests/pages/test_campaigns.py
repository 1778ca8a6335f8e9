"""The campaigns: what the pages show is what the API says, and an enrolment is what was shown."""

import re
from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from tests.addresses import Patient
from tests.pages.conftest import Claimed, House, customer, launch
from tests.pages.test_guards import OWN, code_of
from tests.patience import PATIENCE_S, eventually

BASE = "/campaigns"


@pytest.fixture
def pages(house: House) -> Iterator[httpx.Client]:
    """A client of the branch's server, in English; once it has campaigns."""
    if house.ask("/campaigns/mine").get("code") == "unknown_campaign":
        house.tell(
            launch("mine", cap=2, budget_fen=50_000_00, title="<b>春</b>"),
            launch("care", kind="care", months_bound=0, prepaid_min_fen=0, gift_bp=0),
            launch("later", opens_on="2099-01-01"),
            *customer("e1", 1),
            *customer("e2", 1),
            *customer("e3", 1),
        )
        house.settle()
    headers = {**OWN, "Accept-Language": "en"}
    with Patient(base_url=house.address, headers=headers, timeout=PATIENCE_S) as client:
        yield client


def hidden(said: str) -> dict[str, str]:
    """What the form of an answer sends."""
    inputs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', said)
    return {name: unescape(value) for name, value in inputs}


def test_the_list_says_of_each_what_the_api_says(pages: httpx.Client, house: House) -> None:
    shown = pages.get(BASE).text
    for each in house.ask("/campaigns")["campaigns"]:
        assert f'href="{BASE}/{each["campaign_id"]}"' in shown
    assert "&lt;b&gt;春&lt;/b&gt;" in shown
    assert "<b>春" not in shown
    assert "Not open yet" in shown
    chinese = pages.get(BASE, headers={"Accept-Language": "zh"}).text
    assert "营销活动" in chinese
    assert "未开始" in chinese


def test_what_is_shown_first_is_what_is_done_and_it_can_be_taken_back(
    pages: httpx.Client, house: House
) -> None:
    shown = pages.post(f"{BASE}/mine/customer", data={"said": "e1", "prepaid_yuan": "1,200.50"})
    assert "1,200.50" in shown.text
    assert "120.05" in shown.text
    assert "Bound: prepay" in shown.text
    assert house.ask("/members/e1")["bindings"] == [], "looking writes nothing"
    form = hidden(shown.text)
    for _ in range(2):  # pressed twice
        done = pages.post(f"{BASE}/mine/enrolments", data=form)
        assert "place 1" in done.text
        assert "terms version 1" in done.text
    house.settle()
    known = house.ask("/campaigns/mine")
    assert (known["participants"], known["prepaid_fen"], known["gift_fen"]) == (1, 120_050, 12_005)
    assert "1,200.50" in pages.get(f"{BASE}/mine").text
    again = pages.post(f"{BASE}/mine/customer", data={"said": "e1"})
    assert code_of(again) == "already_enrolled"
    back = {"member_id": "e1", "reason": "wrong customer", "key": "back-1"}
    assert "Taken back" in pages.post(f"{BASE}/mine/corrections", data=back).text
    house.settle()
    assert house.ask("/campaigns/mine")["participants"] == 0


def test_a_campaign_that_takes_nobody_says_since_when_and_has_no_form(
    pages: httpx.Client, house: House
) -> None:
    house.tell(launch("ended", closes_on="2020-12-31"), launch("shut"))
    house.tell({"command": "campaign.close", "campaign_id": "shut", "reason": "sold out"})
    house.settle()
    said = {"later": "from 2099-01-01 on", "ended": "until 2020-12-31", "shut": "closed early"}
    for campaign, sentence in said.items():
        for path in (f"{BASE}/{campaign}", f"{BASE}/{campaign}/file"):
            shown = pages.get(path).text
            assert sentence in shown, path
            assert "hx-post" not in shown.partition("<main")[2], path


def test_all_that_an_enrolment_changes_is_shown_once_it_is_taken_in(
    pages: httpx.Client, house: House
) -> None:
    house.tell(launch("counted", cap=2), *customer("e4", 1))
    house.settle()
    shown = pages.post(f"{BASE}/counted/customer", data={"said": "e4", "prepaid_yuan": "700"})
    done = pages.post(f"{BASE}/counted/enrolments", data=hidden(shown.text)).text
    (path,) = re.findall(r'hx-get="([^"]+)"', done)
    afresh, whole = pages.get(unescape(path)).text, pages.get(f"{BASE}/counted").text
    for part in ('<div id="came-to"', '<div id="targets"'):
        own, of_page = (each.partition(part)[2].partition(">")[2] for each in (afresh, whole))
        assert own
        assert of_page.startswith(own[: own.index("</div>")]), part
    assert "700" in afresh.partition('id="came-to"')[2]


def test_who_was_offered_it_and_has_not_enrolled_is_listed_as_the_api_lists_them(
    pages: httpx.Client, house: House
) -> None:
    house.tell(launch("drawn", arms="given"), *(x for n in range(5) for x in customer(f"w{n}", 1)))
    arms = ["offered", "offered", "control", "offered"]
    offered: list[dict[str, object]] = [
        {"command": "campaign.offer", "campaign_id": "drawn", "member_id": f"w{n}", "arm": arm}
        for n, arm in enumerate(arms)
    ]
    enrolled = {"member_id": "w1", "campaign_id": "drawn", "prepaid_fen": 60_000}
    gone = {"member_id": "w3", "reason": "moved abroad"}
    house.tell(
        *offered, {"command": "campaign.enrol", **enrolled}, {"command": "member.leave", **gone}
    )
    house.settle()
    assert 'href="/campaigns/drawn/not-enrolled"' in pages.get(f"{BASE}/drawn").text
    shown = pages.get(f"{BASE}/drawn/not-enrolled").text
    assert re.findall(r'<th scope="row">(\w+)</th>', shown) == ["w0"]
    assert "东区" in shown
    (csv,) = re.findall(r'href="(/v1/lists/not_enrolled[^"]*csv)"', shown)
    assert ",w0,drawn," in pages.get(unescape(csv)).text
    listed = house.ask("/lists/not_enrolled?campaign_id=drawn")["not_enrolled"]
    assert [(each["member_id"], each["unit_id"]) for each in listed] == [("w0", "east")]
    empty = pages.get(f"{BASE}/later/not-enrolled").text
    assert "Nobody was offered it" in empty


@pytest.mark.parametrize(
    ("campaign", "said", "code"),
    [
        ("mine", {"said": "e2", "prepaid_yuan": "1"}, "prepaid_too_small"),
        ("mine", {"said": "e2", "prepaid_yuan": "much"}, "invalid"),
        ("mine", {"said": "e2", "prepaid_yuan": "1.234"}, "invalid"),
        ("mine", {"said": "nobody-has-this"}, "unknown_member"),
        ("mine", {"said": "'; --"}, "unknown_member"),
        ("later", {"said": "e2"}, "campaign_not_open"),
        ("none", {"said": "e2"}, "unknown_campaign"),
    ],
)
def test_why_somebody_may_not_is_told_in_place(
    pages: httpx.Client, campaign: str, said: dict[str, str], code: str
) -> None:
    answer = pages.post(f"{BASE}/{campaign}/customer", data=said)
    assert (answer.status_code, code_of(answer)) == (200, code)


def test_terms_that_have_moved_are_shown_again(pages: httpx.Client, house: House) -> None:
    shown = pages.post(f"{BASE}/care/customer", data={"said": "e3"})
    house.tell(
        {
            "command": "campaign.change_terms",
            "campaign_id": "care",
            "prepaid_min_fen": 0,
            "gift_bp": 0,
            "months_bound": 0,
            "min_monthly_fen": 0,
        }
    )
    answer = pages.post(f"{BASE}/care/enrolments", data=hidden(shown.text))
    assert code_of(answer) == "terms_are_newer"


def test_a_campaigner_sees_and_enrols_those_of_his_unit_alone(claimed: Claimed) -> None:
    headers = {**OWN, "Authorization": f"Bearer {claimed.key_of_campaigner}"}
    with Patient(base_url=claimed.address, headers=headers, timeout=PATIENCE_S) as client:
        assert 'name="said"' in client.get(f"{BASE}/own").text
        other = client.post(f"{BASE}/own/customer", data={"said": "a-poor"})
        assert code_of(other) == "unknown_member"
        nobody = client.post(f"{BASE}/own/customer", data={"said": "nobody-at-all"})
        assert nobody.text == other.text, "nobody is told which of the two it is"
        assert "您的单位没有此卡号" in other.text
        forced = {"prepaid_fen": "60000", "shown_terms_version": "1", "key": "k1"}
        answer = client.post(f"{BASE}/own/enrolments", data={"member_id": "a-poor", **forced})
        assert code_of(answer) == "unknown_member", "nobody of another unit is told of"
        both = "a-poor;600\nnobody-at-all;600\nb-rich;600,5\n!;1\n"
        checked = client.post(f"{BASE}/own/file/check", data={"lines": both}).text
        codes = ["unknown_member", "unknown_member", "invalid", "invalid"]
        assert re.findall(r'<tr data-code="(\w+)"', checked) == codes
        assert "预存金额：不是金额" in checked
        assert "卡号：不是卡号" in checked
        tried = client.post(
            "/administration/commands/campaign.enrol/try",
            data={"key": "k2", "campaign_id": "own", "member_id": "a-poor", "prepaid_fen": "600"},
        )
        assert code_of(tried) == "unknown_member"
        shown = client.post(f"{BASE}/own/customer", data={"said": "b-rich"})
        done = client.post(f"{BASE}/own/enrolments", data=hidden(shown.text))
        assert 'class="receipt"' in done.text
        assert "corrections" not in done.text, "which he may not"
    headers["Authorization"] = f"Bearer {claimed.key_of_west}"
    with Patient(base_url=claimed.address, headers=headers, timeout=PATIENCE_S) as client:
        assert code_of(client.get(BASE)) == "not_allowed"


def test_who_has_not_enrolled_is_told_of_ones_own_units_alone(claimed: Claimed) -> None:
    told = [launch("lists", arms="given")] + [
        {"command": "campaign.offer", "campaign_id": "lists", "member_id": each, "arm": "offered"}
        for each in ("n-east", "n-west")
    ]
    keyed = [{"key": f"lists-{n}", **each} for n, each in enumerate(told)]
    of_all, of_west, of_sales = (
        {**OWN, "Authorization": f"Bearer {key}"}
        for key in (claimed.key_of_all, claimed.key_of_west, claimed.key_of_campaigner)
    )
    path, listed = f"{BASE}/lists/not-enrolled", "/v1/lists/not_enrolled?campaign_id=lists"
    with Patient(base_url=claimed.address, headers=of_all, timeout=PATIENCE_S) as client:
        client.post("/v1/commands", json={"commands": keyed})
        assert eventually(lambda: client.get("/v1/status").json()["behind"] == 0)
        every = client.get(path).text
        assert ("n-east" in every, "n-west" in every) == (True, True)
        own = client.get(path, headers=of_west).text
        assert ("n-east" in own, "n-west" in own) == (False, True)
        assert client.get(listed, headers=of_west).status_code == 403
        assert code_of(client.get(path, headers=of_sales)) == "not_allowed"
        assert "not-enrolled" not in client.get(f"{BASE}/lists", headers=of_sales).text


def test_a_file_is_checked_enrolled_line_by_line_and_the_same_file_again_changes_nothing(
    pages: httpx.Client, house: House
) -> None:
    house.tell(launch("filed", cap=2), *(x for n in range(4) for x in customer(f"f{n}", 1)))
    house.settle()
    lines = "card;预存金额\nf0;600\nf1;\nf0;900\n<b>;1\nf2;much\nf3;600\nnobody;600\n"
    checked = pages.post(f"{BASE}/filed/file/check", data={"lines": lines}).text
    codes = ["already_enrolled", "invalid", "invalid", "cap_reached", "unknown_member"]
    assert re.findall(r'<tr data-code="(\w+)"', checked) == codes
    assert "&lt;b&gt;" in checked
    assert "<b>;" not in checked
    assert house.ask("/campaigns/filed")["participants"] == 0, "looking writes nothing"
    form = {"lines": lines, "terms_version": "1"}
    first = pages.post(f"{BASE}/filed/file/enrolments", data=form).text
    assert "2,Enrolled" not in first
    assert re.findall(r"(\d),f\d,[\d.]*,Enrolled,(\d)", first) == [("2", "1"), ("3", "2")]
    events = pages.get("/v1/status").json()["events"]
    again = pages.post(f"{BASE}/filed/file/enrolments", data=form).text
    assert again.count("Done before") == 3, "each of the two, and how many"
    assert pages.get("/v1/status").json()["events"] == events


@pytest.mark.parametrize(
    "lines", ["\n\n", '{"command": "x"}', "card\n", "a,1\n" * 3_001, 'a,"1\n', "x" * 60_001]
)
def test_what_is_no_list_is_refused_whole(pages: httpx.Client, lines: str) -> None:
    answer = pages.post(f"{BASE}/mine/file/check", data={"lines": lines})
    assert code_of(answer) == "invalid"
    assert "Not filled in rightly: the file: " in answer.text, "what is wrong is said"


def test_units_are_ranked_by_who_is_bound_with_the_change_from_the_day_before(
    pages: httpx.Client, house: House
) -> None:
    then = {"at": "2021-01-01T00:00:00+08:00"}
    for unit, title in (("south", "南<区>"), ("north", "北区")):
        member = {"member_id": f"in-{unit}", "unit_id": unit}
        house.tell(
            {"command": "unit.open", "unit_id": unit, "title": title, **then},
            {"command": "member.join", **member, **then},
        )
    house.tell(
        {
            "command": "cohort.open",
            "cohort_id": "base",
            "title": "基数",
            "purpose": "binding",
            "criterion": "all",
            "taken_on": "2021-01-31",
        },
        {"command": "cohort.include", "cohort_id": "base", "member_id": "in-north"},
        {"command": "cohort.include", "cohort_id": "base", "member_id": "in-south"},
        {
            "command": "binding.start",
            "member_id": "in-south",
            "policy": "prepay",
            "starts_on": "2021-03-01",
            "ends_on": "2022-03-01",
            "at": "2021-03-01T09:00:00+08:00",
        },
    )
    house.settle()
    shown = pages.get(f"{BASE}/-/bindings?on=2021-03-01").text
    assert "南&lt;区&gt;" in shown
    assert re.search(r"1</td>.*南.*100.00%</td><td class=\"number\">\+100.00", shown)
    file = pages.get(f"{BASE}/-/bindings?on=2021-03-01&format=csv")
    assert file.headers["content-disposition"].endswith('bindings_by_unit.csv"')
    assert "1,south,南<区>,1,1,100.00,100.00" in file.text
