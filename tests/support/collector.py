"""An OpenTelemetry collector for tests: takes OTLP over HTTP and holds the spans."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Found(NamedTuple):
    """One span. Ids in hex; `links`: the trace ids that it is linked with."""

    process: str
    name: str
    trace_id: str
    span_id: str
    parent: str
    links: list[str]
    attributes: dict[str, str]
    seconds: float


class Collector:
    """Where it listens, and what it was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Found] = []

    def of(self, trace_id: str) -> dict[str, Found]:
        """The spans of one trace, by name."""
        return {one.name: one for one in list(self.spans) if one.trace_id == trace_id}

    def take(self, body: bytes) -> None:
        """Hold what an export request brings."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            process = {one.key: one.value.string_value for one in resource.resource.attributes}["service.instance.id"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
                    attributes = {one.key: one.value.string_value for one in span.attributes}
                    links = [one.trace_id.hex() for one in span.links]
                    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                    self.spans.append(Found(process, span.name, *ids, links, attributes, seconds))


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                found.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
