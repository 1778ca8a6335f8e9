"""`import`: a file once, all of it or what is good of it."""

from pathlib import Path

from tests.api import facts
from tests.api.running import clubledger


def test_a_good_file_is_taken_once(own_ledger: Path, tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_bytes(facts.lines(facts.facts()))
    first = clubledger("import", file, "--json", data_dir=own_ledger)
    assert first.code == 0, first.err
    assert (first.json["facts"], first.json["rejected"]) == (len(facts.facts()), 0)
    again = clubledger("import", file, "--json", data_dir=own_ledger)
    assert (again.code, again.json["replayed"]) == (0, True)
    events = clubledger("status", "--json", data_dir=own_ledger).json["events"]
    assert events == first.json["events"]
    card = clubledger("member", facts.PHONE, "--json", data_dir=own_ledger).json
    assert (card["member_id"], card["spendable_points"]) == ("t1", 100)


def test_nothing_is_kept_of_a_bad_file_unless_it_is_asked_for(
    own_ledger: Path, tmp_path: Path
) -> None:
    bad = [
        b"no json at all\n",
        b'{"command": "no.such"}\n',
        facts.lines([facts.fact("points.debit", member_id="t1", points=10_000, reason="x")]),
        b'{"command": "unit.open", "actor": "system:test", "unit_id": "u", "title": "undated"}\n',
        facts.lines([facts.fact("unit.open", at="2999-01-01T00:00:00Z", unit_id="v", title="V")]),
    ]
    good = facts.lines(facts.facts())
    file, rejects = tmp_path / "facts.jsonl", tmp_path / "rejects.jsonl"
    file.write_bytes(good + b"".join(bad))

    ended = clubledger("import", file, data_dir=own_ledger)
    assert ended.code == 3
    assert "so nothing of the file was taken: mend them, or take the rest with" in ended.err
    first = len(facts.facts()) + 1
    for line in range(first, first + len(bad)):
        assert f"line {line}: " in ended.err
    assert clubledger("status", "--json", data_dir=own_ledger).json["events"] == 0

    ended = clubledger("import", file, "--keep-good", rejects, "--json", data_dir=own_ledger)
    assert ended.code == 3
    assert (ended.json["kept"], ended.json["rejected"]) == (True, len(bad))
    lines = {each["line"]: each["code"] for each in ended.json["rejections"]}
    assert list(lines) == list(range(first, first + len(bad)))
    assert lines[first + 2] == "not_enough_points"
    assert sorted(rejects.read_bytes().splitlines(True)) == sorted(bad)
    assert clubledger("status", "--json", data_dir=own_ledger).json["events"] > 0

    other = tmp_path / "other.jsonl"
    again = clubledger("import", file, "--keep-good", other, data_dir=own_ledger)
    assert again.code == 3
    assert again.out.startswith("this file was taken before: ")
    assert again.out.endswith(f"events, {len(bad)} lines were rejected then\n")
    assert "they are not in the ledger" in again.err
    assert not other.exists()
    again = clubledger("import", file, "--json", data_dir=own_ledger)
    assert (again.code, again.json["replayed"], again.json["rejected"]) == (3, True, len(bad))

    mine = clubledger("import", file, "--keep-good", rejects, data_dir=own_ledger)
    assert mine.code == 2
    assert sorted(rejects.read_bytes().splitlines(True)) == sorted(bad)


def test_a_file_that_is_not_there_is_wrong_use(data_dir: Path, tmp_path: Path) -> None:
    for file in (tmp_path / "nothing.jsonl", tmp_path):
        ended = clubledger("import", file, data_dir=data_dir)
        assert ended.code == 2
        assert "cannot be read" in ended.err
