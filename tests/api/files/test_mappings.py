"""What is wrong with a mapping is told where it is, whatever form a thing could have had."""

import pytest

from api.files.mapping import load
from api.runtime.failures import WrongUse

BEGINS = '[[table]]\nfiles = "a.csv"\n[[table.fact]]\nkind = "visit.record"\n'
FIELDS = "[table.fact.fields]\n"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f'{FIELDS}at = {{ column = "x", time = "y" }}', "fields.at.time: a time is written as"),
        (f'{FIELDS}at = {{ colum = "x" }}', "fields.at.colum: Extra"),
        (f'{FIELDS}at = {{ column = "x", days = "yymmdd" }}', "fields.at.days: yymmdd is none of"),
        (f'{FIELDS}at = {{ column = "x", text = "y" }}', "fields.at: one of `column`"),
        (f'{FIELDS}at = {{ column = "x", words = {{ a = [] }} }}', "fields.at.words.a: Input"),
        (f"{FIELDS}at = 5", "fields.at: Input"),
        (f'when = {{ a = ["positive", 3] }}\n{FIELDS}at = "x"', "when.a.2: Input"),
        (f'when = 3\n{FIELDS}at = "x"', "when: Input"),
    ],
)
def test_a_mistake_is_told_by_its_place(said: str, told: str) -> None:
    with pytest.raises(WrongUse, match=r"^the mapping, table\.1\.fact\.1\.") as found:
        load(f"{BEGINS}{said}".encode())
    assert f"fact.1.{told}" in str(found.value)
