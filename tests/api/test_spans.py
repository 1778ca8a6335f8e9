"""Traces: of a request and its command, sent when the server ends at the latest, and of nobody."""

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api.runtime import spans
from api.runtime.failures import CannotOpen
from tests.api.receiver import receiving
from tests.api.running import serving, stopped
from tests.patience import PATIENCE_S

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PHONE = "13912345678"


def test_requests_and_commands_are_traced_and_no_person_is(own_ledger: Path) -> None:
    with receiving() as collector:
        environ = {
            "CLUBLEDGER_TRACES": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.rpartition("/")[0],
        }
        server = serving(own_ledger, environ=environ)
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "Idempotency-Key": "wang"}
        with httpx.Client(base_url=server.address, timeout=PATIENCE_S, headers=headers) as http:
            http.post("/v1/units", json={"unit_id": "wang", "title": "王小明"})
            http.post("/v1/members/lookup", json={"phone": PHONE})
            visit = {"club_id": "wang", "service_id": "wang", "desk": "wang", "shown_points": 1}
            http.post(
                "/v1/members/wang/visits", json=visit, headers={"Idempotency-Key": "wang-2"}
            )  # by the express lane
            http.get("/v1/members/wang", params={"known_at": "2008-12-31"})
        assert stopped(server).code == 0
    found: dict[str, Any] = {}
    for path, _, body in collector.came:
        assert path.endswith("/v1/traces")
        assert not [each for each in ("wang", "王小明", PHONE) if each.encode() in body]
        sent = ExportTraceServiceRequest.FromString(body)
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                found |= {each.name: each for each in scope.spans}
    asked = found["POST /v1/units"]
    assert (asked.trace_id.hex(), asked.parent_span_id.hex()) == (TRACE, PARENT)
    said = {each.key: each.value for each in asked.attributes}
    assert said["http.route"].string_value == "/v1/units"
    assert said["http.response.status_code"].int_value == 201
    assert said["clubledger.request_id"].string_value == TRACE
    command = found["command unit.open"]
    assert command.parent_span_id == asked.span_id
    assert [each.value.string_value for each in command.attributes] == ["written"]
    refused = found["command visit.record"]
    assert refused.parent_span_id == found["POST /v1/members/{member_id}/visits"].span_id
    assert [each.value.string_value for each in refused.attributes] == ["unknown_member"]
    assert {"POST /v1/members/lookup", "GET /v1/members/{member_id}"} <= found.keys()


def test_what_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(CannotOpen, match=r"clubledger\[otel\]"):
        spans.require()
