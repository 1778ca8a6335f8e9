"""What is corrected at once is as if it had never been told; both times show both."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.catalogue import COMMANDS
from domain.corrections import Correction
from domain.kernel.correction import TakesBack
from projections.engine.reference import ReferenceFold
from tests.projections.histories import (
    MEMBERS,
    STEPS,
    Step,
    World,
    history,
    told_wrongly,
)
from tests.projections.workings import CARELESS

NUMBERED = {"binding", "position"}
"""What is counted as it is told."""


def answers(world: World) -> dict[str, list[Any]]:
    plain = ReferenceFold().fold(world.log)
    return {
        name: sorted(
            [sorted((k, v) for k, v in row.items() if k not in NUMBERED) for row in rows], key=repr
        )
        for name, rows in ((name, plain.rows(name)) for name in plain.tables)
        if rows
    }


def prepared(worlds: Sequence[World], fact: Step, back: Step) -> tuple[Step, Step]:
    """What the fact needs happens in each world; a number is that of the latest binding."""
    (name, words), (undo, which) = fact, back
    him, days = {"member_id": words.get("member_id", "m1")}, dict[str, Any]()
    for world in worlds:
        if name == "visit.admit_in_emergency":
            world.does("emergency.declare", club_id=words["club_id"])
        if name == "activity.attend":
            world.does("activity.hold", **which_activity(words), title="Tour")
        if name == "member.return":
            world.does("member.leave", **him)
            world.now += timedelta(minutes=1)
        if name == "binding.end":
            days = {"starts_on": date(2010, 1, 1), "ends_on": date(2010, 9, 1)}
            world.does("binding.start", **him, policy="family_plan", **days)
    if name == "binding.end":
        number = {"binding": bindings_of(worlds[0], him["member_id"]) or 1}
        return (name, {**words, **number, "ended_on": date(2010, 4, 1)}), (
            undo,
            {**which, **number},
        )
    if name == "binding.start":
        which = {**which, "binding": bindings_of(worlds[0], him["member_id"]) + 1}
    if name == "visit.admit_in_emergency":
        which = {**which, "admission": admissions_of(worlds[0], words["club_id"]) + 1}
    return fact, (undo, which)


def which_activity(words: dict[str, Any]) -> dict[str, Any]:
    return {name: words[name] for name in ("club_id", "activity_id")}


def bindings_of(world: World, member: str) -> int:
    made: int = world.states[f"member:{member}"]["bindings"].made
    return made


def admissions_of(world: World, club: str) -> int:
    found = world.states.get(f"admissions:{club}")
    return 0 if found is None else found["admissions"].made


def carried_out(world: World, fact: Step, back: Step) -> bool:
    """Whether both were: the fact that is told, and what takes it back."""
    before = len(world.refused)
    world.does(fact[0], **fact[1])
    if len(world.refused) > before:
        return False
    world.does(back[0], **back[1])
    assert len(world.refused) == before, f"what was told can be taken back: {world.refused[-1]}"
    return True


CORRECTIONS = [kind for kind in COMMANDS.values() if issubclass(kind, Correction)]
KINDS = sorted(kind.fact.topic for kind in CORRECTIONS)


def test_a_fact_corrected_at_once_leaves_the_answers_as_if_it_had_never_been() -> None:
    """Each history is told once, and then with each kind of fact in it: to think one up takes
    longer than to decide it."""
    corrected = set[str]()

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=CARELESS)
    @given(before=STEPS, facts=st.sampled_from(MEMBERS).flatmap(told_wrongly), after=STEPS)
    def law(before: list[Any], facts: list[tuple[Step, Step]], after: list[Any]) -> None:
        begun = history(before, 1)
        for told in facts:
            corrected.update(law_of_one(begun, told, after))

    law()
    assert corrected == set(KINDS), "a kind was never corrected"


def law_of_one(begun: World, told: tuple[Step, Step], after: list[Any]) -> list[str]:
    """A world in which a fact is told and taken back goes on like one in which it was not; what
    was corrected."""
    one, other = copied(begun), copied(begun)
    fact, back = prepared((one, other), *told)
    member, club = fact[1].get("member_id", "m1"), fact[1].get("club_id", "health")
    made, let_in = bindings_of(one, member), admissions_of(one, club)
    if not carried_out(one, fact, back):
        return []
    corrected = [e.fact for e in events(one)[-3:] if isinstance(e, TakesBack)]
    more, more_in = bindings_of(one, member) - made, admissions_of(one, club) - let_in
    refused = len(one.refused), len(other.refused)
    for scene, *_ in after:
        for name, words in scene:
            known = {word: value for word, value in words.items() if word != "lapses_after"}
            other.does(name, **known)
            if known.get("member_id") == member and known.get("binding", 0) > made:
                known["binding"] += more
            if known.get("club_id") == club and known.get("admission", 0) > let_in:
                known["admission"] += more_in
            one.does(name, **known)
    assert answers(one) == answers(other), told
    codes = [
        [refusal.code for refusal in world.refused[n:]]
        for world, n in zip((one, other), refused, strict=True)
    ]
    assert codes[0] == codes[1], told
    return corrected


def copied(world: World) -> World:
    """Another world in which the same has happened; what happens in one changes not the other."""
    return replace(
        world,
        states=deepcopy(world.states),
        log=[*world.log],
        refused=[*world.refused],
        asked={**world.asked},
    )


@settings(max_examples=1, deadline=None)
@given(told_wrongly("m1"))
def test_each_kind_is_told_wrongly(told: list[tuple[Step, Step]]) -> None:
    kinds = [COMMANDS[back] for _, (back, _) in told]
    assert sorted(kind.fact.topic for kind in kinds if issubclass(kind, Correction)) == KINDS


def events(world: World) -> list[Any]:
    return [stored.event for stored in world.log]
