"""A message: an event as CloudEvents 1.0 has it, signed as Standard Webhooks 1.0 asks.

Its data is what `GET /v1/events` shows of the event, so nothing of who somebody is. Its id hangs on
the event's place in the log alone: whenever it is sent again, it is the same.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"


def id_of(bucket: int, position: int) -> str:
    """The id of the message of an event."""
    return f"evt_{bucket}_{position}"


def body_of(event: dict[str, Any], ledger_id: str) -> bytes:
    """An event as it is posted."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": id_of(event["bucket"], event["position"]),
            "source": f"urn:uuid:{ledger_id}",
            "type": event["topic"],
            "subject": event["stream"],
            "time": event["occurred_at"],
            "datacontenttype": "application/json",
            "data": event,
        }
    )


def headers(message_id: str, body: bytes, secrets: Iterable[bytes], at: datetime) -> dict[str, str]:
    """What goes with it at this time, signed with each of these secrets."""
    stamp = str(int(at.timestamp()))
    signed = b".".join([message_id.encode(), stamp.encode(), body])
    signatures = (b64encode(hmac.digest(secret, signed, sha256)).decode() for secret in secrets)
    return {
        "Content-Type": MEDIA_TYPE,
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
