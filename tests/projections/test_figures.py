"""The demo's report beside a small year: what agrees, what differs, and what is flagged."""

import tomllib
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

import demo
from api.runtime import report_files
from ledger.database import connect
from projections.engine import runner
from projections.engine.measure import MEASURES
from projections.figures import last_fact
from projections.figures.claims import ClaimFigure, figures
from projections.figures.last_fact import last_fact_on
from projections.figures.targets import TargetProgress, progress
from projections.reports import Target
from tests.projections.histories import World, lay, on
from tests.projections.tables import filled, looking

KEPT, BASE = "vip-2007q4", "binding-2008q4"
"""The cohorts of the report."""
REPORT = report_files.read(demo.REPORT, demo.CLOCK_STARTS_AT, "manager:vip")


def small_year() -> World:
    """Of everything that the report counts, a little."""
    world = World(now=on("2007-01-01"))
    world.does("unit.open", unit_id="u", title="U")
    hours: dict[str, Any] = {"tiers": ("diamond", "gold"), "important": True}
    for club, opens in (("health", "2008-06-30"), ("lounge", "2007-02-01"), ("car", "2007-02-01")):
        day = date.fromisoformat(opens)
        world.does("club.open", club_id=club, title=club, opens_on=day, **hours)
        world.does("service.price", club_id=club, service_id="s", title="S", points=0)
    for cohort, purpose in ((KEPT, "retention"), (BASE, "binding")):
        world.does("cohort.open", cohort_id=cohort, title="C", purpose=purpose, criterion="all",
                   taken_on=date(2007, 12, 31), at=on("2007-12-31"))  # fmt: skip
    for number in range(50):
        member = f"m{number:02}"
        world.does("member.join", member_id=member, unit_id="u")
        world.does("cohort.include", cohort_id=KEPT, member_id=member)
        world.does("cohort.include", cohort_id=BASE, member_id=member)
        tier = ("diamond", "gold", "silver", "member")[number % 4]
        when = on("2008-05-05" if number < 2 else "2007-05-05")
        world.does("tier.change", member_id=member, tier=tier, at=when)
    world.does("cohort.freeze", cohort_id=KEPT, size=51)
    world.does("member.leave", member_id="m49", at=on("2008-08-08"))
    for month in ("2008-01", "2008-02"):
        world.does("bill.record", member_id="m48", month=month, amount_fen=1,
                   at=on("2008-12-31"))  # fmt: skip
    for visited in ("2008-07-01", "2008-07-02", "2009-01-01"):
        for club in ("health", "lounge"):
            world.does("visit.record", member_id="m00", club_id=club, service_id="s",
                       at=on(visited))  # fmt: skip
        if visited == "2008-07-02":
            world.does("visit.undo", member_id="m00", visit=3, at=on(visited),
                       actor="supervisor:w")  # fmt: skip
    world.does("emergency.declare", club_id="lounge", at=on("2008-01-30"))
    world.does("visit.admit_in_emergency", club_id="lounge", category="child", people=3,
               at=on("2008-01-30"))  # fmt: skip
    for n, held in enumerate(("2007-12-01", "2008-03-01", "2008-12-31")):
        world.does("activity.hold", club_id="car", activity_id=f"a{n}", title=held, at=on(held))
        for member in ("m00", "m01"):
            world.does("activity.attend", club_id="car", activity_id=f"a{n}", member_id=member,
                       at=on(held))  # fmt: skip
    for number, campaign in enumerate(("yi_lu_zou_guo", "golden_autumn")):
        world.does("campaign.launch", campaign_id=campaign, title="C", kind="prepay",
                   opens_on=date(2008, 9, 1), closes_on=date(2008, 12, 31), months_bound=6,
                   tiers=("diamond", "gold", "silver", "member"), control_bp=5000 * number,
                   costs=({"item": "All", "cost_fen": 100},))  # fmt: skip
        for one in range(10):
            who: dict[str, Any] = {"member_id": f"m{one:02}", "campaign_id": campaign}
            world.does("campaign.offer", at=on("2008-09-01"), **who)
            world.does("campaign.enrol", prepaid_fen=10_050, at=on("2008-09-02"), **who)
            if number:
                world.does("bill.record", member_id=f"m{one:02}", month="2008-10",
                           amount_fen=9000, margin_fen=one, at=on("2008-12-31"))  # fmt: skip
    return world


@pytest.fixture(scope="module")
def conn(postgres: str) -> Iterator[Any]:
    from ledger.database import install
    from tests.postgres import fresh_database

    with fresh_database(postgres) as dsn:
        install(dsn)
        with connect(dsn) as connection:
            lay(connection, small_year().log)
            runner.project(dsn)
            yield looking(connection)


def checked(conn: Any) -> dict[str, ClaimFigure]:
    return {each.claim_id: each for each in figures(conn, REPORT.document(conn))}


def held(conn: Any) -> dict[str, TargetProgress]:
    told = progress(conn, REPORT.document(conn), REPORT.of(Target))
    return {each.target_id: each for each in told}


def test_each_claim_is_derived_from_the_events(conn: Any) -> None:
    found = checked(conn)
    derived = {name: str(f.derived) for name, f in found.items() if f.derived is not None}
    assert derived["members.vip_total"] == "50"
    assert (derived["members.growth"], derived["members.growth_rate"]) == ("2", "4.17")
    assert [derived[f"members.{t}"] for t in ("diamond", "gold", "silver", "member")] == [
        "13", "13", "12", "12",
    ]  # fmt: skip
    assert (derived["members.silver_and_above"], derived["members.ordinary_share"]) == ("76", "24")
    assert derived["retention.retention_rate"] == "98.00"
    assert derived["retention.above_challenge"] == "15.00"
    assert derived["retention.above_2007"] == "6.60"
    assert derived["retention.above_contest"] == "12.00"
    assert (derived["on_net.on_net_rate"], derived["on_net.above_2007"]) == ("98.00", "-1.94")
    assert derived["clubs.health_opened"] == "20080630"
    assert derived["clubs.health_visits"] == "1"
    assert derived["clubs.lounge_monthly"] == "0"
    assert (derived["clubs.car_activities"], derived["clubs.car_attendance"]) == ("2", "4")
    assert derived["clubs.lounge_emergency"] == "3"
    assert derived["campaigns.yi_lu_zou_guo.prepaid_yuan"] == "1005"
    assert derived["campaigns.yi_lu_zou_guo.mean_prepaid"] == "100.5000"
    assert derived["campaigns.golden_autumn.return"]
    assert (derived["binding.base"], derived["binding.bound"]) == ("50", "10")
    assert derived["binding.rate"] == "20.00"
    assert found["clubs.health_opened"].verdict == "agrees"
    assert found["members.growth"].verdict == "differs"
    assert found["members.growth"].difference == 2 - 4044
    assert found["retention.above_challenge"].verdict == "contradicts itself"
    assert found["clubs.lounge_emergency"].verdict == "not printed"
    never = [found[f"campaigns.ten_years_gift.{name}"] for name in ("participants", "mean_prepaid")]
    assert [each.why for each in never] == ["There is no such campaign"] * 2
    assert found["campaigns.yi_lu_zou_guo.return"].verdict == "not computable"
    assert "no control group" in (found["campaigns.yi_lu_zou_guo.return"].why or "")
    assert not [each.claim_id for each in found.values() if each.flags]


def test_targets_are_told_with_what_a_reader_must_know(conn: Any) -> None:
    found = held(conn)
    for level in ("basic", "challenge", "contest"):
        (flag,) = found[f"retention.{level}_2008"].flags
        assert "is below the actual 91.4 of the period before (retention.rate_2007)" in flag
    missed = {name: found[f"binding.{name}_2008q4"].progress[0] for name in ("basic", "province")}
    assert {name: way.customers for name, way in missed.items()} == {"basic": -10, "province": -5}
    assert "binding.province_2008q4 of the same level" in found["binding.basic_2008q4"].flags[0]
    assert found["satisfaction.basic_2008"].progress[0].why == "nobody has told the rank"


def test_everything_that_the_report_prints_is_derived_or_only_stated() -> None:
    entries = tomllib.loads(demo.REPORT.decode())
    for claim in entries["claim"]:
        assert (claim.get("meant") == "stated") or "measure" in claim or "formula" in claim
        assert claim.get("measure", "members.vips") in MEASURES, claim["id"]
    told = {claim["id"] for claim in entries["claim"]}
    assert len(told) == len(entries["claim"])


def test_a_ledger_without_a_year_has_figures_too(installed: Callable[[int], str]) -> None:
    dsn = installed(1)
    runner.project(dsn)
    with connect(dsn) as conn, runner.snapshot(conn):
        found = checked(conn)
    assert found["members.silver_and_above"].why == "vip_total is 0"
    assert found["retention.above_2007"].why == "retention_rate has no value"
    assert found["binding.rate"].why == "There is no such cohort"
    assert found["clubs.lounge_monthly"].why == "There is no such club"
    assert found["binding.target_basic"].verdict == "stated only"


def test_the_last_fact_is_found_in_whatever_order_they_were_written(
    installed: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_fact, "NEWEST", 1)
    world, dsn = World(now=on("2007-01-01")), installed(4)
    with looking(connect(dsn)) as conn:
        assert last_fact_on(conn, date(2008, 12, 31)) is None
    world.does("unit.open", unit_id="u", title="U")
    for member, left in (("a", "2008-03-05"), ("b", "2008-02-01"), ("c", "2008-02-02")):
        world.does("member.join", member_id=member, unit_id="u")
        world.does("member.leave", member_id=member, at=on(left))
    world.does("unit.open", unit_id="later", title="Later", at=on("2008-04-01"))
    filled(dsn, world.log)
    with looking(connect(dsn)) as conn:
        found = {last_fact_on(conn, date(2008, 2, 2)), last_fact_on(conn, date(2008, 12, 31))}
    assert found == {date(2008, 2, 2), date(2008, 3, 5)}, "where looking at the newest is enough"
