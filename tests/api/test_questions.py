"""A question that is a row is answered alike over HTTP and on the command line."""

from pathlib import Path

import httpx
import pytest
from pydantic import TypeAdapter

from api.doors import QUESTION_OF
from api.http.questions import EXAMPLES
from tests.api.running import clubledger
from tests.domain import usual


@pytest.mark.parametrize("name", QUESTION_OF)
def test_both_doors_answer_alike(http: httpx.Client, demo_dir: Path, name: str) -> None:
    question = QUESTION_OF[name]
    schemas = {word: TypeAdapter(kind).json_schema() for word, kind in question.words.items()}
    words = {
        word: EXAMPLES.get(word) or usual.value(word, schema, {})
        for word, schema in schemas.items()
    }
    path, said = question.path.format(**words), [f"{w}={value}" for w, value in words.items()]
    beside = {word: value for word, value in words.items() if f"{{{word}}}" not in question.path}
    shown = clubledger("ask", name, *said, "--json", data_dir=demo_dir)
    answer = http.get(path, params=beside)
    told = answer.json()
    if answer.status_code == 404:  # the demo has none of these
        assert question.unknown is not None
        assert told["code"] == question.unknown.code == shown.problem["refusal"]
        return
    assert told.pop("next", None) is None
    assert told == shown.json


def test_a_reader_gets_lines_and_tables(demo_dir: Path) -> None:
    shown = clubledger("ask", "club", "club_id=health", data_dir=demo_dir).out
    assert not set("{}'+") & set(shown), "no value as Python writes it"
    assert "True" not in shown
    assert "club id             health\n" in shown
    assert "service_id" in shown
    assert clubledger("ask", "clubs", data_dir=demo_dir).out.startswith("club_id")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("houses",), 2, "there are clubs, club"),
        (("club",), 2, "Say club_id=..."),
        (("club", "health"), 2, "club takes club_id=..."),
        (("club", "club_id=health", "club_id=car"), 2, "club takes club_id=..., each once"),
        (("clubs", "club_id=health"), 2, "clubs takes nothing"),
        (("club", "club_id=a b"), 2, "club_id: String should match"),
        (("clubs", "--known-at", "2008-12-31"), 2, "as of now alone"),
        (("club", "club_id=opera"), 3, "no such club"),
    ],
)
def test_what_cannot_be_answered_is_told_in_a_sentence(
    demo_dir: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    ended = clubledger("ask", *words, data_dir=demo_dir)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
