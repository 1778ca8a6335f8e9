"""Members are found by a part of a name, or by the first letters of its syllables."""

from itertools import product

import pytest

from api.http.server import names
from api.http.server.names import Index
from api.runtime.pinyin import MOST_READINGS, MOST_SPELLINGS, initials, spelled

PEOPLE = {
    "m1": "张伟",
    "m2": "曾单",
    "m3": "John Smith",
    "m4": "赵薇薇",
    "m5": "欧阳-娜娜",
    "m6": "\x1f\x1e\n",
    "m7": "O'Neil",
    "m8": "吕纳",
    "m9": "席安",
}


@pytest.fixture
def index() -> Index:
    made = Index()
    made.tell(PEOPLE.items())
    return made


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("zw", ["m1", "m4"]),
        (" ZW ", ["m1", "m4"]),
        ("zww", ["m4"]),
        ("cs", ["m2"]),
        ("zd", ["m2"]),
        ("js", ["m3"]),
        ("smi", ["m3"]),
        ("john  smith", ["m3"]),
        ("伟", ["m1"]),
        ("张 伟", ["m1"]),
        ("娜", ["m5"]),
        ("oynn", ["m5"]),
        ("o'n", ["m7"]),
        ("zhangwei", ["m1"]),
        ("Zhang Wei", ["m1"]),
        ("zhang w", ["m1"]),
        ("zhangw", ["m1"]),
        ("zhang", ["m1"]),
        ("zha", ["m1", "m4"]),
        ("zhao wei wei", ["m4"]),
        ("zeng shan", ["m2"]),
        ("cengchan", ["m2"]),
        ("ouyangnana", ["m5"]),
        ("zhangweix", []),
        ("wei", []),
        ("lvna", ["m8"]),
        ("lyuna", ["m8"]),
        ("lu na", ["m8"]),
        ("lün", ["m8"]),
        ("xian", ["m9"]),
        ("xi'an", ["m9"]),
        ("w", []),
        ("", []),
        ("\n", []),
        ("\x1f", []),
    ],
)
def test_somebody_is_found_by_what_is_typed(index: Index, said: str, found: list[str]) -> None:
    assert index.found(said, 9) == found


def test_whom_it_means_exactly_comes_first_and_no_more_than_were_asked_for(index: Index) -> None:
    index.tell([("m0", "赵薇云"), ("mx", "周武")])
    assert index.found("zw", 9) == ["m1", "mx", "m4", "m0"]
    assert index.found("zw", 2) == ["m1", "mx"]
    index.tell([("m0", "张伟明"), ("mx", "章玮")])
    assert index.found("zhangwei", 9) == ["m1", "mx", "m0"]


def test_who_is_called_otherwise_or_erased_is_found_by_that_name_no_more(index: Index) -> None:
    index.tell([("m1", "王五"), ("m4", None), ("nobody", None)])
    assert index.found("zw", 9) == []
    assert index.found("ww", 9) == ["m1"]
    assert "张" not in repr(vars(index)), "nothing of it is left in memory"


def test_as_many_are_held_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST_NAMES", 2)
    index = Index()
    index.tell([("m1", "张伟"), ("m2", "张芳"), ("m3", "张敏"), ("m1", "王伟")])
    assert (len(index), index.found("张", 9), index.found("ww", 9)) == (2, ["m2"], ["m1"])


def test_a_name_is_read_in_every_way_but_not_in_endlessly_many() -> None:
    assert set(initials("单")) == {"d", "c", "s"}
    assert len(initials("单" * 30)) == MOST_READINGS
    assert initials("") == initials("123") == []
    assert initials("李x") == ["lx"]
    readings = {"".join(each) for each in product("cz", "csd")}
    assert set(initials("曾单")) == readings


def test_what_is_typed_is_parted_in_few_ways_however_long_it_is() -> None:
    assert len(spelled("xianan")) == 4
    assert len(spelled("an" * 4)) <= MOST_SPELLINGS
    assert spelled("a" * 100) == spelled("zhang3") == spelled("张") == []
