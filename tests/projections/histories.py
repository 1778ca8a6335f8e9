"""Histories for the projections: decided by the domain in memory, then laid into the log as rows.

The projections read rows and nothing else, so no writer of the ledger stands in between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from psycopg import Connection
from pydantic_core import to_json

from domain.catalogue import COMMANDS
from domain.kernel import world
from domain.kernel.command import Command
from domain.kernel.event import Event
from domain.kernel.refusal import Refusal, desk_rules
from domain.kernel.values import start_of
from ledger.database import bucket_of
from projections.engine.reference import Stored
from tests.domain import usual
from tests.domain.scenario import require_declared

START = datetime(2008, 1, 1, tzinfo=UTC)


@dataclass
class World(world.World):
    """All streams in memory, and the log of each lane."""

    buckets: int = 1
    now: datetime = START
    log: list[Stored] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    asked: dict[str, Command] = field(default_factory=dict)  # by key

    def does(self, name: str, at: datetime | None = None, **said: Any) -> "World":
        """Carries a command out, or takes note of its refusal."""
        kind = COMMANDS[name]
        usual = {"key": f"k{len(self.log)}", "actor": "clerk:li", "desk": "d1", "reason": "asked"}
        known = {word: value for word, value in usual.items() if word in kind.model_fields}
        command = kind.model_validate({**known, **said, "at": at or self.now}, strict=False)
        try:
            outcome = self.execute(command)
        except Refusal as refusal:
            require_declared(command, refusal)
            self.refused.append(refusal)
        else:
            if outcome.events:
                self.asked[command.key] = command
        return self

    def happened(self, stream: str, event: Event) -> None:
        """It stands at the end of its lane."""
        lane = bucket_of(stream, self.buckets)
        position = 1 + sum(stored.bucket == lane for stored in self.log)
        self.log.append(Stored(lane, position, stream, event))


def on(day: str, hour: int = 10) -> datetime:
    """An hour of a day, by the programme's clocks."""
    return start_of(date.fromisoformat(day)) + timedelta(hours=hour)


def lay(conn: Connection[Any], log: Iterable[Stored]) -> None:
    """Writes events into the log as the ledger would leave them there."""
    rows = [
        (s.bucket, s.stream, s.event.topic, to_json(s.event, exclude_none=True), s.position)
        for s in log
    ]
    lay_rows(conn, rows)


def lay_rows(conn: Connection[Any], rows: Sequence[tuple[int, str, str, bytes, int]]) -> None:
    """Writes rows of (bucket, stream, topic, state, position), whatever they hold."""
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ledger.stored_events (bucket, originator_id, originator_version, topic,"
            " state, notification_id, recorded_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [(b, s, p, t, state, p, START) for b, s, t, state, p in rows],
        )
        conn.execute(
            "UPDATE ledger.log_end h SET position = coalesce((SELECT max(notification_id)"
            " FROM ledger.stored_events e WHERE e.bucket = h.bucket), 0)"
        )
        conn.execute("NOTIFY clubledger")


def lay_asked(conn: Connection[Any], world: World) -> None:
    """Writes down what was asked: most in rows of their own, some as lines of a file."""
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ledger.command_log (key, digest, bucket, position, response, asked)"
            " VALUES (%s, '', %s, 0, '{}', %s) ON CONFLICT (key, bucket)"
            " DO UPDATE SET asked = excluded.asked",
            [
                (key, bucket_of(command.streams()[0], world.buckets), command.asked())
                for key, command in world.asked.items()
            ],
        )


def furnished(buckets: int = 1) -> World:
    """A world with units, clubs, campaigns, cohorts and members in it."""
    world = World(buckets)
    for unit in ("east", "west"):
        world.does("unit.open", unit_id=unit, title=unit.title())
    for club in ("health", "lounge"):
        world.does(
            "club.open",
            club_id=club,
            title=club.title(),
            opens_on=date(2007, 1, 1),
            tiers=("diamond", "gold"),
            important=True,
        )
        world.does(
            "service.price",
            club_id=club,
            service_id="room",
            title="Room",
            points=40,
            tier_points={"gold": 30},
            companion_points=5,
            free_visits={"diamond": 2},
        )
    for campaign, control in (("plain", 0), ("drawn", 5000), ("listed", 0)):
        world.does(
            "campaign.launch",
            campaign_id=campaign,
            title=campaign.title(),
            kind="prepay",
            opens_on=date(2008, 1, 1),
            closes_on=date(2008, 6, 30),
            tiers=("diamond", "gold", "silver"),
            untiered=True,
            control_bp=control,
            control_seed="seed",
            arms="given" if campaign == "listed" else "drawn",
            costs=({"item": "Posters", "cost_fen": 700}, {"item": "Calls", "cost_fen": 50}),
            gift_bp=1000,
            months_bound=6,
        )
    for cohort, purpose in (("kept", "retention"), ("base", "binding")):
        world.does(
            "cohort.open",
            cohort_id=cohort,
            title=cohort,
            purpose=purpose,
            criterion="all",
            taken_on=date(2008, 1, 1),
        )
    half: dict[str, Any] = {
        "first": date(2007, 7, 1),
        "last": date(2007, 12, 31),
        "dated_on": date(2007, 12, 31),
    }
    world.does("report.enter", report_id="half", title="Half", source="S", **half)
    for number in range(1, 6):
        member = f"m{number}"
        world.does("member.join", member_id=member, unit_id="east" if number % 2 else "west")
        world.does("points.credit", member_id=member, points=100, source="bill", rule="v1")
    for member, tier in (("m1", "diamond"), ("m2", "gold"), ("m3", "silver")):
        world.does("tier.change", member_id=member, tier=tier)
    return world


MEMBERS = [f"m{number}" for number in range(1, 6)]
CLUB = st.sampled_from(["lounge", "health"])
UNIT = st.sampled_from(["west", "east", "north"])
TIER = st.sampled_from(["gold", "diamond", "silver", "member", None])
CAMPAIGN = st.sampled_from(["plain", "drawn", "listed"])
ARM = st.sampled_from(["offered", "control"])
SMALL = st.integers(1, 40)
COUNT = st.integers(1, 3)
DAY = st.dates(date(2008, 1, 1), date(2008, 12, 31))
SUPERVISOR = "supervisor:wang"

Step = tuple[str, dict[str, Any]]
Scene = list[Step]


@st.composite
def tier_scene(draw: st.DrawFn, m: str) -> Scene:
    return [("tier.change", {"member_id": m, "tier": draw(TIER)})]


@st.composite
def visit_scene(draw: st.DrawFn, m: str) -> Scene:
    """A visit or two, of which one may be taken back."""
    words = {"member_id": m, "club_id": draw(CLUB), "service_id": "room", "confirm_repeat": True}
    come = [("visit.record", {**words, "companions": draw(st.integers(0, 2))})] * draw(COUNT)
    undo = {"member_id": m, "visit": draw(COUNT), "actor": SUPERVISOR}
    tier = draw(st.sampled_from(["gold", "diamond"]))  # Diamonds have two free visits a year.
    return [("tier.change", {"member_id": m, "tier": tier}), *come, ("visit.undo", undo)]


@st.composite
def unit_scene(draw: st.DrawFn, m: str) -> Scene:
    """A member moves, leaves, comes back, perhaps into another unit; or that was wrong."""
    him = {"member_id": m}
    steps: Scene = [
        ("member.move", {**him, "unit_id": draw(UNIT)}),
        ("member.leave", him),
        ("member.return", {**him, "unit_id": draw(UNIT)}),
        ("member.move", {**him, "unit_id": draw(UNIT)}),
        ("tier.change", {**him, "tier": draw(TIER)}),
        ("member.correct_return", him),
        ("member.correct_leaving", him),
    ]
    return draw(st.lists(st.sampled_from(steps), min_size=2, max_size=6))


@st.composite
def points_scene(draw: st.DrawFn, m: str) -> Scene:
    """Points come, go, return and lapse."""
    lapses = draw(st.sampled_from([3, 10, None, 40]))
    credit = {"points": draw(SMALL), "source": "bill", "rule": "v1", "lapses_after": lapses}
    back = {"lot": draw(COUNT), "points": draw(SMALL)}
    policy = draw(st.sampled_from(["other_lots", "forgive"]))
    steps: Scene = [
        ("points.credit", credit),
        ("points.carry_over", {"points": draw(SMALL), "source": "boss", "lapses_after": lapses}),
        ("points.debit", {"points": draw(SMALL)}),
        ("points.reverse_debit", {"debit": draw(COUNT)}),
        ("points.reverse_credit", {**back, "policy": policy}),
        ("points.expire", {}),
    ]
    kept = draw(st.lists(st.sampled_from(steps), min_size=2, max_size=6))
    return [(name, {"member_id": m, **words}) for name, words in kept]


@st.composite
def bill_scene(draw: st.DrawFn, m: str) -> Scene:
    month = draw(st.sampled_from(["2007-12", *(f"2008-{n:02}" for n in range(1, 13))]))
    amount = draw(st.sampled_from([4999, 5000, 0, -700, 12_345]))
    margin = draw(st.none() | st.integers(-500, 500))
    words = {"member_id": m, "month": month, "amount_fen": amount, "margin_fen": margin}
    return [("bill.record", words)]


@st.composite
def campaign_scene(draw: st.DrawFn, m: str) -> Scene:
    """A member is drawn and enrols, or walks in; then terms may change or the campaign close."""
    c = {"campaign_id": draw(CAMPAIGN)}
    months = draw(st.integers(0, 6))
    terms = {"prepaid_min_fen": 5, "gift_bp": 500, "months_bound": months, "min_monthly_fen": 1}
    enrol = {"member_id": m, **c, "prepaid_fen": draw(st.integers(0, 100_000))}
    offer: Scene = [("campaign.offer", {"member_id": m, **given_arm(c, draw(ARM))})]
    scene: Scene = [*draw(st.sampled_from([offer, offer, []])), ("campaign.enrol", enrol)]
    last = draw(st.sampled_from(["", "", "campaign.change_terms", "campaign.close"]))
    if last:
        scene.append((last, {**c, **(terms if last.endswith("terms") else {})}))
    return scene


def given_arm(campaign: dict[str, Any], arm: str) -> dict[str, Any]:
    """What an offer says: the arm, where arms are given."""
    return {**campaign, **({"arm": arm} if campaign["campaign_id"] == "listed" else {})}


@st.composite
def excused_scene(draw: st.DrawFn, m: str) -> Scene:
    """What happened although a rule that protects a desk stands against it; or was corrected."""
    campaign, club = {"campaign_id": draw(CAMPAIGN)}, {"club_id": draw(CLUB)}
    visit = {**club, "service_id": "room", "shown_points": draw(SMALL)}
    days = {"starts_on": date(2008, 1, 1), "ends_on": draw(DAY), "policy": "handset"}
    steps: Scene = [
        ("campaign.offer", given_arm(campaign, "control")),
        ("campaign.enrol", {**campaign, "prepaid_fen": draw(st.integers(0, 9_999))}),
        ("campaign.enrol", {**campaign, "shown_terms_version": 1}),
        ("visit.record", visit),
        ("visit.record", {**visit, "payment": "free_visit"}),
        ("visit.undo", {"visit": draw(COUNT)}),
        ("binding.start", days),
        ("campaign.correct_enrolment", campaign),
    ]
    kept = draw(st.lists(st.sampled_from(steps), min_size=2, max_size=5))
    admit = {**club, "category": "child", "people": 1}
    told: Scene = [(name, {"member_id": m, **words}) for name, words in kept]
    told += draw(st.sampled_from([[], [("visit.admit_in_emergency", admit)]]))
    return [(name, {**words, "despite": DESPITE}) for name, words in told]


DESPITE = tuple(desk_rules())


@st.composite
def binding_scene(draw: st.DrawFn, m: str) -> Scene:
    first, ended, last = sorted(draw(st.tuples(DAY, DAY, DAY)))
    policy = draw(st.sampled_from(["family_plan", "handset"]))
    cause = draw(st.sampled_from(["breach", "cancelled"]))
    start = {"member_id": m, "policy": policy, "starts_on": first, "ends_on": last}
    end = {"member_id": m, "binding": draw(COUNT), "ended_on": ended, "cause": cause}
    return [("binding.start", start), ("binding.end", end)]


@st.composite
def club_scene(draw: st.DrawFn, m: str) -> Scene:
    """An emergency, an activity or a new price."""
    c = {"club_id": draw(CLUB)}
    category = draw(st.sampled_from(["elderly", "child", "other"]))
    price = {**c, "service_id": "room", "title": "Room", "points": draw(SMALL)}
    activity = {**c, "activity_id": draw(st.sampled_from(["a", "b"]))}
    admit = {**c, "people": draw(COUNT), "category": category}
    return draw(
        st.sampled_from(
            [
                [
                    ("emergency.declare", c),
                    ("visit.admit_in_emergency", admit),
                    ("visit.admit_in_emergency", admit),
                    ("visit.correct_emergency", {**c, "admission": draw(COUNT)}),
                ],
                [("visit.admit_in_emergency", admit), ("emergency.end", c)],
                [
                    ("activity.hold", {**activity, "title": "Tour", "cost_fen": 5, "fee_fen": 1}),
                    ("activity.attend", {**activity, "member_id": m}),
                ],
                [("activity.attend", {**activity, "member_id": m})],
                [("service.price", price)],
                [
                    ("activity.correct", activity),
                    ("activity.hold", {**activity, "title": "Other tour", "cost_fen": 9}),
                ],
                [
                    ("activity.hold", {**activity, "title": "Tour", "cost_fen": 7}),
                    ("activity.attend", {**activity, "member_id": m}),
                    ("activity.correct", activity),
                ],
            ]
        )
    )


def told_about(word: str) -> list[tuple[Step, Step]]:
    """What is told of a report, from outside and as a target, and what takes it back."""
    days = {"first": date(2007, 12, 1), "last": date(2007, 12, 31)}
    report, claim = {"report_id": word}, {"report_id": "half", "claim_id": f"c.{word}"}
    value = {"value": "91.40", "unit": "%", "parameters": {"tier": "gold"}}
    printed = {"title": "T", "source": "S", "dated_on": date(2007, 12, 31), **days}
    outside, target = {"outside_value_id": f"o_{word}"}, {"target_id": f"t_{word}"}
    ways = ({"kind": "at_least", "value": "77"}, {"kind": "rank_at_most", "value": "4"})
    wanted = {**days, "level": "basic", "measure": "x.y", "ways": ways}
    said_by = {"about": "us", "said_by": "them", "measure": "x.y"}
    return [
        (("report.enter", {**report, **printed}), ("report.correct", report)),
        (
            ("report.claim", {**claim, **value, "section": "S", "title": "T", "formula": "a / 2"}),
            ("report.correct_claim", claim),
        ),
        (("outside.record", {**outside, **printed, **value, **said_by}),
         ("outside.correct", outside)),
        (("target.set", {**target, **wanted, "title": "T", "source": "S"}),
         ("target.correct", target)),
    ]  # fmt: skip


@st.composite
def told_wrongly(draw: st.DrawFn, m: str) -> list[tuple[Step, Step]]:
    """Of each kind of fact that can be corrected one, and what takes it back."""
    month = {"month": draw(st.sampled_from(["2007-12", "2008-01", "2008-02"]))}
    enrol = {"campaign_id": draw(CAMPAIGN)}
    bound = {"binding": draw(COUNT)}
    tour = {"club_id": draw(CLUB), "activity_id": draw(st.sampled_from(["a", "b"]))}
    cohort = {"cohort_id": draw(st.sampled_from(["kept", "base"]))}
    days = {"starts_on": date(2008, 1, 1), "ends_on": date(2008, 12, 1), "policy": "handset"}
    ended = {**bound, "ended_on": draw(DAY), "cause": "cancelled"}
    told: list[tuple[Step, Step]] = [
        (("bill.record", {**month, "amount_fen": 7}), ("bill.correct", month)),
        (("campaign.enrol", {**enrol, "prepaid_fen": 900}), ("campaign.correct_enrolment", enrol)),
        (("campaign.offer", given_arm(enrol, draw(ARM))), ("campaign.correct_offer", enrol)),
        (("binding.start", days), ("binding.correct", bound)),
        (("binding.end", ended), ("binding.correct_end", bound)),
        (("activity.attend", tour), ("activity.correct_attendance", tour)),
        (("cohort.include", cohort), ("cohort.correct_inclusion", cohort)),
        (("member.leave", {}), ("member.correct_leaving", {})),
        (("member.return", {"unit_id": draw(UNIT)}), ("member.correct_return", {})),
    ]
    him = {"member_id": m}
    admitted = {"club_id": tour["club_id"], "admission": draw(COUNT)}
    people = {"club_id": tour["club_id"], "category": "child", "people": draw(COUNT)}
    return [
        *(((name, {**words, **him}), (back, {**which, **him}))
          for (name, words), (back, which) in told),
        (("activity.hold", {**tour, "title": "Tour", "cost_fen": 7}), ("activity.correct", tour)),
        (("visit.admit_in_emergency", people), ("visit.correct_emergency", admitted)),
        (("visit.admit_in_emergency", people), ("visit.undo_emergency", admitted)),
        (("campaign.close", enrol), ("campaign.correct_closing", enrol)),
        *told_about("a"),
    ]  # fmt: skip


@st.composite
def correction_scene(draw: st.DrawFn, m: str) -> Scene:
    """A fact that may have been told is taken back, and told again or not."""
    told = draw(told_wrongly(m))[: -len(told_about("a"))]
    fact, back = draw(st.sampled_from(told))
    return draw(st.sampled_from([[back], [fact, back], [fact, back, fact], [back, fact]]))


@st.composite
def rare_scene(draw: st.DrawFn, m: str) -> Scene:
    cohort = {"cohort_id": draw(st.sampled_from(["kept", "base"]))}
    important = draw(st.booleans())
    closed = {"campaign_id": draw(CAMPAIGN)}
    return draw(
        st.sampled_from(
            [
                [("cohort.include", {**cohort, "member_id": m})],
                [("cohort.include", {**cohort, "member_id": m})],
                [("cohort.freeze", {**cohort, "size": draw(COUNT)})],
                [("member.mark_important", {"member_id": m, "important": important})],
                [("member.change_details", {"member_id": m, "phone": "13800000002"})],
                [
                    ("member.unmask", {"member_id": m, "purpose": "called back"}),
                    ("member.erase", {"member_id": m}),
                ],
                [("member.leave", {"member_id": m})],
                [("member.join", {"member_id": "m6", "unit_id": "west"})],
                [("unit.open", {"unit_id": draw(UNIT), "title": draw(TITLE)})],
                [("campaign.close", closed), ("campaign.correct_closing", closed)],
                *([usually(name, m)] for name in UNTOLD),
            ]
        )
    )


UNTOLD = [name for name in COMMANDS if f'"{name}"' not in Path(__file__).read_text("utf-8")]
"""The commands that no scene names, which are asked as they usually are."""


def usually(name: str, member_id: str) -> Step:
    """A command as it is usually asked, of one of these members and whatever else is here."""
    kind = COMMANDS[name]
    here = {"member_id": member_id, "campaign_id": "plain", "cohort_id": "kept"}
    said = {word: value for word, value in here.items() if word in kind.model_fields}
    words = usual.command(kind, **said).model_dump(exclude_unset=True)
    return name, {word: words[word] for word in words.keys() - {"key", "actor", "at"}}


TITLE = st.sampled_from(["One", "Two"])
SCENES = [
    tier_scene,
    tier_scene,
    visit_scene,
    unit_scene,
    points_scene,
    bill_scene,
    campaign_scene,
    excused_scene,
    binding_scene,
    club_scene,
    correction_scene,
    rare_scene,
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(MEMBERS).flatmap(lambda m: st.one_of(*(scene(m) for scene in SCENES))),
        st.integers(0, 60 * 24 * 9),  # minutes since the scene before
        st.sampled_from([0, 0, 0, 3, 40]),  # days by which it is told late
    ),
    min_size=15,
    max_size=30,
)


def history(scenes: Sequence[Any], buckets: int) -> World:
    """What comes of these scenes; commands that are refused leave nothing."""
    world = furnished(buckets)
    world.now += timedelta(days=45)  # What is told late, too, happens after the members joined.
    for scene, minutes, late_days in scenes:
        world.now += timedelta(minutes=minutes)
        at = world.now - timedelta(days=late_days)
        for name, words in scene:
            world.does(name, at=at, **dated(words, at))
            at += timedelta(minutes=1)
    for name, words in [*(usually(name, "m5") for name in UNTOLD), *REPORTED, *EPILOGUE]:
        world.now += timedelta(days=1)
        world.does(name, **dated(words, world.now))
    for hours, name, words in TOLD_LATE:
        world.does(name, at=world.now - timedelta(hours=hours), **words)
    return world


def dated(words: dict[str, Any], at: datetime) -> dict[str, Any]:
    """The words of a step that is taken at this instant."""
    known = {word: value for word, value in words.items() if word != "lapses_after"}
    lapses = words.get("lapses_after")
    return known if lapses is None else {**known, "expires_at": at + timedelta(days=lapses)}


REPORTED: Scene = [step for told in told_about("e") for step in told]
EPILOGUE: Scene = [
    ("member.join", {"member_id": "m7", "unit_id": "west"}),
    ("tier.change", {"member_id": "m7", "tier": "diamond"}),
    ("visit.record", {"member_id": "m7", "club_id": "lounge", "service_id": "room"}),
    ("visit.undo", {"member_id": "m7", "visit": 1, "actor": SUPERVISOR}),
    ("emergency.declare", {"club_id": "lounge"}),
    ("visit.admit_in_emergency", {"club_id": "lounge", "category": "child", "people": 2}),
    ("emergency.end", {"club_id": "lounge"}),
    ("points.credit", {"member_id": "m7", "points": 8, "source": "bill", "rule": "v1",
                       "lapses_after": 2}),
    ("activity.hold", {"club_id": "health", "activity_id": "end", "title": "End"}),
    ("activity.attend", {"club_id": "health", "activity_id": "end", "member_id": "m1"}),
    ("cohort.include", {"cohort_id": "kept", "member_id": "m1"}),
    ("cohort.freeze", {"cohort_id": "kept", "size": 1}),
    ("member.mark_important", {"member_id": "m1", "important": True}),
    ("member.change_details", {"member_id": "m1", "phone": "13800000001"}),
    ("member.unmask", {"member_id": "m1", "purpose": "called back"}),
    ("member.erase", {"member_id": "m1", "reason": "asked for"}),
    ("points.credit", {"member_id": "m5", "points": 9, "source": "bill", "rule": "v1",
                       "expires_at": datetime(2009, 1, 1, tzinfo=UTC)}),
    ("points.expire", {"member_id": "m1"}),
    ("points.expire", {"member_id": "m2"}),
    ("points.expire", {"member_id": "m7"}),
    ("member.leave", {"member_id": "m2"}),
    ("member.return", {"member_id": "m2", "unit_id": "east"}),
    ("campaign.launch", {"campaign_id": "list", "title": "List", "kind": "care", "arms": "given",
                         "opens_on": date(2008, 1, 1), "closes_on": date(2099, 1, 1),
                         "tiers": ("diamond",)}),
    ("campaign.enrol", {"member_id": "m7", "campaign_id": "list"}),
    ("campaign.launch", {"campaign_id": "last", "title": "Last", "kind": "prepay",
                         "opens_on": date(2008, 1, 1), "closes_on": date(2099, 1, 1),
                         "tiers": ("diamond", "gold", "silver", "member"), "untiered": True,
                         "excludes": ("handset",), "months_bound": 1}),
    ("campaign.enrol", {"member_id": "m5", "campaign_id": "last"}),
    ("campaign.enrol", {"member_id": "m7", "campaign_id": "last"}),
    ("campaign.correct_enrolment", {"member_id": "m7", "campaign_id": "last"}),
    ("campaign.enrol", {"member_id": "m7", "campaign_id": "last"}),
    ("visit.record", {"member_id": "m7", "club_id": "lounge", "service_id": "room"}),
]  # fmt: skip
"""What chance seldom brings about."""
TERMS = {"prepaid_min_fen": 1, "gift_bp": 1, "months_bound": 1, "min_monthly_fen": 0}
TOLD_LATE: list[tuple[int, str, dict[str, Any]]] = [
    (12, "service.price", {"club_id": "lounge", "service_id": "room", "title": "R", "points": 1}),
    (12, "member.mark_important", {"member_id": "m7", "important": True}),
    (8, "tier.change", {"member_id": "m7", "tier": "silver"}),
    (12, "tier.change", {"member_id": "m7", "tier": "gold"}),
    (36, "campaign.change_terms", {"campaign_id": "last", **TERMS}),
    (30, "campaign.close", {"campaign_id": "last"}),
    (
        24 * 4 + 12,
        "binding.start",
        {
            "member_id": "m5",
            "policy": "handset",
            "starts_on": date(2008, 2, 1),
            "ends_on": date(2017, 1, 1),
        },
    ),
    (24 * (len(EPILOGUE) - 9), "points.debit", {"member_id": "m7", "points": 5}),
    (24 * (len(EPILOGUE) - 6) + 12, "emergency.end", {"club_id": "lounge"}),
    (
        24 * (len(EPILOGUE) - 4),
        "campaign.offer",
        {"member_id": "m7", "campaign_id": "list", "arm": "control"},
    ),
    (6, "member.leave", {"member_id": "m7"}),
]
"""What then comes so many hours late, and brings some of that into doubt."""
