"""A mapping that is proposed: usable as it is, sure of what is sure, and deciding nothing else."""

import io
from contextlib import ExitStack

import pytest

from api.files import readers
from api.files.guessing import mapping_for
from api.files.mapping import load
from domain.catalogue import COMMANDS
from tests.api.files.tables import Rows, Taken, as_csv, as_xlsx


def guessed(*titles: tuple[str, str, str], **files: bytes) -> str:
    with ExitStack() as stack:
        return mapping_for(
            [
                stack.enter_context(readers.read(name.replace("__", "."), io.BytesIO(content)))
                for name, content in files.items()
            ],
            titles,
        )


def doubts(mapping: str) -> list[str]:
    """What it could not tell."""
    return [line.lstrip("# ") for line in mapping.splitlines() if "# ?" in line]


CUSTOMERS: Rows = [
    ["2021年客户清单", "", "", "", "", ""],
    [
        "客户编号",
        "姓名",
        "手机号码",
        "所属单位",
        "入网日期",
        "客户等级",
        "是否重要",
        "离网日期",
        "星座",
    ],
    ["H1", "陆青", "13800000001", "河西", "2019年3月5日", "金卡", "是", "", "x"],
    ["H2", "方圆", "13800000002", "河东", "2020/7/1", "无", "否", "2021.8.31", ""],
    ["H3", "何田", "13800000003", "河西", "2020-07-02", "VVIP", "", "", ""],
]
UNITS: Rows = [["编号", "名称", "日期"], ["west", "河西", "2018-01-01"]]


def test_a_list_of_customers_in_chinese() -> None:
    mapping = guessed(customers__csv=as_csv(CUSTOMERS, ",", "gb18030"), 单位__csv=as_csv(UNITS))
    taken = Taken(mapping, customers__csv=as_csv(CUSTOMERS), 单位__csv=as_csv(UNITS))
    assert {c.called for c in taken.commands} == {
        "unit.open",
        "member.join",
        "tier.change",
        "member.mark_important",
        "member.leave",
    }
    assert [c.called for c in taken.commands].count("tier.change") == 1
    assert [(line, code) for _, line, code, _ in taken.unread] == [(5, "misspelt")]  # VVIP
    assert b'"unit_id":"west"' in b"".join(taken.asked)
    assert "header = 2" in mapping
    told = "\n".join(doubts(mapping))
    assert '"星座" is not used' in told
    assert '"VVIP"' in told
    assert "河东" in told  # has no id in the list of units: one was made up
    assert "河西" not in told


def test_a_list_of_visits_in_english_with_days_that_could_be_two() -> None:
    rows = [
        ["Member No.", "Club", "Service", "Date", "Time", "Guests", "Desk"],
        ["m1", "tea", "pot", "03/04/2021", "14:30", "1", "d1"],
        ["m1", "tea", "pot", "05/06/2021", "15:00", "", "d1"],
    ]
    mapping = guessed(visits__csv=as_csv(rows))
    assert "all can be read as dd-mm-yyyy and as mm-dd-yyyy" in "\n".join(doubts(mapping))
    refused = Taken(mapping, visits__csv=as_csv(rows))
    assert [reason for _, _, _, reason in refused.unread] == [
        "at: the mapping has to say whether day or month comes first, in `days`"
    ] * 2
    rows.append(["m1", "tea", "pot", "25/06/2021", "15:00", "", "d1"])
    mapping = guessed(visits__csv=as_csv(rows))
    assert 'days = "dd-mm-yyyy"' in mapping
    assert doubts(mapping) == []
    assert [
        c.at.isoformat() for c in Taken(mapping, visits__csv=as_csv(rows)).commands if c.at
    ] == [
        "2021-04-03T06:30:00+00:00",
        "2021-06-05T07:00:00+00:00",
        "2021-06-25T07:00:00+00:00",
    ]


def test_points_that_go_both_ways_are_credits_and_debits() -> None:
    rows = [
        ["会员卡号", "积分变动", "日期", "业务类型", "流水号"],
        ["m1", "+500", "20210301", "赠送", "t-1"],
        ["m1", "(30)", "20210302", "兑换", "t-2"],
    ]
    taken = Taken(guessed(points__csv=as_csv(rows)), points__csv=as_csv(rows))
    assert [(c.called, c.key) for c in taken.commands] == [
        ("points.credit", "points.credit-t-1"),
        ("points.debit", "points.debit-t-2"),
    ]
    assert b'"points":30' in taken.asked[1]


@pytest.mark.parametrize(
    ("amount", "says"),
    [("163.50", "yuan"), ("1.163,50", 'decimal = ","'), ("16350", "fen")],
)
def test_money_is_told_by_its_name_and_how_it_is_written(amount: str, says: str) -> None:
    name = "金额(分)" if says == "fen" else "金额(元)"
    rows = [["客户编号", "账期", name], ["m1", "2021年3月", amount]]
    mapping = guessed(bills__xlsx=as_xlsx(rows))
    assert says in mapping
    taken = Taken(mapping, bills__xlsx=as_xlsx(rows))
    wanted = {"163.50": 16350, "1.163,50": 116350, "16350": 16350}[amount]
    assert f'"amount_fen":{wanted}'.encode() in taken.asked[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"x\n", b"a,b\n1,2\n", '"]\\u0000,客户编号\n\\,"\n'.encode(), as_xlsx([])],
    ids=["nothing", "blank lines", "one cell", "no names", "odd names", "an empty sheet"],
)
def test_a_proposal_for_anything_can_be_read(content: bytes) -> None:
    load(guessed(odd__csv=content).encode())


def test_the_letter_of_a_column_without_a_name_means_nothing() -> None:
    names = ["客户编号", "账期", "账单金额"] + [""] * 43
    mapping = guessed(bills__csv=as_csv([names, ["m1", "2021-03", "12", *["x"] * 43]]))
    assert "# AT" not in mapping
    assert '"AT"' not in [line.rpartition(" = ")[2] for line in mapping.splitlines()]


def test_what_is_proposed_are_commands_and_their_fields() -> None:
    from api.files.kinds import KINDS

    for kind in KINDS:
        assert set(kind.fields) | set(kind.constants) <= COMMANDS[kind.kind].model_fields.keys()


def test_a_day_and_the_time_beside_it_whatever_the_time_is_called() -> None:
    """A club without its service is proposed, too, and what is missing is said."""
    rows: Rows = [
        ["卡号", "俱乐部", "到访日期", "到访时间", "随行人数"],
        ["H1", "温泉", "2024-06-30", "14:30", "1"],
        ["H2", "温泉", "2024-07-01", "", ""],
    ]
    mapping = guessed(visits__csv=as_csv(rows, ";"))
    assert [each for each in doubts(mapping) if "visit.record" in each] == [
        "? visit.record is left out until it is said: no column says service_id."
    ]
    assert 'at = { column = "到访日期", time_column = "到访时间" }' in mapping


def test_a_time_that_holds_its_day_is_when_it_happened() -> None:
    rows: Rows = [
        ["客户", "时间", "积分", "类型"],
        ["H1", "2024年6月30日 14:30:00", "+50", "赠送"],
        ["H2", "2024年7月1日 9:05:10", "-20", "兑换"],
    ]
    mapping = guessed(points__csv=as_csv(rows, ";", "gb18030"))
    assert not [each for each in doubts(mapping) if "left out" in each]
    taken = Taken(mapping, points__csv=as_csv(rows, ";", "gb18030"))
    assert [(c.called, c.at and c.at.isoformat()) for c in taken.commands] == [
        ("points.credit", "2024-06-30T06:30:00+00:00"),
        ("points.debit", "2024-07-01T01:05:10+00:00"),
    ]


def test_of_a_customers_name_and_number_the_number_is_his_id() -> None:
    rows: Rows = [["客户", "客户编号", "入网日"], ["陆青", "H1", "2024-06-30"]]
    assert 'member_id = "客户编号"' in guessed(list__csv=as_csv(rows))


def test_a_card_is_a_members_and_points_are_entered_on_a_day() -> None:
    visits: Rows = [
        ["Card No", "Visit Date", "Time In", "Club", "Service"],
        ["A1", "2021/1/5", "9:30", "spa", "bath"],
    ]
    points: Rows = [["客户编号", "积分", "入账日期", "来源"], ["A1", "1,200", "2021/1/6", "账单"]]
    mapping = guessed(visits__csv=as_csv(visits), points__csv=as_csv(points))
    commands = Taken(mapping, visits__csv=as_csv(visits), points__csv=as_csv(points)).commands
    assert [each.called for each in commands] == ["visit.record", "points.credit"]
    assert f"{commands[0].at:%Y-%m-%d %H:%M}" == "2021-01-05 01:30"


def test_what_a_ledger_calls_so_alone_has_its_id_there() -> None:
    rows: Rows = [
        ["会员号", "俱乐部", "服务项目", "到访日期"],
        ["A1", "茶 室", "清茶", "2021-01-05"],
        ["A2", "球场", "清茶", "2021-01-06"],
    ]
    known = ("club", "tea", "茶 室"), ("club", "club-2", "泳池"), ("service", "a", "清茶")
    mapping = guessed(*known, ("service", "b", "清茶"), visits__csv=as_csv(rows))
    assert (
        'club_id = { column = "俱乐部", words = { "茶 室" = "tea", "球场" = "club-3" } }' in mapping
    )
    assert "? the ids of 球场 are made up." in mapping
    assert "? the ids of 清茶 are made up." in mapping
