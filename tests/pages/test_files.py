"""Files at their page: what is shown of a job is what the API says of it, and nobody is told of
the jobs of others."""

import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import quote

import httpx
import pytest

from api.files.mending import MENDS, OTHERWISE
from api.http.pages import files, words
from api.http.pages.page import CONSOLES
from api.jobs import kinds
from domain.access import BUILT_IN, Grant, Principal
from ledger import jobs
from tests.addresses import Patient
from tests.pages.conftest import Claimed, House
from tests.pages.test_guards import OWN, code_of
from tests.patience import PATIENCE_S, eventually

BASE = files.BASE
OCTETS = {"Content-Type": "application/octet-stream"}
HOSTILE = "<script>alert(1).csv"
MAPPING = """
[missing]
actor = "system:import"

[[table]]
files = "*.csv"

[[table.fact]]
kind = "points.credit"

[table.fact.fields]
member_id = "member"
at = "day"
points = "points"
source = { value = "welcome" }
rule = { value = "welcome-1" }
"""
GOOD, BAD = "filed,2026-01-06 10:00,{points}\n", "nobody,2026-01-06 10:00,1\n"


def table(*lines: str) -> bytes:
    """A file of credits."""
    return ("member,day,points\n" + "".join(lines)).encode()


@pytest.fixture
def pages(house: House) -> Iterator[httpx.Client]:
    """A client of the branch's server, in English, that has a customer who is credited."""
    if house.ask("/members/filed").get("code") == "unknown_member":
        joins = {"command": "member.join", "member_id": "filed", "unit_id": "east"}
        house.tell({**joins, "at": "2025-01-01T10:00:00+08:00"})
    headers = {**OWN, "Accept-Language": "en"}
    with Patient(base_url=house.address, headers=headers, timeout=PATIENCE_S) as client:
        yield client


def brought(pages: httpx.Client, content: bytes) -> str:
    """The id of a file, sent in two parts."""
    half = len(content) // 2
    file_id = pages.post(f"{BASE}/parts", content=content[:half], headers=OCTETS).text
    to = f"{BASE}/parts?file_id={file_id}&offset={half}"
    assert pages.post(to, content=content[half:], headers=OCTETS).text == file_id
    return file_id


def pressed(pages: httpx.Client, step: str, content: bytes, name: str, **said: str) -> str:
    """What a button leads to, once its job has ended."""
    form = {"step": step, "file": f"{brought(pages, content)} {name}", **said}
    shown = pages.post(f"{BASE}/jobs", data=form)
    place = f"{BASE}/jobs/{job_of(shown.text)}/state?just_begun=true"
    assert job_of(pages.post(f"{BASE}/jobs", data=form).text) == job_of(shown.text), "sent twice"
    assert eventually(lambda: 'hx-trigger="load' not in pages.get(place).text)
    return pages.get(place).text


def job_of(said: str) -> str:
    """The job that a page tells of."""
    found = re.search(r'data-job="([0-9a-f]{16})"', said)
    assert found, said
    return found[1]


def number(said: str, of: str) -> int:
    """A number that stands out on a page."""
    found = re.search(rf"<dd data-{of}>([\d,]+)<", said)
    assert found, said
    return int(found[1].replace(",", ""))


def test_a_file_is_checked_taken_in_once_and_given_back_to_mend(
    pages: httpx.Client, house: House
) -> None:
    content = table(GOOD.format(points=7), BAD)
    before = house.ask("/status")["events"]
    checked = pressed(pages, "check", content, HOSTILE, mapping=MAPPING, keep_good="true")
    assert (number(checked, "facts"), number(checked, "rejected")) == (1, 1)
    assert 'data-step="import"' in checked
    assert "<script>alert" not in checked
    assert HOSTILE in unescape(checked)
    assert 'data-code="unknown_member"' in checked
    assert words.words()["mends"]["unknown_member"][1] in unescape(checked)
    reasons = checked[checked.index("By reason") :].partition("</table>")[0]
    assert words.words()["refusals"]["unknown_member"][0][1] in unescape(reasons)
    assert '<td class="number">1</td>' in reasons
    assert house.ask("/status")["events"] == before, "nothing is written"

    held = pressed(pages, "import", content, HOSTILE, mapping=MAPPING)
    assert (number(held, "facts"), number(held, "rejected")) == (0, 1)
    assert "so nothing was written" in held
    taken = pressed(pages, "import", content, HOSTILE, mapping=MAPPING, keep_good="true")
    assert (number(taken, "facts"), number(taken, "rejected")) == (1, 1)
    assert 'data-step="import"' not in taken
    assert house.ask("/status")["events"] == before + 1
    again = pressed(pages, "import", content, HOSTILE, mapping=MAPPING, keep_good="true")
    assert "taken before" in again
    assert house.ask("/status")["events"] == before + 1

    rejects = next(each for each in re.findall(r'href="(/v1/[^"]+)"', taken))
    given_back = pages.get(rejects).content
    assert b"nobody" in given_back
    assert b"filed" not in given_back
    mended = given_back.replace(b"nobody", b"filed")
    last = pressed(pages, "import", mended, HOSTILE, mapping=MAPPING, keep_good="true")
    assert (number(last, "facts"), number(last, "rejected")) == (1, 0)
    assert house.ask("/status")["events"] == before + 2


def test_a_proposed_mapping_is_put_where_it_can_be_edited(pages: httpx.Client) -> None:
    shown = pressed(pages, "guess", table(GOOD.format(points=8)), "credits.csv")
    assert 'id="mapping"' in shown
    job = pages.get(f"/v1/jobs/{job_of(shown)}").json()
    assert job["result"]["mapping"] in unescape(shown)
    whole = pages.get(f"{BASE}/jobs/{job_of(shown)}", headers={"Accept-Language": "zh"}).text
    assert 'id="mapping"' not in whole
    assert "推测对应关系 · 完成" in whole
    assert "# points：1 格有内容" in whole
    assert f'href="{BASE}/jobs/{job_of(shown)}"' in pages.get(BASE).text


def test_what_cannot_be_done_is_told_in_place(pages: httpx.Client) -> None:
    def refused(**said: str) -> str:
        return code_of(pages.post(f"{BASE}/jobs", data=said))

    named = f"{'0' * 16} x.csv"
    assert refused(step="guess", file=named) == "unknown_file"
    assert refused(step="sell", file=named) == "invalid"
    assert refused(step="check") == "invalid"
    assert refused(step="check", file="x.csv") == "invalid"
    assert refused(step="check", file=named, mapping="?") == "bad_mapping"
    assert code_of(pages.post(f"{BASE}/parts", headers=OCTETS)) == "malformed"
    again = f"{BASE}/parts?file_id={brought(pages, b'x,y')}&offset=1"
    assert code_of(pages.post(again, content=b"y", headers=OCTETS)) == "wrong_offset"
    unreadable = pressed(pages, "check", b'a,b\n"1,2\n', "odd.csv")
    assert 'data-code="unreadable_file"' in unreadable
    cancelled = pages.post(f"{BASE}/jobs/{job_of(unreadable)}/cancel")
    assert code_of(cancelled) == "job_ended"


def test_a_job_is_shown_to_who_started_it_and_does_what_he_may(claimed: Claimed) -> None:
    def at_work(key: str) -> httpx.Client:
        headers = {**OWN, "Authorization": f"Bearer {key}", "Accept-Language": "en"}
        return Patient(base_url=claimed.address, headers=headers, timeout=PATIENCE_S)

    content = table("b-rich,2026-01-06 10:00,5\n")
    with at_work(claimed.key_of_west) as west, at_work(claimed.key_of_all) as all_:
        shown = pressed(west, "check", content, "credits.csv", mapping=MAPPING)
        assert (number(shown, "facts"), number(shown, "rejected")) == (0, 1)
        assert 'data-code="not_allowed"' in shown
        place = f"{BASE}/jobs/{quote(job_of(shown))}"
        assert job_of(shown) in west.get(BASE).text
        assert job_of(shown) not in all_.get(BASE).text
        for answer in (all_.get(place), all_.get(f"{place}/state"), all_.post(f"{place}/cancel")):
            assert code_of(answer) == "unknown_job"


def test_who_may_write_nothing_is_shown_his_jobs_alone(claimed: Claimed) -> None:
    keys = claimed.key_of("watcher", **{"log.read": "all"}), claimed.key_of_west
    for key, may in zip(keys, (False, True), strict=True):
        headers = {"Authorization": f"Bearer {key}", "Accept-Language": "en"}
        shown = httpx.get(claimed.address + BASE, headers=headers, timeout=PATIENCE_S).text
        assert ["files.js" in shown, 'id="bringing"' in shown] == [may, may]
        assert ("none are brought here" in shown) is not may


def test_the_page_is_offered_to_whoever_may_write_what_files_bring() -> None:
    (console,) = [each for each in CONSOLES if each.name == "files"]

    def offered(role: str) -> bool:
        return console.open_to(Principal("somebody", (Grant(role, BUILT_IN[role]),)))

    assert [role for role in BUILT_IN if offered(role)] == ["head", "manager", "integration"]


def test_what_jobs_are_called_and_what_mends_lines_is_said_in_both_languages() -> None:
    table = words.words()
    named = {f"job:{each}" for each in kinds.KINDS} | {f"state:{each}" for each in jobs.STATES}
    assert named <= table["names"].keys()
    english = {code: said[1] for code, said in table["mends"].items()}
    assert english == {**MENDS, "otherwise": OTHERWISE}


def test_a_reason_is_said_with_its_numbers_and_without_them_as_the_ledger_says_it() -> None:
    told = {"code": "before_joining", "reason": "It is so.", "line": 2}
    assert words.reason("zh", told) == "It is so."
    numbers = {"joined_at": "2031-02-28T20:05:00+00:00"}
    assert words.reason("zh", {**told, "numbers": numbers}) == "早于入网时间 2031-03-01 04:05。"
    assert words.reason("zh", {**told, "code": "misspelt"}) == "单元格的内容无法识别。"
    assert words.reason("zh", {**told, "code": "of_another_age"}) == "It is so."
    assert files.mend_of("zh", {"code": "of_another_age"}) == "改正此行，或删去此行"
