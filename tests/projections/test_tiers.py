"""A programme's tiers are its ledger's: others are refused, and every measure has them."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from api.http.pages import telling, words
from domain.kernel.values import PROGRAMME
from domain.members import ChangeTier
from domain.simulation.changes import TierRule
from ledger.database import InstallError, connect, install
from projections.engine import runner
from projections.engine.measure import measured
from tests.projections.histories import World, lay
from tests.projections.tables import looking

OURS = "platinum,plus,basic"


@pytest.fixture
def dsn(installed: Callable[[int], str]) -> Iterator[str]:
    usual, untitled = PROGRAMME.tiers, PROGRAMME.titles
    found = installed(1)
    with connect(found) as conn:
        conn.execute("DELETE FROM ledger_meta WHERE name = 'tiers'")
    install(found, tiers=OURS)
    yield found
    PROGRAMME.tiers, PROGRAMME.titles = usual, untitled


def to(tier: str) -> ChangeTier:
    return ChangeTier(
        command="tier.change", member_id="m1", actor="clerk:li", tier=tier, reason="x"
    )


def test_a_ledger_has_the_tiers_it_was_made_with(dsn: str) -> None:
    assert PROGRAMME.tiers == ("platinum", "plus", "basic")
    install(dsn)
    assert to("plus").tier == "plus"
    with pytest.raises(ValidationError, match="there are platinum, plus, basic"):
        to("gold")
    install(dsn, tiers="platinum,ruby,plus,basic")  # one more, between them
    assert to("ruby").tier == "ruby"
    install(dsn, tiers="platinum,ruby,plus,basic")
    for wrong in (OURS, "plus,platinum,ruby,basic", "ruby", "platinum,ruby,plus,basic,none",
                  "platinum,ruby,plus,basic,basic", "A,platinum,ruby,plus,basic", ","):  # fmt: skip
        with pytest.raises(InstallError, match="tiers"):
            install(dsn, tiers=wrong)


def test_tiers_have_the_titles_that_were_said_last(dsn: str) -> None:
    assert PROGRAMME.titles == {}
    install(dsn, tiers="platinum=白金卡/Platinum card,plus=优享卡,basic")
    assert PROGRAMME.tiers == ("platinum", "plus", "basic")
    assert PROGRAMME.titles == {"platinum": ("白金卡", "Platinum card"), "plus": ("优享卡",) * 2}
    install(dsn, tiers="platinum,plus=尊享卡/Plus,basic=普卡/Basic")
    install(dsn)
    assert PROGRAMME.titles == {
        "platinum": ("白金卡", "Platinum card"),
        "plus": ("尊享卡", "Plus"),
        "basic": ("普卡", "Basic"),
    }
    told = [words.named("zh", "plus"), words.called("en", "choices", "basic")]
    told += [telling.value("zh", "tiers", ["plus", "platinum"])]
    told += [telling.value("en", "tier", "basic"), telling.value("en", "arm", "basic")]
    assert told == ["尊享卡", "Basic", "尊享卡、白金卡", "Basic", "basic"]
    for wrong in ("platinum=,plus,basic", "platinum=/Platinum,plus,basic",
                  f"platinum={'x' * 61},plus,basic", "platinum=a\nb,plus,basic"):  # fmt: skip
        with pytest.raises(InstallError, match="its titles behind it"):
            install(dsn, tiers=wrong)


def test_measures_and_rules_know_them(dsn: str) -> None:
    world = World()
    world.does("unit.open", unit_id="u", title="U")
    for number, tier in enumerate(("platinum", "basic", "basic")):
        world.does("member.join", member_id=f"m{number}", unit_id="u")
        world.does("tier.change", member_id=f"m{number}", tier=tier)
    assert not world.refused
    with looking(connect(dsn)) as conn:
        lay(conn, world.log)
        runner.project(dsn)
        found = measured(conn, "members.vips", {}, date(2008, 12, 31), ["tier"])
        assert {group.key["tier"]: group.value for group in found.groups} == {
            "platinum": 1,
            "basic": 2,
        }
    rule: dict[str, Any] = {"change": "tier_rule", "window": "rolling"}
    TierRule(**rule, thresholds_fen={"platinum": 2, "basic": 1})
    for wrong in ({"platinum": 1, "basic": 2}, {"gold": 1}):
        with pytest.raises(ValidationError):
            TierRule(**rule, thresholds_fen=wrong)
