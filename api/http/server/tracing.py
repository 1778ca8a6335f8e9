"""Requests have an id, which the answer and every line about it in the log carry: the one that was
sent, if it is a UUID or the trace of a `traceparent`, else one of our own. No other form is taken,
so that nobody's number gets into a log."""

import logging
import re
from itertools import count
from secrets import token_hex
from time import perf_counter

from starlette.types import Scope

from api.runtime import metrics, spans

HEADER, TRACE = b"x-request-id", b"traceparent"
_UUID = re.compile(rb"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_made = count(1)
_OURS = b"%s%%012x" % token_hex(10).encode()
KEY = "clubledger.request_id"
"""Where a scope holds it."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
UNMATCHED = "unmatched"
"""The route of a request for which there is none."""

access = logging.getLogger("clubledger.access")


def id_of(given: bytes | None, trace: bytes | None) -> bytes:
    """The id of a request that came with these headers."""
    if given is not None and (right := _UUID.fullmatch(given)):
        return right[0]
    if trace is not None and (right := _TRACE.fullmatch(trace)):
        return right[1]
    return _OURS % next(_made)


def known(scope: Scope) -> tuple[str, str]:
    """The method and route of a request, in words of ours."""
    method = scope["method"] if scope["method"] in METHODS else "other"
    return method, getattr(scope.get("route"), "path", UNMATCHED)


def answered(request_id: bytes, method: str, route: str, status: int, began: float) -> None:
    """Count and tell an answer to what came at this time of `perf_counter`."""
    took_s = perf_counter() - began
    metrics.request(method, route, status).observe(took_s)
    spans.answered(request_id, method, route, status)
    if access.isEnabledFor(logging.INFO):
        ms = round(took_s * 1000, 1)
        told = {
            "request_id": request_id.decode("ascii"),
            "method": method,
            "route": route,
            "status": status,
            "ms": ms,
        }
        access.info("%s %s %d %s ms", method, route, status, ms, extra={"told": told})
