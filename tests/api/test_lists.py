"""Lists at both doors: the same rows as pages and as files, under the same filters."""

from base64 import urlsafe_b64decode
from pathlib import Path

import httpx
import pytest

from projections.engine.catalogue import NOUNS
from projections.engine.views import VIEWS
from tests.api.running import clubledger
from tests.api.spreadsheets import read_comments, read_csv, read_jsonl, read_xlsx

assert NOUNS


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_a_list_is_the_same_at_every_door(
    http: httpx.Client, demo_dir: Path, tmp_path: Path, name: str
) -> None:
    page = http.get(f"/lists/{name}", params={"limit": 3}).json()
    assert page["moment"] is None
    shown = clubledger("list", name, "--limit", "3", "--json", data_dir=demo_dir).json
    assert {**shown, "next": None} == {**page, "next": None}
    about, rows = read_jsonl(http.get(f"/lists/{name}", params={"format": "jsonl"}).content)
    assert rows[:3] == page[name]
    assert about["about"] == VIEWS[name].about
    assert (page["next"] is None) == (len(rows) <= 3)
    if page["next"] is not None:
        following = http.get(f"/lists/{name}", params={"limit": 3, "cursor": page["next"]}).json()
        assert following[name] == rows[3:6]
        told = clubledger("list", name, "--limit", "3", "--after", shown["next"], "--json",
                          data_dir=demo_dir)  # fmt: skip
        assert told.json[name] == rows[3:6]


def test_filters_are_the_same_at_every_door_and_stand_in_the_file(
    http: httpx.Client, demo_dir: Path, tmp_path: Path
) -> None:
    asked = {"tier": "diamond,gold", "on_network": "true", "balance_at_least": "500"}
    (_, base), (_, everybody) = (
        read_jsonl(http.get("/lists/members", params={"format": "jsonl", **params}).content)
        for params in (asked, {})
    )
    assert base == [
        row
        for row in everybody
        if row["tier"] in ("diamond", "gold") and row["on_network"] and row["balance"] >= 500
    ]
    assert 0 < len(base) < len(everybody)
    words = ("--tier", "diamond,gold", "--on-network", "true", "balance_at_least=500")
    shown = clubledger("list", "members", *words, "--limit", "1000", "--json", data_dir=demo_dir)
    assert shown.json["members"] == base[:1000]
    for kind in ("csv", "xlsx"):
        target = tmp_path / f"members.{kind}"
        done = clubledger("list", "members", *words, "--export", target, data_dir=demo_dir)
        assert done.code == 0, done.err
        content = target.read_bytes()
        if kind == "csv":
            assert read_comments(content)["filters.tier"] == r"diamond\u002cgold"
            assert [row[0] for row in read_csv(content)[1:]] == [row["member_id"] for row in base]
        else:
            sheets = read_xlsx(content)
            assert ["filters.balance_at_least", "500"] in sheets["about"]
            joined = sheets["rows"][0].index("joined_at")
            assert [row[joined] for row in sheets["rows"][1:]] == [row["joined_at"] for row in base]


def test_a_list_as_of_a_moment(http: httpx.Client) -> None:
    then = {"known_at": "2008-06-30", "limit": "1000"}
    found = http.get("/lists/visits", params=then).json()
    assert found["moment"]["known_at"] == "2008-06-30T23:59:59.999999+08:00"
    now = http.get("/lists/visits", params={"limit": 1000}).json()
    assert 0 < len(found["visits"]) < len(now["visits"]) or now["next"]


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"nothing": "x"}, 422, "invalid"),
        ({"first": "20080101"}, 422, "wrong_parameters"),
        ({"balance_at_least": "many"}, 422, "wrong_parameters"),
        ({"on_network": "maybe"}, 422, "wrong_parameters"),
        ({"cursor": "A" * 40}, 422, "wrong_cursor"),
        ({"limit": "0"}, 422, "invalid"),
        ({"tier": "a\nb"}, 422, "invalid"),
        ({"tier": "gold,plus"}, 404, "unknown_tier"),
        ({"unit_id": "nowhere"}, 404, "unknown_unit"),
        ({"cohort_id": "nobody"}, 404, "unknown_cohort"),
    ],
)
def test_what_is_no_filter_is_a_problem(
    http: httpx.Client, params: dict[str, str], status: int, code: str
) -> None:
    for more in ({}, {"format": "csv"}):
        if "cursor" in params and more:
            continue  # a file has no pages
        answer = http.get("/lists/members", params={**params, **more})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_wrong_words_on_the_command_line_end_with_a_sentence(demo_dir: Path) -> None:
    for words, code, said in (
        (("nothing",), 2, "There is no such list; there are"),
        (("members", "--colour", "red"), 2, "There is no such name; there are --unit"),
        (("members", "--first", "yesterday"), 3, "first"),
        (("members", "--tier"), 2, "members takes --unit"),
    ):
        ended = clubledger("list", *words, data_dir=demo_dir)
        assert (ended.code, ended.out) == (code, ""), ended.err
        assert said in ended.err
    told = clubledger("list", data_dir=demo_dir)
    assert told.code == 0
    assert "--balance-at-least" in told.out
    assert clubledger("list", "units", data_dir=demo_dir).out.startswith("unit_id")


@pytest.mark.parametrize("path", ["/lists/units", "/clubs", "/campaigns", "/reports", "/targets"])
def test_links_lead_through_a_list_page_by_page(http: httpx.Client, path: str) -> None:
    name = path.rpartition("/")[2]
    whole, paged = http.get(path).json()[name], []
    answer = http.get(path, params={"limit": 2})
    while True:
        paged += answer.json()[name]
        following = answer.links.get("next")
        if following is None:
            break
        answer = http.get(following["url"])
        assert answer.status_code == 200, answer.text
    assert answer.json()["next"] is None
    assert paged == whole
    assert len(whole) > 2 or not answer.links


def test_a_cursor_is_of_one_question_and_tells_nothing(http: httpx.Client) -> None:
    asked = {"limit": "1", "tier": "gold"}
    first = http.get("/lists/members", params=asked).json()
    cursor, (row,) = first["next"], first["members"]
    assert http.get("/lists/members", params=asked).json()["next"] == cursor
    assert row["member_id"].encode() not in urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    more = http.get("/lists/members", params={"tier": "gold", "cursor": cursor}).json()["members"]
    assert more[0]["member_id"] > row["member_id"]
    turned = cursor[:-3] + cursor[-3:].swapcase()
    for path, params in (
        ("/lists/members", {"tier": "gold,silver", "cursor": cursor}),
        ("/lists/members", {"cursor": cursor}),
        ("/lists/members", {"tier": "gold", "known_at": "2008-12-31", "cursor": cursor}),
        ("/lists/tiers", {"tier": "gold", "cursor": cursor}),
        ("/clubs", {"cursor": cursor}),
        ("/lists/members", {"tier": "gold", "cursor": turned + "A"}),
    ):
        answer = http.get(path, params=params)
        assert (answer.status_code, answer.json()["code"]) == (422, "wrong_cursor"), params
