"""A report of another year is entered and checked through public doors, as its page tells it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.embedded import EmbeddedServer
from tests.api.running import Ended, clubledger, serving, stopped
from tests.places import empty_directory

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "report.md"
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOML, HISTORY = (
    next(block for language, block in BLOCKS.findall(PAGE.read_text("utf-8")) if language == kind)
    for kind in ("toml", "jsonl")
)


@pytest.fixture(scope="module")
def ledger() -> Iterator[Path]:
    """The history of the page."""
    with empty_directory() as path, EmbeddedServer(path):
        done = clubledger("import", "-", data_dir=path, stdin=HISTORY.encode())
        assert done.code == 0, done.err
        yield path


def told(ledger: Path, *words: str, text: str = TOML) -> Ended:
    return clubledger("report", *words, "-", data_dir=ledger, stdin=text.encode())


def by_verdict(answer: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for figure in answer["figures"]:
        found.setdefault(figure["verdict"], []).append(figure["claim_id"])
    return found


WANTED = {
    "agrees": [
        "members.vips", "members.gold", "retention.base", "retention.rate", "retention.gold_kept",
        "spring.participants", "spring.prepaid", "spring.bound",
    ],
    "contradicts itself": ["members.gold_share", "retention.above_challenge", "spring.mean"],
    "differs": ["members.on_network"],
    "stated only": ["satisfaction.rate"],
    "not computable": ["satisfaction.complaints"],
}  # fmt: skip
MIXED = ["retention.gold_kept", "spring.bound"]


def test_the_page_shows_what_is_shown(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "report.toml").write_text(TOML, "utf-8")
    shown = []
    for language, block in BLOCKS.findall(PAGE.read_text("utf-8")):
        if language == "console":
            for command, wanted in re.findall(
                r"^\$ clubledger (.+)\n((?:(?!\$ ).*\n)*)", block, re.M
            ):
                ended = clubledger(*command.split(), data_dir=ledger, cwd=tmp_path)
                assert ended.code == (1 if "check" in command else 0), ended.err
                assert ended.out == wanted
                shown.append(command)
    assert len(shown) == 3


def test_a_report_of_another_year_is_entered_and_checked_through_public_doors() -> None:
    """Its planted contradictions (3 of arithmetic, 2 of mixed populations, 1 target below last
    year's actual) are found, before it is entered and after, at both doors."""
    with empty_directory() as path, EmbeddedServer(path):
        done = clubledger("import", "-", data_dir=path, stdin=HISTORY.encode())
        assert done.code == 0, done.err
        checked = told(path, "check", "--json")
        assert checked.code == 1
        log = clubledger("events", "--limit", "1000", "--json", data_dir=path).json["events"]
        assert not [each for each in log if each["topic"].startswith("report.")], "nothing written"
        entered = told(path, "enter", "--json")
        assert (entered.code, entered.json["events"]) == (0, 17)
        shown = clubledger("figures", "--report", "north-2010", "--json", data_dir=path)
        assert shown.code == 1  # a figure differs
        server = serving(path)
        try:
            over_http = httpx.get(f"{server.address}/v1/reports/north-2010/figures").json()
            listed = httpx.get(f"{server.address}/v1/reports").json()["reports"]
            targets = httpx.get(f"{server.address}/v1/targets").json()["targets"]
            absent = httpx.get(f"{server.address}/v1/reports/north-2011/figures")
        finally:
            assert stopped(server).code == 0
    for answer in (checked.json, shown.json, over_http):
        assert by_verdict(answer) == WANTED
        assert [each["claim_id"] for each in answer["figures"] if each["flags"]] == MIXED
        (target,) = answer["targets"]
        assert "70 is below the actual 78.5 of the period before" in target["flags"][0]
        assert (target["passed"], target["progress"][0]["by"]) == (True, 5)
        assert target["progress"][0]["customers"] == 0  # 3 of 4 are kept, and 2.8 were to be
    assert over_http == {**shown.json, "clock": over_http["clock"]}
    assert [(each["report_id"], each["claimed"]) for each in listed] == [("north-2010", 14)]
    assert targets == shown.json["targets"]
    assert (absent.status_code, absent.json()["code"]) == (404, "unknown_report")


def test_a_file_that_says_otherwise_is_a_correction(ledger: Path) -> None:
    told(ledger, "enter")
    again = told(ledger, "enter", "--json").json
    assert (again["same"], again["events"]) == (17, 0)
    other = TOML.replace("value = 66", "value = 67").replace('id = "spring.bound"', 'id = "other"')
    refused = told(ledger, "enter", "--json", text=other)
    assert refused.code == 3
    assert refused.problem["changed"] == ["claim members.gold_share"]
    assert refused.problem["gone"] == ["claim spring.bound"]
    done = told(ledger, "enter", "--correcting", "misread", "--json", text=other).json
    assert (done["new"], done["changed"], done["events"]) == (1, ["claim members.gold_share"], 4)
    shown = clubledger("figures", "--report", "north-2010", "--json", data_dir=ledger).json
    assert "members.gold_share" in by_verdict(shown)["agrees"]
    first = clubledger("events", "--stream", "report:north-2010", "--json", data_dir=ledger).json
    before = first["events"][14]  # all of the first file
    moment = f"{before['bucket']}:{before['position']}"
    as_of = clubledger(
        "figures", "--report", "north-2010", "--known-at", moment, "--json", data_dir=ledger
    ).json
    assert by_verdict(as_of) == WANTED
    back = told(ledger, "enter", "--correcting", "it was right", "--json").json
    assert (back["new"], back["gone"]) == (1, ["claim other"])


@pytest.mark.parametrize(
    ("wrong", "line", "entry", "field"),
    [
        ('value = "three"', "value = 3", "claim members.vips", "value"),
        ('colour = "red"', 'zh = "VIP客户总数"', "claim members.vips", "colour"),
        ('formula = "gold / vips *"', 'formula = "gold / vips * 100"',
         "claim members.gold_share", "formula"),
        ("at_least = 1e9", "at_least = 70", "target retention.challenge_2010", "at_least"),
        ('level = "best"', 'level = "challenge"', "target retention.challenge_2010", "level"),
        ('command = "member.leave"', 'source = "plan of the province"',
         "target retention.challenge_2010", "command"),
        ("last = 2009-02-30", "last = 2010-12-31", "file", None),
        ("value = 3\nvalue = 3", "value = 3", "file", None),
        ('id = "members.vips"', 'id = "members.gold"', "claim members.vips", None),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_by_line_and_entry(
    ledger: Path, wrong: str, line: str, entry: str, field: str | None
) -> None:
    text = TOML.replace(line, wrong, 1)
    refused = told(ledger, "check", "--json", text=text)
    assert refused.code == 3
    found = refused.problem["errors"][0]
    assert (found["entry"], found["field"]) == (entry, field)
    place = text[: text.rindex(wrong)].count("\n") + 1
    assert place - 1 <= found["line"] <= place + 1


ATTACKS = [
    b"",
    b"\xff\xfe",
    b"[report]\n" * 2,
    b"report = 1",
    b"[[report]]",
    b"[report]\nid = 1\n",
    b"x = " + b"[" * 5000,
    b"a." * 5000 + b"b = 1",
    b"[report]\nid = '" + b"x" * (1 << 20) + b"'",
    b"claim = [1, 2]\n[report]\n",
    b"[claim]\nid = 'a'\n[report]\n",
    b"[report]\nlast = 99999-01-01",
    b"[report]\nid = 1" + b"0" * 5000,
    b"[report]\nid = nan\nfirst = inf",
]


@pytest.mark.parametrize("content", ATTACKS, ids=range(len(ATTACKS)))
def test_what_is_no_report_is_told_in_a_sentence(ledger: Path, content: bytes) -> None:
    ended = clubledger("report", "check", "-", "--json", data_dir=ledger, stdin=content)
    assert (ended.code, ended.out) == (3, "")
    assert all(each["reason"] for each in ended.problem["errors"])


def test_hostile_formulas_end_in_a_sentence(ledger: Path) -> None:
    """Circles, products that grow without end, quotients by nothing, names that are not there."""
    made = TOML[: TOML.index("# ---")]
    growing = {f"g{n}": f"g{n - 1} * g{n - 1}" for n in range(1, 200)}
    formulas = {
        **growing, "circle": "other + 1", "other": "circle * 2", "self": "self", "beside": "other",
        "nothing": "1 / (2 - 2)", "unknown": "no.such.name", "sum": "+".join(["g0"] * 300),
    }  # fmt: skip
    claims = ['[[claim]]\nid = "g0"\nsection = "S"\ntitle = "T"\nunit = "x"\nvalue = 999999999\n'
              'meant = "stated"\n']  # fmt: skip
    claims += [
        f'[[claim]]\nid = "{name}"\ntitle = "T"\nunit = "x"\nformula = "{text}"\n'
        for name, text in formulas.items()
    ]
    shown = told(ledger, "check", "--json", text=made + "\n".join(claims))
    why = {each["claim_id"]: each["why"] for each in shown.json["figures"]}
    assert (
        why["circle"]
        == why["other"]
        == why["self"]
        == "a formula that it hangs on leads back to itself"
    )
    assert why["beside"] == "a formula that it hangs on leads back to itself"
    assert why["g199"] == "g198 has no value"
    assert why["nothing"] == "what is divided by is 0"
    assert why["unknown"] == "nothing is called no.such.name"
    assert why["sum"] is None
    assert json.loads(json.dumps(shown.json)) == shown.json
