"""What is asked of the answers, told over one small year."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import pytest

from domain.enrolments import CampaignOffered
from projections import bindings, campaigns, clubs, members, points, visits
from projections.engine.days import months_between
from projections.engine.measure import measured
from projections.engine.ratio import Mean, Rate, Ratio, rounded
from tests.projections.conserving import together, unbalanced
from tests.projections.histories import World, furnished, on
from tests.projections.measuring import sums
from tests.projections.tables import answers

YEAR_END = date(2008, 12, 31)
NOON = datetime(2008, 12, 31, 4, tzinfo=UTC)


@pytest.fixture(params=[1, 4], ids=["1 bucket", "4 buckets"])
def buckets(request: pytest.FixtureRequest) -> int:
    return int(request.param)


# -------------------------------------------------------------------------------------- ratios
@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [
        (Fraction(1, 8), 2, "0.13"),
        (Fraction(-1, 8), 2, "-0.13"),
        (Fraction(5, 2), 0, "3"),
        (Fraction(1, 3), 4, "0.3333"),
        (7, 1, "7.0"),
    ],
)
def test_numbers_are_rounded_half_up(value: Fraction, digits: int, said: str) -> None:
    assert str(rounded(value, digits)) == said


def test_a_rate_of_nothing_has_no_value() -> None:
    assert [Ratio(1, 0).value, Rate.of(1, 0).percent, Mean.of(1, 0).mean] == [None] * 3
    assert str(Rate.of(4044, 72341).percent) == "5.5902"
    assert str(Mean.of(5, 3).mean) == "1.67"


def test_months_are_those_that_hold_a_day() -> None:
    assert months_between(date(2008, 6, 30), YEAR_END) == 7
    assert months_between(YEAR_END, date(2008, 6, 30)) == 0


# ------------------------------------------------------------------------------ units, members
def test_tiers_are_counted_at_the_end_of_any_day(
    installed: Callable[[int], str], buckets: int
) -> None:
    world = furnished(buckets)
    world.does("tier.change", member_id="m4", tier="member", at=on("2008-03-31", 23))
    world.does("tier.change", member_id="m4", tier=None, at=on("2008-05-01", 0))
    world.does("tier.change", member_id="m2", tier="silver", at=on("2008-05-01", 1))
    world.does("member.leave", member_id="m3", at=on("2008-04-30", 23))
    with answers(installed, world, buckets) as conn:
        held = {tier: {"tier": tier} for tier in ("diamond", "gold", "silver", "member")}

        def vips(day: str, by: dict[str, str] | None = None) -> Any:
            return measured(conn, "members.vips", by or {}, date.fromisoformat(day)).value

        ends = ("2007-12-31", "2008-03-31", "2008-04-30", "2008-05-01")
        assert [vips(day) for day in ends] == [0, 4, 4, 3]
        assert [vips("2008-03-31", tier) for tier in held.values()] == [1, 1, 1, 1]
        assert [vips("2008-05-01", tier) for tier in held.values()] == [1, 0, 2, 0]
        assert [vips("2008-12-31", {"unit_id": unit}) for unit in ("east", "west")] == [2, 1]
        since = {"first": date(2008, 4, 1)}
        assert measured(conn, "members.growth", since, YEAR_END).value == -1
        rates = [measured(conn, "members.on_net_rate", {}, date(2008, 4, day)) for day in (29, 30)]
        assert [rate.value for rate in rates] == [100, 75], "who left keeps his tier"
        spans = conn.execute(
            "SELECT tier, since, until FROM tier_span WHERE member_id = 'm4' ORDER BY position"
        ).fetchall()
        assert spans == [
            ("member", on("2008-03-31", 23), on("2008-05-01", 0)),
            (None, on("2008-05-01", 0), None),
        ]


def test_a_card_says_who_somebody_is_and_what_he_has(
    installed: Callable[[int], str], buckets: int
) -> None:
    world = furnished(buckets)
    visit = {"member_id": "m2", "club_id": "lounge", "service_id": "room", "confirm_repeat": True}
    world.does("visit.record", at=on("2008-02-01"), companions=2, **visit)
    world.does("visit.record", at=on("2008-02-02"), companions=1, **visit)
    world.does("visit.undo", at=on("2008-02-03"), member_id="m2", visit=2,
               actor="supervisor:wang")  # fmt: skip
    world.does("activity.hold", club_id="lounge", activity_id="a", title="A", at=on("2008-02-04"))
    world.does("activity.attend", club_id="lounge", activity_id="a", member_id="m2",
               at=on("2008-02-04"))  # fmt: skip
    with answers(installed, world, buckets) as conn:
        card = members.member(conn, "m2", NOON)
        assert card is not None
        assert (card.unit_title, card.tier, card.important) == ("West", "gold", False)
        assert (card.visits, card.last_visit_at) == (1, on("2008-02-01"))
        assert (card.points.balance, card.spendable_points) == (60, 60)
        stranger = members.member(conn, "m5", NOON)
        assert stranger is not None
        assert (stranger.visits, stranger.last_visit_at) == (0, None)
        assert members.member(conn, "nobody", NOON) is None


# -------------------------------------------------------------------------------------- points
def test_a_statement_runs_from_page_to_page(installed: Callable[[int], str], buckets: int) -> None:
    world = furnished(buckets)
    world.does("points.credit", member_id="m1", points=50, source="gift", rule="v1",
               at=on("2008-01-02"), expires_at=on("2008-02-01"))  # fmt: skip
    world.does("points.credit", member_id="m1", points=9, source="later", rule="v1",
               at=on("2008-01-02"), available_from=on("2009-02-01"))  # fmt: skip
    world.does("points.debit", member_id="m1", points=30, at=on("2008-01-03"))
    world.does("points.reverse_debit", member_id="m1", debit=1, at=on("2008-01-04"))
    world.does("points.reverse_credit", member_id="m1", lot=1, points=10, at=on("2008-01-05"))
    with answers(installed, world, buckets) as conn:
        early = points.account(conn, "m1", on("2008-01-31"))
        late = points.account(conn, "m1", on("2008-02-02"))
        assert (early.credited, early.debited, early.reversed) == (159, 0, 10)
        assert (early.balance, early.spendable, early.pending, early.lapsed) == (149, 140, 9, 0)
        assert (late.balance, late.spendable, late.pending, late.lapsed) == (149, 90, 9, 50)
        first = points.statement(conn, "m1", limit=3)
        assert [(entry.points, entry.balance) for entry in first.entries] == [
            (-10, 149), (30, 159), (-30, 129),
        ]  # fmt: skip
        rest = points.statement(conn, "m1", limit=3, before=first.next)
        assert rest.next is None
        assert [(entry.points, entry.balance, entry.text) for entry in rest.entries] == [
            (9, 159, "later"), (50, 150, "gift"), (100, 100, "bill"),
        ]  # fmt: skip
        assert points.account(conn, "nobody", NOON).balance == 0
        assert [lot.lot for lot in points.lots(conn, "m1")] == [2, 1, 3]
        assert together(conn) == 559 - 10
        assert unbalanced(conn) == []
        conn.execute("UPDATE answers.lot SET spendable = 60 WHERE member_id = 'm2'")
        assert unbalanced(conn) == [("m2", 100, 60, 100, 40)]


def test_a_lot_that_is_spent_is_not_told(installed: Callable[[int], str]) -> None:
    world = furnished().does("points.debit", member_id="m1", points=100)
    with answers(installed, world) as conn:
        assert points.lots(conn, "m1") == []


# --------------------------------------------------------------------------------------- clubs
def test_use_is_counted_without_what_was_undone(
    installed: Callable[[int], str], buckets: int
) -> None:
    world = furnished(buckets)
    for day, member in (("2008-02-29", "m1"), ("2008-03-01", "m1"), ("2008-03-01", "m2")):
        world.does("visit.record", member_id=member, club_id="lounge", service_id="room",
                   companions=1, at=on(day))  # fmt: skip
    world.does("visit.record", member_id="m2", club_id="lounge", service_id="room",
               confirm_repeat=True, at=on("2008-03-01", 12))  # fmt: skip
    world.does("visit.undo", member_id="m2", visit=1, at=on("2008-03-02"),
               actor="supervisor:wang")  # fmt: skip
    with answers(installed, world, buckets) as conn:
        year = (date(2008, 1, 1), YEAR_END)
        (whole,) = visits.use(conn, *year)
        assert (whole.club_id, whole.tier, whole.visits, whole.companions) == ("lounge", None, 3, 2)
        assert (whole.points, whole.free_visits) == (5 + 5 + 30, 2)
        by_month = visits.use(conn, *year, by=("month", "tier"), club_id="lounge")
        assert [(use.month, use.tier, use.visits) for use in by_month] == [
            (date(2008, 2, 1), "diamond", 1),
            (date(2008, 3, 1), "diamond", 1),
            (date(2008, 3, 1), "gold", 1),
        ]
        assert visits.use(conn, *year, by=(), club_id="health") == []
        (alone,) = visits.use(conn, *year, by=())
        assert alone.visits == 3
        came = visits.club_use(conn, "lounge", date(2008, 2, 1), date(2008, 3, 31))
        assert came is not None
        assert (came.visits, came.distinct_members, came.free_visits) == (3, 2, 2)
        assert came.monthly_visits == Mean.of(3, 2)
        assert visits.club_use(conn, "opera", *year) is None


def test_a_club_is_told_with_prices_emergencies_and_activities(
    installed: Callable[[int], str], buckets: int
) -> None:
    world = furnished(buckets)
    world.does("service.price", club_id="lounge", service_id="room", title="Hall", points=44)
    world.does("emergency.declare", club_id="lounge", at=on("2008-01-25"))
    for category, people in (("child", 2), ("elderly", 3), ("child", 4)):
        world.does("visit.admit_in_emergency", club_id="lounge", category=category, people=people,
                   at=on("2008-01-26"))  # fmt: skip
    world.does("activity.hold", club_id="lounge", activity_id="a", title="A", cost_fen=9)
    for member in ("m1", "m2", "m4"):
        world.does("activity.attend", club_id="lounge", activity_id="a", member_id=member)
    with answers(installed, world, buckets) as conn:
        health, lounge = clubs.clubs(conn)
        assert (health.in_emergency, lounge.in_emergency) == (False, True)
        assert (lounge.tiers, lounge.opens_on) == (["diamond", "gold"], date(2007, 1, 1))
        (price,) = clubs.prices(conn, "lounge")
        assert (price.title, price.price_version, price.points, price.tier_points) == (
            "Hall",
            2,
            44,
            {},
        )
        year = {"club_id": "lounge", "first": date(2008, 1, 1)}
        for measure, value in (("emergency_people", 9), ("activities", 1)):
            assert measured(conn, f"clubs.{measure}", year, YEAR_END).value == value


# ------------------------------------------------------------ campaigns, bindings and cohorts
def test_a_campaign_is_told_with_what_it_brought_and_cost(
    installed: Callable[[int], str], buckets: int
) -> None:
    world = furnished(buckets)
    for member, fen in (("m1", 1000), ("m2", 3001)):
        world.does("campaign.enrol", member_id=member, campaign_id="plain", prepaid_fen=fen,
                   at=on("2008-02-01"))  # fmt: skip
    world.does("campaign.change_terms", campaign_id="plain", prepaid_min_fen=1, gift_bp=0,
               months_bound=3, min_monthly_fen=0)  # fmt: skip
    with answers(installed, world, buckets) as conn:
        known = [c.campaign_id for c in campaigns.campaigns(conn, YEAR_END)]
        assert known == ["drawn", "listed", "plain"]
        plain = campaigns.campaign(conn, "plain", YEAR_END)
        assert plain is not None
        assert (plain.participants, plain.prepaid_fen, plain.gift_fen) == (2, 4001, 400)
        assert (plain.other_costs_fen, plain.cost_fen, plain.terms_version) == (750, 1150, 2)
        assert plain.mean_prepaid_fen == Mean.of(4001, 2)
        assert plain.cost_per_participant_fen == Mean.of(1150, 2)
        assert plain.take_up.percent is None
        assert campaigns.campaign(conn, "none", YEAR_END) is None
        (bound,) = bindings.bindings(conn, "m1")
        assert (bound.policy, bound.campaign_id, bound.ends_on) == (
            "prepay", "plain", date(2008, 8, 1),
        )  # fmt: skip


def campaign_with(control_bp: int, *margins: int | None, cost_fen: int = 100) -> World:
    """A campaign drawn over a member a margin, each billed for February by it."""
    world = furnished()
    world.does(
        "campaign.launch", campaign_id="c", title="C", kind="care", opens_on=date(2008, 1, 15),
        closes_on=date(2008, 6, 30), tiers=(), untiered=True, control_bp=control_bp,
        control_seed="a", costs=({"item": "All", "cost_fen": cost_fen},),
    )  # fmt: skip
    for number, margin in enumerate(margins):
        member = f"c{number}"
        world.does("member.join", member_id=member, unit_id="west")
        world.does("campaign.offer", member_id=member, campaign_id="c", at=on("2008-01-16"))
        bill: dict[str, Any] = {"member_id": member, "amount_fen": 5000, "margin_fen": margin}
        for month, more in (("2008-01", 10_000), ("2008-02", 0), ("2008-03", 10_000)):
            known = None if margin is None else margin + more
            said = {**bill, "month": month, "margin_fen": known}
            world.does("bill.record", at=on("2008-04-01"), **said)
    return world


def brought(conn: Any, campaign: str, until: date) -> Any:
    found = campaigns.campaign_figures(conn, campaign, until)
    assert found is not None
    return found.campaign_return


def test_the_return_is_what_the_offered_brought_above_control(
    installed: Callable[[int], str], buckets: int
) -> None:
    margins = (100, 300, 260, 80, 500, 120, 40, 90)
    world = campaign_with(5000, *margins)
    arms = {s.id: s.event.arm for s in world.log if isinstance(s.event, CampaignOffered)}
    offered = [m for n, m in enumerate(margins) if arms[f"c{n}"] == "offered"]
    control = [m for n, m in enumerate(margins) if arms[f"c{n}"] == "control"]
    lost = next(member for member, arm in arms.items() if arm == "control")
    world.does("member.leave", member_id=lost, at=on("2008-03-30", 0))
    again = furnished(buckets)
    again.log.clear()
    for stored in world.log:
        again.fold(stored.stream, stored.event)
    with answers(installed, again, buckets) as conn:
        found = brought(conn, "c", date(2008, 3, 30))
        n, k = len(offered), len(control)
        heads = ("offered", "control", "margin_offered_fen", "margin_control_fen", "whole_months")
        assert [found.sums()[name] for name in heads] == [n, k, sum(offered), sum(control), 1]
        difference = Fraction(sum(offered), n) - Fraction(sum(control), k)
        assert found.value == rounded((difference * n - 100) / 100, 4)

        def variance(sample: list[int]) -> float:
            mean = sum(sample) / len(sample)
            return sum((x - mean) ** 2 for x in sample) / (len(sample) - 1) / len(sample)

        half = 1.959963984540054 * (variance(offered) + variance(control)) ** 0.5 * n / 100
        assert float(found.high) == pytest.approx(float(found.value) + half, abs=1e-3)
        assert float(found.low) == pytest.approx(float(found.value) - half, abs=1e-3)
        price = measured(conn, "campaigns.cost_per_retained", C, date(2008, 3, 30))
        assert price.sums()["kept_control"] == k - 1
        assert price.value == rounded(Fraction(k, n), 2)  # 100 fen of cost
        for day in (date(2008, 2, 29), date(2008, 3, 29)):
            assert brought(conn, "c", day).value == found.value
            kept = measured(conn, "campaigns.cost_per_retained", C, day)
            assert kept.sums()["kept_control"] == k, "he left as the next day began"


C = {"campaign_id": "c"}


@pytest.mark.parametrize(
    ("world", "campaign", "until", "why"),
    [
        (furnished(), "plain", YEAR_END, "no control group"),
        (furnished(), "drawn", date(2008, 1, 30), "no whole month since the opening"),
        (campaign_with(5000, *range(8), cost_fen=0), "c", YEAR_END, "no costs"),
        (campaign_with(5000, *[None] * 8), "c", YEAR_END, "no bills with a margin"),
        (campaign_with(10_000, *range(8)), "c", YEAR_END, "no control group"),
    ],
)
def test_without_its_grounds_a_return_is_not_computable(
    installed: Callable[[int], str], world: World, campaign: str, until: date, why: str
) -> None:
    with answers(installed, world) as conn:
        found = brought(conn, campaign, until)
        assert (found.value, found.low, found.why) == (None, None, why)


def test_no_difference_in_retention_has_no_price(installed: Callable[[int], str]) -> None:
    with answers(installed, campaign_with(5000, *range(8))) as conn:
        assert brought(conn, "c", YEAR_END).value is not None
        price = measured(conn, "campaigns.cost_per_retained", C, YEAR_END)
        assert (price.value, price.why) == (
            None, "no more were retained than without the campaign",
        )  # fmt: skip
        assert campaigns.campaign_figures(conn, "none", YEAR_END) is None


def test_a_customer_of_the_base_is_bound_once_and_only_on_his_days(
    installed: Callable[[int], str], buckets: int
) -> None:
    world = furnished(buckets)
    for member in ("m1", "m2", "m3"):
        world.does("cohort.include", cohort_id="base", member_id=member)
    march, may, july = date(2008, 3, 1), date(2008, 5, 1), date(2008, 7, 1)
    for member, policy in (("m1", "handset"), ("m1", "family_plan"), ("m2", "handset"),
                           ("m5", "handset")):  # fmt: skip
        world.does("binding.start", member_id=member, policy=policy, starts_on=march, ends_on=july)
    breach: dict[str, Any] = {"binding": 1, "ended_on": may, "cause": "breach"}
    world.does("binding.end", member_id="m2", at=on("2008-05-02"), **breach)
    with answers(installed, world, buckets) as conn:

        def bound(day: date) -> tuple[int, int]:
            found = sums(conn, "bindings.rate", day, cohort_id="base")
            return found["bound"], found["base"]

        days = (date(2008, 2, 29), march, date(2008, 4, 30), may, date(2008, 6, 30), july)
        assert [bound(day) for day in days] == [(n, 3) for n in (0, 2, 2, 1, 1, 0)]
        for unit, parts in (("east", (1, 2)), ("west", (1, 1))):
            of_unit = sums(conn, "bindings.rate", march, cohort_id="base", unit_id=unit)
            assert (of_unit["bound"], of_unit["base"]) == parts
        (ended,) = bindings.bindings(conn, "m2")
        assert (ended.ended_on, ended.cause) == (may, "breach")


def test_lost_are_who_left_and_who_spent_little_in_three_months_of_the_year(
    installed: Callable[[int], str], buckets: int
) -> None:
    world = furnished(buckets)
    for member in ("m1", "m2", "m3", "m4"):
        world.does("cohort.include", cohort_id="kept", member_id=member)
    world.does("cohort.freeze", cohort_id="kept", size=5)

    def bills(member: str, fen: int, *months: str) -> None:
        for month in months:
            said = {"member_id": member, "month": month, "amount_fen": fen}
            world.does("bill.record", at=on("2008-12-31"), **said)

    bills("m1", 4999, "2008-01", "2008-04", "2008-09")
    bills("m2", 4999, "2007-12", "2008-01", "2008-02")
    bills("m2", 5000, "2008-03", "2008-04")
    bills("m3", 10, "2008-01", "2008-02", "2008-03")
    bills("m5", 10, "2008-01", "2008-02", "2008-03")
    world.does("member.leave", member_id="m3", at=on("2008-11-30", 0))
    with answers(installed, world, buckets) as conn:

        def kept(day: date) -> tuple[int, int, int]:
            found = sums(conn, "retention.rate", day, cohort_id="kept")
            return found["left"], found["low"], found["base"] - found["left"] - found["low"]

        assert kept(date(2008, 3, 31)) == (0, 1, 3)
        assert kept(date(2008, 9, 30)) == (0, 2, 2)
        assert kept(YEAR_END) == (1, 1, 2)
        # m3 left as 30 November began: he was there when the 29th ended.
        assert [kept(date(2008, 11, day))[0] for day in (29, 30)] == [0, 1]


def test_a_month_counts_once_it_is_over(installed: Callable[[int], str]) -> None:
    """Else what a month has not been billed yet would be missing beside that of a year before; and
    of more than a year some months are both."""
    world = furnished(1)
    world.does("cohort.include", cohort_id="kept", member_id="m1")
    for year, fen in ((2006, 1000), (2007, 3000), (2008, 4000)):
        for month in ("01", "02", "03"):
            said = {"member_id": "m1", "month": f"{year}-{month}", "amount_fen": fen}
            world.does("bill.record", at=on("2008-12-31"), **said)
    with answers(installed, world) as conn:

        def found(first: str, last: str) -> tuple[int, int, int]:
            day = date.fromisoformat(last)
            asked = {"cohort_id": "kept", "first": first}
            spent, low = (
                sums(conn, f"retention.{of}", day, **asked) for of in ("revenue_rate", "low")
            )
            return spent["revenue_fen"], spent["revenue_before_fen"], low["low"]

        assert found("2008-01-01", "2008-03-31") == (12000, 9000, 1)
        assert found("2008-01-01", "2008-03-30") == (8000, 6000, 0)
        assert found("2008-01-02", "2008-03-31") == (8000, 6000, 0)
        assert found("2008-03-02", "2008-03-30") == (0, 0, 0)
        assert found("2007-01-01", "2008-12-31") == (21000, 12000, 1)
