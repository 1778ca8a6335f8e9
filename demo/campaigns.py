"""Campaigns: who was offered what, who prepaid how much, and whom that still binds at year end."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from demo import examples
from demo.assumptions import assumed
from demo.customers import SILVER, Customers
from demo.facts import Block, Source, command, told
from demo.instants import DAY, date_of, iso, month_of, office_hours, on, read
from demo.packages import packages
from demo.reported import CAMPAIGNS
from demo.scaling import some
from demo.staying import is_lost
from domain.enrolments import drawn_into_control
from domain.kernel.values import add_months

FIRST, SECOND, THIRD = "yi_lu_zou_guo", "golden_autumn", "ten_years_gift"


@dataclass
class Enrolment:
    """A customer takes part under the terms he was shown."""

    at: int
    number: int
    campaign: str
    terms: int = 1
    prepaid_yuan: int = 0


@dataclass
class Prepaid:
    """All enrolments, the draw, and who is bound by a prepaid sum on the last day."""

    those: Customers
    enrolments: list[Enrolment] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)  # the population of the golden autumn
    ended: list[tuple[int, int, str]] = field(default_factory=list)  # (at, customer, cause)
    bound: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.settings: dict[str, dict[str, Any]] = assumed("campaign-windows-and-terms")
        draw = self.those.scale.random("campaigns")
        run_out = self._first(draw)
        self._second(draw)
        self._third(draw, run_out)
        for campaign, (_, yuan) in CAMPAIGNS.items():
            of_it = [e for e in self.enrolments if e.campaign == campaign]
            full = CAMPAIGNS[campaign][0]
            total = yuan if len(of_it) == full else yuan * len(of_it) // full // 100 * 100
            weights = {int(k): w for k, w in self.settings[campaign]["packages"].items()}
            for enrolment, prepaid in zip(
                of_it, packages(draw, weights, len(of_it), total), strict=True
            ):
                enrolment.prepaid_yuan = prepaid

    def candidates(self) -> list[int]:
        """Customers who stay all year and keep spending, examples apart."""
        those = self.those
        return [
            n
            for n in range(len(examples.PLANNED), len(those))
            if n not in those.left and not is_lost(those.low.get(n, 0))
        ]

    def _window(self, campaign: str) -> tuple[int, int]:
        return read(self.settings[campaign]["opens_on"]), read(self.settings[campaign]["closes_on"])

    def _first(self, draw: Random) -> list[Enrolment]:
        """The first campaign: early on for six months, then for twelve; some break it."""
        those, of = self.those, self.those.scale.of
        chosen, others = assumed("longer-terms-in-july"), assumed("bindings-that-do-not-count")
        opens, closes = self._window(FIRST)
        longer = read(chosen["at"])
        count, short = of(CAMPAIGNS[FIRST][0]), of(chosen["before"])
        able = [n for n in self.candidates() if those.joined[n] < opens - DAY]
        able = draw.sample(able, count)
        failing = [
            n
            for n in range(len(examples.PLANNED), those.joined_before_2008)
            if is_lost(those.low.get(n, 0)) and (those.low[n] >> 8 & 7).bit_count() > 1
        ]
        broken = some(draw, failing, of(others["breach"], 1))
        early = [Enrolment(office_hours(draw, opens, longer - DAY), n, FIRST) for n in able[:short]]
        late = [
            Enrolment(office_hours(draw, longer, closes), n, FIRST, terms=2)
            for n in able[short : count - len(broken)] + broken
        ]
        for number in broken:
            low = [month for month in (8, 9, 10) if those.low[number] >> month & 1]
            at = on(2008, low[1] + 2, draw.randint(6, 20), 10) + draw.randrange(7 * 3600)
            self.ended.append((at, number, "breach"))
        self.enrolments += early + late
        self.bound |= {e.number for e in late} - set(broken)
        return early

    def _second(self, draw: Random) -> None:
        """The golden autumn: drawn into offered and control, none of them in another campaign."""
        of = self.those.scale.of
        settings, chosen = self.settings[SECOND], assumed("golden-autumn-draw")
        taken = {e.number for e in self.enrolments}
        steady = set(self.those.steady(SILVER))
        pool = [n for n in self.candidates() if n in steady and n not in taken]
        self.drawn = sorted([examples.CONTROL, *some(draw, pool, of(chosen["population"], 60) - 1)])
        ids = self.those.ids
        seed, share = settings["control_seed"], settings["control_bp"]
        offered = [n for n in self.drawn if not drawn_into_control(seed, ids[n], share)]
        opens, closes = self._window(SECOND)
        for number in some(draw, offered, of(CAMPAIGNS[SECOND][0], 6)):
            at = office_hours(draw, opens, closes)
            self.enrolments.append(Enrolment(at, number, SECOND))
            self.those.uplift[number] = month_of(at) + 1
            self.bound.add(number)
        self._some_leave(draw, set(offered))

    def _some_leave(self, draw: Random, offered: set[int]) -> None:
        """Some of those drawn leave late in the year, in the place of others of the cohort."""
        those, chosen = self.those, assumed("golden-autumn-draw")
        leavers = [n for n in those.left if n in those.retention and those.tier_2008[n]]
        leavers.remove(examples.GONE)
        arms = (
            ([n for n in self.drawn if n in offered - self.bound], chosen["left_offered"]),
            (
                [n for n in self.drawn if n not in offered and n != examples.CONTROL],
                chosen["left_control"],
            ),
        )
        for arm, count in arms:
            pool = [n for n in arm if n not in those.important]
            going = some(draw, pool, min(len(leavers), those.scale.of(count, 1)))
            for number in going:
                del those.left[leavers.pop()]
                those.left[number] = office_hours(draw, on(2008, 11, 3), on(2008, 12, 22))

    def _third(self, draw: Random, run_out: list[Enrolment]) -> None:
        """The ten years gift: new customers of it, and those whose first binding has run out."""
        of = self.those.scale.of
        others = assumed("bindings-that-do-not-count")
        opens, closes = self._window(THIRD)
        months: int = self.settings[FIRST]["months_bound"]
        free_from = {e.number: read(str(add_months(date_of(e.at), months))) + DAY for e in run_out}
        soon = [number for number, at in free_from.items() if at < on(2008, 12, 15)]
        again = some(draw, soon, of(others["run_out_and_enrolled_again"]))
        taken = {e.number for e in self.enrolments} | set(self.drawn)
        able = [n for n in self.candidates() if n not in taken]
        count = of(CAMPAIGNS[THIRD][0]) - len(again) - 1
        fresh = draw.sample(able, count)
        self.enrolments.append(Enrolment(on(2008, 11, 11, 10, 40), examples.ENROLLED, THIRD))
        for number in again:
            at = office_hours(draw, free_from[number], closes)
            self.enrolments.append(Enrolment(at, number, THIRD))
        for number in fresh:
            at = office_hours(draw, opens, closes, skew=0.8)
            self.enrolments.append(Enrolment(at, number, THIRD))
        cancelled = fresh[: of(others["cancelled_prepay"], 1)]
        when = {e.number: e.at for e in self.enrolments if e.campaign == THIRD}
        for number in cancelled:
            at = min(when[number] + draw.randint(1, 10) * DAY, on(2008, 12, 30, 16))
            self.ended.append((at, number, "cancelled"))
        self.bound |= {examples.ENROLLED, *again, *fresh} - set(cancelled)

    def facts(self) -> list[Source]:
        """Launches, changed terms, the draw, enrolments, and bindings that ended early."""
        found = [self._launch(name, row) for name, row in self.settings.items()]
        found.append(self._longer_terms())
        for at, number, cause in self.ended:
            reason = (
                "消费低于承诺 Spent less than the terms ask for"
                if cause == "breach"
                else "客户申请取消 Cancelled by the customer"
            )
            line = command(
                "binding.end", at, "system:crm" if cause == "breach" else "supervisor:he01",
                member_id=self.those.ids[number], binding=1, ended_on=str(date_of(at)),
                cause=cause, reason=reason,
            )  # fmt: skip
            found.append((at, line))
        enrolled = [(e.at, self._enrol(e)) for e in self.enrolments]
        drawn = read(assumed("golden-autumn-draw")["drawn"])
        return [told(found), told(enrolled), Block(drawn, len(self.drawn), self._draw_lines)]

    def _launch(self, name: str, row: dict[str, Any]) -> tuple[int, bytes]:
        at, of = read(row["launched"]), self.those.scale.of
        costs = [
            {"item": cost["item"], "cost_fen": of(cost["cost"] * 100)}
            for cost in row.get("costs", ())
        ]
        drawing = {key: row[key] for key in ("control_bp", "control_seed") if key in row}
        line = command(
            "campaign.launch", at, "manager:marketing", campaign_id=name, title=row["title"],
            kind="prepay", opens_on=row["opens_on"], closes_on=row["closes_on"],
            tiers=row["tiers"], untiered=row["untiered"], excludes=row.get("excludes", []),
            cap=of(row["cap"], 20), budget_fen=of(row["budget"] * 100, 1_000_000), costs=costs,
            prepaid_min_fen=row["prepaid_min"] * 100, gift_bp=row["gift_bp"],
            months_bound=row["months_bound"], min_monthly_fen=row["min_monthly"] * 100, **drawing,
        )  # fmt: skip
        return at, line

    def _longer_terms(self) -> tuple[int, bytes]:
        chosen = assumed("longer-terms-in-july")
        at = read(chosen["at"])
        line = command(
            "campaign.change_terms", at, "manager:marketing", campaign_id=FIRST,
            prepaid_min_fen=chosen["prepaid_min"] * 100, gift_bp=chosen["gift_bp"],
            months_bound=chosen["months_bound"], min_monthly_fen=chosen["min_monthly"] * 100,
        )  # fmt: skip
        return at, line

    def _enrol(self, e: Enrolment) -> bytes:
        return (
            f'{{"command":"campaign.enrol","at":"{iso(e.at)}","actor":"clerk:hall{e.at % 9 + 1}",'
            f'"member_id":"{self.those.ids[e.number]}","campaign_id":"{e.campaign}",'
            f'"prepaid_fen":{e.prepaid_yuan * 100},"shown_terms_version":{e.terms}}}\n'
        ).encode()

    def _draw_lines(self) -> Iterator[bytes]:
        at = iso(read(assumed("golden-autumn-draw")["drawn"]))
        for number in self.drawn:
            yield (
                f'{{"command":"campaign.offer","at":"{at}","actor":"system:draw",'
                f'"member_id":"{self.those.ids[number]}","campaign_id":"{SECOND}"}}\n'
            ).encode()
