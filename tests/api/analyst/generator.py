"""An invented branch of two years, and the files in which its analyst has them.

Everything is drawn from a seed. What the rules would not take is not told, unless it is a planted
fault: then the row says what is to be answered. `Branch` keeps what became of everybody
(`people`), and that is all that `plainly` counts.
"""

from calendar import monthrange
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from tests.api.analyst.house import (
    ACTIVITIES,
    CAMPAIGNS,
    CLUBS,
    COHORTS,
    DAYS,
    ENGLISH,
    FIRST,
    FULL_WIDTH,
    LAST,
    MISSPELT,
    MONTHS,
    POLICIES,
    TIERS,
    UNITS,
    Campaign,
    called,
    drawn,
    yuan,
)  # fmt: skip
from tests.api.analyst.people import (
    Binding,
    Enrolment,
    Member,
    Visit,
    active,
    at,
    in_force,
    months_on,
)  # fmt: skip
from tests.api.analyst.rows import Row, Told


class Branch(Told):
    """The branch: its people, and the rows of its files."""

    def __init__(self, seed: int = 2025, customers: int = 240) -> None:
        super().__init__(seed)
        self.emergency: list[tuple[datetime, str, int]] = []
        self.ids = [f"K{number:04}" for number in range(1, customers + 1)]
        for member_id in self.ids:
            self._customer(member_id)
        self._two_years()
        self._live()
        self._mended()
        self._late()

    # ------------------------------------------------------------------------- what happens
    def _customer(self, member_id: str) -> None:
        number, draw = int(member_id[1:]), self.draw
        unit = list(UNITS)[number % 3]
        old = number % 10 < 7
        joined = (
            self._day(date(2021, 2, 1), date(2023, 11, 30))
            if old
            else self._day(last=date(2025, 11, 30))
        )
        if number == 10:
            joined = date(2024, 2, 29)
        member = Member(member_id, at(joined), [(at(joined), unit)])
        tier = draw.choice(
            ("diamond", "gold", "gold", "silver", "silver", "silver", "member", None)
        )
        opening = draw.randint(100, 3000) if joined < FIRST and number % 4 else 0
        until = (
            at(draw.choice((date(2024, 7, 1), date(2025, 1, 1), date(2026, 7, 1))))
            if number % 3
            else None
        )
        words, pattern = (ENGLISH, "dd.mm.yyyy") if unit == "lake" else (TIERS, "yyyy/mm/dd")
        spelt, points = DAYS[pattern], f"{opening:,}" if opening else ""
        who = () if unit == "lake" else called(number)
        row = self._row(
            f"customers_{unit}.csv", member_id, *who, UNITS[unit],
            f"{joined:{spelt}}", words[tier] if tier else "", f"{joined:{spelt}}" if tier else "",
            points.translate(FULL_WIDTH) if unit == "hills" else points,
            f"{until:{spelt}} 00:00" if opening and until else "",
        )  # fmt: skip

        def joins() -> bool:
            self.members[member_id] = member
            return True

        def opens() -> bool:
            member.credit(
                at(FIRST, 12), opening, "old system", expires_at=until,
                topic="points.carried_over",
            )  # fmt: skip
            return True

        row.fact(at(joined), 2, joins)
        if tier:
            row.fact(at(joined), 3, lambda: self._tier(member, at(joined), tier))
        if opening:
            row.fact(at(FIRST, 12), 5, opens)

    def _tier(self, member: Member, when: datetime, tier: str | None) -> bool:
        if member.tier(when) == tier:
            return False
        member.tiers.append((when, tier))
        return True

    def _two_years(self) -> None:
        draw = self.draw
        controls = [each for each in self.ids[30:] if drawn("pocket", each)]
        leavers = {**dict.fromkeys(draw.sample(self.ids, 36)), **dict.fromkeys(controls[::2])}
        for member_id in self.ids:
            number = int(member_id[1:])
            self._bills(member_id, number)
            self._points(member_id)
            self._levels(member_id)
        for place, member_id in enumerate(leavers):
            self._leaves(member_id, returns=place % 3 == 0)
        self._visits()
        self._campaigns()
        self._bindings()
        self._cohorts()
        self._activities()
        for member_id in draw.sample(self.ids, 30):
            self._moves(member_id)
        self._plant()

    def _levels(self, member_id: str) -> None:
        draw = self.draw
        for _ in range(draw.choice((0, 0, 1, 1, 2))):
            day, tier = self._day(), draw.choice((*TIERS, None))
            row = self._row(
                "levels.csv", member_id, TIERS[tier] if tier else "无", f"{day:%Y-%m-%d}"
            )
            change = partial(self._tier, when=at(day), tier=tier)
            row.fact(at(day), 3, self._of(member_id, change, at(day)))
        if draw.random() < 0.08:
            day = self._day(last=date(2025, 6, 30))
            for value, since in ((True, day), (False, day + timedelta(days=draw.randint(60, 180)))):

                def marks(member: Member, value: bool = value, since: date = since) -> bool:
                    if member.is_important(at(since)) == value:
                        return False
                    member.important.append((at(since), value))
                    return True

                row = self._row(
                    "key_customers.csv", member_id, "yes" if value else "no", f"{since:%Y-%m-%d}"
                )
                row.fact(at(since), 3, self._of(member_id, marks, at(since)))

    def _leaves(self, member_id: str, returns: bool) -> None:
        day = self._day(date(2024, 4, 1), date(2025, 11, 30))
        gone = at(day, 23, 59, 59)

        def leaves(member: Member) -> bool:
            if member.away:
                return False
            member.away.append((gone, None))
            return True

        self._row("departures.csv", member_id, f"{day:%d/%m/%Y}").fact(
            gone, 14, self._of(member_id, leaves, gone)
        )
        if not returns:
            return
        again = day + timedelta(days=self.draw.randint(20, 150))
        unit = self.draw.choice(list(UNITS))

        def comes_back() -> bool:
            member = self.members.get(member_id)
            if member is None or not member.away or again > LAST:
                return False
            member.away[-1] = (member.away[-1][0], at(again))
            member.units.append((at(again), unit))
            return True

        self._row("returns.csv", member_id, UNITS[unit], f"{again:%Y-%m-%d}").fact(
            at(again), 2, comes_back
        )

    def _moves(self, member_id: str) -> None:
        day, unit = self._day(), self.draw.choice(list(UNITS))

        def moves(member: Member) -> bool:
            if member.unit(at(day)) == unit:
                return False
            member.units.append((at(day), unit))
            return True

        self._row("moves.csv", member_id, UNITS[unit], f"{day:%Y-%m-%d}").fact(
            at(day), 3, self._of(member_id, moves, at(day))
        )

    # ------------------------------------------------------------------------ bills, points
    def _bills(self, member_id: str, number: int) -> None:
        draw = self.draw
        usual = draw.choice((3_000, 6_500, 12_000, 45_000, 160_000))
        for month in MONTHS:
            year, of_year = int(month[:4]), int(month[5:])
            last = date(year, of_year, monthrange(year, of_year)[1])
            fen = draw.randint(usual // 2, usual * 2)
            if draw.random() < 0.01:
                fen = -draw.randint(1, 20_000)
            margin = None if number % 8 == 3 else fen * draw.randint(-5, 45) // 100
            self._bill(member_id, month, last, fen, margin)
            if draw.random() < 0.02:
                self._correct(member_id, month, last + timedelta(days=draw.randint(1, 20)), usual)

    def _bill(self, member_id: str, month: str, last: date, fen: int, margin: int | None) -> None:
        when = at(last, 20)

        def bills(member: Member) -> bool:
            member.bills[month] = (fen, margin)
            return True

        if month < "2025-01":
            row = self._row(
                "bills_2024.csv", member_id, month.replace("-", ""), yuan(fen), yuan(margin)
            )
        else:
            row = self._row(
                "bills_2025.csv", member_id, f"{month[5:]}/{month[:4]}", f"{last:%Y/%m/%d}",
                yuan(fen), yuan(margin),
            )  # fmt: skip
        row.fact(when, 4, self._of(member_id, bills, when))

    def _correct(self, member_id: str, month: str, day: date, usual: int) -> None:
        fen = self.draw.randint(0, usual)
        row = self._row(
            "bill_corrections.csv", member_id, month, f"{day:%d.%m.%y}", yuan(fen), yuan(fen // 3)
        )

        def corrects() -> bool:
            member = self.members.get(member_id)
            if member is None or month not in member.bills or not member.on_network(at(day, 10)):
                return False
            member.bills[month] = (fen, fen // 3)
            return True

        row.fact(at(day, 10), 10, corrects)

    def _points(self, member_id: str) -> None:
        draw = self.draw
        for quarter in range(8):
            day = months_on(FIRST, 3 * quarter) + timedelta(days=draw.randint(0, 80))
            points = draw.randint(20, 900)
            source = draw.choice(("calls", "calls", "birthday"))
            waits = at(day + timedelta(days=30)) if draw.random() < 0.2 else None
            ends = at(months_on(day, draw.choice((6, 12, 36)))) if draw.random() < 0.8 else None
            row = self._row(
                "points.csv", member_id, f"{day:%Y-%m-%d}", f"{points:,}", source,
                f"{waits:%Y-%m-%d %H:%M}" if waits else "",
                f"{ends:%Y-%m-%d %H:%M}" if ends else "",
            )  # fmt: skip

            def earns(
                member: Member, day: date = day, points: int = points, source: str = source,
                waits: datetime | None = waits, ends: datetime | None = ends,
            ) -> bool:  # fmt: skip
                member.credit(at(day, 12), points, source, available_from=waits, expires_at=ends)
                return True

            row.fact(at(day, 12), 5, self._of(member_id, earns, at(day, 12)))
        if draw.random() < 0.6:
            self._spends(member_id)
        if draw.random() < 0.1:
            self._credit_reversed(member_id)

    def _spends(self, member_id: str) -> None:
        day, points, back = self._day(), self.draw.randint(10, 400), self.draw.random() < 0.3

        def spends(member: Member) -> bool:
            if not member.can_pay(at(day, 13), points):
                return False
            member.debit(at(day, 13), points)
            return True

        self._row("gifts.csv", member_id, f"{day:%d/%m/%Y} 13:00", f"-{points}").fact(
            at(day, 13), 8, self._of(member_id, spends, at(day, 13))
        )
        if not back:
            return
        when = at(day + timedelta(days=7), 9, 30)

        def brings_back(member: Member) -> bool:
            if len(member.debits) != 1 or member.debits[0][0] != at(day, 13):
                return False
            member.give_back(when, member.debits[0][1])
            return True

        row = self._row("reversals.csv", member_id, f"{when:%Y-%m-%d %H:%M}", "gift", 1, "")
        row.fact(when, 10, self._of(member_id, brings_back, when))

    def _credit_reversed(self, member_id: str) -> None:
        points, when = self.draw.randint(10, 200), at(self._day(date(2024, 6, 1)), 16, 45)

        def reverses(member: Member) -> bool:
            lot = next((lot for lot in member.lots if lot.left and not lot.lapsed(when)), None)
            if lot is None or lot.points < points or lot.number != 1:
                return False
            member.take_back(when, 1, points)
            return True

        row = self._row("reversals.csv", member_id, f"{when:%Y-%m-%d %H:%M}", "credit", 1, points)
        row.fact(when, 10, self._of(member_id, reverses, when))

    # ---------------------------------------------------------------------------- clubs
    def _visits(self) -> None:
        draw, days = self.draw, set()
        for _ in range(2600):
            member_id, club = draw.choice(self.ids[:150]), draw.choice(list(CLUBS))
            day = self._day(CLUBS[club].opens_on)
            if (member_id, club, day) in days:
                continue
            days.add((member_id, club, day))
            self._visit(member_id, club, day)
        for day in (date(2024, 2, 5), date(2024, 2, 6), date(2024, 2, 8)):
            for category in ("elderly", "child"):
                self._admission(at(day, 9), category)

    def _admission(self, when: datetime, category: str) -> None:
        people = self.draw.randint(1, 40)

        def admits() -> bool:
            self.emergency.append((when, category, people))
            return True

        row = self._row("emergency.csv", category, people, f"{when:%Y-%m-%d %H:%M}")
        row.fact(when, 8, admits)

    def _visit(self, member_id: str, club: str, day: date, late: bool = False) -> Row:
        draw = self.draw
        service = draw.choice(list(CLUBS[club].services))
        hour = None if draw.random() < 0.1 and club != "court" else draw.randint(9, 18)
        minute = draw.randint(0, 59) if hour else 0
        when = at(day, hour or 12, minute)
        companions = draw.choice((0, 0, 0, 1, 3))
        desk = {"gym": draw.choice(("g1", "g2")), "lounge": "高铁", "court": "net"}[club]
        clock, beside = f"{hour}:{minute:02}" if hour else "", companions or ""
        if club == "gym":
            row = self._row(
                "gym.csv", member_id, f"{day:%d.%m.%Y}", clock, service.title(), beside, desk
            )
        elif club == "lounge":
            file = "lounge_late.csv" if late else "lounge.csv"
            row = self._row(file, member_id, f"{day:%Y年%m月%d日}", clock, beside, desk)
        else:
            row = self._row("court.csv", member_id, f"{when:%Y/%m/%d %H:%M}", beside)
        desk = "rail" if club == "lounge" else desk
        row.fact(
            when,
            8,
            self._of(
                member_id, lambda m: self._comes(m, club, service, when, desk, companions), when
            ),
        )
        if draw.random() < 0.05 and not late:
            self._undoing(member_id, when)
        return row

    def _comes(
        self, member: Member, club_id: str, service: str, when: datetime, desk: str, companions: int
    ) -> bool:
        """A visit, if the club admits him and he can pay."""
        club, tier = CLUBS[club_id], member.tier(when)
        important = club.important and member.is_important(when)
        if tier not in club.tiers and not important:
            return False
        price = max((p for p in club.services[service] if p.since <= when), key=lambda p: p.since)
        alone = price.tier_points.get(tier or "", price.points)
        used = member.free_visits_used(club_id, service, when.year)
        free = alone > 0 and used < price.free.get(tier or "", 0)
        points = (0 if free else alone) + companions * price.companion
        if not member.can_pay(when, points):
            return False
        taken = member.debit(when, points) if points else []
        payment = "free_visit" if free else "points" if points else "free"
        member.visits.append(
            Visit(len(member.visits) + 1, club_id, service, when, desk, companions, tier,
                  member.unit(when), payment, points, taken)
        )  # fmt: skip
        return True

    def _undoing(self, member_id: str, of: datetime) -> None:
        """It is undone two days later by a supervisor, who names it by its number."""
        when = of + timedelta(days=2)
        row = self._row("undone.csv")

        def undoes(member: Member) -> bool:
            visit = next((each for each in member.visits if each.when == of), None)
            if visit is None:
                return False
            row.cells = (member_id, str(visit.number), f"{when:%Y-%m-%d %H:%M}")
            visit.undone = True
            member.give_back(when, visit.taken)
            return True

        row.fact(when, 10, self._of(member_id, undoes, when))

    def _late(self) -> None:
        """Visits that are brought when all else is known: judged by what is left then."""
        known = {
            (m.member_id, v.club, v.when.date()) for m in self.members.values() for v in m.visits
        }
        late = [
            self._visit(member_id, "lounge", day, late=True)
            for member_id in self.draw.sample(self.ids[:150], 40)
            if (member_id, "lounge", day := self._day(date(2025, 10, 1), date(2025, 11, 30)))
            not in known
        ]
        self._live(late)

    # ------------------------------------------------------------------------- campaigns
    def _campaigns(self) -> None:
        for name, campaign in CAMPAIGNS.items():
            for member_id in self.draw.sample(self.ids[30:], 110):
                if campaign.arms != "none":
                    self._offer(member_id, name, campaign)
                if self.draw.random() < 0.5:
                    self._enrols(member_id, name, campaign)

    def _offer(self, member_id: str, name: str, campaign: Campaign) -> None:
        if self.draw.random() < 0.2:
            return  # he will walk in
        when = at(campaign.opens_on - timedelta(days=3), 12)
        control = self.draw.random() < 0.35
        if campaign.arms == "drawn":
            control = drawn(name, member_id)
        arm = "control" if control else "offered"

        def offers(member: Member) -> bool:
            if not self._in_segment(member, campaign, when):
                return False
            member.offers[name] = when, arm, member.tier(when), member.unit(when)
            return True

        given = "" if campaign.arms == "drawn" else "对照" if control else "目标"
        row = self._row("lists.csv", member_id, name, given, f"{when:%Y-%m-%d}")
        row.fact(when, 6, self._of(member_id, offers, when))

    @staticmethod
    def _in_segment(member: Member, campaign: Campaign, when: datetime) -> bool:
        tier = member.tier(when)
        return campaign.untiered if tier is None else tier in campaign.tiers

    def _enrols(self, member_id: str, name: str, campaign: Campaign) -> None:
        """Those of the control group who did so all the same are let in by --despite."""
        day = self._day(campaign.opens_on, campaign.closes_on)
        when = at(day, 15, self.draw.randint(0, 59))
        prepaid = self.draw.randint(300, 2_000) * 100 + 55 if campaign.kind != "care" else 0
        row = self._row(
            "enrolments.csv", member_id, name.upper(), yuan(prepaid), f"{when:%d/%m/%Y %H:%M}"
        )

        def enrols(member: Member) -> bool:
            if not self._in_segment(member, campaign, when):
                return False
            if self._in_control(member, name):
                if sum(code == "in_control_group" for _, code in self.faults) >= 8:
                    return False
                self.faults.append((row, "in_control_group"))
            terms = in_force(campaign.terms, when)
            assert terms is not None
            gift = prepaid * terms["gift_bp"] // 10_000
            tier, unit = member.tier(when), member.unit(when)
            member.enrolments[name] = Enrolment(when, tier, unit, prepaid, gift)
            if campaign.kind in POLICIES:
                ends = months_on(day, terms["months_bound"])
                member.bindings.append(
                    Binding(len(member.bindings) + 1, campaign.kind, day, ends, tier, unit, name)
                )
            return True

        row.fact(when, 7, self._of(member_id, enrols, when))
        if self.draw.random() < 0.06:
            self._withdraws(member_id, name, when + timedelta(days=3))

    @staticmethod
    def _in_control(member: Member, name: str) -> bool:
        if CAMPAIGNS[name].arms == "drawn":
            return drawn(name, member.member_id)
        return name in member.offers and member.offers[name][1] == "control"

    def _withdraws(self, member_id: str, name: str, when: datetime) -> None:
        """It was a mistake: it never was."""

        def withdraws(member: Member) -> bool:
            if self._in_control(member, name) or member.enrolments.pop(name, None) is None:
                return False
            member.bindings = [each for each in member.bindings if each.campaign != name]
            return True

        row = self._row(
            "enrolments_withdrawn.csv", member_id, name.upper(), f"{when:%Y-%m-%d %H:%M}"
        )
        row.fact(when, 10, self._of(member_id, withdraws, when))

    def _bindings(self) -> None:
        for member_id in self.draw.sample(self.ids[:30], 24):
            policy, day = self.draw.choice(POLICIES), self._day()
            ends = months_on(day, self.draw.choice((1, 6, 12, 18)))

            def binds(
                member: Member, policy: str = policy, day: date = day, ends: date = ends
            ) -> bool:
                tier, unit = member.tier(at(day, 12)), member.unit(at(day, 12))
                member.bindings.append(
                    Binding(len(member.bindings) + 1, policy, day, ends, tier, unit)
                )
                return True

            row = self._row(
                "bindings.csv", member_id, policy, f"{day:%Y/%m/%d}", f"{ends:%Y/%m/%d}"
            )
            row.fact(at(day, 12), 7, self._of(member_id, binds, at(day, 12)))
            if self.draw.random() < 0.5:
                self._ends(member_id, day + timedelta(days=self.draw.randint(5, 200)))

    def _ends(self, member_id: str, day: date) -> None:
        cause = self.draw.choice(("breach", "cancelled"))

        def ends(member: Member) -> bool:
            if not member.bindings or not active(member, member.bindings[0], day):
                return False
            member.bindings[0].ended_on, member.bindings[0].cause = day, cause
            return True

        when = at(day, 23, 59, 59)
        word = {"breach": "违约", "cancelled": "取消"}[cause]
        row = self._row("bindings_ended.csv", member_id, 1, f"{day:%Y/%m/%d}", word)
        if day <= LAST:
            row.fact(when, 12, self._of(member_id, ends, when))

    # --------------------------------------------------------------------- cohorts, activities
    def _cohorts(self) -> None:
        for name, (_, day, tiers) in COHORTS.items():
            when = at(day, 23, 59, 59)
            for member_id in self.ids:
                row = self._row("cohorts.csv", name, member_id, f"{day:%Y-%m-%d}")

                def includes(
                    member: Member, name: str = name, tiers: Any = tiers, when: datetime = when
                ) -> bool:
                    tier = member.tier(when)
                    if tier not in tiers:
                        return False
                    member.cohorts[name] = tier, member.unit(when)
                    return True

                row.fact(when, 11, self._of(member_id, includes, when))

    def _activities(self) -> None:
        for (club, activity), (held, _) in ACTIVITIES.items():
            for member_id in self.draw.sample(self.ids, 25):
                when = held + timedelta(days=self.draw.randint(0, 20), hours=2)

                def attends(
                    member: Member,
                    club: str = club,
                    activity: str = activity,
                    held: datetime = held,
                ) -> bool:
                    if not member.on_network(held):
                        return False
                    member.attended[club, activity] = member.tier(held)
                    return True

                row = self._row(
                    "attendances.csv", member_id, f"{club}:{activity}", f"{when:%Y-%m-%d %H:%M}"
                )
                row.fact(when, 8, self._of(member_id, attends, when))

    # ------------------------------------------------------------------------- what is wrong
    def _mended(self) -> None:
        """What the misspelt line says when it is spelt well and told."""
        member, when = self.members[MISSPELT[1]], at(date.fromisoformat(MISSPELT[3]))
        assert member.on_network(when)
        assert self._tier(member, when, "diamond")

    def _plant(self) -> None:
        self._fault("not_open_yet", "gym.csv", "K0001", "28.02.2024", "10:00", "Weights", "", "g1")
        self._fault(
            "unknown_member", "gym.csv", "K9999", "28.03.2024", "10:00", "Weights", "", "g1"
        )
        self._fault("not_come_yet", "bills_2025.csv", "K0001", "01/2026", "2025/12/31", "12.00", "")
        self._fault("already_billed", "bills_2024.csv", "K0002", "202401", "1,234.50", "1.00")
        self._fault("not_enough_points", "gifts.csv", "K0004", "31/12/2025 13:00", "-999,999")
        self._fault("misspelt", *MISSPELT)
        self._fault(
            "unknown_member", "bills_2025.csv", "k0001", "02/2025", "2025/02/28", "5.00", ""
        )
