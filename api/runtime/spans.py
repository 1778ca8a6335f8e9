"""Traces (OpenTelemetry): a span a request and a span a command, where they are asked for and
`clubledger[otel]` is installed. They say the route, the name of the command, what came of it and
the id of the request: nobody's number, no path, no query and no body. Where they go is said by
OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.

Nothing of it is imported unless it is asked for.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from api.runtime.failures import CannotOpen

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

SERVICE = "clubledger"
_tracer: "Tracer | None" = None


def require() -> None:
    """Refuses to trace where OpenTelemetry's SDK and exporter are not installed."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401
    except ImportError:
        raise CannotOpen(
            "CLUBLEDGER_TRACES asks for OpenTelemetry, which is not installed:"
            " `pip install clubledger[otel]`."
        ) from None


def provider() -> "TracerProvider":
    """What sends spans as OpenTelemetry's variables say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    made = TracerProvider(
        resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False
    )
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


def begin(traced: "TracerProvider") -> None:
    """Make spans from now on."""
    global _tracer  # noqa: PLW0603 - one a process, as its metrics
    _tracer = traced.get_tracer(SERVICE)


def end() -> None:
    """Make none any more."""
    global _tracer  # noqa: PLW0603
    _tracer = None


def command(called: str) -> AbstractContextManager[Any]:
    """A span around a command, below that of its request; what it holds takes an outcome."""
    return nullcontext() if _tracer is None else _command(_tracer, called)


@contextmanager
def _command(tracer: "Tracer", called: str) -> Iterator[Any]:
    with tracer.start_as_current_span(
        f"command {called}", record_exception=False, set_status_on_exception=False
    ) as span:
        yield span


def came_to(span: Any, outcome: str) -> None:
    """Say what came of a command."""
    if span is not None:
        span.set_attribute("clubledger.outcome", outcome)


@contextmanager
def request(traceparent: str | None) -> Iterator[None]:
    """A span around a request, below the one that it was sent from."""
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    assert _tracer is not None
    carrier = {} if traceparent is None else {"traceparent": traceparent}
    with _tracer.start_as_current_span(
        "request",
        TraceContextTextMapPropagator().extract(carrier),
        SpanKind.SERVER,
        record_exception=False,
    ):
        yield


def answered(request_id: bytes, method: str, route: str, status: int) -> None:
    """Say of the request in hand what was asked and answered."""
    if _tracer is None:
        return
    from opentelemetry.trace import StatusCode, get_current_span

    span = get_current_span()
    span.update_name(f"{method} {route}")
    span.set_attributes(
        {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "clubledger.request_id": request_id.decode("ascii"),
        }
    )
    if status >= 500:
        span.set_status(StatusCode.ERROR)
