"""Receipts of writes, the same the first time and ever after."""

from typing import Any, Literal

import orjson
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api.http.server.handlers import as_response
from api.runtime import problems
from api.runtime.receipts import told_of, tried_of
from domain.kernel.refusal import Refusal
from ledger.log import receipts

REPLAYED_HEADER = "Idempotent-Replayed"
APPLIED_HEADER, DRY_RUN = "Preference-Applied", "dry-run"

WRITE: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "Written. The same again for the same key and request.",
        "headers": {
            REPLAYED_HEADER: {
                "description": "`true` if this key was answered before: nothing more was written.",
                "schema": {"type": "string", "enum": ["true"]},
            }
        },
    }
}
"""What every write's documentation says of its answer."""


class Receipt(BaseModel):
    """Where the log holds what was written: ask `?wait_for=<bucket>:<position>` to read it."""

    bucket: int
    position: int = Field(description="of the command's last event; 0 if it wrote none")


class MintedReceipt(Receipt):
    """The same of what has a secret."""

    token: str | None = Field(
        None, description="what to send: shown this once, and to nobody who asks again"
    )


TRIED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Tried, as `Prefer: dry-run` asks: what it would be answered and what would"
        " come of it. Nothing is written. What would be refused is answered with that problem.",
        "headers": {
            APPLIED_HEADER: {
                "description": "`dry-run`",
                "schema": {"type": "string", "enum": [DRY_RUN]},
            }
        },
    }
}


class Coming(BaseModel):
    """An event that would come."""

    stream: str
    topic: str
    event: dict[str, Any]


class Tried(BaseModel):
    """What would come of a command."""

    dry_run: Literal[True] = True
    replayed: bool = Field(
        description="its key was answered before: `receipt` is that answer, and nothing would come"
    )
    receipt: dict[str, Any] = Field(
        description="what would be answered; bucket and position stand in the first answer alone"
    )
    events: list[Coming]
    outlook: dict[str, Any] = Field(
        description="of a visit `free_visits_left`: those of the year, after it"
    )


def trial_of(trial: receipts.Trial | Exception) -> Response:
    """The answer to a write that was only tried; raises a defect."""
    applied = {APPLIED_HEADER: DRY_RUN}
    if isinstance(trial, Refusal):
        return as_response(problems.of_refusal(trial), applied)
    if isinstance(trial, Exception):
        raise trial
    said = orjson.dumps(tried_of(trial), default=str)
    return Response(said, headers=applied, media_type="application/json")


def receipt_of(receipt: receipts.Receipt, token: str | None = None) -> Response:
    """The answer to a write, with the secret that was made of it."""
    headers = {REPLAYED_HEADER: "true"} if receipt.replayed else None
    told = told_of(receipt) if token is None else {**told_of(receipt), "token": token}
    return Response(
        orjson.dumps(told),
        status_code=201,
        headers=headers,
        media_type="application/json",
    )
