"""Receipts of writes."""

from datetime import date
from typing import Literal

from pydantic import Field

from projections.answer import Answer


class Receipt(Answer):
    """Where the log holds what was written: ask `?wait_for=<bucket>:<position>` to read it."""

    bucket: int
    position: int = Field(description="of the command's last event; 0 if it wrote none")


class VisitReceipt(Receipt):
    """A visit, what paid for it and what is left."""

    visit: int
    payment: Literal["points", "free_visit", "free"]
    points: int = Field(description="debited")
    price_version: int
    spendable_points: int


class UndoReceipt(Receipt):
    """A visit taken back, and the points there are now."""

    visit: int
    spendable_points: int


class EnrolmentReceipt(Receipt):
    """A place in a campaign."""

    campaign_id: str
    place: int
    terms_version: int
    gift_fen: int
    ends_on: date | None = Field(description="the first day that is free again")


class CorrectionReceipt(Receipt):
    """What counts no more: the topics of the facts that were taken back."""

    corrected: list[str]
