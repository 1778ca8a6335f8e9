"""Which kinds of fact a table may give, told by the columns that it has. Only `guessing` asks."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kind:
    """When a table gives a kind of fact, and which meaning is which field."""

    kind: str
    fields: dict[str, str]
    at: tuple[str, ...]
    constants: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    when: str | None = None
    needs: tuple[str, ...] = ()


MADE = {"reason": "as the file says", "source": "as the file says", "rule": "imported"}
DATED = ("instant", "day")
KINDS = (
    Kind(
        "unit.open", {"unit_id": "id", "title": "title"}, ("joined", *DATED), needs=("id", "title")
    ),
    Kind(
        "member.join",
        {"member_id": "member", "unit_id": "unit", "name": "name", "phone": "phone"},
        ("joined",),
        needs=("member", "joined"),
    ),
    Kind(
        "tier.change",
        {"member_id": "member", "tier": "tier", "reason": "why"},
        ("tier_since", *DATED, "joined"),
        without=("club", "month", "campaign"),
        when="tier",
        needs=("member", "tier"),
    ),
    Kind(
        "member.mark_important",
        {"member_id": "member", "important": "important", "reason": "why"},
        (*DATED, "joined"),
        without=("club", "month", "campaign"),
        when="important",
        needs=("member", "important"),
    ),
    Kind(
        "points.carry_over",
        {"member_id": "member", "points": "balance"},
        DATED,
        constants={"source": "the system before"},
        when="balance",
        needs=("member", "balance"),
    ),
    Kind(
        "points.credit",
        {"member_id": "member", "points": "points", "source": "source"},
        DATED,
        without=("club", "service", "month"),
        when="points",
        needs=("member", "points"),
    ),
    Kind(
        "bill.record",
        {"member_id": "member", "month": "month", "amount_fen": "amount", "margin_fen": "margin"},
        ("month",),
        needs=("member", "month", "amount"),
    ),
    Kind(
        "visit.record",
        {
            "member_id": "member",
            "club_id": "club",
            "service_id": "service",
            "desk": "desk",
            "companions": "companions",
        },
        ("instant", "visited", "day"),
        needs=("member", "club", "service"),
    ),
    Kind(
        "visit.record",
        {"member_id": "member", "club_id": "club", "desk": "desk", "companions": "companions"},
        ("instant", "visited", "day"),
        without=("service", "campaign", "month"),
        needs=("member", "club", "companions"),
    ),
    Kind(
        "visit.record",
        {"member_id": "member", "desk": "desk", "companions": "companions"},
        ("instant", "visited", "day"),
        without=("club", "campaign", "month"),
        needs=("member", "companions"),
    ),
    Kind(
        "campaign.offer",
        {"member_id": "member", "campaign_id": "campaign"},
        ("instant", "day"),
        without=("prepaid", "enrolled"),
        needs=("member", "campaign", "arm"),
    ),
    Kind(
        "campaign.enrol",
        {"member_id": "member", "campaign_id": "campaign", "prepaid_fen": "prepaid"},
        ("enrolled", *DATED),
        without=("arm",),
        needs=("member", "campaign"),
    ),
    Kind(
        "binding.start",
        {"member_id": "member", "policy": "policy", "starts_on": "starts", "ends_on": "ends"},
        (*DATED, "starts"),
        needs=("member", "policy", "starts", "ends"),
    ),
    Kind(
        "cohort.include",
        {"member_id": "member", "cohort_id": "cohort"},
        DATED,
        needs=("member", "cohort"),
    ),
    Kind(
        "member.leave",
        {"member_id": "member", "reason": "left_why"},
        ("left",),
        when="left",
        needs=("member", "left"),
    ),
)
"""What a table may give, told by the columns that it has."""
