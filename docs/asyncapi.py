"""The AsyncAPI document: every message that a webhook may be sent, made of the events there are."""

from inspect import getdoc
from typing import Any

from api.http.service import VERSION
from api.log import Event as Shown
from api.webhooks import message
from domain.catalogue import CATALOGUE
from domain.kernel.event import Event

CHANNEL, COMPONENTS = "webhook", "#/components/schemas/"
ID = r"^evt_[0-9]+_[0-9]+$"
FORMAT = "application/schema+json;version=2020-12"
SAID = """What `webhook.add` subscribes to: events of the log as they come, posted one after the
other to the address that was named. Of one lane (`data.bucket`) they come in the order of
`data.position`; each comes at least once, and by the same `webhook-id` whenever it comes again.
Nothing in them says who somebody is. A status of 2xx within 15 s takes a message; 410 stops the
subscription."""
HEADERS = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "webhook-id": {"type": "string", "pattern": ID},
        "webhook-timestamp": {"type": "string", "pattern": "^[0-9]+$"},
        "webhook-signature": {"type": "string", "pattern": "^v1,[^ ]+( v1,[^ ]+)*$"},
    },
}
"""Standard Webhooks 1.0."""


def document() -> dict[str, Any]:
    """All of it."""
    schemas: dict[str, Any] = {"headers": HEADERS}
    schemas["CloudEvent"] = _cloud_event(schemas)
    messages = {topic: _message(kind, schemas) for topic, kind in sorted(CATALOGUE.items())}
    on_channel = {topic: {"$ref": f"#/components/messages/{topic}"} for topic in messages}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "clubledger webhooks", "version": VERSION, "description": SAID},
        "defaultContentType": message.MEDIA_TYPE.partition(";")[0],
        "channels": {
            CHANNEL: {
                "address": None,
                "description": "The `url` of a subscription.",
                "messages": on_channel,
            }
        },
        "operations": {
            "tell": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{CHANNEL}"},
                "summary": "POST an event that the subscription wants.",
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            }
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _message(kind: type[Event], schemas: dict[str, Any]) -> dict[str, Any]:
    said = (getdoc(kind) or "").split("\n\n")[0]
    return {
        "name": kind.topic,
        "summary": " ".join(said.split()),
        "headers": {"$ref": f"{COMPONENTS}headers"},
        "payload": {"schemaFormat": FORMAT, "schema": _about(kind, schemas)},
    }


def _cloud_event(schemas: dict[str, Any]) -> dict[str, Any]:
    """CloudEvents 1.0 in structured mode, around what `/v1/events` shows."""
    shown = _schema(Shown, "serialization", schemas)
    parts = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "pattern": ID},
        "source": {"type": "string", "pattern": "^urn:uuid:"},
        "type": {"type": "string"},
        "subject": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "data": shown,
    }
    return {"type": "object", "required": [*parts], "properties": parts}


def _about(kind: type[Event], schemas: dict[str, Any]) -> dict[str, Any]:
    """What of it is that of one kind of event alone. What would be null may be absent."""
    state = _schema(kind, "validation", schemas)
    fields = {
        name: each
        for name, each in state.pop("properties").items()
        if name not in ("occurred_at", "actor", "key")  # They stand beside it.
    }
    needed = [
        name
        for name in state.pop("required", ())
        if name in fields and {"type": "null"} not in fields[name].get("anyOf", ())
    ]
    stream = {"type": "string", "pattern": f"^{kind.stream}:"}
    said = {**state, "required": needed, "properties": fields}
    data = {"topic": {"const": kind.topic}, "stream": stream, "state": said}
    of_it = {"type": {"const": kind.topic}, "subject": stream, "data": {"properties": data}}
    return {"allOf": [{"$ref": f"{COMPONENTS}CloudEvent"}, {"properties": of_it}]}


def _schema(model: Any, mode: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """A model's schema, whose parts are told once for all messages."""
    made: dict[str, Any] = model.model_json_schema(mode=mode, ref_template=COMPONENTS + "{model}")
    made.pop("title", None)
    made.pop("description", None)
    schemas.update(made.pop("$defs", {}))
    return made
