"""Files that an earlier version got wrong, as they came: their right answers at the doors.

Those of late facts and of corrections stand in test_told_late and test_corrections.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from projections.engine import runner
from tests.api.running import clubledger
from tests.api.test_asof import asking
from tests.api.test_told_late import FILES as TOLD_LATE
from tests.ledger.test_importing import load

FILES = Path(__file__).parent / "gone_wrong"
BASE = TOLD_LATE / "base.jsonl"


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def asked(dsn: str, *questions: tuple[str, dict[str, str]]) -> list[Any]:
    """What the HTTP door answers."""

    async def ask() -> list[Any]:
        found = []
        async with asking(dsn) as client:
            for path, params in questions:
                answer = await client.get(path, params=params)
                while answer.status_code == 503:  # it is being built
                    answer = await client.get(path, params=params)
                found.append(answer.json())
        return found

    runner.project(dsn)
    return asyncio.run(ask())


def test_files_and_look_ups_at_the_command_line(own_ledger: Path, tmp_path: Path) -> None:
    def told(path: Path) -> list[tuple[int, str]]:
        """(line, code) of what an import leaves out."""
        words = ("import", path, "--keep-good", tmp_path / f"{path.name}.rejected", "--json")
        found = clubledger(*words, data_dir=own_ledger).json
        return [(each["line"], each["code"]) for each in found["rejections"]]

    def shown(who: str) -> tuple[int, str]:
        found = clubledger("member", who, data_dir=own_ledger)
        return found.code, found.out + found.err

    assert told(BASE) == []
    # Digits alone are no instant and no day.
    assert told(FILES / "digits.jsonl") == [(n, "not_valid") for n in range(1, 6)]
    assert told(FILES / "digitday.jsonl") == [(1, "not_valid")]
    # A mark of the order of bytes is taken, and none is written.
    assert told(FILES / "bom.jsonl") == []
    marked = tmp_path / "marked.jsonl"
    wrong = lines(FILES / "digits.jsonl")[-1]
    marked.write_bytes(b"\xef\xbb\xbf" + wrong)
    assert told(marked) == [(1, "not_valid")]
    assert (tmp_path / "marked.jsonl.rejected").read_bytes() == wrong
    # An id that looks like a number and the owner of the number are both told.
    assert told(FILES / "phones.jsonl") == []
    code, out = shown("13800000001")
    assert code == 0
    assert out.startswith("member    13800000001")
    assert out.endswith("13800000001 is also the phone number of p2.\n")
    for spelt in ("13700000003", "+8613700000003", "8613700000003", "+86 137-0000-0003"):
        code, out = shown(spelt)
        assert (code, "p3, p4, p5" in out) == (3, True)
    # Reversals end alike in whatever order they come.
    for number, who in (("refund", "m4"), ("refund2", "m5")):
        assert told(FILES / f"{number}.jsonl") == []
        card = clubledger("member", who, "--json", data_dir=own_ledger).json
        assert card["spendable_points"] == 0
    assert clubledger("compare", "--second-opinion", "--full", data_dir=own_ledger).code == 0


def test_rates_and_use_speak_of_the_same_people_and_days(ledger_dsn: str) -> None:
    names = (BASE, FILES / "takeup.jsonl", FILES / "use.jsonl")
    assert load(ledger_dsn, [line for path in names for line in lines(path)]).rejected == 0
    spring, use = asked(
        ledger_dsn,
        ("/campaigns/spring", {"until": "2008-05-31"}),
        ("/clubs/health/use", {"from": "2008-07-15", "to": "2008-08-14"}),
    )
    assert spring["take_up"] == {"part": 2, "whole": 2, "percent": 100}
    assert spring["campaign_return"]["value"] == 2.0
    assert spring["walk_in_participants"] == 6
    assert use["visits"] == sum(row["visits"] for row in use["rows"]) == 2


@pytest.mark.parametrize(
    ("name", "rejections", "card"),
    [
        ("crash-reverse-credit", [(6, "unknown_lot")], {"lapsed": 5}),
        ("accepted-after-a-month", [(5, "unknown_lot")], {"spendable_points": 0}),
        ("reverse-credit-drained", [], {"spendable_points": 0}),
        ("late-visit-doubled", [(8, "visit_repeated")], {"visits": 2}),
    ],
)
def test_what_is_remembered_hangs_on_a_rule(
    ledger_dsn: str, name: str, rejections: list[tuple[int, str]], card: dict[str, int]
) -> None:
    told = lines(FILES / f"{name}.jsonl")
    done = load(ledger_dsn, told)
    assert [(each.line, each.code) for each in done.rejections] == rejections
    if rejections:  # of the last line: nothing is kept
        assert load(ledger_dsn, told[:-1], key="good").rejected == 0
    (found,) = asked(ledger_dsn, ("/members/m1", {}))
    known = {**found, **found["points"]}
    assert {field: known[field] for field in card} == card
