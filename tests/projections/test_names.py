"""One name an idea, from the command to the answer: read from the registries themselves.

An id is `<noun>_id`; what a command says, its events, the tables and the answers say under the same
name; and a word that was given up for another stays given up.
"""

import json
import re
import types
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

import msgspec
import pytest

import api.http  # noqa: F401  # defines what only doors answer
from domain.catalogue import ADDRESSED, CATALOGUE, COMMANDS, PARTS
from domain.kernel.correction import CORRECTED
from domain.kernel.refusal import REFUSALS
from domain.kernel.values import Id
from ledger.database import connect
from projections.engine import runner
from projections.engine.answer import Answer
from projections.engine.reference import ReferenceFold
from tests.projections.histories import World, told_about, usually
from tests.projections.test_folds import everything_twice

Named: TypeAlias = tuple[str, str, Any]
"""Where it stands, its name, and its type where there is one."""

SOON, LATER = date(2008, 1, 3), date(2008, 12, 1)
OPENAPI = Path(__file__).parents[1] / "api" / "openapi.json"


def models() -> Iterator[Named]:
    """The fields of commands, events and refusals."""
    for name, command in COMMANDS.items():
        for field, of in command.model_fields.items():
            yield f"command {name}", field, of.rebuild_annotation()
    for topic, event in CATALOGUE.items():
        for field, of in event.model_fields.items():
            yield f"event {topic}", field, of.rebuild_annotation()
    for code, refusal in REFUSALS.items():
        for each in fields(refusal):
            yield f"refusal {code}", each.name, None


def states() -> Iterator[Named]:
    """The fields of states, and of what they hold."""
    known: set[type] = set()
    for part in PARTS.values():
        yield from _of_struct(part.type, known)


def _of_struct(kind: Any, known: set[type]) -> Iterator[Named]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in known:
        known.add(kind)
        for field in msgspec.structs.fields(kind):
            yield f"state {kind.__name__}", field.name, field.type
            yield from _of_struct(field.type, known)
    for inner in get_args(kind):
        yield from _of_struct(inner, known)


def columns(dsn: str) -> Iterator[Named]:
    """The columns of the log, of event tables and of answers, as PostgreSQL has them."""
    runner.project(dsn)
    with connect(dsn) as conn:
        for schema, table, column in conn.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns"
            " WHERE table_schema IN ('ledger', 'typed', 'answers')"
        ):
            yield f"table {schema}.{table}", column, None


def doors() -> Iterator[Named]:
    """What is sent and answered over HTTP, and by the command line alone."""
    for answer in _below(Answer):
        if answer.__module__.startswith("tests."):
            continue
        for field in answer.model_fields:
            yield f"schema {answer.__name__}", field, None
    described = json.loads(OPENAPI.read_text("utf-8"))
    commands = {command.__name__ for command in COMMANDS.values()}
    for name, schema in described["components"]["schemas"].items():
        if name.removesuffix("Request") in commands:
            continue  # it says what the command says
        for field in schema.get("properties", ()):
            yield f"schema {name}", field, None
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", ()):
                yield f"{method} {path}", parameter["name"], None


def _below(kind: Any) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


@pytest.fixture(scope="module")
def history() -> World:
    """Every event that a command tells."""
    world = everything_twice(1)
    world.does("cohort.include", cohort_id="kept", member_id="m1")
    world.does("cohort.freeze", cohort_id="kept", size=11)
    world.does("campaign.correct_enrolment", member_id="m1", campaign_id="plain")
    world.does("activity.hold", club_id="health", activity_id="b", title="B")
    world.now += timedelta(hours=1)
    world.does("activity.attend", member_id="m1", club_id="health", activity_id="b")
    world.does("visit.undo", member_id="m1", visit=5, actor="supervisor:wang")
    world.does("points.reverse_credit", member_id="m4", lot=1, points=60)
    world.does("binding.start", member_id="m2", policy="handset", starts_on=SOON, ends_on=LATER)
    world.does("binding.end", member_id="m2", binding=1, ended_on=SOON, cause="breach")
    world.does("campaign.close", campaign_id="plain")
    world.does("campaign.correct_closing", campaign_id="plain")
    world.does("activity.hold", club_id="health", activity_id="c", title="C")
    world.does("activity.correct", club_id="health", activity_id="c")
    world.does("member.change_details", member_id="m1", phone="13800000001")
    world.does("member.unmask", member_id="m1", purpose="called back")
    world.does("member.leave", member_id="m3")
    world.now += timedelta(hours=1)
    world.does("member.return", member_id="m3", unit_id="west")
    for name, words in (step for told in told_about("n") for step in told):
        world.does(name, **words)
    for name in COMMANDS.keys() - {command.called for command in world.asked.values()}:
        world.does(name, **usually(name, "m1")[1])
    assert {stored.event.topic for stored in world.log} == CATALOGUE.keys(), world.refused
    return world


# ------------------------------------------------------------------------------------------- ids
IDS = sorted({field for command in COMMANDS.values() for field in command.model_fields
              if field.endswith("_id")} | set(ADDRESSED.values()))  # fmt: skip
NOUNS = {name.removesuffix("_id") for name in IDS}

ANOTHER_UNIT = re.compile(
    r"report.claim|outside.(record|value)|^schema \w*(Figure|Claim|Outside|Measure|Described)"
)
"""The unit of measurement of a figure."""
NOT_BY_ID = {
    "control_seed": "a word that is drawn by; it names nothing",
    "desk": "the place where somebody is served: no stream, no title, nothing is known of it; and"
    " that is how files say it",
}


def nouns_without_id(named: Iterator[Named]) -> list[str]:
    """A field that is called by a noun and not by its id. An answer may hold the thing itself."""
    return [
        f"{where}: {name}"
        for where, name, _ in named
        if name in NOUNS
        and not (name == "unit" and ANOTHER_UNIT.search(where))
        and not (name == "target" and "ostings" in where)  # the account that points move to
    ]


def ids_without_name(named: Iterator[Named]) -> list[str]:
    """A field of the type of an id that does not say so."""
    return [
        f"{where}: {name}"
        for where, name, of in named
        if _is_id(of) and not name.endswith("_id") and name not in NOT_BY_ID
    ]


def _is_id(of: Any) -> bool:
    if get_origin(of) in (Union, types.UnionType):
        return any(_is_id(each) for each in get_args(of))
    return get_origin(of) is Annotated and set(get_args(Id)) <= set(get_args(of))


def test_who_holds_an_id_says_whose(ledger_dsn: str) -> None:
    told = {"report", "claim", "outside_value", "target", "webhook", "role", "api_key", "user"}
    assert {"member", "club", "service", "campaign", "cohort", "unit", "activity", *told} == NOUNS
    for named in (models(), states(), columns(ledger_dsn), doors()):
        assert nouns_without_id(named) == []
    assert ids_without_name(models()) == []


def test_whatever_holds_one_in_a_history_is_called_so(history: World) -> None:
    """By what stands in the rows, whatever a type or a name says."""
    whose: dict[str, set[str]] = defaultdict(set)
    for command in history.asked.values():
        for name in IDS:
            if value := getattr(command, name, None):
                whose[value].add(name)
    tables = ReferenceFold().fold(history.log)
    rows = [(f"table {name}", row) for name in tables.tables for row in tables.rows(name)]
    rows += [(f"event {s.event.topic}", s.event.model_dump()) for s in history.log]
    wrong = {
        f"{where}: {name}"
        for where, row in rows
        for name, value in row.items()
        if isinstance(value, str) and value in whose and name not in {*whose[value], "title"}
    }
    others = {f"event {event.topic}: which" for event in CORRECTED.values()}
    others |= {"event member.moved: from_unit_id", "table campaign: arms"}  # `drawn` is a campaign
    assert wrong <= others, "what names a fact is called `which` there"


# ------------------------------------------------------------------- from the command to the answer
OTHERWISE = {
    ("at", "occurred_at"): "a command may leave it out, an event has it: `now` enters at the door",
    ("claim_id", "which"): "as of an activity",
    ("activity_id", "which"): "a correction says which fact by whatever names a fact of its topic",
    ("points", "asked_points"): "what a reversal asks for is not what its postings move",
}
"""What an event has of its command under another name, and why."""


def other_names(history: World) -> dict[tuple[str, str], str]:
    """(a command's field, an event's field): they always hold the same, where both are told, and
    neither has the other's name. With an event in which it is so."""
    same: dict[tuple[str, str, str], bool] = {}
    for stored in history.log:
        command = history.asked[stored.event.key]
        event = stored.event
        for mine in type(command).model_fields.keys() - type(event).model_fields.keys():
            for its in type(event).model_fields.keys() - type(command).model_fields.keys():
                said, copied = getattr(command, mine), getattr(event, its)
                if _telling(said) and _telling(copied) and type(said) is type(copied):
                    pair = (mine, its, event.topic)
                    same[pair] = same.get(pair, True) and said == copied
    return {(mine, its): topic for (mine, its, topic), always in same.items() if always}


def _telling(value: Any) -> bool:
    """Whether two that are equal are hardly so by chance."""
    return isinstance(value, str | datetime) or (type(value) is int and value > 9)


def test_what_a_command_says_its_events_say_by_the_same_name(history: World) -> None:
    assert other_names(history).keys() == OTHERWISE.keys()


# ----------------------------------------------------------------------------------- given up
GIVEN_UP = {
    "again": "confirm_repeat",
    "pay": "payment",
    "on": "day, taken_on, opens_on, starts_on, ...",
    "at": "occurred_at, effective_at, known_at, held_at, ...",
    "name": "title; a person has a name",
    "version": "stream_version, price_version, terms_version",
    "id": "figure_id, ...",
    "head": "log_end",
    "heads": "participants, customers",
    "asked": "asked_points",
    "bound_until": "ends_on",
    "frozen_size": "size",
    "shown_terms": "shown_terms_version",
}
"""A word that said too little or was one of two for an idea, and what is said instead."""

YET = {
    ("command", "at"): "in files; see above",
    ("command member.join", "name"): "of a person",
    ("command member.change_details", "name"): "of a person",
    ("schema Member", "name"): "of a person",
    ("schema Unmasked", "name"): "of a person",
    ("schema Welcome", "name"): "of the program",
    ("schema Welcome", "version"): "of the program",
    ("schema Status", "version"): "of the program",
    ("schema Input", "name"): "of one input of a formula",
    ("schema Measured", "on"): "as it is asked: `--on`",
    ("schema MeasureAnswer", "on"): "the same",
    ("schema MeasureFigure", "on"): "the same",
    ("get /v1/measures/{measure_id}", "on"): "the same",
    ("get /v1/measures/{measure_id}/contributions", "on"): "the same",
    ("schema MemberLine", "name"): "of a person",
    ("schema JobFile", "name"): "of a file",
    ("schema Brought", "name"): "of a file",
    ("schema ExportRows", "name"): "of a list",
    ("schema JobState", "version"): "how often something was told of it: no stream is behind it",
    ("refusal", "at"): "the time that the command said",
    ("table ledger.ledger_meta", "name"): "of a setting",
    ("table ledger.migrations", "name"): "of a file",
    (
        "table ledger.snapshots",
        "version",
    ): "of its stream: a snapshot has no other",
    ("table ledger.command_log", "asked"): "the command as it was asked",
    ("schema Command", "asked"): "the command as it was asked",
    ("table ledger.jobs", "asked"): "the job as it was asked",
    ("table ledger.jobs", "version"): "how often something was told of it",
    ("table answers.checkpoint", "version"): "of a fold's code",
    ("state", "id"): "the number of a lot, debit, visit or binding among its member's",
    ("state", "at"): "of a debit, a visit, a reversal: what the state forgets by",
    ("state Price", "version"): "a state is no answer, and has no other version",
    ("state Terms", "version"): "the same",
    ("state Reversal", "asked"): "points, as all its numbers",
}
"""Where a word of these is right, and why."""


def given_up(named: Iterator[Named]) -> list[str]:
    return [
        f"{where}: {name}, say {GIVEN_UP[name]}"
        for where, name, _ in named
        if name in GIVEN_UP
        and (where, name) not in YET
        and (where.partition(" ")[0], name) not in YET
    ]


def test_a_word_that_was_given_up_stays_so(ledger_dsn: str) -> None:
    everything = [*models(), *states(), *columns(ledger_dsn), *doors()]
    assert given_up(iter(everything)) == []
    used = {(where, name) for where, name, _ in everything}
    used |= {(where.partition(" ")[0], name) for where, name in used}
    assert YET.keys() <= used, "an exception that nothing needs"


def test_the_alarms_ring(history: World) -> None:
    assert nouns_without_id(iter([("event x", "club", str)])) == ["event x: club"]
    assert nouns_without_id(iter([("schema Use", "unit", None)])) == ["schema Use: unit"]
    assert ids_without_name(iter([("event x", "whom", Id | None)])) == ["event x: whom"]
    assert given_up(iter([("command x", "again", bool)])) == [
        "command x: again, say confirm_repeat"
    ]
    assert ("at", "occurred_at") in other_names(history)
