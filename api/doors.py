"""Doors as rows: every command, and questions, over HTTP and on the command line alike.

A question that takes more than its words (pages, files, personal data) has a route and a command of
its own instead.
"""

import re
from collections.abc import Callable
from functools import cache
from inspect import getdoc, signature
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import create_model

from domain.catalogue import COMMANDS
from domain.clubs import UnknownClub
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.reports import UnknownReport
from projections import clubs, reports, webhooks
from projections.engine.answer import Answer
from projections.engine.connection import Conn
from projections.figures import targets


class Door(NamedTuple):
    """A command by its name, the address to which it is posted, and under what it is listed."""

    name: str
    path: str
    tag: str
    hot: bool = False
    """A queue is waiting: the express lane answers (api/http/express.py)."""
    wanted: tuple[str, ...] = ()
    """What has to be said here, though a file may leave it out."""

    @property
    def command(self) -> type[Command]:
        """The command."""
        return COMMANDS[self.name]

    @property
    def ids(self) -> list[str]:
        """The fields of the command that stand in the path."""
        return re.findall(r"{(\w+)}", self.path)


class Question(NamedTuple):
    """A query by its name, the address at which it is asked, and under what it is listed."""

    name: str
    path: str
    tag: str
    query: Callable[..., Any]
    """query(connection, words...): an answer, null if there is no such, or a list of answers."""
    unknown: type[Refusal] | None = None
    """What is said then: of the words in the path."""

    @property
    def words(self) -> dict[str, Any]:
        """What has to be said, each with its type: those in the path first."""
        hints = get_type_hints(self.query, include_extras=True)
        return {name: hints[name] for name in [*signature(self.query).parameters][1:]}

    @property
    def answer(self) -> type[Answer]:
        """What is answered: a list under the name of the question."""
        return _answer(self)

    def __call__(self, conn: Conn, **words: Any) -> Answer:
        """Ask it."""
        found = self.query(conn, **words)
        if isinstance(found, list):
            return self.answer(**{self.name: found})
        if found is None:
            assert self.unknown is not None
            raise self.unknown(*(words[name] for name in words if f"{{{name}}}" in self.path))
        answer: Answer = found
        return answer


@cache
def _answer(question: Question) -> type[Answer]:
    told = get_type_hints(question.query)["return"]
    if get_origin(told) is not list:
        found: type[Answer] = next(iter(get_args(told)), told)
        return found
    fields: dict[str, Any] = {question.name: (told, ...)}
    name, doc = question.name.title(), getdoc(question.query)
    return create_model(name, __base__=Answer, __doc__=doc, **fields)


# --------------------------------------------------------------------------------------- rows
MEMBER, CLUB, CAMPAIGN = "/members/{member_id}", "/clubs/{club_id}", "/campaigns/{campaign_id}"
COHORT, REPORT = "/cohorts/{cohort_id}", "/reports/{report_id}"
WEBHOOK = "/webhooks/{webhook_id}"

DOORS = (
    Door("unit.open", "/units", "members"),
    Door("member.join", "/members", "members"),
    Door("member.change_details", f"{MEMBER}/details", "members"),
    Door("member.unmask", f"{MEMBER}/unmask", "members"),
    Door("member.erase", f"{MEMBER}/erase", "members"),
    Door("member.mark_important", f"{MEMBER}/importance", "members"),
    Door("tier.change", f"{MEMBER}/tier", "members"),
    Door("member.move", f"{MEMBER}/unit", "members"),
    Door("member.leave", f"{MEMBER}/leave", "members"),
    Door("member.return", f"{MEMBER}/return", "members"),
    Door("bill.record", f"{MEMBER}/bills", "members"),
    Door("points.credit", f"{MEMBER}/credits", "points"),
    Door("points.carry_over", f"{MEMBER}/opening-balances", "points"),
    Door("points.reverse_credit", f"{MEMBER}/credits/{{lot}}/reverse", "points"),
    Door("points.debit", f"{MEMBER}/debits", "points"),
    Door("points.reverse_debit", f"{MEMBER}/debits/{{debit}}/reverse", "points"),
    Door("points.expire", f"{MEMBER}/expire", "points"),
    Door("binding.start", f"{MEMBER}/bindings", "bindings"),
    Door("binding.end", f"{MEMBER}/bindings/{{binding}}/end", "bindings"),
    Door("visit.record", f"{MEMBER}/visits", "visits", hot=True, wanted=("shown_points",)),
    Door("visit.undo", f"{MEMBER}/visits/{{visit}}/undo", "visits"),
    Door("visit.admit_in_emergency", f"{CLUB}/admissions", "visits"),
    Door("activity.attend", f"{CLUB}/activities/{{activity_id}}/attendances", "visits"),
    Door("club.open", "/clubs", "clubs"),
    Door("service.price", f"{CLUB}/services/{{service_id}}/prices", "clubs"),
    Door("emergency.declare", f"{CLUB}/emergency", "clubs"),
    Door("emergency.end", f"{CLUB}/emergency/end", "clubs"),
    Door("activity.hold", f"{CLUB}/activities", "clubs"),
    Door("campaign.launch", "/campaigns", "campaigns"),
    Door("campaign.change_terms", f"{CAMPAIGN}/terms", "campaigns"),
    Door("campaign.close", f"{CAMPAIGN}/close", "campaigns"),
    Door("campaign.offer", f"{CAMPAIGN}/offers", "campaigns"),
    Door("campaign.enrol", f"{CAMPAIGN}/enrolments", "campaigns", hot=True),
    Door("cohort.open", "/cohorts", "cohorts"),
    Door("cohort.include", f"{COHORT}/members", "cohorts"),
    Door("cohort.freeze", f"{COHORT}/freeze", "cohorts"),
    Door("report.enter", "/reports", "reports"),
    Door("report.claim", f"{REPORT}/claims", "reports"),
    Door("outside.record", "/outside-values", "reports"),
    Door("target.set", "/targets", "reports"),
    Door("webhook.add", "/webhooks", "webhooks"),
    Door("webhook.rotate", f"{WEBHOOK}/rotate", "webhooks"),
    Door("webhook.resume", f"{WEBHOOK}/resume", "webhooks"),
    Door("webhook.remove", f"{WEBHOOK}/remove", "webhooks"),
    Door("member.correct_leaving", f"{MEMBER}/corrections", "corrections"),
    Door("member.correct_return", f"{MEMBER}/corrections", "corrections"),
    Door("bill.correct", f"{MEMBER}/corrections", "corrections"),
    Door("campaign.correct_enrolment", f"{MEMBER}/corrections", "corrections"),
    Door("campaign.correct_offer", f"{MEMBER}/corrections", "corrections"),
    Door("activity.correct_attendance", f"{MEMBER}/corrections", "corrections"),
    Door("binding.correct", f"{MEMBER}/corrections", "corrections"),
    Door("binding.correct_end", f"{MEMBER}/corrections", "corrections"),
    Door("cohort.correct_inclusion", f"{MEMBER}/corrections", "corrections"),
    Door("activity.correct", f"{CLUB}/corrections", "corrections"),
    Door("visit.correct_emergency", f"{CLUB}/corrections", "corrections"),
    Door("campaign.correct_closing", f"{CAMPAIGN}/corrections", "corrections"),
    Door("report.correct", f"{REPORT}/corrections", "corrections"),
    Door("report.correct_claim", f"{REPORT}/corrections", "corrections"),
    Door("outside.correct", "/outside-values/{outside_value_id}/corrections", "corrections"),
    Door("target.correct", "/targets/{target_id}/corrections", "corrections"),
)
"""One for every command. Corrections to one address are told apart by their `fact`."""
DOOR_OF = {door.name: door for door in DOORS}

QUESTIONS = (
    Question("clubs", "/clubs", "clubs", clubs.clubs),
    Question("club", CLUB, "clubs", clubs.club, UnknownClub),
    Question("reports", "/reports", "reports", reports.reports),
    Question("report", REPORT, "reports", reports.report, UnknownReport),
    Question("outside_values", "/outside-values", "reports", reports.outside_values),
    Question("targets", "/targets", "reports", targets.targets),
    Question("webhooks", "/webhooks", "webhooks", webhooks.webhooks),
    Question("dead_letters", f"{WEBHOOK}/dead-letters", "webhooks", webhooks.dead_letters),
)
QUESTION_OF = {question.name: question for question in QUESTIONS}
