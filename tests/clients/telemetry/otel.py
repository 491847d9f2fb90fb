"""A service that is instrumented with OpenTelemetry: emits what it is told to, and says what came of it, in JSON lines.

Where to and with which token say the environment variables that the exporter's documentation names. If ``TOKEN_FILE``
names a file, each request has the token that is in it by then.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult


class Renewed(requests.auth.AuthBase):
    """Gives each request a token that still counts."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["authorization"] = f"Bearer {Path(os.environ['TOKEN_FILE']).read_text()}"
        return request


def session() -> requests.Session | None:
    if "TOKEN_FILE" not in os.environ:
        return None
    renewing = requests.Session()
    renewing.auth = Renewed()
    return renewing


class Remembering(SpanExporter):
    """Keeps what the exporter has given up, so that it can be sent again."""

    def __init__(self) -> None:
        self.given_up: list[Sequence[ReadableSpan]] = []
        self._exporter = OTLPSpanExporter(session=session())

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.given_up.append(spans)
        return result

    def export_again(self) -> None:
        given_up, self.given_up = self.given_up, []
        for spans in given_up:
            self.export(spans)


class Logged(logging.Handler):
    """What the SDK would have logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")


logged = Logged()
logging.getLogger("opentelemetry").addHandler(logged)
exporter = Remembering()
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter))
tracer = provider.get_tracer("service")

for line in sys.stdin:
    ids = []
    for each in json.loads(line):
        end = each["end"] * 1_000_000
        span = tracer.start_span("chat", attributes=each["attributes"], start_time=end - 800_000_000)
        span.end(end)
        ids.append(f"{span.get_span_context().span_id:016x}")
    if ids:
        provider.force_flush()
    else:
        exporter.export_again()
    print(json.dumps({"spans": ids, "acknowledged": not exporter.given_up, "logged": logged.lines}), flush=True)
    logged.lines = []
provider.shutdown()
