"""Every command on the command line, with the same example as over HTTP."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from api.cli.do import command_of, words_of
from api.runtime.failures import WrongUse
from domain.catalogue import COMMANDS
from tests.api.running import Ended, clubledger
from tests.api.story import STORY, prepare

CREDIT = ("points.credit", "member_id=m1", "points=5", "source=s", "rule=r")


def recorded(data_dir: Path, name: str, *options: str) -> Ended:
    """The example of a command."""
    said = COMMANDS[name].example
    words = [f"{field}={_written(value)}" for field, value in said.items()]
    return clubledger("do", name, *words, *options, "--json", data_dir=data_dir)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def test_every_command_is_carried_out_once(own_ledger: Path) -> None:
    prepare(own_ledger)
    receipts = {}
    for name in STORY:
        done = recorded(own_ledger, name, "--key", name)
        assert done.code == 0, (name, done.err)
        assert (done.json["key"], done.json["replayed"]) == (name, False)
        receipts[name] = done.json["receipt"]
        told = {*COMMANDS[name].answers.__annotations__, "bucket", "position"}
        assert done.json["receipt"].keys() == told, name
    for name in STORY[::6]:
        again = recorded(own_ledger, name, "--key", name).json
        assert again["replayed"], name
        if not COMMANDS[name].discloses:  # what is shown once is not shown again
            assert again["receipt"] == receipts[name]
    refused = recorded(own_ledger, "member.join")
    assert (refused.code, refused.problem["refusal"]) == (3, "already_joined")
    other = (CREDIT[0], "member_id=m4", *CREDIT[2:])  # the first one has left
    shown = clubledger("do", *other, "--actor", "system:billing", data_dir=own_ledger)
    lines = {line[:20].strip(): line[20:] for line in shown.out.splitlines()}
    assert lines.keys() == {"key", "lot", "spendable points", "bucket", "position"}
    key = lines["key"]
    assert key.startswith("cli-")
    asked = clubledger("command", key, "--json", data_dir=own_ledger).json["commands"]
    assert [each["asked"]["actor"] for each in asked] == ["system:billing"]
    issue = ("apikey.issue", "api_key_id=seen", "role_id=administrator", "--key", "seen")
    for kept in (r"cl_seen_[0-9a-f]{64}  \(shown this once\)", "shown when it was made"):
        shown = clubledger("do", *issue, data_dir=own_ledger)
        assert re.search(rf"(?m)^token +{kept}", shown.out)
        assert not re.search("(?m)^secret", shown.out), "its number is no secret"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("points.credits",), 2, "no such command: perhaps points.credit or"),
        (("王小明",), 2, "no such command: `clubledger do --help`"),
        (("unit.open",), 2, "Say unit_id=... title=..."),
        (CREDIT[:-1], 2, "Say rule=..."),
        ((*CREDIT, "points=6"), 2, "points.credit takes "),
        ((*CREDIT, "desk=d1"), 2, "points.credit takes "),
        ((*CREDIT, "王小明"), 2, "[expires_at=...]"),
        ((*CREDIT[:2], "points=many", *CREDIT[3:]), 2, "points: it is no JSON"),
        ((*CREDIT[:2], "points=0", *CREDIT[3:]), 2, "points: Input should be greater"),
        ((*CREDIT, "--key", "file:1"), 3, "are the ledger's own"),
        ((*CREDIT, "--key", "-"), 3, "needs an idempotency key"),
        ((*CREDIT, "--key", ""), 3, "needs an idempotency key"),
        ((*CREDIT, "--actor", "nobody"), 2, "actor: String should match"),
        (CREDIT, 3, "There is no such member"),
    ],
)
def test_what_is_not_carried_out_is_told_in_a_sentence(
    demo_dir: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    ended = clubledger("do", *words, data_dir=demo_dir)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert "王小明" not in ended.err


def test_a_refusal_tells_its_instants_in_iso_8601(demo_dir: Path) -> None:
    dated = (*CREDIT, "at=2090-02-28T08:00:00+08:00", "--json")
    problem = clubledger("do", *dated, data_dir=demo_dir).problem
    assert (problem["refusal"], problem["at"]) == ("dated_in_future", "2090-02-28T08:00:00+08:00")


def test_no_ledger_is_made_for_it(data_dir: Path) -> None:
    ended = clubledger("do", *CREDIT, data_dir=data_dir)
    assert ended.code == 4
    assert not [*data_dir.iterdir()]


def test_whole_numbers_are_what_json_means_by_them() -> None:
    """As over HTTP: 5.0 is 5."""
    words = ["member_id=m1", "points=5.0", "source=s", "rule=r"]
    beside = {"key": "k", "actor": "clerk:li"}
    credit = COMMANDS["points.credit"]
    asked: Any = command_of(credit, beside, words_of(credit, words))
    assert asked.points == 5
    with pytest.raises(WrongUse):
        command_of(credit, beside, words_of(credit, [*words[:1], "points=5.5", *words[2:]]))


def test_fields_are_options_too(demo_dir: Path) -> None:
    words = ("--points", "5", "--source", "s", "--rule", "r", "--dry-run", "--json")
    tried = clubledger("do", "points.credit", "--member-id", "m000003", *words, data_dir=demo_dir)
    assert tried.code == 0, tried.err
    assert [each["topic"] for each in tried.json["events"]] == ["points.credited"]
    shown = clubledger("do", "points.credit", "-h")
    assert "--points N" in shown.out
    assert "Example:" in shown.out
