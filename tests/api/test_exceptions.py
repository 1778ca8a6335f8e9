"""A history that broke a rule, as the how-to tells it; and no live desk that may."""

import re
from pathlib import Path
from shlex import split
from typing import Any

import httpx
import pytest

from tests.addresses import Client
from tests.api import facts
from tests.api.running import clubledger, serving, stopped
from tests.patience import PATIENCE_S

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "a-history-that-broke-a-rule.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_how_to_is_what_happens(own_ledger: Path, tmp_path: Path) -> None:
    blocks = FENCE.findall(PAGE.read_text("utf-8"))
    (lines,) = (block for language, block in blocks if language == "jsonl")
    file, branch = tmp_path / "branch.jsonl", own_ledger
    file.write_text(lines, "utf-8")
    said = [line for language, block in blocks if language == "sh" for line in block.splitlines()]
    done = []
    for line in said:
        words = [str(file) if word == file.name else word for word in split(line)]
        (_, *words), words[words.index("./branch")] = words, str(branch)
        done.append(clubledger(*words))
    refused, taken, listed, found = done
    assert [done.code for done in done] == [3, 0, 0, 0]
    assert "line 8: in_control_group" in refused.err
    assert "line 9: club_closed" in refused.err
    assert "took 9 facts" in taken.out
    assert listed.out.splitlines() == [
        "0:9  2008-07-02 10:00:00  campaign.enrolled  member:m1  despite in_control_group",
        "0:12  2008-07-03 21:30:00  visit.recorded  member:m1  despite club_closed, price_changed",
    ]
    assert [each["despite"] for each in found.json["exceptions"]] == [["in_control_group"]]


LAUNCHED = facts.fact(
    "campaign.launch", campaign_id="full", title="Full", kind="care", opens_on="2009-01-05",
    closes_on="2029-12-31", tiers=["gold"], cap=1,
)  # fmt: skip
ENROL = {"campaign_id": "full", "at": "2009-02-01T10:00:00+08:00", "actor": "clerk:li"}
LOUNGE = {"club_id": "t-club", "service_id": "tea", "desk": "d1", "shown_points": 10}


def history(*lines: dict[str, Any], on: Path, file: Path, despite: tuple[str, ...] = ()) -> Any:
    file.write_bytes(facts.lines(list(lines)))
    options = [word for code in despite for word in ("--despite", code)]
    return clubledger("import", file, *options, "--json", data_dir=on)


def enrolments(*members: str, **said: Any) -> list[dict[str, Any]]:
    return [{"command": "campaign.enrol", "member_id": each, **ENROL, **said} for each in members]


def test_a_cap_that_a_history_broke_stays_counted_and_closed(
    own_ledger: Path, tmp_path: Path
) -> None:
    on, file = own_ledger, tmp_path / "some.jsonl"
    assert history(*facts.facts(), LAUNCHED, on=on, file=file).code == 0
    # On the line; the second needs it, the first did not.
    told = enrolments("t1", "t2", despite=["cap_reached"])
    assert history(*told, on=on, file=file).json["rejected"] == 0
    # For the file, whose lines say nothing; with its own key a line is what it was, however sent.
    told = enrolments("t3", key="e3")
    assert history(*told, on=on, file=file).json["rejected"] == 1
    assert history(*told, on=on, file=file, despite=("cap_reached",)).json["facts"] == 1
    again = history(*told, *enrolments("t4"), on=on, file=file, despite=("cap_reached",)).json
    assert (again["facts"], again["replayed_facts"], again["rejected"]) == (1, 1, 0)

    running = serving(on)
    try:
        with Client(base_url=running.address, timeout=PATIENCE_S) as http:
            who = {"Idempotency-Key": "live", "Clubledger-Actor": "clerk:li"}
            refused = http.post("/campaigns/full/enrolments", json={"member_id": "t5"}, headers=who)
            assert (refused.status_code, refused.json()["code"]) == (409, "cap_reached")
            assert (refused.json()["cap"], refused.json()["participants"]) == (1, 4)
            found = http.get("/exceptions", params={"limit": 2}).json()
            assert [each["member_id"] for each in found["exceptions"]] == ["t2", "t3"]
            rest = http.get("/exceptions", params={"cursor": found["next"]}).json()
            assert [each["member_id"] for each in rest["exceptions"]] == ["t4"]
            assert http.get("/campaigns/full").json()["participants"] == 4
            for asked, n in (("t3", 1), ("t1", 0)):
                of = http.get("/exceptions", params={"member_id": asked}).json()["exceptions"]
                assert len(of) == n
            days = {"first": "2009-02-02", "last": "2009-02-28"}
            assert http.get("/exceptions", params=days).json()["exceptions"] == []
    finally:
        assert stopped(running).code == 0
    # What was asked is kept with what the file said, so that it can be decided again.
    kept = clubledger("command", "e3", "--json", data_dir=on).json
    assert "cap_reached" in str(kept)
    # Taken back it is no exception any more.
    back = facts.fact(
        "campaign.correct_enrolment", at="2009-03-01T10:00:00+08:00", member_id="t3",
        campaign_id="full", reason="wrong member",
    )  # fmt: skip
    assert history(back, on=on, file=file).code == 0
    left = clubledger("exceptions", "--json", data_dir=on).json["exceptions"]
    assert [each["member_id"] for each in left] == ["t2", "t4"]
    early = ("exceptions", "--effective-at", "2009-01-31", "--json")
    assert clubledger(*early, data_dir=on).json["exceptions"] == []


def test_no_live_desk_may_say_so_and_no_history_all(
    empty: httpx.Client, own_ledger: Path, tmp_path: Path
) -> None:
    file = tmp_path / "some.jsonl"
    assert history(*facts.facts(), LAUNCHED, on=own_ledger, file=file).code == 0
    who = {"Idempotency-Key": "k", "Clubledger-Actor": "clerk:li"}
    said = {"despite": ["price_changed"]}
    for path, body in (
        ("/members/t1/visits", {**LOUNGE, "shown_points": 9, **said}),
        ("/campaigns/full/enrolments", {"member_id": "t1", **said}),
        ("/members/t1/leave", {"reason": "moved", **said}),
    ):
        refused = empty.post(path, json=body, headers=who)
        assert (refused.status_code, refused.json()["code"]) == (422, "only_histories")
    batch = {"commands": [{"command": "visit.record", "key": "b", "member_id": "t1", **LOUNGE,
                           **said}]}  # fmt: skip
    (told,) = empty.post("/commands", json=batch, headers=who).json()["outcomes"]
    assert told["problem"]["code"] == "only_histories"

    told = enrolments("t1", despite=["not_enough_points"]) + enrolments("t2", despite=["nobody"])
    rejections = history(*told, on=own_ledger, file=file).json["rejections"]
    assert [each["code"] for each in rejections] == ["never_excused"] * 2
    assert "not_enough_points" in rejections[0]["reason"]
    wrong = clubledger("import", file, "--despite", "unknown_member", data_dir=own_ledger)
    assert wrong.code == 2
    assert "in_control_group" in wrong.err
    # Whoever may import may say it of one command.
    words = ("member_id=t1", "campaign_id=full", 'despite=["cap_reached"]')
    assert clubledger("do", "campaign.enrol", *words, data_dir=own_ledger).code == 0
    nobody = ("member_id=nobody", "campaign_id=full", 'despite=["unknown_member"]')
    assert clubledger("do", "campaign.enrol", *nobody, data_dir=own_ledger).code == 3


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_a_day_is_written_as_a_day(own_ledger: Path, option: str) -> None:
    wrong = clubledger("exceptions", option, "20080701", data_dir=own_ledger)
    assert wrong.code == 2
    assert option in wrong.err
