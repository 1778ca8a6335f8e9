"""Files whose facts come late, as people have them: judged by their own time, at both doors."""

import asyncio
import json
from pathlib import Path
from typing import Any

from projections.engine import runner
from tests.api import facts
from tests.api.running import clubledger
from tests.api.test_asof import asking
from tests.ledger.test_importing import load


def fact(called: str, at: str, **said: Any) -> dict[str, Any]:
    return facts.fact(called, at=f"2008-{at}:00+08:00", **said)


SPA = {"club_id": "spa"}
POOL = {**SPA, "service_id": "pool", "title": "泳池"}
VISIT = {"member_id": "v1", **SPA, "service_id": "pool", "desk": "d1"}
TERMS = {"campaign_id": "t1", "prepaid_min_fen": 10_000, "min_monthly_fen": 0}
BASE = [
    fact("unit.open", "01-01T09:00", unit_id="south", title="城南"),
    fact("club.open", "01-01T09:00", **SPA, title="水疗", opens_on="2008-01-01",
         tiers=["diamond", "gold"], important=True),
    fact("service.price", "01-01T09:05", **POOL, points=100, tier_points={"diamond": 10}),
    fact("member.join", "02-01T10:00", member_id="v1", unit_id="south"),
    fact("tier.change", "02-01T10:01", member_id="v1", tier="gold", reason="spend 2007"),
    fact("points.credit", "02-02T03:00", member_id="v1", points=1000, source="s", rule="v3"),
    fact("tier.change", "10-01T10:01", member_id="v1", tier="diamond", reason="promoted"),
    fact("service.price", "11-01T09:05", **POOL, points=500, tier_points={"diamond": 300}),
]  # fmt: skip
LATE = [
    fact("visit.record", "03-01T10:00", **VISIT),
    fact("service.price", "06-01T09:00", **POOL, points=150),
    fact("member.mark_important", "03-01T09:00", member_id="v1", important=True, reason="x"),
    fact("member.mark_important", "03-10T09:00", member_id="v1", important=False, reason="no more"),
    fact("member.mark_important", "03-05T09:00", member_id="v1", important=True, reason="slip"),
    fact("campaign.launch", "02-20T10:00", **TERMS, title="t", kind="prepay", gift_bp=1000,
         opens_on="2008-03-01", closes_on="2008-12-31", tiers=["gold", "diamond"], months_bound=6),
    fact("campaign.change_terms", "09-01T10:00", **TERMS, gift_bp=2000, months_bound=24),
    fact("campaign.enrol", "03-05T10:00", member_id="v1", campaign_id="t1", prepaid_fen=10_000),
    fact("campaign.change_terms", "06-01T10:00", **TERMS, gift_bp=1500, months_bound=12),
    fact("visit.record", "07-01T10:00", **VISIT),
    fact("visit.record", "11-02T10:00", **VISIT),
]  # fmt: skip
DOUBTED = [
    fact("tier.change", "06-15T10:00", member_id="v1", tier="diamond", reason="slip of June"),
    fact("service.price", "10-15T09:00", **POOL, points=70),
]


def of(done: list[dict[str, Any]], topic: str) -> list[dict[str, Any]]:
    return [each["state"] for each in done if each["topic"] == topic]


FILES = Path(__file__).parent / "told_late"
"""Files that an earlier version got wrong, as they came."""
WAITING = {"club_id": "health", "service_id": "waiting", "desk": "d1"}
VISITS_AFTERWARDS = [
    fact("points.credit", "02-02T03:00", member_id="m1", points=1000, source="s", rule="v3"),
    *(fact("visit.record", f"{month}-05T10:00", member_id="m1", **WAITING)
      for month in ("05", "07", "10")),
]  # fmt: skip


def test_files_that_went_wrong_come_out_right(own_ledger: Path, tmp_path: Path) -> None:
    afterwards = tmp_path / "visits.jsonl"
    afterwards.write_bytes(facts.lines(VISITS_AFTERWARDS))
    names = ("base", "late", "late2", "terms", "price", "important0")
    for file in (*(FILES / f"{name}.jsonl" for name in names), afterwards):
        assert clubledger("import", file, "--as-told", data_dir=own_ledger).code == 0

    def events(member: str, topic: str) -> list[dict[str, Any]]:
        asked = ("events", "--stream", f"member:{member}", "--json")
        return of(clubledger(*asked, data_dir=own_ledger).json["events"], topic)

    def important(day: str) -> bool:
        then = ("member", "m3", "--effective-at", day, "--json")
        return bool(clubledger(*then, data_dir=own_ledger).json["important"])

    (visit,) = events("v1", "visit.recorded")
    assert (visit["tier"], visit["points"], visit["price_version"]) == ("gold", 100, 1)
    signed = [events(member, "campaign.enrolled")[0] for member in ("m5", "m4")]
    assert [(e["terms_version"], e["gift_fen"], e["months_bound"]) for e in signed] == [
        (1, 1000, 6), (2, 2000, 24),
    ]  # fmt: skip
    assert [v["points"] for v in events("m1", "visit.recorded")] == [100, 150, 200]
    assert [important(f"2008-03-{day}") for day in ("02", "09", "12")] == [True, True, False]
    told = clubledger("doubts", data_dir=own_ledger)
    assert told.out == "Nothing is in doubt.\n"


def test_late_facts_are_judged_by_their_own_time(own_ledger: Path, tmp_path: Path) -> None:
    for name, lines in (("base", BASE), ("late", LATE), ("doubted", DOUBTED)):
        file = tmp_path / f"{name}.jsonl"
        file.write_bytes(facts.lines(lines))
        assert clubledger("import", file, "--as-told", data_dir=own_ledger).code == 0
        if name == "late":
            told = clubledger("doubts", data_dir=own_ledger)
            # The mark of the 1st was told after the visit of that day.
            assert told.out.count("\n") == 1
            assert told.out.endswith("visit.recorded  member:v1  important false, now true\n")
    asked = ("events", "--stream", "member:v1", "--json")
    done = clubledger(*asked, data_dir=own_ledger).json["events"]
    visits = [(v["tier"], v["points"], v["price_version"]) for v in of(done, "visit.recorded")]
    assert visits == [("gold", 100, 1), ("gold", 150, 3), ("diamond", 300, 2)]
    (enrolled,) = of(done, "campaign.enrolled")
    assert (enrolled["terms_version"], enrolled["gift_fen"]) == (1, 1000)
    for day, important in (("2008-03-12", False), ("2008-03-09", True)):
        then = ("member", "v1", "--effective-at", day, "--json")
        assert clubledger(*then, data_dir=own_ledger).json["important"] is important

    found = clubledger("doubts", "--json", data_dir=own_ledger).json
    listed = [
        (each["topic"], [(d["about"], d["judged_by"], d["holds"]) for d in each["differences"]])
        for each in found["doubts"]
    ]
    assert listed == [
        ("tier.changed", [("tier_before", "gold", "diamond")]),
        ("visit.recorded", [("important", "false", "true")]),
        ("visit.recorded", [("tier", "gold", "diamond")]),
    ]
    first = clubledger("doubts", "--limit", "1", data_dir=own_ledger)
    assert first.out.endswith("There are more than these 1: --limit shows them.\n")


def test_doubts_over_http_page_by_page(ledger_dsn: str) -> None:
    lines = [json.dumps(each).encode() + b"\n" for each in (*BASE, *LATE, *DOUBTED)]
    assert load(ledger_dsn, lines).rejected == 0
    runner.project(ledger_dsn)

    async def ask() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        async with asking(ledger_dsn) as client:
            while True:
                params = {"limit": "1", **({"cursor": cursor} if cursor else {})}
                page = (await client.get("/doubts", params=params)).json()
                found += page["doubts"]
                if page["next"] is None:
                    everything = (await client.get("/doubts")).json()["doubts"]
                    assert found == everything
                    return found
                cursor = page["next"]

    assert [each["topic"] for each in asyncio.run(ask())] == [
        "tier.changed", "visit.recorded", "visit.recorded",
    ]  # fmt: skip
