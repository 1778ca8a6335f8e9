"""A ledger's zone, tiers and plan of phone numbers are said once, when it is made: whoever asks it
later need not know them, and what he writes on a command line is read by them."""

import json
from typing import Any

import pytest

from tests.api.running import clubledger

MADE: dict[str, Any] = {
    "CLUBLEDGER_ZONE": "America/New_York",
    "CLUBLEDGER_TIERS": "platinum,plus",
    "CLUBLEDGER_PHONES": "+1 1 10-10",
}
FACTS = [
    {"command": "unit.open", "at": "2021-01-01T09:00:00-05:00", "unit_id": "u", "title": "Unit"},
    {"command": "member.join", "at": "2021-03-01T09:00:00-05:00", "member_id": "m", "unit_id": "u",
     "phone": "1 (212) 555-0100"},
    # 23:30 of 31 December in New York, half past noon of the day after in Shanghai
    {"command": "tier.change", "at": "2021-12-31T23:30:00-05:00", "member_id": "m",
     "tier": "plus", "reason": "spend"},
]  # fmt: skip
SCENARIO = {
    "changes": [
        {"change": "tier_rule", "window": "calendar_year", "thresholds_fen": {"platinum": 1000}}
    ]
}


NAMING = (
    (("measure", "members.vips", "--tier", "plus,gold"), "no such tier"),
    (("measure", "visits.count", "--club", "nowhere"), "no such club"),
    (("list", "members", "--unit", "u,v"), "no such unit"),
    (("exceptions", "--member", "nobody"), "no such member"),
    (("list", "members", "--unit", "u", "--tier", "plus,none"), ""),
)
"""What is asked, and what of it the ledger does not know."""


@pytest.fixture
def url(database: str) -> dict[str, Any]:
    """Of a ledger that was made in New York, with two tiers, and is asked by who says neither."""
    where: dict[str, Any] = {"CLUBLEDGER_DATABASE_URL": database}
    lines = "".join(json.dumps({**each, "actor": "system:crm"}) + "\n" for each in FACTS)
    assert clubledger("import", "-", stdin=lines.encode(), **where, **MADE).code == 0
    return where


def test_days_and_tiers_are_those_of_the_ledger(url: dict[str, Any]) -> None:
    year = ("figures", "--effective-at", "2021-12-31", "--json")
    told = clubledger(*year, **url).json
    assert told["moment"]["effective_at"] == "2021-12-31T23:59:59.999999-05:00"
    vips = ("measure", "members.vips", "--effective-at", "2021-12-31", "--json")
    assert clubledger(*vips, **url).json["value"] == 1
    changed = ("do", "tier.change", "--member-id", "m", "--tier", "platinum", "--reason", "spend")
    assert clubledger(*changed, **url).code == 0
    wrong = clubledger("do", "tier.change", "member_id=m", "tier=gold", "reason=spend", **url)
    assert wrong.code == 2
    assert "there are platinum, plus" in wrong.err
    ended = clubledger("what-if", "-", stdin=json.dumps(SCENARIO).encode(), **url)
    assert ended.code == 0, ended.err
    status = clubledger("status", **url).out
    assert "platinum, plus" in status
    assert "+1 1 10-10" in status
    assert "212***0100" in clubledger("member", "212 5550100", **url).out
    other = clubledger("status", **url, CLUBLEDGER_PHONES="+49 0 7-11")
    assert (other.code == 0, "those of +1 1 10-10" in other.err) == (False, True)
    for words, why in NAMING:  # a slip of the pen is no answer of nothing
        ended = clubledger(*words, **url)
        assert (ended.code, why in ended.err) == (3 if why else 0, True), words
