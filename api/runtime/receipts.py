"""What a write is answered, and what who only tries it is told, as both doors show it."""

from dataclasses import replace
from typing import Any

import orjson
from psycopg import Connection

from domain.kernel.command import Command
from domain.webhooks import WebhookCommand
from ledger import webhooks
from ledger.log import persons
from ledger.log.receipts import Receipt, Trial


def disclosed(connection: Connection[Any], command: Command, receipt: Receipt) -> Receipt:
    """The same with what is known of who the member is, if that was asked for, or with the secret
    that was made for a webhook: once for a key, and kept nowhere. A secret that could not be made
    the first time is made for who asks again."""
    if not command.discloses:
        return receipt
    if isinstance(command, WebhookCommand):
        added = webhooks.webhooks(connection) if receipt.replayed else {}
        if command.webhook_id in added and added[command.webhook_id].removed_at is not None:
            return receipt
        secret = webhooks.mint(connection, command.webhook_id, receipt.body["secret"])
        return replace(receipt, body={**receipt.body, "signing_secret": secret})
    if receipt.replayed:
        return receipt
    known = persons.in_full(connection, command.streams()[0].partition(":")[2])
    return replace(receipt, body={name: known.get(name) for name in receipt.body})


def told_of(receipt: Receipt) -> dict[str, Any]:
    """What was written, and where the log holds it."""
    return {**receipt.body, "bucket": receipt.bucket, "position": receipt.position}


def tried_of(trial: Trial) -> dict[str, Any]:
    """What would come of a command."""
    first = trial.first
    return {
        "dry_run": True,
        "replayed": first is not None,
        "receipt": dict(trial.body) if first is None else told_of(first),
        "events": [
            {"stream": each.stream, "topic": each.topic, "event": orjson.loads(each.state)}
            for each in trial.events
        ],
        "outlook": dict(trial.outlook),
    }
