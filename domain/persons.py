"""Persons: what is known of who a member is. It changes, is shown in full to who says what for, and
is erased. What it is stands outside the log: ledger/log/persons.py."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

from msgspec import Struct

from domain.kernel.command import Receipt, saying
from domain.kernel.event import Event
from domain.kernel.parts import part_of
from domain.kernel.personal import Name, Phone
from domain.kernel.refusal import Refusal
from domain.kernel.timeline import NothingChanges
from domain.kernel.values import Text
from domain.members import JOINED, MemberCommand, Membership, require_joined

Detail = Literal["name", "phone"]
"""What is kept of a member outside the log, by the name of its field."""


@part_of("member")
class Erasure(Struct, array_like=True, gc=False):
    """Since when nobody knows any more who a member is."""

    erased_at: datetime | None = None


# ------------------------------------------------------------------------------------- events
class MemberDetailsChanged(Event, name="member.details_changed", stream="member"):
    """A member's name or phone number became another one, from then on. Which, is kept apart."""

    changed: tuple[Detail, ...]

    def apply(self) -> None:
        """No rule asks for it."""


class MemberUnmasked(Event, name="member.unmasked", stream="member"):
    """Somebody was shown who a member is, in full, and said what for. What he saw is not here."""

    purpose: Text

    def apply(self) -> None:
        """No rule asks for it."""


class MemberErased(Event, name="member.erased", stream="member"):
    """Who a member is was erased for good: the key of what is kept of him was destroyed. His points
    and all that happened stay."""

    reason: Text

    def apply(self, erasure: Erasure) -> None:
        erasure.erased_at = self.occurred_at


# ----------------------------------------------------------------------------------- refusals
@dataclass
class Erased(Refusal):
    """Who the member is was erased: nothing is told of that any more, and nothing shown."""

    code = "erased"
    member_id: str
    erased_at: datetime


def require_not_erased(erasure: Erasure, member_id: str) -> None:
    """Refuses what would tell or show who an erased member is."""
    if erasure.erased_at is not None:
        raise Erased(member_id, erasure.erased_at)


# ----------------------------------------------------------------------------------- commands
class ChangeDetails(MemberCommand):
    """Give a member another name or phone number from `at` on: one of the two at least. What is not
    sent stays; null takes it away.

    A wrong one is corrected by telling the right one with the time of the wrong one.
    """

    command: Literal["member.change_details"] = "member.change_details"
    marks_sealed: ClassVar[bool] = True
    refuses = (*JOINED, Erased, NothingChanges)
    example = saying(member_id="m1", phone="+86 138 0000 0001")
    name: Name | None = None
    phone: Phone | None = None

    def decide(self, at: datetime, membership: Membership, erasure: Erasure) -> list[Event]:
        require_joined(membership, self.member_id, at)  # who has left may give his number back
        require_not_erased(erasure, self.member_id)
        changed = tuple(self.sealed())
        if not changed:
            raise NothingChanges("details")
        return [self.event(MemberDetailsChanged, at, changed=changed)]


class Unmasked(Receipt):
    """What is known of who the member is, in full: shown once, to who asked, and kept nowhere with
    the answer. Under the same key it is not shown again."""

    name: str | None
    phone: str | None


class UnmaskMember(MemberCommand):
    """Show who a member is, in full: his name and phone number. It is recorded who asked, and what
    for."""

    command: Literal["member.unmask"] = "member.unmask"
    discloses: ClassVar[bool] = True
    refuses = (*JOINED, Erased)
    example = saying(member_id="m1", purpose="called back about a booking")
    purpose: Text

    def decide(self, at: datetime, membership: Membership, erasure: Erasure) -> list[Event]:
        require_joined(membership, self.member_id, at)
        require_not_erased(erasure, self.member_id)
        return [self.event(MemberUnmasked, at, purpose=self.purpose)]

    def receipt(self, events: list[Event], **parts: Any) -> Unmasked:
        return {"name": None, "phone": None}


class EraseMember(MemberCommand):
    """Erase who a member is, for good: the key of his name and number is destroyed, and they with
    it. His points, the log, figures and proofs stay as they are. To erase him again does no more.
    """

    command: Literal["member.erase"] = "member.erase"
    erases: ClassVar[bool] = True
    refuses = JOINED
    example = saying(member_id="m1", reason="asked for by the person")
    reason: Text

    def decide(self, at: datetime, membership: Membership, erasure: Erasure) -> list[Event]:
        require_joined(membership, self.member_id, at)
        if erasure.erased_at is not None:
            return []
        return [self.event(MemberErased, at, reason=self.reason)]
