"""The report beside the events: what agrees, what differs, and what is flagged."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.kernel.values import start_of
from ledger.database import connect
from projections.engine import runner
from projections.figures import evidence, report
from projections.figures.derivations import DERIVE
from projections.figures.report import Figure, reported
from tests.projections.histories import World, lay
from tests.projections.tables import looking

END = date(2008, 12, 31)


def on(day: str) -> datetime:
    return start_of(date.fromisoformat(day)) + timedelta(hours=10)


def small_year() -> World:
    """Of everything that the report counts, a little."""
    world = World(now=on("2007-01-01"))
    world.does("unit.open", unit_id="u", title="U")
    hours: dict[str, Any] = {"tiers": ("diamond", "gold"), "important": True}
    for club, opens in (("health", "2008-06-30"), ("lounge", "2007-02-01"), ("car", "2007-02-01")):
        day = date.fromisoformat(opens)
        world.does("club.open", club_id=club, title=club, opens_on=day, **hours)
        world.does("service.price", club_id=club, service_id="s", title="S", points=0)
    for cohort, purpose in (("kept", "retention"), ("base", "binding")):
        for year in (2006, 2007):
            world.does("cohort.open", cohort_id=f"{cohort}-{year}", title="C", purpose=purpose,
                       criterion="all", taken_on=date(year, 12, 31),
                       at=on(f"{year}-12-31"))  # fmt: skip
    for number in range(50):
        member = f"m{number:02}"
        world.does("member.join", member_id=member, unit_id="u")
        world.does("cohort.include", cohort_id="kept-2007", member_id=member)
        world.does("cohort.include", cohort_id="base-2007", member_id=member)
        tier = ("diamond", "gold", "silver", "member")[number % 4]
        when = on("2008-05-05" if number < 2 else "2007-05-05")
        world.does("tier.change", member_id=member, tier=tier, at=when)
    world.does("cohort.freeze", cohort_id="kept-2007", size=51)
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


def by_id(found: list[Figure]) -> dict[str, Figure]:
    return {figure.figure_id: figure for figure in found}


def test_each_figure_is_derived_from_the_events(conn: Any) -> None:
    found = by_id(report.figures(conn))
    derived = {name: str(f.derived) for name, f in found.items() if f.derived is not None}
    participants = sum(s.event.topic == "campaign.enrolled" for s in small_year().log)
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
    assert derived["campaigns.all_three.participants"] == str(participants)
    assert derived["campaigns.golden_autumn.return"]
    assert (derived["binding.base"], derived["binding.bound"]) == ("50", "10")
    assert derived["binding.rate"] == "20.00"
    assert found["clubs.health_opened"].verdict == "agrees"
    assert found["members.growth"].difference == Decimal(2 - 4044)
    assert found["members.growth"].verdict == "DIFFERS"
    assert found["clubs.lounge_emergency"].verdict == "not reported"
    assert found["campaigns.ten_years_gift.participants"].verdict == "not derivable"
    assert found["campaigns.ten_years_gift.mean_prepaid"].verdict == "not derivable"
    assert found["campaigns.ten_years_gift.prepaid_yuan"].verdict == "not derivable"
    assert found["campaigns.yi_lu_zou_guo.return"].verdict == "not computable"
    assert found["campaigns.yi_lu_zou_guo.return"].note == "Not computable: no control group."
    assert "95% interval" in (found["campaigns.golden_autumn.return"].note or "")
    assert "frozen with 51" in (found["retention.retention_rate"].note or "")
    assert found["members.growth"] in report.failures(list(found.values()))


def test_targets_are_told_with_what_a_reader_must_know(conn: Any) -> None:
    found = by_id(report.figures(conn))
    for name in ("basic", "challenge", "contest"):
        figure = found[f"retention.target_{name}"]
        assert "Below last year's actual of 91.40 %" in (figure.note or "")
        assert figure.verdict == "not derivable"
    assert found["binding.target_basic"].note == "20 customers needed: missed by 10."
    assert found["binding.target_province"].note == "15 customers needed: missed by 5."
    assert found["on_net.contest_rank"].note is None


def test_at_another_date_nothing_is_reported(conn: Any) -> None:
    found = by_id(report.figures(conn, on=date(2007, 12, 31)))
    assert found["members.vip_total"].derived == 48
    assert {figure.reported for figure in found.values()} == {None}
    assert report.failures(list(found.values())) == []
    assert found["clubs.lounge_monthly"].derived == 0


def test_an_explanation_leads_to_every_event_page_by_page(conn: Any) -> None:
    for entry in reported()[1].values():
        whole, after = [], None
        while True:
            found = report.explain(conn, entry.id, limit=40, after=after)
            whole += [(event.bucket, event.position) for event in found.events]
            after = found.next
            if after is None:
                break
        assert len(whole) == found.figure.events, entry.id
        assert whole == sorted(set(whole))
    found = report.explain(conn, "members.growth", limit=1)
    assert {given.name: given.value for given in found.inputs} == {
        "VIPs at 2008-12-31": 50, "VIPs at 2007-12-31": 48,
    }  # fmt: skip
    assert found.events[0].stream == "member:m00"


def test_everything_reported_is_derived_or_only_claimed() -> None:
    entries = reported()[1]
    claims = {name for name, entry in entries.items() if entry.rule == "claim"}
    assert DERIVE.keys() == entries.keys() - claims
    for entry in entries.values():
        assert entry.rule in ("exact", "nearly", "contradiction", "claim")
        assert (entry.by_its_inputs is not None) == (entry.rule == "contradiction")
        assert (entry.evidence in evidence.EVIDENCE) == (entry.id not in claims)


@pytest.mark.parametrize(
    ("figure", "derived", "verdict"),
    [
        ("members.vip_total", "76385", "agrees"),
        ("members.vip_total", "76384", "DIFFERS"),
        ("clubs.car_attendance", "1987", "agrees"),
        ("clubs.car_attendance", "1899", "DIFFERS"),
        ("clubs.car_attendance", "2001", "DIFFERS"),
        ("retention.above_challenge", "15.82", "DISAGREES"),
        ("retention.above_challenge", "15.81", "DIFFERS"),
        ("retention.above_challenge", "14.57", "agrees"),
        ("clubs.lounge_emergency", "3", "not reported"),
    ],
)
def test_the_documents_own_contradiction_is_not_a_failure(
    figure: str, derived: str, verdict: str
) -> None:
    entry = reported()[1][figure]
    assert report.verdict_on(entry, entry.reported, Decimal(derived)) == verdict


def test_a_ledger_without_a_year_has_figures_too(installed: Callable[[int], str]) -> None:
    dsn = installed(1)
    runner.project(dsn)
    with connect(dsn) as conn, runner.snapshot(conn):
        found = by_id(report.figures(conn))
    assert found["members.silver_and_above"].note == "the whole is zero"
    assert found["retention.above_2007"].note == "there is no cohort for retention"
    assert found["binding.rate"].note == "there is no cohort for binding"
    assert found["clubs.lounge_monthly"].note == "there is no station lounge"
    assert found["binding.target_basic"].note is None
