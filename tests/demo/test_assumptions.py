"""Every chosen number is used, explained, and tied to figures that exist."""

import tomllib
from pathlib import Path
from random import Random

import demo
from demo.packages import packages
from demo.people import people
from demo.scaling import scale_of

SOURCES = "".join(p.read_text("utf-8") for p in Path(demo.__path__[0]).glob("*.py"))
STATED = {"all-customers-are-the-binding-base", "no-bills-of-2007"}
"""Assumptions that say what is left out or how things are counted, and set no number."""


def test_every_assumption_is_used() -> None:
    unused = {name for name in demo.ASSUMPTIONS if f'assumed("{name}")' not in SOURCES}
    assert unused == STATED


def test_every_assumption_says_why() -> None:
    for entry in demo.ASSUMPTIONS.values():
        assert entry.why.endswith("."), entry.id


def test_assumptions_affect_figures_that_exist() -> None:
    listed = tomllib.loads(demo.REPORT.decode())
    assert set(demo.ASSUMED) <= {claim["id"] for claim in listed["claim"]}
    for figure, names in demo.ASSUMED.items():
        assert all(figure in demo.ASSUMPTIONS[name].affects for name in names)


def test_transitions_add_up_to_the_reported_tiers() -> None:
    from demo.reported import BINDING_BASE, VIP_GROWTH, VIPS

    cells = demo.ASSUMPTIONS["tier-transitions"].value
    after = {tier: sum(c["count"] for c in cells if c["to"] == tier) for tier in VIPS}
    before = sum(c["count"] for c in cells if c["from"] != "none")
    assert after == VIPS
    assert sum(VIPS.values()) - before == VIP_GROWTH
    assert sum(c["count"] for c in cells) == BINDING_BASE


def test_packages_add_up_exactly() -> None:
    ladder = {200: 3, 300: 5, 500: 4, 1000: 2}
    chosen = packages(Random(1), ladder, 400, 170_300)
    assert sum(chosen) == 170_300
    assert set(chosen) <= set(ladder)


def test_nobody_can_be_telephoned() -> None:
    names, phones = people(scale_of("1", 5), 20_000)
    assert len(set(phones)) == len(phones) == len(names)
    assert all(len(phone) == 11 and phone.startswith("1000") for phone in phones)
    assert {len(name) for name in names} == {2, 3}
