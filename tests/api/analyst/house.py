"""What the invented branch has: its units, clubs, campaigns and cohorts, and how its files look."""

from dataclasses import dataclass
from datetime import date, datetime
from hashlib import md5
from typing import Any

from tests.api.analyst.people import at

FIRST, LAST = date(2024, 1, 1), date(2025, 12, 31)
MONTHS = [f"{year}-{month:02}" for year in (2024, 2025) for month in range(1, 13)]
UNITS = {"harbour": "港口", "hills": "山前", "lake": "湖滨"}
TIERS = {"diamond": "铂金卡", "gold": "黄金卡", "silver": "白银卡", "member": "普通卡"}
ENGLISH = {"diamond": "Platinum", "gold": "Gilt", "silver": "Sterling", "member": "Basic"}
DAYS = {"yyyy/mm/dd": "%Y/%m/%d", "dd.mm.yyyy": "%d.%m.%Y", "iso": "%Y-%m-%d", "zh": "%Y年%m月%d日"}


@dataclass(frozen=True)
class Sheet:
    """How one file is written."""

    header: tuple[str, ...]
    separator: str = ","
    encoding: str = "utf-8"


CUSTOMERS = (
    "客户编号", "姓名", "手机号码", "网点", "入网日期", "等级", "定级日期", "期初积分", "期初到期",
)  # fmt: skip
SHEETS = {
    "customers_harbour.csv": Sheet(CUSTOMERS, ",", "utf-8-sig"),
    "customers_hills.csv": Sheet(CUSTOMERS, ";", "gb18030"),
    "customers_lake.csv": Sheet(
        ("Customer", "Branch", "Joined", "Level", "Level since", "Opening", "Opening until")
    ),
    "levels.csv": Sheet(("卡号", "新等级", "生效日期"), "\t", "gb18030"),
    "key_customers.csv": Sheet(("Customer", "Key", "Day")),
    "departures.csv": Sheet(("客户编号", "离网日期"), ",", "utf-8-sig"),
    "moves.csv": Sheet(("客户编号", "迁往", "日期")),
    "returns.csv": Sheet(("客户编号", "网点", "返网日期"), ";", "utf-8-sig"),
    "bills_2024.csv": Sheet(("客户编号", "账期", "账单金额", "毛利"), ",", "utf-8-sig"),
    "bills_2025.csv": Sheet(("Customer", "Month", "Issued", "Amount", "Margin"), ";", "gb18030"),
    "bill_corrections.csv": Sheet(
        ("客户编号", "账期", "更正日期", "更正后金额", "毛利"), ";", "gb18030"
    ),
    "points.csv": Sheet(("Customer", "Day", "Points", "Source", "From", "Until"), "|"),
    "gifts.csv": Sheet(("客户编号", "日期", "积分变动")),
    "reversals.csv": Sheet(("Customer", "When", "What", "Number", "Points")),
    "gym.csv": Sheet(("Member", "Date", "Time", "Service", "Companions", "Desk")),
    "lounge.csv": Sheet(("卡号", "日期", "时间", "随行人数", "柜台"), ";", "gb18030"),
    "court.csv": Sheet(("Member", "Started", "Guests"), "\t", "utf-8-sig"),
    "undone.csv": Sheet(("Member", "Visit", "When")),
    "lists.csv": Sheet(("客户编号", "活动", "分组", "日期"), ",", "gb18030"),
    "enrolments.csv": Sheet(("Customer", "Campaign", "Prepaid", "When"), ";"),
    "enrolments_withdrawn.csv": Sheet(("Customer", "Campaign", "When")),
    "bindings.csv": Sheet(("客户编号", "政策", "起始日", "终止日"), ",", "utf-8-sig"),
    "bindings_ended.csv": Sheet(("客户编号", "序号", "解除日期", "原因"), ",", "utf-8-sig"),
    "cohorts.csv": Sheet(("Cohort", "Customer", "Day")),
    "attendances.csv": Sheet(("Member", "Activity", "When")),
    "emergency.csv": Sheet(("Category", "People", "When")),
    "lounge_late.csv": Sheet(("卡号", "日期", "时间", "随行人数", "柜台"), ";", "gb18030"),
}


@dataclass(frozen=True)
class Price:
    since: datetime
    points: int
    tier_points: dict[str, int]
    companion: int
    free: dict[str, int]


@dataclass(frozen=True)
class Club:
    opens_on: date
    tiers: tuple[str, ...]
    important: bool
    hours: tuple[int, int]
    services: dict[str, list[Price]]


@dataclass(frozen=True)
class Campaign:
    kind: str
    opens_on: date
    closes_on: date
    tiers: tuple[str, ...]
    untiered: bool
    arms: str
    """given by a list, or drawn, or none"""
    terms: list[tuple[datetime, dict[str, int]]]
    costs_fen: int


def _terms(prepaid_min_fen: int, gift_bp: int, months_bound: int) -> dict[str, int]:
    return {
        "prepaid_min_fen": prepaid_min_fen,
        "gift_bp": gift_bp,
        "months_bound": months_bound,
    }


CONTROL_BP = 3_000
NAMES = "陆方何许沈韩杨朱秦尤", "青圆田安平远舟宁"
"""Of which invented people are called."""
FULL_WIDTH = str.maketrans("0123456789,", "０１２３４５６７８９，")
POLICIES = ("prepay", "family_plan", "handset")
CLUBS = {
    "gym": Club(
        date(2024, 3, 1), ("diamond", "gold"), True, (360, 1320),
        {
            "weights": [
                Price(at(date(2024, 2, 15), 10), 30, {}, 20, {"diamond": 5, "gold": 2}),
                Price(at(date(2025, 1, 1)), 40, {"gold": 35}, 25, {"diamond": 4, "gold": 1}),
            ],
            "sauna": [Price(at(date(2024, 2, 15), 11), 80, {"diamond": 60}, 0, {})],
        },
    ),
    "lounge": Club(
        date(2024, 1, 1), ("diamond", "gold", "silver"), False, (0, 1440),
        {"seat": [Price(at(date(2023, 12, 1)), 50, {"diamond": 0}, 50, {"gold": 3})]},
    ),
    "court": Club(
        date(2025, 2, 10), ("gold", "silver", "member"), True, (480, 1200),
        {"hour": [Price(at(date(2025, 1, 15)), 25, {}, 5, {"silver": 1})]},
    ),
}  # fmt: skip
CAMPAIGNS = {
    "harvest": Campaign(
        "prepay", date(2024, 3, 15), date(2024, 6, 30), ("gold", "silver"), False, "given",
        [
            (at(date(2024, 3, 1), 9), _terms(30_000, 1_000, 12)),
            (at(date(2024, 5, 1), 9), _terms(20_000, 1_555, 6)),
        ],
        1_234_567,
    ),
    "lantern": Campaign(
        "family_plan", date(2025, 1, 1), date(2025, 12, 31), ("silver", "member"), True,
        "none",
        [(at(date(2024, 12, 20), 9), _terms(6_000, 1_667, 14))],
        50_000,
    ),
    "pocket": Campaign(
        "handset", date(2025, 4, 1), date(2025, 5, 31), ("diamond", "gold", "silver"), False,
        "drawn",
        [(at(date(2025, 3, 20), 9), _terms(100, 0, 24))],
        345_600,
    ),
    "mooncake": Campaign(
        "care", date(2025, 9, 1), date(2025, 10, 7), ("diamond",), False, "none",
        [(at(date(2025, 8, 20), 9), _terms(0, 0, 0))],
        99_900,
    ),
}  # fmt: skip
COHORTS = {
    "kept-2023": ("retention", date(2023, 12, 31), ("diamond", "gold", "silver")),
    "kept-2024": ("retention", date(2024, 12, 31), ("diamond", "gold")),
    "bound-2025": ("binding", date(2025, 6, 30), ("diamond", "gold", "silver", "member", None)),
}
ACTIVITIES = {
    ("court", "cup"): (at(date(2025, 5, 1), 9), 123_456),
    ("gym", "run"): (at(date(2024, 10, 3), 7), 45_600),
    ("gym", "dance"): (at(date(2025, 10, 3), 19), 0),
}
EMERGENCY = (at(date(2024, 2, 5), 8), at(date(2024, 2, 8), 20))


MISSPELT = "levels.csv", "K0004", "铂全卡", "2025-12-30"
"""It is mended by who takes the rest in: a platinum card was meant."""


def called(number: int) -> tuple[str, str]:
    """The name and number of a customer of two of the units."""
    return NAMES[0][number % 10] + NAMES[1][number // 10 % 8], f"138{number:08}"


def drawn(name: str, member_id: str) -> bool:
    """Whether the draw puts him into the control group, as the page of choices says."""
    digest = md5(f"{name}:{member_id}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) % 10_000 < CONTROL_BP


def yuan(fen: int | None) -> str:
    """As the branch's systems print money."""
    if fen is None:
        return ""
    return f"({-fen / 100:,.2f})" if fen < 0 else f"{fen / 100:,.2f}"


def house() -> list[dict[str, Any]]:
    """What no export has: units, clubs, prices, campaigns, cohorts, as facts."""
    facts: list[dict[str, Any]] = []

    def tell(command: str, when: datetime, **what: Any) -> None:
        facts.append({"command": command, "at": when.isoformat(), "actor": "manager:yu", **what})

    for unit, title in UNITS.items():
        tell("unit.open", at(date(2020, 1, 1)), unit_id=unit, title=title)
    for name, club in CLUBS.items():
        first = min(prices[0].since for prices in club.services.values())
        tell(
            "club.open", first, club_id=name, title=name, opens_on=str(club.opens_on),
            tiers=club.tiers, important=club.important, opens_minute=club.hours[0],
            closes_minute=club.hours[1],
        )  # fmt: skip
        for service, prices in club.services.items():
            for price in prices:
                tell(
                    "service.price", price.since, club_id=name, service_id=service, title=service,
                    points=price.points, tier_points=price.tier_points,
                    companion_points=price.companion, free_visits=price.free,
                )  # fmt: skip
    for name, campaign in CAMPAIGNS.items():
        (told, terms), *later = campaign.terms
        costs = [{"item": "posters and letters", "cost_fen": campaign.costs_fen}]
        arms: dict[str, Any] = {"arms": "given"} if campaign.arms == "given" else {}
        if campaign.arms == "drawn":
            arms = {"control_bp": CONTROL_BP, "control_seed": name}
        tell(
            "campaign.launch", told, campaign_id=name, title=name, kind=campaign.kind,
            opens_on=str(campaign.opens_on), closes_on=str(campaign.closes_on),
            tiers=campaign.tiers, untiered=campaign.untiered,
            costs=costs if campaign.costs_fen else [], **terms, **arms,
        )  # fmt: skip
        for since, changed in later:
            tell("campaign.change_terms", since, campaign_id=name, min_monthly_fen=0, **changed)
    for (club_id, activity), (held, cost) in ACTIVITIES.items():
        tell(
            "activity.hold",
            held,
            club_id=club_id,
            activity_id=activity,
            title=activity,
            cost_fen=cost,
        )
    tell("emergency.declare", EMERGENCY[0], club_id="lounge", reason="snow")
    tell("emergency.end", EMERGENCY[1], club_id="lounge")
    for name, (purpose, day, tiers) in COHORTS.items():
        tell(
            "cohort.open", at(day), cohort_id=name, title=name, purpose=purpose,
            criterion=" ".join(tier or "none" for tier in tiers), taken_on=str(day),
        )  # fmt: skip
    return facts
