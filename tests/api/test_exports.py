"""Exports: what a page shows and nothing else, whatever it holds, and never half a file."""

import gc
import io
import json
import subprocess
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from api.http.server.downloads import _accepted
from api.runtime import exports, sheets
from api.runtime.exports import FORMATS, DoesNotFit, Export
from projections.engine.answer import Answer
from projections.points import LotUse
from tests.api.conftest import loaded_demo
from tests.api.facts import fact, lines, member
from tests.api.running import (
    COMMAND,
    Ended,
    Server,
    clubledger,
    environment,
    serving,
    started,
    stopped,
)
from tests.api.spreadsheets import read_comments, read_csv, read_jsonl, read_xlsx
from tests.patience import PATIENCE_S

EVIL = "t-evil"
HOSTILE = [
    "=1+1",
    "+86",
    "-2+3",
    "@SUM(A1)",
    "＝1+1",
    'say "no", he said',
    "健康俱乐部,积分",
    "'quoted",
    "https://example.com/x",
    "0012",
    "a;b\tc",
]
XLSX = FORMATS["xlsx"].media_type
TIMES = ("positions", "known_at", "effective_at")


class Thing(Answer):
    """A row of every kind of value."""

    text: str | None
    number: int | Decimal | None = None
    flag: bool = False
    at: datetime | date | None = None
    lots: tuple[LotUse, ...] = ()
    names: tuple[str, ...] = ()


def written(name: str, rows: Iterator[Thing] | list[Thing], **about: Any) -> bytes:
    out = io.BytesIO()
    FORMATS[name].write(Export("things", about, Thing, nullcontext(iter(rows))), out)
    return out.getvalue()


# -------------------------------------------------------------------------------------- cells
TEXTS = [*HOSTILE, "\t=1", "\r=1", "two\nlines", "two\r\nlines", "", " =1", "\x01", "😀", "_x0041_"]


def test_text_in_csv_is_text_and_no_formula() -> None:
    header, *rows = read_csv(written("csv", [Thing(text=text) for text in TEXTS]))
    assert header == ["text", "number", "flag", "at", "lots", "names"]
    for text, row in zip(TEXTS, rows, strict=True):
        assert row[0].removeprefix("'") == text.removeprefix("'")
        assert not row[0].lstrip(exports.BLANK).startswith(exports.FORMULA), text
    quoted = [row[0] for row in rows if row[0].startswith("'")]
    assert len(quoted) == 9, quoted  # One of them was quoted from the start.


def test_text_in_a_spreadsheet_is_text_as_it_is() -> None:
    _, *rows = read_xlsx(written("xlsx", [Thing(text=text) for text in TEXTS]))["rows"]
    for text, row in zip(TEXTS, rows, strict=True):
        shown = text.replace("\x01", "_x0001_").replace("_x0041_", "_x005F_x0041_")
        shown = shown.replace("\r\n", "\n")  # as XML reads the end of a line
        assert (row[0] or "").replace("_x000D_", "\r").replace("\r\n", "\n") == shown


def test_text_in_json_lines_is_as_it_is() -> None:
    about, rows = read_jsonl(written("jsonl", [Thing(text=text) for text in TEXTS], of="者"))
    assert about == {"export": "things", "of": "者"}
    assert [row["text"] for row in rows] == TEXTS


def test_numbers_stay_numbers() -> None:
    values: list[int | Decimal | None] = [
        -5,
        0,
        76_385,
        Decimal("41.29"),
        Decimal("-0.00"),
        Decimal("1E+3"),
        2**60,
        None,
    ]
    rows = [Thing(text=None, number=value) for value in values]
    assert [row[1] for row in read_csv(written("csv", rows))[1:]] == [
        "-5", "0", "76385", "41.29", "-0.00", "1000", str(2**60), "",
    ]  # fmt: skip
    shown = [row[1] if len(row) > 1 else None for row in read_xlsx(written("xlsx", rows))["rows"]]
    assert shown[1:7] == [-5, 0, 76_385, 41.29, 0, 1000]
    assert shown[7:] == [str(2**60), None], "more than a float holds is text"


def test_other_values_are_text_that_can_be_read_again() -> None:
    at = datetime(2008, 7, 1, 9, tzinfo=timezone(timedelta(hours=8)))
    lots = (LotUse(lot=1, points=5), LotUse(lot=2, points=7))
    row = Thing(text="x", flag=True, at=at, lots=lots, names=("a", "b"))
    said = ["x", "", "true", "2008-07-01T09:00:00+08:00", "lot 1: 5, lot 2: 7", "a, b"]
    assert read_csv(written("csv", [row]))[1] == said
    assert read_xlsx(written("xlsx", [row]))["rows"][1] == [word or None for word in said]
    assert read_jsonl(written("jsonl", [row]))[1] == [row.model_dump(mode="json")]


def test_an_empty_list_has_its_columns_and_says_what_it_is_of() -> None:
    assert read_csv(written("csv", [])) == [list(Thing.model_fields)]
    found = read_xlsx(written("xlsx", [], at=date(2008, 12, 31), positions="0:5"))
    assert found["rows"] == [list(Thing.model_fields)]
    assert found["about"][1:] == [
        ["export", "things"],
        ["at", "2008-12-31"],
        ["positions", "0:5"],
    ]
    assert read_jsonl(written("jsonl", [], n=1)) == ({"export": "things", "n": 1}, [])


def test_comments_say_what_a_csv_file_is_of_and_nothing_in_them_is_a_cell() -> None:
    said = {
        "title": '春天, =1+1; @A1\t"x"\r\n=2',
        "filters": {"unit_id": "u1", "tiers": ["a", "b"]},
    }
    content = written("csv", [Thing(text="x")], **said, of=None)
    assert read_comments(content) == {
        "export": "things",
        "title": r"春天\u002c =1+1\u003b @A1\u0009\u0022x\u0022\u000d\u000a=2",
        "filters.unit_id": "u1",
        "filters.tiers": r"a\u002c b",
        "of": "",
    }
    assert len(read_csv(content)) == 2


def test_a_spreadsheet_shows_days_and_instants_numbers_and_names() -> None:
    china, home = (timezone(timedelta(hours=hours)) for hours in (8, -3.5))
    rows = [
        Thing(text="健康俱乐部" * 3, number=1_234_567, at=datetime(2008, 2, 29, 23, tzinfo=china)),
        Thing(text="x", number=Decimal("41.29"), at=datetime(2008, 7, 1, 9, tzinfo=home)),
        Thing(text="x", at=date(2008, 2, 29)),
        Thing(text="x", at=date(1900, 2, 28)),
    ]  # fmt: skip
    with zipfile.ZipFile(io.BytesIO(written("xlsx", rows))) as book:
        assert book.testzip() is None
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        styles = book.read("xl/styles.xml").decode()
    assert '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>' in sheet
    assert '<autoFilter ref="A1:F5"/>' in sheet
    assert '<col min="1" max="1" width="32" customWidth="1"/>' in sheet, "wide enough for Chinese"
    assert "#,##0" in styles
    shown = [row[3] for row in read_xlsx(written("xlsx", rows))["rows"][1:]]
    assert shown == [
        "2008-02-29T23:00:00+08:00",
        "2008-07-01T20:30:00+08:00",
        "2008-02-29",
        "1900-02-28",  # as text: spreadsheets take that year for a leap year
    ]


# ------------------------------------------------------------------------------------- bounds
def test_what_a_spreadsheet_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "SHEET_ROWS", 3)
    rows = [Thing(text="x")] * 2
    assert len(read_xlsx(written("xlsx", rows))["rows"]) == 3
    with pytest.raises(DoesNotFit, match="at most 2 rows: take csv or jsonl"):
        written("xlsx", [*rows, Thing(text="x")])
    monkeypatch.setattr(sheets, "SHEET_BYTES", 20_000)
    with pytest.raises(DoesNotFit, match="at most 20,000 bytes of cells"):
        written("xlsx", [Thing(text="x" * 30_000)])
    with pytest.raises(DoesNotFit, match="at most 32,767 characters in a cell"):
        written("xlsx", [Thing(text="x" * 32_768)])
    assert len(read_csv(written("csv", [*rows, *rows]))) == 5


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_cannot_be_written_fails_by_what_befell_it_and_in_no_other_words(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    things = Export("things", {}, Thing, nullcontext(iter([Thing(text="x")])))
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
        FORMATS[name].write(things, full)
    gc.collect()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", FORMATS)
def test_memory_does_not_grow_with_the_list(name: str, tmp_path: Path) -> None:
    def held(rows: int) -> int:
        """Bytes that are held when the last row has been written."""
        found = 0

        def made() -> Iterator[Thing]:
            nonlocal found
            for n in range(rows):
                yield Thing(text=f"line {n}" * 20, number=n)
            gc.collect()
            found = tracemalloc.get_traced_memory()[0]

        with (tmp_path / name).open("wb") as out:
            tracemalloc.start()
            FORMATS[name].write(Export("things", {}, Thing, nullcontext(made())), out)
            tracemalloc.stop()
        return found

    held(10)  # what is imported or compiled once
    assert held(10_000) < held(1_000) + 500_000, "9,000 rows are some megabytes"


# -------------------------------------------------------------------------------- from the log
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


@pytest.fixture(scope="module")
def evil_dir(demo_dir: Path) -> Path:
    """The demo with a member whose history is written by somebody who means harm."""
    made = member(EVIL, "gold", 0, "13911111111")
    made += [
        fact("points.credit", member_id=EVIL, points=10 + n, source=text[:40], rule=text)
        for n, text in enumerate(HOSTILE)
        if "\t" not in text
    ]
    made.append(fact("points.debit", member_id=EVIL, points=30, reason="=cmd|' /C calc'!A0"))
    unit = fact("unit.open", unit_id="t-unit", title="Unit")
    taken = clubledger("import", "-", data_dir=demo_dir, stdin=lines([unit, *made]))
    assert taken.code == 0, taken.err
    return demo_dir


def said_by(content: bytes) -> str:
    """Who made a file on the command line."""
    by = read_comments(content)["made_by"]
    assert by.startswith("cli:")
    return by


def exported(kind: str, where: Path, *words: str, data_dir: Path) -> bytes:
    target = where / f"file.{kind}"
    ended = clubledger(*words, "--export", target, "--force", data_dir=data_dir)
    assert ended.code == 0, ended.err
    assert f" is in {target}: {target.stat().st_size:,} bytes" in ended.out
    assert [each.name for each in where.iterdir()] == [target.name]
    assert target.stat().st_mode & 0o777 == 0o600, "it may hold what is known of members"
    return target.read_bytes()


BOUND = ("measure", "bindings.rate", "cohort_id=binding-2008q4")
RATE = "/measures/bindings.rate/contributions?cohort_id=binding-2008q4"
LISTS = {
    "statement": (("member", EVIL, "--statement"), "entries"),
    "figures": (("figures",), "figures"),
    "report": (("figures", "--report", "vip-2008"), "figures"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("words", "name"), LISTS.values(), ids=LISTS.keys())
def test_a_file_holds_what_the_page_shows(
    evil_dir: Path, tmp_path: Path, words: tuple[str, ...], name: str
) -> None:
    page = () if words[0] == "figures" else ("--limit", "1000")
    shown = clubledger(*words, *page, "--json", data_dir=evil_dir).json
    assert shown.get("next") is None, "more than a page"
    _, rows = read_jsonl(exported("jsonl", tmp_path, *words, data_dir=evil_dir))
    assert rows == shown[name]
    (tmp_path / "file.jsonl").unlink()
    header, *lines_ = read_csv(exported("csv", tmp_path, *words, data_dir=evil_dir))
    (tmp_path / "file.csv").unlink()
    sheet = read_xlsx(exported("xlsx", tmp_path, *words, data_dir=evil_dir))["rows"]
    assert sheet[0] == header
    assert len(lines_) == len(sheet) - 1 == len(rows)
    for row, line, cells in zip(rows, lines_, sheet[1:], strict=True):
        filled = [*cells, *[None] * (len(header) - len(cells))]
        for column, text, cell in zip(header, line, filled, strict=True):
            value = row[column]
            if isinstance(value, list):
                value = ", ".join(
                    f"lot {x['lot']}: {x['points']}" if isinstance(x, dict) else x for x in value
                )
            said = "" if value is None else str(value)
            if isinstance(value, dict):
                assert json.loads(text) == json.loads(cell or "") == value
            elif isinstance(value, str):
                assert text == (f"'{said}" if said.startswith(exports.FORMULA) else said)
                assert (cell or "") == said
            else:
                assert (Decimal(text) if text else None) == (
                    None if value is None else Decimal(said)
                )
                assert cell == (None if value is None else float(value))


def test_a_file_says_what_it_is_of(evil_dir: Path, tmp_path: Path) -> None:
    about, rows = read_jsonl(exported("jsonl", tmp_path, *BOUND, data_dir=evil_dir))
    assert about["export"] == about["measure_id"] == "bindings.rate"
    assert about["inputs"]["base"] == sum(row["adds_base"] for row in rows)
    assert about["positions"].startswith("0:")
    assert about["made_at"].startswith("2009-01-")
    assert about["made_by"].startswith("cli:")
    assert about["effective_at"] is None
    assert about["known_at"].endswith("+08:00")
    assert len(about["ledger"]) == 36
    (tmp_path / "file.jsonl").unlink()
    found = read_xlsx(exported("xlsx", tmp_path, *BOUND, data_dir=evil_dir))
    assert ["positions", about["positions"]] in found["about"]


def test_each_line_tells_the_rule_behind_it(evil_dir: Path) -> None:
    shown = clubledger("member", EVIL, "--statement", "--json", data_dir=evil_dir).json["entries"]
    assert shown[0]["lots"] == [{"lot": 1, "points": 10}, {"lot": 2, "points": 11},
                                {"lot": 3, "points": 9}]  # fmt: skip
    assert [entry["rule"] for entry in shown[:0:-1]] == [t for t in HOSTILE if "\t" not in t]


# -------------------------------------------------------------------------------------- files
def test_a_file_that_is_there_is_kept(demo_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "figures.csv"
    target.write_text("mine")
    ended = clubledger("figures", "--export", target, data_dir=demo_dir)
    assert (ended.code, target.read_text()) == (2, "mine")
    assert "--force replaces it" in ended.err
    assert clubledger("figures", "--export", target, "--force", data_dir=demo_dir).code == 0
    assert read_csv(target.read_bytes())[0][0] == "measure_id"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("figures", "--export", "x.pdf"), 2, "ends in one of .csv, .jsonl, .xlsx"),
        (("figures", "--export", "none/x.csv"), 4, "cannot be written: No such file"),
        (("figures", "--force"), 2, "--force goes with --export"),
        (("member", "m000001", "--export", "x.csv"), 2, "--export goes with --statement"),
        (("figures", "--report", "nothing", "--export", "x.csv"), 3, "There is no such report"),
        (("member", "nobody", "--statement", "--export", "x.csv"), 3, "There is no member"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing(
    demo_dir: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    ended = clubledger(*words, data_dir=demo_dir, cwd=tmp_path)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert list(tmp_path.iterdir()) == []


def short_of_room(*words: str | Path, data_dir: Path) -> Ended:
    """Run a command that may write no file of more than some kilobytes, as on a full disk."""
    command = [*COMMAND, *map(str, words), "--data-dir", str(data_dir)]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 8; exec "$@"', "bash", *command],
        capture_output=True, env=environment(), timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_leaves_no_half_file(demo_dir: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / f"events.{kind}"
    words = ("measure", "members.vips", "--export", target)
    ended = short_of_room(*words, data_dir=demo_dir)
    assert ended.code == 4, ended.err
    assert "cannot be written: File too large" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_two_exports_at_once_give_one_whole_file(demo_dir: Path, tmp_path: Path) -> None:
    target, ends = tmp_path / "figures.csv", list[Ended]()
    threads = [
        Thread(
            target=lambda: ends.append(clubledger("figures", "--export", target, data_dir=demo_dir))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended.code for ended in ends) == [0, 2, 2]
    assert [each.name for each in tmp_path.iterdir()] == [target.name]
    assert len(read_csv(target.read_bytes())) > 20


def test_a_reader_who_has_gone_does_not_cost_the_file(demo_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "figures.jsonl"
    process = started("figures", "--export", target, data_dir=demo_dir)
    with process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 0
    assert read_jsonl(target.read_bytes())[0]["export"] == "figures"


# --------------------------------------------------------------------------------------- HTTP
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_file_over_http(
    http: httpx.Client, evil_dir: Path, tmp_path: Path, name: str
) -> None:
    path = f"/members/{EVIL}/statement"
    asked = http.get(path, params={"format": name, "limit": 1})
    accepted = http.get(path, headers={"Accept": FORMATS[name].media_type})
    for found in (asked, accepted):
        assert found.status_code == 200, found.text
        assert found.headers["content-type"].partition(";")[0] == FORMATS[name].media_type
        disposition = f'attachment; filename="statement-{EVIL}.{name}"'
        assert found.headers["content-disposition"] == disposition
        assert int(found.headers["content-length"]) == len(found.content)
        assert found.headers["clubledger-clock"].startswith("2009-01-")
    if name == "csv":
        words = ("member", EVIL, "--statement")
        here = exported("csv", tmp_path, *words, data_dir=evil_dir)
        assert read_csv(asked.content) == read_csv(here)
        said = [read_comments(content) for content in (asked.content, here)]
        assert [each.pop("made_by") for each in said] == ["clerk:desk", said_by(here)]
        assert [each.keys() for each in said] == [said[0].keys()] * 2
    for path in ("/figures", "/reports/vip-2008/figures", RATE):
        asked_for = f"{path}{'&' if '?' in path else '?'}format={name}"
        assert http.get(asked_for).status_code == 200


def test_pages_follow_each_other_to_what_the_file_holds(http: httpx.Client) -> None:
    path = "/measures/visits.count/contributions?club_id=lounge&first=2008-01-01&on=2008-12-31"
    paged, cursor = list[Any](), None
    while True:
        page = http.get(f"{path}&limit=7{f'&cursor={cursor}' if cursor else ''}").json()
        paged += page["contributions"]
        if page["next"] is None:
            break
        cursor = page["next"]
    whole = read_jsonl(http.get(f"{path}&format=jsonl").content)[1]
    assert [row["member_id"] for row in whole] == [each["of"]["member_id"] for each in paged]


def test_what_was_known_then_is_a_file_too(
    http: httpx.Client, demo_dir: Path, tmp_path: Path
) -> None:
    words = (*BOUND, "--known-at", "2008-11-30")
    about, rows = read_jsonl(exported("jsonl", tmp_path, *words, data_dir=demo_dir))
    assert about["known_at"] == "2008-11-30T23:59:59.999999+08:00"
    assert about["export"] == "bindings.rate-known-2008-11-30T235959"
    asked = {"format": "jsonl", "known_at": "2008-11-30"}
    told, same = read_jsonl(http.get(f"{RATE}&known_at=2008-11-30&format=jsonl").content)
    assert same == rows
    assert [told[name] for name in TIMES] == [about[name] for name in TIMES]
    told, figures = read_jsonl(http.get("/figures", params=asked).content)
    assert told["positions"] == about["positions"]
    (rate,) = (each for each in figures if each["measure_id"] == "bindings.rate")
    assert rate == {name: about[name] for name in rate}


def test_a_statement_as_of_a_moment_cannot_be_taken_for_that_of_today(
    http: httpx.Client, demo_dir: Path, tmp_path: Path
) -> None:
    path, then = "/members/m000001/statement", {"effective_at": "2008-06-30"}
    files = {}
    for name, asked in (("now", {}), ("then", then)):
        found = http.get(path, params={"format": "jsonl", **asked})
        assert found.status_code == 200, found.text
        files[name] = read_jsonl(found.content)
        assert files[name][0]["export"] in found.headers["content-disposition"]
    (now, lines_), (about, earlier) = files["now"], files["then"]
    assert about["effective_at"] == "2008-06-30T23:59:59.999999+08:00"
    assert about["export"].endswith("-effective-2008-06-30T235959")
    assert now["effective_at"] is None
    assert 0 < len(earlier) < len(lines_)
    assert earlier == [
        {**line, "balance": ours["balance"]}
        for line, ours in zip(lines_[len(lines_) - len(earlier) :], earlier, strict=True)
    ]
    assert http.get(path, params={**then, "limit": 1000}).json()["entries"] == earlier
    words = ("member", "m000001", "--statement", "--effective-at", "2008-06-30")
    told, same = read_jsonl(exported("jsonl", tmp_path, *words, data_dir=demo_dir))
    assert same == earlier
    assert [told[name] for name in TIMES] == [about[name] for name in TIMES]
    shown = clubledger(*words, "--json", "--limit", "1000", data_dir=demo_dir).json
    assert shown["entries"] == earlier
    assert shown["moment"]["effective_at"] == about["effective_at"]


def test_what_is_not_there_is_a_problem_and_no_file(http: httpx.Client) -> None:
    for path, status in (("/members/nobody/statement", 404), ("/reports/nothing/figures", 404)):
        assert http.get(path, params={"format": "csv"}).status_code == status
    assert http.get("/figures", params={"format": "pdf"}).status_code == 422


def test_a_client_that_goes_away_costs_nobody_anything(server: Server) -> None:
    for _ in range(5):
        with httpx.stream(
            "GET", f"{server.address}/v1/figures?format=xlsx", timeout=PATIENCE_S
        ) as response:
            assert response.status_code == 200
    assert (
        httpx.get(f"{server.address}/v1/figures?format=csv", timeout=PATIENCE_S).status_code == 200
    )


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", None),
        ("*/*", None),
        ("application/json", None),
        ("text/csv", "csv"),
        ("TEXT/CSV; header=present", "csv"),
        ("text/csv;q=0.5, application/json", None),
        ("text/csv, application/json;q=0.5", "csv"),
        (f"{XLSX}, */*;q=0.1", "xlsx"),
        ("text/html, */*", None),
        ("text/csv;q=0", None),
        ("text/csv;q=x", None),
        ("application/jsonl;q=0.9,text/csv;q=0.2", "jsonl"),
    ],
)
def test_the_accept_header_is_understood(header: str, wanted: str | None) -> None:
    assert _accepted(header) == wanted


def test_a_name_is_safe_in_a_header() -> None:
    assert Export('a"b\r\n/c', {}, Thing, nullcontext(iter(()))).safe_name == "a_b___c"
