"""Receipts of writes, the same the first time and ever after."""

from typing import Any

import orjson
from fastapi.responses import Response
from pydantic import BaseModel, Field

from ledger.log import batcher

REPLAYED_HEADER = "Idempotent-Replayed"

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


def told_of(receipt: batcher.Receipt) -> dict[str, Any]:
    """What was written, and where the log holds it."""
    return {**receipt.body, "bucket": receipt.bucket, "position": receipt.position}


def receipt_of(receipt: batcher.Receipt) -> Response:
    """The answer to a write."""
    headers = {REPLAYED_HEADER: "true"} if receipt.replayed else None
    return Response(
        orjson.dumps(told_of(receipt)),
        status_code=201,
        headers=headers,
        media_type="application/json",
    )
