"""What a write is answered, and what who only tries it is told, as both doors show it."""

from typing import Any

import orjson

from ledger.log.batcher import Receipt, Trial


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
