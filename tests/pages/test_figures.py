"""What the console of figures shows: what the API answers, to whom it answers it."""

import re
from collections.abc import Iterator
from datetime import date
from functools import partial
from html import unescape
from typing import Any

import httpx
import pytest

from api.doors import PREFIX
from api.http.pages import figures, measures, page, words
from api.http.pages.page import AUDIT, FIGURES
from projections.engine.catalogue import NOUNS
from projections.engine.measure import DAYS, MEASURES
from tests.addresses import Patient
from tests.pages.conftest import Claimed, House, customer
from tests.patience import PATIENCE_S

assert NOUNS
VIPS = f"{FIGURES}/measures/members.vips"
HOSTILE = "<script>alert(1)</script>“'\""


@pytest.fixture(scope="module")
def pages(house: House) -> Iterator[httpx.Client]:
    """A client of the branch's server, with three customers for figures in a unit of their own."""
    house.tell({"command": "unit.open", "unit_id": "figured", "title": HOSTILE})
    for n in range(3):
        house.tell(*({**each, **_here(each)} for each in customer(f"figured-{n}", 10)))
    house.settle()
    with Patient(base_url=house.address, timeout=PATIENCE_S, follow_redirects=True) as client:
        yield client


def _here(told: dict[str, object]) -> dict[str, object]:
    return {"unit_id": "figured"} if "unit_id" in told else {}


def text_of(answer: httpx.Response) -> str:
    """What a reader reads of a page."""
    assert answer.status_code == 200, answer.text
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text)))


def links_of(answer: httpx.Response) -> list[str]:
    """Where a page leads."""
    return [unescape(each) for each in re.findall(r'href="([^"]+)"', answer.text)]


def test_a_measure_shows_what_the_api_answers_and_leads_to_what_makes_it_up(
    pages: httpx.Client,
) -> None:
    asked = {"unit_id": "figured", "by": "tier"}
    told = pages.get(f"{PREFIX}/measures/members.vips", params=asked).json()
    assert told["value"] == 3
    shown = pages.get(VIPS, params=asked, headers={"accept-language": "en"})
    said = text_of(shown)
    assert "Customers who hold a tier" in said
    assert "which is not over" in said
    assert "Gold 3 3" in said, "of the group, and its input"
    assert HOSTILE in said
    assert "<script>alert" not in shown.text
    rows = next(
        each for each in links_of(shown) if "/contributions" in each and "tier=gold" in each
    )
    made_up = pages.get(rows, headers={"accept-language": "en"})
    said = text_of(made_up)
    assert [f"figured-{n}" in said for n in range(3)] == [True] * 3
    assert "Sum of all 3" in said
    assert "tier.changed 0:" in said
    event = next(each for each in links_of(made_up) if each.startswith(f"{AUDIT}/events/"))
    assert "tier.changed" in text_of(pages.get(event))
    files = [each for each in links_of(made_up) if "format=csv" in each]
    assert pages.get(files[0]).text.count("figured-") == 3


def test_rows_come_in_pages_that_foot(pages: httpx.Client) -> None:
    first = pages.get(f"{VIPS}/contributions", params={"unit_id": "figured", "limit": 2})
    assert "本页合计 2" in text_of(first)
    assert "全部合计 3" in text_of(first)
    following = next(each for each in links_of(first) if "&after=figured" in each)
    last = pages.get(following)
    assert "本页合计 1" in text_of(last)
    assert "figured-2" in text_of(last)
    assert not [each for each in links_of(last) if "&after=figured" in each]


def test_a_formula_is_said_in_words_in_both_languages() -> None:
    rate = MEASURES["retention.rate"]
    assert measures.in_words("zh", rate) == "100 × (基数客户 − 离网 − 低消) ÷ 基数客户"
    assert measures.in_words("en", rate) == "100 × (base − left − spent too little) ÷ base"


def test_whatever_measures_speak_of_has_a_name_in_both_languages() -> None:
    known = words.words()["names"]
    of = MEASURES.values()
    named = {*DAYS, *(name for each in of for name in (*each.takes, *each.rows.columns))}
    named |= {name for each in of for name in each.sums}
    named |= {f"unit:{each.unit}" for each in of}
    named |= {f"noun:{each.id.partition('.')[0]}" for each in of}
    assert named - known.keys() == set()
    assert all(len(each) == 2 and all(each) for each in known.values())


def test_what_a_form_leaves_blank_is_not_asked(pages: httpx.Client) -> None:
    asked = f"{VIPS}?unit_id=&tier=gold&by=tier&by=unit_id&known_at="
    answer = pages.get(asked, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{VIPS}?tier=gold&by=tier&by=unit_id"


def test_a_measure_that_needs_to_know_of_what_asks_for_it_first(pages: httpx.Client) -> None:
    answer = pages.get(f"{FIGURES}/measures/retention.rate")
    assert "请先选择统计对象" in text_of(answer)
    assert re.search(r'name="cohort_id" required', answer.text)
    unknown = pages.get(f"{FIGURES}/measures/retention.rate?cohort_id=nobody")
    assert (unknown.status_code, 'data-code="unknown_cohort"' in unknown.text) == (404, True)


def test_every_measure_is_in_the_catalogue_with_its_value(pages: httpx.Client) -> None:
    shown = pages.get(f"{FIGURES}/measures")
    told = pages.get(f"{PREFIX}/figures").json()["figures"]
    assert shown.text.count('<th scope="row">') == len(told)
    vips = next(each for each in told if each["measure_id"] == "members.vips")
    assert f"VIP客户数 {vips['value']:,} 户" in text_of(shown)


def test_who_has_a_unit_sees_its_figures_and_no_others(claimed: Claimed) -> None:
    key = {"Authorization": f"Bearer {claimed.key_of_west}"}
    with Patient(base_url=claimed.address, headers=key, timeout=PATIENCE_S) as client:
        own = client.get(VIPS, params={"unit_id": "west"})
        assert own.status_code == 200
        assert "b-rich" in client.get(f"{VIPS}/contributions?unit_id=west").text
        for path in (VIPS, f"{VIPS}?unit_id=east", f"{VIPS}/contributions", f"{FIGURES}/measures"):
            answer = client.get(path)
            assert (answer.status_code, 'data-code="not_allowed"' in answer.text) == (403, True)


def test_a_page_as_of_a_moment_says_so_and_keeps_it_in_its_links(
    pages: httpx.Client, house: House
) -> None:
    known = str(house.ask("/status")["events"])
    house.tell(*({**each, **_here(each)} for each in customer("figured-late", 10)))
    house.settle()
    asked = {"unit_id": "figured", "known_at": f"0:{known}"}
    then = pages.get(VIPS, params=asked)
    assert re.search("VIP客户 3 ", text_of(then))
    assert re.search(r"按 \d{4}-\d\d-\d\d \d\d:\d\d 所知", text_of(then))
    rows = next(each for each in links_of(then) if "/contributions" in each)
    assert f"known_at=0%3A{known}" in rows
    assert "figured-late" not in pages.get(rows).text
    assert re.search("VIP客户 4 ", text_of(pages.get(VIPS, params={"unit_id": "figured"})))


REPORT = """
[report]
id = "figured"
title = "{title}"
source = "page 1"
dated_on = 2020-12-31
first = 2020-01-01
last = 2020-12-31
[[claim]]
id = "members.vips"
section = "Members"
title = "VIP customers"
measure = "members.vips"
value = {value}
unit = "customers"
[[claim]]
id = "members.double"
title = "Twice as many"
value = 7
unit = "customers"
formula = "vips * 2"
"""
OWN = {"Sec-Fetch-Site": "same-origin", "HX-Request": "true", "accept-language": "en"}
ENTER = f"{FIGURES}/enter"


def entering(title: str = "Tea", value: int = 0, **more: str) -> dict[str, str]:
    """The form of a report."""
    content = REPORT.format(title=title, value=value)
    return {"content": content, "key": f"entered-{len(title)}-{value}", **more}


def test_a_report_is_checked_first_entered_once_and_stands_as_the_api_tells_it(
    pages: httpx.Client, house: House
) -> None:
    title = HOSTILE.replace('"', "")
    before = house.ask("/status")["events"]
    tried = pages.post(f"{ENTER}/try", data=entering(title), headers=OWN)
    assert "New 3" in text_of(tried)
    assert "contradicts itself" in text_of(tried)
    assert "<script>alert" not in tried.text
    assert f'hx-post="{ENTER}/do"' in tried.text
    assert house.ask("/status")["events"] == before, "nothing was written"
    next_page = ""
    for _ in range(2):
        done = pages.post(f"{ENTER}/do", data=entering(title), headers=OWN)
        next_page = done.headers["hx-redirect"]
        assert next_page.partition("?")[0] == f"{FIGURES}/reports/figured"
        assert house.ask("/status")["events"] == before + 3
    shown = pages.get(next_page, headers={"accept-language": "en"})
    told = pages.get(f"{PREFIX}/reports/figured/figures").json()
    assert title in text_of(shown)
    for each in told["figures"]:
        assert f"{each['title']} {each['value']} " in text_of(shown)
        assert each["verdict"] in text_of(shown)
    odd = pages.get(f"{FIGURES}/reports/figured?only=odd", headers={"accept-language": "en"})
    assert "VIP customers" not in text_of(odd)
    claim = pages.get(f"{FIGURES}/reports/figured/claims/members.double")
    assert "vips * 2" in text_of(claim)
    assert "figured" in pages.get(f"{FIGURES}/reports").text
    nothing = pages.get(f"{FIGURES}/reports/figured/claims/nothing")
    assert (nothing.status_code, 'data-code="unknown_claim"' in nothing.text) == (404, True)


def test_what_was_entered_otherwise_is_corrected_for_a_reason(
    pages: httpx.Client, house: House
) -> None:
    other = entering("Tea, again", 4)
    asked = pages.post(f"{ENTER}/try", data=other, headers=OWN)
    assert "say above why" in text_of(asked)
    assert "claim members.vips" in text_of(asked)
    refused = pages.post(f"{ENTER}/do", data=other, headers=OWN)
    assert 'data-code="invalid"' in refused.text
    for_a_reason = pages.post(f"{ENTER}/do", data={**other, "correcting": "misread"}, headers=OWN)
    assert "hx-redirect" in for_a_reason.headers
    house.settle()
    told = house.ask("/reports/figured/figures")
    claimed = {each["claim_id"]: each["value"] for each in told["figures"]}
    assert (told["title"], claimed["members.vips"]) == ("Tea, again", "4")


def test_what_is_wrong_in_a_file_is_told_by_its_lines(pages: httpx.Client) -> None:
    wrong = REPORT.format(title="Tea", value="true")
    told = pages.post(f"{ENTER}/try", data={"content": wrong, "key": "k"}, headers=OWN)
    assert "14 claim members.vips value" in text_of(told)
    for content in ("no = toml = at all", "[report]\nid = 1", "\ud800", "x = " + "[" * 5000):
        form = {"content": content.encode("utf-8", "replace"), "key": "k"}
        told = pages.post(f"{ENTER}/try", data=form, headers=OWN)
        assert "to mend in the file" in text_of(told)
    elsewhere = pages.post(f"{ENTER}/do", data=entering(), headers={"Origin": "https://evil"})
    assert elsewhere.status_code == 403


@pytest.mark.parametrize("part", figures.PARTS)
def test_each_part_of_the_overview_is_there_and_leads_to_what_makes_it_up(
    pages: httpx.Client, part: str
) -> None:
    assert f"{FIGURES}/parts/{part}" in pages.get(FIGURES).text
    shown = pages.get(f"{FIGURES}/parts/{part}")
    for each in [each for each in links_of(shown) if "/contributions" in each][:3]:
        assert pages.get(each).status_code == 200
    if part == "members":
        vips = pages.get(f"{PREFIX}/measures/members.vips").json()["value"]
        assert f"{vips:,} 户" in text_of(shown)
    if part == "clubs":
        assert "茶室" in text_of(shown)


def test_the_overview_of_a_unit_is_of_that_unit(claimed: Claimed) -> None:
    key = {"Authorization": f"Bearer {claimed.key_of_west}"}
    with Patient(base_url=claimed.address, headers=key, timeout=PATIENCE_S) as client:
        begun = client.get(FIGURES)
        assert begun.headers["location"] == f"{FIGURES}?unit_id=west"
        shown = client.get(f"{FIGURES}?unit_id=west")
        assert "parts/members" in shown.text
        assert "parts/clubs" not in shown.text
        members = client.get(f"{FIGURES}/parts/members?unit_id=west")
        assert "1 户" in text_of(members)
        for path in ("parts/members", "parts/members?unit_id=east", "parts/targets", "reports"):
            assert client.get(f"{FIGURES}/{path}").status_code == 403
        entered = client.get(f"{FIGURES}/enter")
        assert (entered.status_code, 'data-code="not_allowed"' in entered.text) == (403, True)


def test_who_opens_a_history_on_today_is_told_when_its_last_fact_was(
    pages: httpx.Client,
) -> None:
    today = pages.get(f"{PREFIX}/figures").json()
    assert today["last_fact_on"] == today["clock"][:10]
    for path in (FIGURES, f"{FIGURES}/measures", VIPS):
        assert "最后一笔业务" not in text_of(pages.get(path)), "where there are facts of today"
    asof = page.templates().get_template("_asof.html")
    said = {"here": VIPS, "times": {}, "t": partial(words.say, "en")}
    module: Any = asof.make_module(said)
    told = module.asof(None, {"tier": "gold", "on": "2031-01-01"}, date(2024, 12, 31))
    assert "The last fact about customers is of 2024-12-31; there is none since." in told
    assert f'href="{VIPS}?tier=gold&amp;effective_at=2024-12-31"' in told
