"""Doors as rows: every command, and questions, over HTTP and on the command line alike.

A question that takes more than its words (pages, files, personal data) has a route and a command of
its own instead.
"""

import re
from collections.abc import Callable
from functools import cache
from inspect import getdoc, signature
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import create_model

from domain.access import Scope, SecretReceipt, UnknownRole
from domain.catalogue import COMMANDS
from domain.clubs import UnknownClub
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.reports import UnknownReport
from domain.webhooks import UnknownWebhook
from projections import access, clubs, reports, webhooks
from projections.engine.answer import Answer
from projections.engine.connection import Conn
from projections.figures import targets

PREFIX = "/v1"
"""Before each path of the API. What machines of operations ask, the description, what problems mean
and pages for people stand without it."""


class Need(NamedTuple):
    """What who asks must have been given: a scope, and the fields that say of which club and unit
    it is. A scope that reaches into clubs or units alone opens nothing that has no such field."""

    scope: Scope | Literal[""] | None
    """None: whoever can reach the server may ask; empty: whoever has signed in."""
    club: str | None = None
    """The field with the club, or with the visit whose club it is."""
    unit: str | None = None
    """The field with the unit, or with the member whose unit it is."""
    stronger: str = ""
    """The role in which somebody does it who may in several, since it may do more."""


class Door(NamedTuple):
    """A command by its name, the address to which it is posted, and under what it is listed."""

    name: str
    path: str
    """Behind `PREFIX`."""
    tag: str
    scope: Scope
    """What who sends it must have been given (domain/access.py)."""
    hot: bool = False
    """A queue is waiting: the express lane answers (api/http/express.py)."""
    wanted: tuple[str, ...] = ()
    """What has to be said here, though a file may leave it out."""

    @property
    def command(self) -> type[Command]:
        """The command."""
        return COMMANDS[self.name]

    @property
    def need(self) -> Need:
        """The scope, and which fields say in which club and unit it is asked for."""
        fields = self.command.model_fields
        club = next((name for name in ("club_id", "visit") if name in fields), None)
        member = "member_id" in fields and self.name != "member.join"
        unit = "member_id" if member else "unit_id" if "unit_id" in fields else None
        return Need(self.scope, club, unit, self.command.stronger)

    @property
    def mints(self) -> bool:
        """Whether a secret is made of it, which its answer alone shows."""
        return self.command.answers is SecretReceipt

    @property
    def address(self) -> str:
        """The whole path."""
        return PREFIX + self.path

    @property
    def ids(self) -> list[str]:
        """The fields of the command that stand in the path."""
        return re.findall(r"{(\w+)}", self.path)


class Question(NamedTuple):
    """A query by its name, the address at which it is asked, and under what it is listed."""

    name: str
    path: str
    """Behind `PREFIX`."""
    tag: str
    scope: Scope
    query: Callable[..., Any]
    """query(connection, words...): an answer, null if there is no such, or a list of answers."""
    unknown: type[Refusal] | None = None
    """What is said then: of the words in the path."""
    key: tuple[str, ...] = ()
    """What tells the rows of a list apart."""
    of: str = ""
    """What it tells of, if several may change it: its answer has an `ETag` (server/editing.py)."""

    @property
    def address(self) -> str:
        """The whole path."""
        return PREFIX + self.path

    @property
    def words(self) -> dict[str, Any]:
        """What has to be said, each with its type: those in the path first."""
        hints = get_type_hints(self.query, include_extras=True)
        return {name: hints[name] for name in [*signature(self.query).parameters][1:]}

    @property
    def need(self) -> Need:
        """The scope, and the word that says in which club it is asked for."""
        return Need(self.scope, "club_id" if "club_id" in self.words else None)

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
WEBHOOK, ROLE = "/webhooks/{webhook_id}", "/roles/{role_id}"

DOORS = (
    Door("unit.open", "/units", "members", "units.write"),
    Door("member.join", "/members", "members", "members.write"),
    Door("member.change_details", f"{MEMBER}/details", "members", "members.write"),
    Door("member.unmask", f"{MEMBER}/unmask", "members", "members.unmask"),
    Door("member.erase", f"{MEMBER}/erase", "members", "members.erase"),
    Door("member.mark_important", f"{MEMBER}/importance", "members", "tiers.write"),
    Door("tier.change", f"{MEMBER}/tier", "members", "tiers.write"),
    Door("member.move", f"{MEMBER}/unit", "members", "members.write"),
    Door("member.leave", f"{MEMBER}/leave", "members", "members.write"),
    Door("member.return", f"{MEMBER}/return", "members", "members.write"),
    Door("bill.record", f"{MEMBER}/bills", "members", "bills.write"),
    Door("points.credit", f"{MEMBER}/credits", "points", "points.write"),
    Door("points.carry_over", f"{MEMBER}/opening-balances", "points", "points.write"),
    Door("points.reverse_credit", f"{MEMBER}/credits/{{lot}}/reverse", "points", "points.write"),
    Door("points.debit", f"{MEMBER}/debits", "points", "points.write"),
    Door("points.reverse_debit", f"{MEMBER}/debits/{{debit}}/reverse", "points", "points.write"),
    Door("points.expire", f"{MEMBER}/expire", "points", "points.write"),
    Door("binding.start", f"{MEMBER}/bindings", "bindings", "bindings.write"),
    Door("binding.end", f"{MEMBER}/bindings/{{binding}}/end", "bindings", "bindings.write"),
    Door(
        "visit.record",
        f"{MEMBER}/visits",
        "visits",
        "visits.write",
        hot=True,
        wanted=("shown_points",),
    ),
    Door("visit.undo", f"{MEMBER}/visits/{{visit}}/undo", "visits", "visits.undo"),
    Door("visit.admit_in_emergency", f"{CLUB}/admissions", "visits", "visits.write"),
    Door("visit.undo_emergency", f"{CLUB}/admissions/{{admission}}/undo", "visits", "visits.undo"),
    Door(
        "activity.attend",
        f"{CLUB}/activities/{{activity_id}}/attendances",
        "visits",
        "visits.write",
    ),
    Door("club.open", "/clubs", "clubs", "clubs.write"),
    Door("service.price", f"{CLUB}/services/{{service_id}}/prices", "clubs", "clubs.write"),
    Door("emergency.declare", f"{CLUB}/emergency", "clubs", "clubs.write"),
    Door("emergency.end", f"{CLUB}/emergency/end", "clubs", "clubs.write"),
    Door("activity.hold", f"{CLUB}/activities", "clubs", "clubs.write"),
    Door("campaign.launch", "/campaigns", "campaigns", "campaigns.write"),
    Door("campaign.change_terms", f"{CAMPAIGN}/terms", "campaigns", "campaigns.write"),
    Door("campaign.close", f"{CAMPAIGN}/close", "campaigns", "campaigns.write"),
    Door("campaign.offer", f"{CAMPAIGN}/offers", "campaigns", "campaigns.enrol"),
    Door("campaign.enrol", f"{CAMPAIGN}/enrolments", "campaigns", "campaigns.enrol", hot=True),
    Door("cohort.open", "/cohorts", "cohorts", "cohorts.write"),
    Door("cohort.include", f"{COHORT}/members", "cohorts", "cohorts.write"),
    Door("cohort.freeze", f"{COHORT}/freeze", "cohorts", "cohorts.write"),
    Door("report.enter", "/reports", "reports", "reports.write"),
    Door("report.claim", f"{REPORT}/claims", "reports", "reports.write"),
    Door("outside.record", "/outside-values", "reports", "reports.write"),
    Door("target.set", "/targets", "reports", "reports.write"),
    Door("webhook.add", "/webhooks", "webhooks", "webhooks.write"),
    Door("webhook.rotate", f"{WEBHOOK}/rotate", "webhooks", "webhooks.write"),
    Door("webhook.resume", f"{WEBHOOK}/resume", "webhooks", "webhooks.write"),
    Door("webhook.remove", f"{WEBHOOK}/remove", "webhooks", "webhooks.write"),
    Door("member.correct_leaving", f"{MEMBER}/corrections", "corrections", "corrections.write"),
    Door("member.correct_return", f"{MEMBER}/corrections", "corrections", "corrections.write"),
    Door("bill.correct", f"{MEMBER}/corrections", "corrections", "corrections.write"),
    Door("campaign.correct_enrolment", f"{MEMBER}/corrections", "corrections", "corrections.write"),
    Door("campaign.correct_offer", f"{MEMBER}/corrections", "corrections", "corrections.write"),
    Door(
        "activity.correct_attendance", f"{MEMBER}/corrections", "corrections", "corrections.write"
    ),
    Door("binding.correct", f"{MEMBER}/corrections", "corrections", "corrections.write"),
    Door("binding.correct_end", f"{MEMBER}/corrections", "corrections", "corrections.write"),
    Door("cohort.correct_inclusion", f"{MEMBER}/corrections", "corrections", "corrections.write"),
    Door("activity.correct", f"{CLUB}/corrections", "corrections", "corrections.write"),
    Door("visit.correct_emergency", f"{CLUB}/corrections", "corrections", "corrections.write"),
    Door("campaign.correct_closing", f"{CAMPAIGN}/corrections", "corrections", "corrections.write"),
    Door("report.correct", f"{REPORT}/corrections", "corrections", "corrections.write"),
    Door("report.correct_claim", f"{REPORT}/corrections", "corrections", "corrections.write"),
    Door(
        "outside.correct",
        "/outside-values/{outside_value_id}/corrections",
        "corrections",
        "corrections.write",
    ),
    Door("target.correct", "/targets/{target_id}/corrections", "corrections", "corrections.write"),
    Door("role.define", ROLE, "access", "access.write"),
    Door("apikey.issue", "/api-keys", "access", "access.write"),
    Door("apikey.rotate", "/api-keys/{api_key_id}/rotate", "access", "access.write"),
    Door("apikey.revoke", "/api-keys/{api_key_id}/revoke", "access", "access.write"),
    Door("user.add", "/users", "access", "access.write"),
    Door("user.disable", "/users/{user_id}/disable", "access", "access.write"),
    Door("user.invite", "/users/{user_id}/invite", "access", "access.write"),
    Door("user.grant", "/users/{user_id}/roles", "access", "access.write"),
    Door("user.withdraw", "/users/{user_id}/roles/{role_id}/withdraw", "access", "access.write"),
)
"""One for every command. Corrections to one address are told apart by their `fact`."""
DOOR_OF = {door.name: door for door in DOORS}

QUESTIONS = (
    Question("clubs", "/clubs", "clubs", "clubs.read", clubs.clubs, key=("club_id",)),
    Question("club", CLUB, "clubs", "clubs.read", clubs.club, UnknownClub, of="club"),
    Question("reports", "/reports", "reports", "figures.read", reports.reports, key=("report_id",)),
    Question(
        "report", REPORT, "reports", "figures.read", reports.report, UnknownReport, of="report"
    ),
    Question(
        "outside_values",
        "/outside-values",
        "reports",
        "figures.read",
        reports.outside_values,
        key=("outside_value_id",),
    ),
    Question("targets", "/targets", "reports", "figures.read", targets.targets, key=("target_id",)),
    Question(
        "webhooks",
        "/webhooks",
        "webhooks",
        "webhooks.read",
        webhooks.webhooks,
        key=("webhook_id",),
    ),
    Question(
        "dead_letters",
        f"{WEBHOOK}/dead-letters",
        "webhooks",
        "webhooks.read",
        webhooks.dead_letters,
        UnknownWebhook,
        key=("bucket", "position"),
    ),
    Question("role", ROLE, "access", "access.read", access.role, UnknownRole, of="role"),
    Question("roles", "/roles", "access", "access.read", access.roles, key=("role_id",)),
    Question(
        "api_keys", "/api-keys", "access", "access.read", access.api_keys, key=("api_key_id",)
    ),
    Question("users", "/users", "access", "access.read", access.users, key=("user_id",)),
)
QUESTION_OF = {question.name: question for question in QUESTIONS}
