"""Receipts of writes, the same the first time and ever after."""

from typing import Any

import orjson
from fastapi.responses import Response

from ledger.ledger import Receipt

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


def told_of(receipt: Receipt) -> dict[str, Any]:
    """What was written, and where the log holds it."""
    return {**receipt.body, "bucket": receipt.bucket, "position": receipt.position}


def receipt_of(receipt: Receipt) -> Response:
    """The answer to a write."""
    headers = {REPLAYED_HEADER: "true"} if receipt.replayed else None
    return Response(
        orjson.dumps(told_of(receipt)),
        status_code=201,
        headers=headers,
        media_type="application/json",
    )
