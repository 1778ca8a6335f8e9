"""Facts that were wrong, at both doors: taken back by name, and told rightly afterwards."""

import asyncio
import re
from datetime import date
from pathlib import Path
from typing import Any

from domain.catalogue import CATALOGUE, COMMANDS
from domain.corrections import Correction
from ledger.database import connect
from projections.engine import runner
from projections.engine.measure import measured
from tests.api import facts
from tests.api.running import REPOSITORY, clubledger, serving, stopped
from tests.api.test_asof import asking
from tests.api.test_told_late import FILES, fact
from tests.api.test_tutorial import BLOCK, not_as_said
from tests.ledger.test_importing import load
from tests.projections.tables import looking

DOCS = REPOSITORY / "docs"
WRONG = Path(__file__).parent / "corrected"
"""Files that an earlier version got wrong, as they came."""
MONTH = {"member_id": "m1", "month": "2008-07"}
ENROLLED = {"member_id": "m6", "campaign_id": "small"}


def test_files_that_went_wrong_come_out_right(own_ledger: Path, tmp_path: Path) -> None:
    def told(path: Path) -> list[str]:
        """The codes of the lines that an import of this file leaves out."""
        left_out = ("--keep-good", tmp_path / f"{path.stem}.rejected")
        found = clubledger("import", path, *left_out, "--json", data_dir=own_ledger).json
        return [each["code"] for each in found["rejections"]]

    def tells(name: str, *said: dict[str, Any]) -> list[str]:
        file = tmp_path / f"{name}.jsonl"
        file.write_bytes(facts.lines(list(said)))
        return told(file)

    def bound(*then: str) -> int:
        found = clubledger("member", "m6", *then, "--json", data_dir=own_ledger).json
        return len(found["bindings"])

    assert told(FILES / "base.jsonl") == []
    # A month that has not come is refused, and a wrong bill is taken back.
    assert told(WRONG / "bill-typo.jsonl") == ["not_come_yet"]
    assert told(WRONG / "bill-right.jsonl") == []
    assert tells("typo", fact("bill.correct", "09-02T09:00", **MONTH, reason="typo")) == []
    assert tells("right", fact("bill.record", "09-02T09:05", **MONTH, amount_fen=4_900)) == []
    # A wrong enrolment gives its place and its budget back, and its member may enrol again.
    assert told(WRONG / "cap.jsonl") == []
    assert told(WRONG / "cap2.jsonl") == ["cap_reached"]
    back = fact("campaign.correct_enrolment", "03-02T10:08", **ENROLLED, reason="wrong member")
    assert bound() == 1
    assert tells("back", back) == []
    assert bound() == 0
    assert told(WRONG / "again.jsonl") == []
    assert bound() == 1
    # What was known before it was corrected shows it still; what is known now never does.
    log = clubledger("events", "--json", data_dir=own_ledger).json["events"]
    (freed,) = [each for each in log if each["topic"] == "campaign.place_freed"]
    moments = [f"{freed['bucket']}:{freed['position'] + more}" for more in (-1, 3)]
    assert [bound("--known-at", moment) for moment in moments] == [1, 0]
    assert bound("--effective-at", "2008-03-05") == 0
    assert clubledger("compare", "--second-opinion", "--full", data_dir=own_ledger).code == 0


def test_corrections_over_http(ledger_dsn: str) -> None:
    base = (FILES / "base.jsonl").read_bytes().splitlines(keepends=True)
    cap = (WRONG / "cap.jsonl").read_bytes().splitlines(keepends=True)
    bill = fact("bill.record", "08-01T09:00", **MONTH, amount_fen=100)
    assert load(ledger_dsn, [*base, *cap, facts.lines([bill])]).rejected == 0

    async def ask() -> list[Any]:
        found: list[Any] = []
        async with asking(ledger_dsn) as client:
            for number, (member, said) in enumerate(SAID):
                headers = {"Idempotency-Key": f"c{number}"}
                path = f"/members/{member}/corrections"
                answer = await client.post(path, json=said, headers=headers)
                body = answer.json()
                found.append((answer.status_code, body.get("code") or body.get("corrected")))
        return found

    runner.project(ledger_dsn)
    assert asyncio.run(ask()) == [
        (201, ["bill.issued"]),
        (404, "unknown_fact"),
        (201, ["campaign.enrolled", "binding.ended", "binding.started"]),
        (422, "invalid"),
    ]
    runner.project(ledger_dsn)
    assert asyncio.run(campaigns(ledger_dsn)) == [(0, 0), (1, 1000), (0, 0)]


async def campaigns(dsn: str) -> list[tuple[int, int]]:
    """Heads and gifts as known now; as known before the correction; of a day, as known now."""
    async with asking(dsn) as client:
        log = (await client.get("/members/m6/events")).json()["events"]
        wrong = next(each for each in log if each["topic"] == CORRECTED)
        before = f"{wrong['bucket']}:{wrong['position'] - 1}"
        found = []
        for then in ({}, {"known_at": before}, {"effective_at": "2008-03-05"}):
            answer = await client.get("/campaigns/small", params=then)
            while answer.status_code == 503:  # it is being built
                answer = await client.get("/campaigns/small", params=then)
            figures = answer.json()
            found.append((figures["participants"], figures["gift_fen"]))
        return found


CORRECTED = "fact.corrected"
SAID: list[tuple[str, dict[str, str]]] = [
    ("m1", {"fact": "bill.issued", "month": "2008-07", "reason": "typo"}),
    ("m1", {"fact": "bill.issued", "month": "2008-07", "reason": "typo"}),
    ("m6", {"fact": "campaign.enrolled", "campaign_id": "small", "reason": "wrong member"}),
    ("m6", {"fact": "points.debited", "debit": "1", "reason": "no such correction"}),
]


# ------------------------------------------------------------------------------- the how-to
PAGE = DOCS / "how-to" / "correct.md"
CORRECTIONS = {name: kind for name, kind in COMMANDS.items() if issubclass(kind, Correction)}


def test_the_how_to_goes_as_documented(own_ledger: Path, tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    for page, answers in ((DOCS / "how-to" / "import.md", False), (PAGE, True)):
        text = page.read_text("utf-8")
        if answers:
            server = serving(own_ledger)
            examples = BLOCK.findall(text)
            assert len(examples) == text.count("```console") >= 2
            assert [each for each in examples if not_as_said(each, server.address, tmp_path)] == []
            assert stopped(server).code == 0
        (said,) = re.findall(r"^```jsonl\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        file.write_text(said, "utf-8")
        assert clubledger("import", file, data_dir=own_ledger).code == 0
    card = clubledger("member", "m1", "--json", data_dir=own_ledger).json
    assert card["left_at"] is None
    log = clubledger("events", "--stream", "member:m1", "--json", data_dir=own_ledger).json
    assert [each["topic"] for each in log["events"]][-4:] == [
        "fact.corrected", "bill.issued", "member.left", "fact.corrected",
    ]  # fmt: skip


def test_the_how_to_names_every_correction_and_every_command() -> None:
    text = PAGE.read_text("utf-8")
    known = {kind.fact.topic: name for name, kind in CORRECTIONS.items()}
    rows = re.findall(r"^\| [^|]+ \| `([a-z_.]+)` \| `([a-z_.]+)` \|", text, re.MULTILINE)
    assert dict(rows) == known
    _, _, table = text.partition("## Every command")
    told_by = " ".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))
    named = re.findall(r"`([a-z_]+\.[a-z_]+)`", told_by)
    assert sorted(named) == sorted(COMMANDS.keys() - CORRECTIONS.keys())
    told = {fact for fact, event in CATALOGUE.items() if event.named_by is not None}
    assert told == known.keys()


def test_corrections_of_clubs_and_campaigns_over_http(ledger_dsn: str) -> None:
    club = {"club_id": "health"}
    tour, people = {**club, "activity_id": "drive"}, {**club, "category": "child", "people": 2}
    lines = [
        fact("emergency.declare", "07-01T08:00", **club, reason="snow"),
        fact("visit.admit_in_emergency", "07-01T09:00", **people, desk="d"),
        fact("activity.hold", "07-02T09:00", **tour, title="Tour", cost_fen=500),
        fact("activity.attend", "07-03T09:00", **tour, member_id="m1"),
        fact("campaign.close", "03-03T09:00", campaign_id="small", reason="sold out"),
    ]
    known = [*(FILES / "base.jsonl").read_bytes().splitlines(keepends=True),
             (WRONG / "cap.jsonl").read_bytes().splitlines(keepends=True)[0]]  # fmt: skip
    known += facts.lines(lines).splitlines(keepends=True)
    assert load(ledger_dsn, known).rejected == 0

    async def ask() -> list[Any]:
        found: list[Any] = []
        async with asking(ledger_dsn) as client:
            for number, (path, said, _) in enumerate(ABOUT_OTHERS):
                body = {**said, "reason": "wrong"}
                headers = {"Idempotency-Key": f"o{number}"}
                answer = await client.post(path, json=body, headers=headers)
                shown = answer.json()
                found.append((answer.status_code, shown.get("code") or shown.get("corrected")))
        return found

    assert asyncio.run(ask()) == [expected for *_, expected in ABOUT_OTHERS]
    runner.project(ledger_dsn)

    async def answers() -> tuple[Any, Any]:
        async with asking(ledger_dsn) as client:
            doubts = (await client.get("/doubts")).json()["doubts"]
            return doubts, (await client.get("/campaigns/small")).json()

    doubts, small = asyncio.run(answers())
    assert small["closed_at"] is None
    with looking(connect(ledger_dsn)) as conn:
        since = {"first": date(2008, 1, 1)}
        for measure in ("clubs.emergency_people", "clubs.activities"):
            assert measured(conn, measure, since, date(2009, 12, 31)).value == 0
    assert [(d["topic"], [each["about"] for each in d["differences"]]) for d in doubts] == [
        ("activity.attended", ["held"])
    ]


ABOUT_OTHERS: list[tuple[str, dict[str, Any], tuple[int, Any]]] = [
    ("/clubs/health/corrections", {"fact": "activity.held", "activity_id": "drive"},
     (201, ["activity.held"])),
    ("/clubs/health/corrections", {"fact": "activity.held", "activity_id": "drive"},
     (404, "unknown_fact")),
    ("/clubs/health/corrections", {"fact": "visit.emergency_admitted", "admission": 1},
     (201, ["visit.emergency_admitted"])),
    ("/clubs/none/corrections", {"fact": "visit.emergency_admitted", "admission": 1},
     (404, "unknown_club")),
    ("/campaigns/small/corrections", {"fact": "campaign.closed"}, (201, ["campaign.closed"])),
    ("/campaigns/small/corrections", {"fact": "campaign.closed"}, (404, "unknown_fact")),
    ("/campaigns/none/corrections", {"fact": "campaign.closed"}, (404, "unknown_campaign")),
    ("/campaigns/small/corrections", {"fact": "bill.issued"}, (422, "invalid")),
]  # fmt: skip
