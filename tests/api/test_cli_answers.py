"""`member`, `events`, `project`: what is shown, and to whom it is not."""

import signal
from pathlib import Path

import pytest

from tests.api.running import clubledger, started
from tests.patience import PATIENCE_S, a_moment


def test_a_card_and_a_statement(demo_dir: Path) -> None:
    page = clubledger("events", "--limit", "2000", "--json", data_dir=demo_dir).json
    credited = next(e for e in page["events"] if e["topic"] == "points.credited")
    member_id = credited["stream"].removeprefix("member:")
    card = clubledger("member", member_id, data_dir=demo_dir)
    assert card.code == 0, card.err
    assert member_id in card.out
    assert "demo clock: 2009-01-05 09:" in card.err
    told = clubledger("member", member_id, "--statement", "--json", data_dir=demo_dir).json
    assert told["entries"][0]["balance"] >= 0
    assert "+" in clubledger("member", member_id, "--statement", data_dir=demo_dir).out


def test_nobody_is_not_found(demo_dir: Path) -> None:
    for who in ("nobody", "19999999999"):
        ended = clubledger("member", who, "--json", data_dir=demo_dir)
        assert (ended.code, ended.problem["code"]) == (3, "not_found")
        assert who not in ended.err


def test_events_from_a_position_and_of_a_stream(demo_dir: Path) -> None:
    page = clubledger("events", "--after", "3", "--limit", "4", "--json", data_dir=demo_dir).json
    assert [event["position"] for event in page["events"]] == [4, 5, 6, 7]
    times = [event[at] for event in page["events"] for at in ("occurred_at", "recorded_at")]
    assert {time[-1] for time in times} == {"Z"}
    stream = page["events"][0]["stream"]
    told = clubledger("events", "--stream", stream, "--json", data_dir=demo_dir).json
    assert {event["stream"] for event in told["events"]} == {stream}
    assert len(clubledger("events", "--limit", "5", data_dir=demo_dir).out.splitlines()) == 5
    assert clubledger("events", "--stream", "member:nobody", data_dir=demo_dir).code == 3
    assert clubledger("events", "--bucket", "9", data_dir=demo_dir).code == 3


@pytest.mark.parametrize("command", ["events", "figures"])
def test_a_reader_who_leaves_is_no_failure(demo_dir: Path, command: str) -> None:
    """As in `clubledger events | head`."""
    leaving = started(command, *(["--limit", "5000"] * (command == "events")), data_dir=demo_dir)
    assert leaving.stdout is not None
    assert leaving.stderr is not None
    with leaving:
        leaving.stdout.close()
        assert leaving.stderr.read() == b""
    assert leaving.returncode == 0


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_following_ends_when_it_is_told(demo_dir: Path, how: int, code: int) -> None:
    following = started("project", "--follow", data_dir=demo_dir)
    assert following.stderr is not None
    assert b"folds what comes in" in following.stderr.readline()
    a_moment()
    following.send_signal(how)
    _, err = following.communicate(timeout=PATIENCE_S)
    assert (following.returncode, err) == (code, b"")


def test_what_was_asked_under_a_key_of_an_event(demo_dir: Path) -> None:
    """What the member was shown is in the command, not in the event."""
    page = clubledger("events", "--limit", "10000", "--json", data_dir=demo_dir).json
    visit = next(event for event in page["events"] if event["topic"] == "visit.recorded")
    (told,) = clubledger("command", visit["key"], "--json", data_dir=demo_dir).json["commands"]
    assert told["asked"]["shown_points"] == visit["state"]["points"]
    assert told["asked"]["command"] == "visit.record"
    assert visit in told["events"]
    joined = next(event for event in page["events"] if event["topic"] == "member.joined")
    said = clubledger("command", joined["key"], data_dir=demo_dir)
    assert "member.join" in said.out
    assert not {"name", "phone"} & set(said.out.split('"'))
    nobody = clubledger("command", "no-such-key", "--json", data_dir=demo_dir)
    assert (nobody.code, nobody.problem["code"]) == (3, "not_found")
    assert "no-such-key" not in nobody.err


def test_where_each_byte_lies(demo_dir: Path) -> None:
    told = clubledger("space", "--json", data_dir=demo_dir).json
    assert sum(part["bytes"] for part in told["parts"].values()) == told["bytes"]
    assert 0 < told["parts"]["commands"]["bytes_a_fact"] < told["parts"]["log"]["bytes_a_fact"]
    assert told["write_ahead_log_bytes"] > 0
    said = clubledger("space", data_dir=demo_dir).out
    assert "typed events" in said
    assert f"{told['facts']:,} facts" in said
