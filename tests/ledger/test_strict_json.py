"""JSON of one kind at every door: UTF-8, each key once, nothing that is no JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import strict_json
from ledger.strict_json import NotStrict


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"a": 1, "a": 2}', "repeated_key"),
        (b'{"a": 1, "\\u0061": 2}', "repeated_key"),
        (b'{"a": [{"b": 1, "b": 1}]}', "repeated_key"),
        (b"\xff\xfe{\x00}\x00", "not_utf8"),
        ('{"a": "城南"}'.encode("gb18030"), "not_utf8"),
        ('{"a": 1}'.encode("utf-16"), "not_utf8"),
        ('{"a": 1}'.encode("utf-16-le"), "json_invalid"),
        (b'{"a": NaN}', "json_invalid"),
        (b'{"a": -Infinity}', "json_invalid"),
        (b'{"a": 1}\x00', "json_invalid"),
        (b'{"a": "\x00"}', "json_invalid"),
        (b"", "json_invalid"),
        (b"[" * 60_000, "nested_too_deeply"),
        (b'{"a": ' * 101 + b"1" + b"}" * 101, "nested_too_deeply"),  # by whatever reads it next
        (b"[" * 500 + b"]" * 500, "nested_too_deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "number_too_long"),
        (b'{"a": "\\ud83d"}', "half_a_character"),
        (b'{"\\udfff": 1}', "half_a_character"),
    ],
)
def test_what_no_door_takes(raw: bytes, code: str) -> None:
    with pytest.raises(NotStrict) as refused:
        strict_json.loads(raw)
    assert refused.value.code == code
    assert len(str(refused.value)) < 100


def test_what_every_door_takes() -> None:
    said = {"a": "城南 \N{GRINNING FACE}", "b": [1, None, {"a": 1.5}]}
    for text in (json.dumps(said), json.dumps(said, ensure_ascii=False, indent=1)):
        assert strict_json.loads(text.encode()) == said
        assert strict_json.loads(strict_json.BOM + text.encode()) == said


NAMES = st.sampled_from(["a", "b", 'c":', "d :", "e\t"])
SPACE = st.sampled_from(["", "", " ", "\t", "\n", "\r"])
PAIRS = st.lists(st.tuples(NAMES, SPACE, SPACE, NAMES | st.integers()), max_size=5)


@given(PAIRS)
def test_the_cheap_look_finds_every_key_that_stands_twice(pairs: list[Any]) -> None:
    """Whatever stands around keys and colons, and in names and values."""
    said = [f"{json.dumps(k)}{before}:{after}{json.dumps(v)}" for k, before, after, v in pairs]
    raw = f"{{{','.join(said)}}}\n".encode()
    different = len({name for name, *_ in pairs})
    if different == len(pairs):
        strict_json.check(raw, different)
        return
    with pytest.raises(NotStrict):
        strict_json.check(raw, different)
