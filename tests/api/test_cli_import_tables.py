"""`import` of tables with a mapping: many files at once, checked, rejected, mended, sent again."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.api import facts
from tests.api.files.tables import as_csv, as_xlsx
from tests.api.running import Ended, clubledger

MAPPING = """
[missing]
actor = "system:crm"

[[table]]
files = "customers.*"
[[table.fact]]
kind = "member.join"
[table.fact.fields]
member_id = "No"
unit_id = { column = "Branch", words = { "East" = "east" } }
phone = "Mobile"
at = "Joined"
[[table.fact]]
kind = "tier.change"
when = "Level"
[table.fact.fields]
member_id = "No"
tier = { column = "Level", words = { "G" = "gold", "S" = "silver" } }
reason = { value = "list of customers" }
at = "Level since"
[[table.fact]]
kind = "points.credit"
when = { "Opening" = "positive" }
[table.fact.fields]
member_id = "No"
points = "Opening"
source = { value = "opening balance" }
rule = { value = "opening" }
at = { value = "2008-01-01" }

[[table]]
files = "visits.*"
[[table.fact]]
kind = "visit.record"
[table.fact.fields]
member_id = "No"
club_id = { value = "spa" }
service_id = { value = "bath" }
desk = { value = "d1" }
at = "When"
"""
HOUSE = facts.lines(
    [
        facts.fact("unit.open", at="2007-01-01T00:00:00+08:00", unit_id="east", title="East"),
        facts.fact(
            "club.open", at="2007-01-01T00:00:00+08:00", club_id="spa", title="Spa",
            opens_on="2007-01-01", tiers=["gold"],
        ),
        facts.fact(
            "service.price", at="2007-01-01T00:00:00+08:00", club_id="spa", service_id="bath",
            title="Bath", points=10,
        ),
    ]
)  # fmt: skip
CUSTOMERS = [
    ["No", "Branch", "Mobile", "Joined", "Level", "Level since", "Opening"],
    ["c1", "East", "13800000001", "2007-05-02", "G", "2008-02-01", "1,000"],
    ["c2", "East", "13800000002", "2007-05-02", "S", "2008-02-01", "500"],
    ["c3", "West", "13800000003", "2007-05-02", "", "", ""],
]
VISITS = [
    ["No", "When"],
    ["c1", "2008-03-01 10:00"],
    ["c1", "2008-01-05 10:00"],  # before his tier
    ["c2", "2008-03-02 10:00"],  # not for his tier
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "m.toml").write_text(MAPPING, "utf-8")
    (tmp_path / "house.jsonl").write_bytes(HOUSE)
    (tmp_path / "customers.xlsx").write_bytes(as_xlsx(CUSTOMERS))
    (tmp_path / "visits.csv").write_bytes(as_csv(VISITS, ";", "gb18030"))
    return tmp_path


def imported(where: Path, data_dir: Path, *more: str | Path) -> Ended:
    names = ("visits.csv", "customers.xlsx", "house.jsonl")
    words = ("import", *names, "--mapping", "m.toml", *more)
    return clubledger(*words, data_dir=data_dir, cwd=where)


def told(ended: Ended) -> set[tuple[str, int, str, str | None]]:
    """(file, line, code, column) of what was rejected."""
    found = ended.json["rejections"]
    return {(e["file"], e["line"], e["code"], e.get("column")) for e in found}


REJECTED = {
    ("customers.xlsx", 4, "misspelt", "Branch"),
    ("visits.csv", 3, "not_eligible", None),
    ("visits.csv", 4, "not_eligible", None),
}


def test_files_are_judged_together_in_the_order_of_time(files: Path, own_ledger: Path) -> None:
    ended = imported(files, own_ledger, "--json")
    assert (ended.code, ended.json["kept"], ended.json["facts"]) == (3, False, 0)
    assert {(f, n, code) for f, n, code, _ in told(ended)} == {(f, n, c) for f, n, c, _ in REJECTED}
    (west,) = (each for each in ended.json["rejections"] if each["code"] == "misspelt")
    assert west["column"] == "Branch"
    assert west["sheet"] == "Sheet1"
    assert west["member_id"] == "c3"
    assert "mapping" in west["mend"]
    assert "West" not in ended.out
    words = imported(files, own_ledger)
    assert "visits.csv, line 3: not_eligible" in words.err
    assert "member c1" in words.err
    assert "(member.join, column Branch, member c3)" in words.err
    assert "to mend it: tell the tier" in words.err


def test_a_few_lines_that_others_fail_by_are_told_before_many_of_those(
    files: Path, own_ledger: Path
) -> None:
    (files / "visits.csv").write_bytes(as_csv([VISITS[0], *([VISITS[1]] * 150)], ";", "gb18030"))
    (files / "house.jsonl").write_bytes(HOUSE.replace(b"+08:00", b""))
    words = imported(files, own_ledger, "--check")
    assert "visits.csv visit.record: 0 facts, 150 rejected" in words.out
    assert "house.jsonl: 0 facts, 3 rejected" in words.out
    assert "house.jsonl, line 1: unit.open.at: an instant is written with its offset" in words.err
    assert words.err.count("\nvisits.csv, line ") < 20
    assert " in all: --json names them" in words.err
    assert ", 3 not_valid" in words.err


def test_a_check_decides_all_of_it_and_writes_nothing(files: Path, own_ledger: Path) -> None:
    clubledger("import", "-", stdin=b"", data_dir=own_ledger)
    checked = imported(files, own_ledger, "--check", "--json")
    assert (checked.code, checked.json["kept"]) == (3, False)
    assert (checked.json["facts"], checked.json["rejected"]) == (10, 3)
    assert clubledger("status", "--json", data_dir=own_ledger).json["events"] == 0
    done = imported(files, own_ledger, "--keep-good", "rejects", "--json")
    assert (done.json["facts"], done.json["rejected"]) == (10, 3)
    assert done.json["rejections"] == checked.json["rejections"]


def test_rejects_are_mended_and_taken_with_the_same_mapping(files: Path, own_ledger: Path) -> None:
    ended = imported(files, own_ledger, "--keep-good", "rejects")
    assert ended.code == 3
    rejects = files / "rejects"
    assert sorted(path.name for path in rejects.iterdir()) == [
        "customers.xlsx#Sheet1.csv",
        "visits.csv",
    ]
    assert {path.stat().st_mode & 0o777 for path in (rejects, *rejects.iterdir())} == {0o700, 0o600}
    beside = (files / "rejects.reasons").read_text("utf-8").splitlines()
    assert len([json.loads(line) for line in beside]) == 3
    customers = rejects / "customers.xlsx#Sheet1.csv"
    text = customers.read_text("utf-8-sig")
    assert text.splitlines()[1].startswith("c3,West,")
    assert text.splitlines()[1].endswith(",member.join")
    customers.write_text(text.replace("West", "East"), "utf-8-sig")
    (rejects / "visits.csv").write_bytes(as_csv([["No", "When"], ["c1", "2008-04-01 9:00"]]))
    again = clubledger(
        "import", customers, rejects / "visits.csv", "--mapping", "m.toml", "--json",
        data_dir=own_ledger, cwd=files,
    )  # fmt: skip
    assert (again.code, again.json["facts"]) == (0, 2)
    card = clubledger("member", "c1", "--json", data_dir=own_ledger).json
    assert card["spendable_points"] == 980


def test_a_file_is_taken_once_beside_others_that_are_new(files: Path, own_ledger: Path) -> None:
    (files / "visits.csv").write_bytes(as_csv(VISITS[:2]))
    (files / "customers.xlsx").write_bytes(as_xlsx(CUSTOMERS[:3]))
    first = imported(files, own_ledger, "--json")
    assert (first.code, first.json["facts"]) == (0, 10)
    again = imported(files, own_ledger, "--json")
    assert (again.code, again.json["replayed"], again.json["facts"]) == (0, True, 10)
    (files / "visits.csv").write_bytes(as_csv([*VISITS[:2], ["c1", "2008-05-01 10:00"]]))
    changed = imported(files, own_ledger, "--json")
    assert changed.code == 3  # its first row is a fact of a new file, and refused as known
    assert {(file, line, code) for file, line, code, _ in told(changed)} == {
        ("visits.csv", 2, "visit_repeated")
    }
    (files / "visits.csv").write_bytes(as_csv([VISITS[0], ["c1", "2008-05-01 10:00"]]))
    more = imported(files, own_ledger, "--json")
    assert (more.code, more.json["replayed"]) == (0, False)
    known = {(f["file"], f["fact"]): (f["facts"], f["replayed"]) for f in more.json["files"]}
    assert known["visits.csv", "visit.record"] == (1, False)
    assert known["customers.xlsx", "member.join"] == (2, True)
    assert clubledger("status", "--json", data_dir=own_ledger).json["events"] == (
        first.json["events"] + 2
    )


def test_what_was_rejected_of_a_file_then_does_not_count_beside_others(
    files: Path, own_ledger: Path
) -> None:
    first = imported(files, own_ledger, "--keep-good", "rejects", "--json")
    assert (first.code, first.json["rejected"]) == (3, 3)
    (files / "visits.csv").write_bytes(as_csv([VISITS[0], ["c1", "2008-07-01 10:00"]]))
    more = imported(files, own_ledger, "--keep-good", "rejects2", "--json")
    assert (more.code, more.json["facts"], more.json["rejected"]) == (0, 1, 0)
    assert not (files / "rejects2").exists()
    again = imported(files, own_ledger, "--json")
    assert (again.code, again.json["replayed"], again.json["rejected"]) == (3, True, 1)


def test_rejects_of_an_import_that_was_killed_once_it_was_in_are_not_lost(
    files: Path, own_ledger: Path
) -> None:
    done = imported(files, own_ledger, "--keep-good", "rejects", "--json")
    keys = "\0".join(each["key"].removeprefix("file:") for each in done.json["files"])
    part = f".rejects.{sha256(keys.encode()).hexdigest()[:8]}"
    (files / "rejects").rename(files / part)  # as if it had been killed before this
    (files / "rejects.reasons").rename(files / f"{part}.reasons")
    again = imported(files, own_ledger, "--keep-good", "rejects")
    assert (again.code, "are now in rejects" in again.err) == (3, True)
    assert (files / "rejects" / "visits.csv").exists()
    assert not list(files.glob(".rejects*"))


def test_rejects_without_a_header_keep_their_separator_and_go_in_again(
    files: Path, own_ledger: Path
) -> None:
    mapping = """
        [missing]
        actor = "system:crm"
        [[table]]
        files = "plain.csv"
        header = 0
        separator = "~"
        [[table.fact]]
        kind = "member.join"
        fields = { member_id = "A", unit_id = { value = "east" }, at = "B" }
        [[table.fact]]
        kind = "tier.change"
        fields = { member_id = "A", tier = "C", reason = { value = "x" }, at = "B" }
    """
    (files / "plain.toml").write_text(mapping)
    rows = [["p1", "2008-01-01", "gold"], ["p2", "2008-01-01", "lead"], ["p3", "never", "gold"]]
    (files / "plain.csv").write_bytes(as_csv(rows, "~"))
    words = ("--mapping", "plain.toml", "--keep-good", "rejects", "--json")
    done = clubledger("import", "house.jsonl", "plain.csv", *words, data_dir=own_ledger, cwd=files)
    assert (done.json["facts"], done.json["rejected"]) == (6, 3)
    rejects = files / "rejects" / "plain.csv"
    text = rejects.read_text("utf-8-sig")
    assert "p2~2008-01-01~lead~clubledger:facts tier.change" in text
    rejects.write_text(text.replace("lead", "gold").replace("never", "2008-01-02"), "utf-8")
    again = clubledger("import", rejects, *words[:2], "--json", data_dir=own_ledger, cwd=files)
    assert (again.code, again.json["facts"]) == (0, 3)


def test_files_that_are_alike_are_refused(files: Path, own_ledger: Path) -> None:
    (files / "visits.2.csv").write_bytes((files / "visits.csv").read_bytes())
    words = ("import", "visits.csv", "visits.2.csv", "--mapping", "m.toml")
    ended = clubledger(*words, data_dir=own_ledger, cwd=files)
    assert (ended.code, "are the same file" in ended.err) == (2, True)


def test_what_is_judged_by_a_later_state_is_said_by_line(files: Path, own_ledger: Path) -> None:
    (files / "visits.csv").write_bytes(as_csv([VISITS[0], ["c1", "2008-06-01 10:00"]]))
    (files / "customers.xlsx").write_bytes(as_xlsx(CUSTOMERS[:3]))
    assert imported(files, own_ledger).code == 0
    (files / "visits.csv").write_bytes(
        as_csv([VISITS[0], ["c1", "2008-07-01 10:00"], ["c1", "2008-03-01 10:00"]])
    )
    checked = imported(files, own_ledger, "--check", "--json")
    assert (checked.code, checked.json["judged_late"]) == (0, 1)
    (late,) = checked.json["late"]
    assert (late["file"], late["line"], late["stream"]) == ("visits.csv", 3, "member:c1")
    assert late["latest"].startswith("2008-06-01")
    done = imported(files, own_ledger)
    assert done.code == 0
    assert "visits.csv, line 3: visit.record of 2008-03-01 10:00:00 is judged by what" in done.err


def test_a_file_of_facts_out_of_order_is_sorted(own_ledger: Path, tmp_path: Path) -> None:
    def at(day: int) -> str:
        return f"2008-03-{day:02}T10:00:00+08:00"

    made: list[dict[str, Any]] = [
        facts.fact("member.join", at=at(2), member_id="m1", unit_id="east"),
        facts.fact("tier.change", at=at(9), member_id="m1", tier="gold", reason="x"),
        facts.fact("points.credit", at=at(3), member_id="m1", points=30, source="x", rule="x"),
        facts.fact(
            "visit.record", at=at(5), member_id="m1", club_id="spa", service_id="bath", desk="d"
        ),
    ]
    (tmp_path / "facts.jsonl").write_bytes(HOUSE + facts.lines(made))
    ended = clubledger("import", tmp_path / "facts.jsonl", "--json", data_dir=own_ledger)
    assert ended.code == 3
    (rejected,) = ended.json["rejections"]
    assert (rejected["line"], rejected["code"]) == (7, "not_eligible")
    told = clubledger(
        "import", tmp_path / "facts.jsonl", "--as-told", "--check", "--json", data_dir=own_ledger
    )
    assert (told.code, told.json["facts"]) == (3, 6)
    made[1]["at"] = at(4)
    (tmp_path / "facts.jsonl").write_bytes(HOUSE + facts.lines(made))
    ended = clubledger("import", tmp_path / "facts.jsonl", "--json", data_dir=own_ledger)
    assert (ended.code, ended.json["facts"]) == (0, 7)
    key = f"{ended.json['key']}:7"
    known = clubledger("command", key, "--json", data_dir=own_ledger).json["commands"][0]
    assert known["asked"]["command"] == "visit.record"


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        ("files = ", "is no TOML"),
        ("[[table]]\nfiles = '*'\nfact = []", "table.1.fact"),
        ("[[table]]\nfiles = '*'\n[[table.fact]]\nkind = 'tea'\nfields = {}",
         "no kind of fact tea"),
        ("[[table]]\nfiles = '*'\n[[table.fact]]\nkind = 'unit.open'\nfields = { x = 'y' }",
         "unit.open has no field x"),
        ("days = 'ymd'", "ymd is none of yyyy-mm-dd"),
        ("[[table]]\nfiles = 'other*'\n[[table.fact]]\nkind = 'unit.open'\nfields = {}",
         "no mapping says what its columns are"),
        ("[[table]]\nfiles = '*'\n[[table.fact]]\nkind = 'unit.open'\nfields = { at = 'No' }",
         "unit.open needs"),
        ("\ufeffdays = 'ymd'", "ymd is none of yyyy-mm-dd"),
        (f"x = {'[' * 5_000}", "is nested too deeply"),
        (f"x = {'9' * 5_000}", "a number that cannot be"),
        ("#" * 1_048_577, "is longer than 1,048,576 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_mapping_is_told_by_its_place(
    own_ledger: Path, tmp_path: Path, mapping: str, why: str
) -> None:
    (tmp_path / "m.toml").write_text(mapping)
    (tmp_path / "a.csv").write_bytes(as_csv(CUSTOMERS))
    words = ("import", "a.csv", "--mapping", "m.toml", "--json")
    ended = clubledger(*words, data_dir=own_ledger, cwd=tmp_path)
    assert ended.code in (2, 3)
    assert why in ended.problem["detail"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"No,At\n" + b"9" * 17_000_000, "no end in sight"),
        (",".join(f"c{n}" for n in range(1_001)).encode(), "it has 1,001 columns"),
        (b"No,\0\n", "NUL"),
    ],
)
def test_what_no_mapping_is_proposed_for_is_refused(
    tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    ended = clubledger("import", "--guess", "a.csv", "--json", cwd=tmp_path)
    assert ended.code == 3
    assert why in ended.problem["detail"]


def test_a_proposal_goes_by_the_tiers_that_the_ledger_is_to_have(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("客户编号,级别\nH1,jade\nH2,会员卡\n")
    ended = clubledger("import", "--guess", "a.csv", cwd=tmp_path, CLUBLEDGER_TIERS="jade,pearl")
    assert '"会员卡" is surely none of jade, pearl' in ended.out
    assert '"jade"' not in ended.out
    titled = "jade,pearl=会员卡/Pearl"
    told = clubledger("import", "--guess", "a.csv", cwd=tmp_path, CLUBLEDGER_TIERS=titled)
    assert '"会员卡" = "pearl"' in told.out
    usual = clubledger("import", "--guess", "a.csv", cwd=tmp_path)
    assert '"jade" is surely none of diamond' in usual.out
    wrong = clubledger("import", "--guess", "a.csv", cwd=tmp_path, CLUBLEDGER_TIERS="jade,jade")
    assert (wrong.code, "CLUBLEDGER_TIERS" in wrong.err) == (2, True)


def test_a_table_without_a_mapping_is_told_how_to_get_one(own_ledger: Path, files: Path) -> None:
    ended = clubledger("import", "visits.csv", data_dir=own_ledger, cwd=files)
    assert ended.code == 2
    assert "clubledger import --guess visits.csv" in ended.err
