"""Every word of every page is there in both languages, with the values that it is given."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from string import Formatter
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from api.doors import DOORS
from api.http.pages import (
    campaigns,
    figures,
    forms,
    offering,
    page,
    supposing,
    telling,
    words,
)
from api.runtime import problems
from domain.catalogue import CATALOGUE, KINDS, REFUSALS
from domain.kernel.postings import MovesPoints
from domain.kernel.refusal import DeskRule
from domain.kernel.values import PROGRAMME
from domain.simulation.scenario import CHANGES, Scenario
from projections.engine.measure import MEASURES

AT_THE_DOOR = {"retry_after_s", "user_id"}  # come with who has to wait, and who is no user here
TABLE = words.words()


def fields(text: str) -> set[str]:
    """The values that a text wants."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def templates() -> dict[str, str]:
    """Every template's text."""
    made = page.templates()
    assert made.loader is not None
    return {name: made.loader.get_source(made, name)[0] for name in made.list_templates()}


OF_FORMS = {"lists", "subjects", "commands", "fields", "hints", "choices", "errors"}
OF_EVENTS = {"kinds", "topics", "sentences", "values"}


def test_a_word_is_there_in_both_languages_with_the_same_values() -> None:
    assert (
        TABLE.keys() == {"words", "refusals", "names", "mends", "explained"} | OF_FORMS | OF_EVENTS
    )
    for table in ("words", "names", "mends", *OF_FORMS, *OF_EVENTS):
        for name, (chinese, english) in TABLE[table].items():
            assert chinese, name
            assert english, name
            assert fields(chinese) == fields(english), name


def test_all_that_forms_speak_of_has_its_words_and_nothing_else() -> None:
    names, choices, hints, answers = set[str](), set[str](), set[str](), set[str]()
    for door in DOORS:
        answers |= {*get_type_hints(door.command.answers)}
        for field in forms.fields_of(door):
            own = f"{door.name}.{field.name}"
            names.add(own if own in TABLE["fields"] else field.name)
            inside = {f"{field.name}.{each}" for each in ("key", "value")}
            names |= inside if field.shape == "entries" else set()
            names |= {*field.boxes} if field.shape == "rows" else set()
            choices |= {*field.boxes} if field.shape == "table" else set()
            choices |= {each for box in field.boxes.values() for each in box.choices}
            if door.command.model_fields[field.name].description:
                hints.add(own if own in TABLE["hints"] else field.name)
    scenario: list[tuple[str, type[BaseModel], list[forms.Field]]]
    scenario = [(kind, of, supposing.fields_of(kind)) for kind, of in CHANGES.items()]
    scenario.append(("what_if", Scenario, supposing.own_fields()))
    for subject, model, asked in scenario:
        assert subject == "what_if" or f"change:{subject}" in TABLE["names"]
        for field in asked:
            own = f"{subject}.{field.name}"
            names.add(own if own in TABLE["fields"] else field.name)
            choices |= {*field.boxes} if field.shape == "table" else set()
            choices |= {each for box in field.boxes.values() for each in box.choices}
            if model.model_fields[field.name].description:
                hints.add(own if own in TABLE["hints"] else field.name)
    for question in offering.LISTS.values():
        for name, of in offering.row_of(question).model_fields.items():
            answers.add(name)
            standing = get_args(of.annotation) if name == "standing" else ()
            choices |= {*standing}
    assert {*TABLE["lists"]} == {*offering.LISTS}
    assert {*TABLE["fields"]} == names | answers | {"free_visits_left"}
    assert {*TABLE["choices"]} == choices - {*PROGRAMME.tiers}
    assert {*TABLE["hints"]} == hints
    assert [*TABLE["commands"]] == [door.name for door in DOORS]
    assert {*TABLE["subjects"]} == {door.tag for door in DOORS}


def test_pages_say_what_there_is_and_nothing_is_left_over() -> None:
    code = "\n".join(each.read_text("utf-8") for each in Path(page.__file__).parent.glob("*.py"))
    said = re.findall(r"\bt\((.*?)\)", "\n".join(templates().values()))
    said += re.findall(r"\bsay\(\w+, (.*?)\)", code)
    named = {name for each in said for name in re.findall(r"""["'](\w+)["']""", each)}
    named |= {each.name for each in page.CONSOLES} | {f"theme_{each}" for each in page.THEMES}
    named |= {f"part_{each}" for each in figures.PARTS}
    named |= {"elderly", "child", "other"}  # by the kind that was chosen
    named |= {*campaigns.STATES}
    first = {
        each[1:-1] for one in said for each in re.findall(r"""^["']\w+["'](?= *[,)]|$)""", one)
    }
    assert first <= set(TABLE["words"]) <= named


def test_every_event_is_called_something_and_tells_what_it_holds() -> None:
    assert {*TABLE["topics"]} == {*TABLE["sentences"]} == {*CATALOGUE}
    assert {*TABLE["kinds"]} == {*KINDS}
    for topic, (_, english) in TABLE["sentences"].items():
        event = CATALOGUE[topic]
        moves = {"points"} if issubclass(event, MovesPoints) else set[str]()
        assert fields(english) <= {*event.model_fields} | moves, topic


def test_what_an_event_holds_in_words_of_ours_has_readers_words() -> None:
    for event in CATALOGUE.values():
        for name, of in event.model_fields.items():
            coded = [] if name == "scopes" else list(literals(of.annotation))
            assert not coded or name in telling.CODED, f"{event.topic}: {name}"
            for each in coded:
                assert telling.value("zh", name, each) != each, f"{event.topic}: {name} {each}"


def test_a_rule_that_may_be_broken_has_a_short_name() -> None:
    rules = {each.code for each in REFUSALS.values() if issubclass(each, DeskRule)}
    named = {name for name in TABLE["names"] if name.startswith("rule:")}
    assert rules
    assert named == {f"rule:{code}" for code in rules}
    assert telling.value("zh", "despite", ["in_control_group", "of_yesterday"]) == (
        "在对照组、of_yesterday"
    )


def literals(annotation: Any) -> Iterator[str]:
    """The texts that alone may stand in such a field."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    for each in get_args(annotation):
        yield from literals(each)


def test_templates_hold_no_sentence_of_their_own() -> None:
    for name, said in templates().items():
        bare = re.sub(r"{[{%#].*?[#%}]}|<[^>]*>", "", said, flags=re.DOTALL)
        assert not re.search(r"[^\W\d_]{2,}", bare), name


def test_what_is_asked_anew_has_a_place_that_a_refusal_empties() -> None:
    whole = "\n".join(templates().values())
    places = {*re.findall(r'hx-target="#(\w+)"', whole)} - {
        "problem",
        "receipts",
        "progress",
        "today",
    }
    assert {"card", "answer", "outcome", "job", "form"} <= places
    marked = {*re.findall(r'id="(\w+)" data-answer', whole)}
    assert places - marked == {"form"}, "whose answer stands inside it"
    assert "data-answer" in templates()["administration/_form.html"]


def test_whatever_may_be_refused_has_its_sentence_and_its_next_step() -> None:
    assert set(problems.codes()) == set(TABLE["refusals"])


def test_what_was_added_yesterday_is_called_by_its_own_name() -> None:
    assert words.called("zh", "commands", "umbrella.lend") == "umbrella.lend"
    assert words.called("zh", "fields", "umbrella.lend.desk", "desk") == "服务台"
    assert words.known("zh", "hints", "umbrella.lend.desk", "desk") == ""


def test_no_page_calls_a_tier_as_commands_do() -> None:
    as_it_is = re.compile(r"\{\{ *(?:\w+\.)?tier *(?:or [^}]*)?\}\}")
    assert as_it_is.search('{{ member.tier or t("no_tier") }}')
    assert not {name for name, text in templates().items() if as_it_is.search(text)}
    for tier in PROGRAMME.tiers:
        assert words.called("zh", "choices", tier) == words.named("zh", tier) != tier
    assert words.called("en", "choices", "of_another_branch") == "of_another_branch"


@pytest.mark.parametrize("code", TABLE["refusals"])
def test_a_refusal_tells_of_numbers_that_it_has(code: str) -> None:
    for chinese, english in TABLE["refusals"][code]:
        assert chinese
        assert english
        assert fields(chinese) == fields(english) <= {*problems.members_of(code), *AT_THE_DOOR}


def test_a_refusal_is_said_with_its_numbers_as_readers_have_them() -> None:
    told: dict[str, Any] = {"code": "visit_repeated", "last_at": "2031-02-28T20:05:00+00:00"}
    assert words.refusal("en", told)[0] == "Was here already at 2031-03-01 04:05."
    told = {"code": "not_eligible", "admitted_tiers": ["gold", "silver"]}
    assert "金卡、银卡" in words.refusal("zh", told)[0]
    assert "Gold, Silver" in words.refusal("en", told)[0]
    told = {"code": "prepaid_too_small", "prepaid_fen": 59_950, "prepaid_min_fen": 6_000_000}
    assert words.refusal("en", told)[0] == "599.50 yuan were prepaid, 60,000.00 are the least."
    told = {"code": "hours_reversed", "opens_minute": 1440, "closes_minute": 545}
    assert words.refusal("zh", told)[0] == "关门时间 09:05 早于开门时间 24:00。"
    told = {"code": "not_in_segment", "tier": None, "tiers": []}
    assert words.refusal("en", told)[0].count("—") == 2
    told = {"code": "of_another_age", "detail": "It is so."}
    assert words.refusal("zh", told) == ("It is so.", "请联系主管。")


def test_what_lies_in_the_middle_is_rounded_up_as_measures_are() -> None:
    assert words.yuan(Decimal("10612.50")) == "106.13"
    assert words.yuan(-120_000) == "-1,200"
    assert words.number(Decimal("2.5"), 0) == "3"


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        ("en", "zh-CN", "en"),
        (None, "", "zh"),
        (None, "fr, en;q=0.8, zh;q=0.9", "zh"),
        (None, "fr, en-GB;q=0.8, zh;q=0.3", "en"),
        (None, "en", "en"),
        ("klingon", "EN-us", "en"),
        (None, "de-DE,de;q=0.9", "en"),
        (None, "en;q=NaN, fr", "en"),
        (None, "fr;q=1, en;q=9", "en"),
        (None, ",;=,*;q=1", "zh"),
    ],
)
def test_a_page_speaks_what_was_chosen_or_the_browser_would_rather_have(
    chosen: str | None, accepted: str, language: str
) -> None:
    assert words.language_of(chosen, accepted) == language


def test_what_is_said_of_figures_is_said_in_the_language_of_the_page_without_backticks() -> None:
    said = {each.rows.what for each in MEASURES.values()}
    said |= {each.note for each in MEASURES.values() if each.note}
    said |= {why for each in MEASURES.values() for _, _, why in each.at_least if why}
    for text in said:
        assert text in TABLE["explained"], text
        assert not re.search("[a-z`]", words.explained("zh", text).replace("VIP", "")), text
        assert "`" not in words.explained("en", text)
    other = "x of the same level says at least 30"
    assert words.explained("zh", other) == "同级的 x 另定为 不低于 30"
    assert words.explained("zh", "nothing is called vips") == "没有名为 vips 的报称值"
    assert (
        words.explained("zh", "Odd: `low_fen` is of another age")
        == "Odd: 低消门槛 is of another age"
    )
    assert "`" not in str([words.words()[each] for each in ("words", "names", "refusals", "mends")])
