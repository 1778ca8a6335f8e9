"""An empty sheet for each kind of fact: filled with its example, it gives that."""

import csv
import io
import json
from pathlib import Path

import pytest
import python_calamine

from api.files import templates
from domain.catalogue import COMMANDS
from tests.api.files.tables import Taken
from tests.api.running import clubledger

AT = "2008-07-01T09:00:00+08:00"
FLAT = [
    name
    for name, command in COMMANDS.items()
    if not any(isinstance(value, dict | list) for value in command.example.values())
]


def written(name: str, value: object) -> str:
    """A field of an example as people write it."""
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, int) and name.endswith("_fen"):
        return f"{value / 100:,.2f}"
    if isinstance(value, int) and name.endswith("_bp"):
        return f"{value / 100}%"
    return "-" if value is None else str(value)


@pytest.mark.parametrize("kind", FLAT)
def test_a_filled_template_gives_the_fact(kind: str) -> None:
    said = {"actor": "clerk:li", "at": AT, **COMMANDS[kind].example}
    rows = list(csv.reader(io.StringIO(templates.as_csv(kind).decode("utf-8-sig"))))
    header = rows[templates.HEADER - 1]
    assert set(said) - {"command"} <= set(header)
    row = [written(name, said[name]) if name in said else "" for name in header]
    out = io.StringIO()
    csv.writer(out).writerows([*rows, row])
    mapping = templates.mapping_of(kind, "a.csv")
    taken = Taken(mapping, a__csv=out.getvalue().encode("utf-8-sig"))
    assert taken.unread == []
    (command,) = taken.commands
    wanted = COMMANDS[kind].model_validate_json(
        json.dumps({k: v for k, v in said.items() if k != "command"})
    )
    assert command.asked() == wanted.asked()


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.xlsx"])
def test_it_is_written_by_the_command_line(tmp_path: Path, name: str) -> None:
    ended = clubledger("import", "--template", "bill.record", name, cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert f'files = "{name}"' in ended.out
    if name.endswith(".xlsx"):
        sheet = python_calamine.load_workbook(str(tmp_path / name)).get_sheet_by_index(0)
        assert sheet.to_python()[1][:3] == ["actor", "at", "member_id"]
    again = clubledger("import", "--template", "bill.record", name, cwd=tmp_path)
    assert (again.code, "there already" in again.err) == (2, True)


@pytest.mark.parametrize(
    "words",
    [("--template", "tea", "a.csv"), ("--template", "bill.record", "a.txt"),
     ("--template", "bill.record"), ("--guess",), ("--guess", "--check", "a.csv"), ()],
)  # fmt: skip
def test_wrong_use_is_told_in_a_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = clubledger("import", *words, cwd=tmp_path)
    assert ended.code in (2, 3)
    assert len(ended.err.splitlines()) == 1
