"""Laws of campaigns and bindings: caps and budgets are exact, nobody is bound against the terms."""

from datetime import date, timedelta
from typing import Any

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from domain.bindings import AlreadyBound, BindingEnded, BindingStarted, EndBinding, StartBinding
from domain.enrolments import (
    AlreadyEnrolled,
    BudgetUsedUp,
    CampaignEnrolled,
    CapReached,
    InControlGroup,
    PlaceTaken,
    drawn_into_control,
)
from domain.kernel.refusal import Refusal
from domain.kernel.values import add_months, local_date
from domain.members import ChangeTier
from tests.domain.scenario import World, do, given, local
from tests.domain.words import JOINED, NOON, WEST, campaign, enrol

CROWD = [f"m{n}" for n in range(1, 9)]
LAWS = settings(max_examples=60, deadline=None)


def crowd() -> list[Any]:
    """Eight gold members of one unit."""
    tiers = [do(ChangeTier, "2007-01-01", member_id=name, tier="gold") for name in CROWD]
    return [WEST, *(JOINED.model_copy(update={"member_id": name}) for name in CROWD), *tiers]


def outcome(world: World, command: Any) -> Refusal | None:
    try:
        world.execute(command)
    except Refusal as refusal:
        return refusal
    return None


@LAWS
@for_all(
    cap=st.none() | st.integers(0, 9),
    budget_fen=st.none() | st.integers(0, 6_000),
    gift_bp=st.integers(0, 2_000),
    control_bp=st.sampled_from([0, 0, 3_000]),
    tries=st.lists(st.tuples(st.sampled_from(CROWD), st.integers(10_000, 20_000)), max_size=25),
)
def test_a_cap_and_a_budget_are_exact(
    cap: int | None,
    budget_fen: int | None,
    gift_bp: int,
    control_bp: int,
    tries: list[tuple[str, int]],
) -> None:
    limits = {"cap": cap, "budget_fen": budget_fen, "gift_bp": gift_bp, "control_bp": control_bp}
    world = given(crowd(), campaign(**limits)).world
    taken: dict[str, int] = {}
    for name, prepaid_fen in tries:
        gift_fen = prepaid_fen * gift_bp // 10_000
        spent_fen = sum(taken.values())
        refusal = outcome(world, enrol(member_id=name, prepaid_fen=prepaid_fen))
        if name in taken:
            assert refusal == AlreadyEnrolled("spring")
        elif drawn_into_control("none", name, control_bp):
            assert refusal == InControlGroup("spring")
        elif cap is not None and len(taken) == cap:
            assert refusal == CapReached(cap, cap)
        elif budget_fen is not None and spent_fen + gift_fen > budget_fen:
            assert refusal == BudgetUsedUp(budget_fen, spent_fen, gift_fen)
        else:
            assert refusal is None
            taken[name] = gift_fen
    places = [event for _, event in world.log if isinstance(event, PlaceTaken)]
    enrolled = [event for _, event in world.log if isinstance(event, CampaignEnrolled)]
    bound = [event for _, event in world.log if isinstance(event, BindingStarted)]
    assert [place.place for place in places] == list(range(1, len(taken) + 1))
    assert [(place.member_id, place.gift_fen) for place in places] == list(taken.items())
    assert [event.place for event in enrolled] == [place.place for place in places]
    assert len(bound) == len(enrolled)
    state = world.state("places:spring")["places"]
    assert (state.taken, state.gift_fen) == (len(taken), sum(taken.values()))
    world.check()


DAYS = st.integers(0, 400).map(lambda n: date(2008, 6, 1) + timedelta(days=n))
POLICIES = st.sampled_from(["prepay", "family_plan", "handset"])


def days_bound(world: World) -> dict[int, tuple[str, date, date]]:
    """Of each binding its policy and the days on which it binds, by the events alone."""
    bound: dict[int, tuple[str, date, date]] = {}
    for _, event in world.log:
        if isinstance(event, BindingStarted):
            bound[event.binding] = (event.policy, event.starts_on, event.ends_on)
        elif isinstance(event, BindingEnded):
            policy, starts_on, _ = bound[event.binding]
            bound[event.binding] = (policy, starts_on, event.ended_on)
    return bound


def overlapping(world: World, policies: tuple[str, ...], starts_on: date, ends_on: date) -> bool:
    return any(
        policy in policies and max(starts_on, first) < min(ends_on, last)
        for policy, first, last in days_bound(world).values()
    )


@LAWS
@for_all(
    steps=st.lists(
        st.tuples(st.just("bind"), POLICIES, DAYS, st.integers(1, 200))
        | st.tuples(st.just("end"), st.integers(1, 5), DAYS, st.just(0))
        | st.tuples(st.just("enrol"), POLICIES, DAYS, st.integers(0, 12)),
        max_size=12,
    )
)
def test_nobody_is_bound_against_the_terms(steps: list[tuple[str, Any, date, int]]) -> None:
    world = given(crowd()).world
    ended: set[int] = set()
    for number, (what, about, day, length) in enumerate(steps):
        if what == "bind":
            last = day + timedelta(days=length)
            contradicts = overlapping(world, (about,), day, last)
            said = {"policy": about, "starts_on": day, "ends_on": last}
            refusal = outcome(world, do(StartBinding, NOON, **said))
            assert refusal == (AlreadyBound(about) if contradicts else None)
        elif what == "end":
            before = days_bound(world).get(about)
            command = do(EndBinding, NOON, binding=about, ended_on=day, cause="cancelled")
            refusal = outcome(world, command)
            can_end = before and about not in ended and before[1] <= day < before[2]
            assert (refusal is None) == bool(can_end)
            if refusal is None:
                ended.add(about)
        else:
            terms = {"months_bound": length, "kind": about, "excludes": ("handset",)}
            window = {"opens_on": day, "closes_on": day, "campaign_id": f"c{number}"}
            world.execute(campaign(**terms, **window))
            until = max(add_months(day, length), day + timedelta(days=1))
            contradicts = overlapping(world, ("handset",), day, until)
            at = local(f"{day} 23:59")
            refusal = outcome(world, enrol(at, campaign_id=f"c{number}"))
            assert refusal == (AlreadyBound("handset") if contradicts else None)
            if refusal is None and length:
                last_event = world.log[-1][1]
                assert isinstance(last_event, BindingStarted)
                assert local_date(at) == last_event.starts_on == day
                assert last_event.ends_on == add_months(day, length)
    world.check()
