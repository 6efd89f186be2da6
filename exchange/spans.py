"""Spans for OpenTelemetry: one document followed over processes by its `traceparent`, from the gateway that takes it,
over the hop, to the gateway that hands it out.

Off unless `EXCHANGE_OTLP_URL` names an OTLP/HTTP collector; `current()` is None then, and nothing is made or looked at.
On, a batch is one span, linked with the spans of the documents in it that are followed: those whose producer asks for
it (the sampled flag) and whose trace id falls into `EXCHANGE_OTLP_SHARE`, so that every process follows the same ones.

Guarantees: a collector that is slow or away holds nobody up: spans wait in a bounded queue, and are dropped. Spans name
places, outcomes and codes; never a subject, a sender or a recipient. The `traceparent` that the hop writes is the
submission's own, unchanged: what the hop writes doesn't depend on this.

Source: W3C Trace Context, Level 1; OpenTelemetry, "Tracing SDK" (TraceIdRatioBased), OTLP 1.x over HTTP.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from exchange.errors import Misconfigured

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Span, Tracer

URL_SETTING, SHARE_SETTING = "EXCHANGE_OTLP_URL", "EXCHANGE_OTLP_SHARE"
SHARE = 0.01
"""Of the documents, unless the setting says otherwise."""
FOLLOWED_MAX = 200
"""Of one batch: whoever produces chooses the trace ids, and must not make a worker slow by that."""
EXPORT_TIMEOUT_S = 5.0
_TRACE_IDS = 1 << 64
_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)

Attributes = Mapping[str, str | int]


class Step(NamedTuple):
    """What one process did with one document. `began_s`: POSIX."""

    traceparent: str
    began_s: float
    attributes: Attributes


def valid(traceparent: str | bytes | None) -> str | None:
    """A W3C `traceparent` of version 00; None for anything else."""
    text = traceparent.decode("ascii", "replace") if isinstance(traceparent, bytes) else traceparent
    return text if text is not None and _FORM.fullmatch(text) else None


class Spans:
    """Makes the spans of one process. `share`: of the trace ids that are followed; `requests` chooses by it, of what
    `batches` is given it was chosen by `follows`."""

    def __init__(self, requests: Tracer, batches: Tracer, share: float) -> None:
        self._requests = requests
        self._batches = batches
        self._below = round(share * _TRACE_IDS)

    def follows(self, traceparent: str | bytes | None) -> str | None:
        """The `traceparent` of a document that is followed, else None."""
        found = _FORM.fullmatch(text) if (text := valid(traceparent)) is not None else None
        if found is None or not int(found[3], 16) & 1 or int(found[1][16:], 16) >= self._below:
            return None
        return text

    def batch(self, name: str, began_s: float, ended_s: float, steps: Sequence[Step]) -> None:
        """Tell of a batch: ``<name>.batch`` and, in the trace of each of `steps`, one span linked with it.

        Of none nothing is told; of more than `FOLLOWED_MAX` only of the first.
        """
        from opentelemetry.trace import Link

        steps = steps[:FOLLOWED_MAX]
        if not steps:
            return
        contexts = [_context(step.traceparent) for step in steps]
        links = [Link(_span(context).get_span_context()) for context in contexts]
        whole = self._batches.start_span(
            f"{name}.batch", links=links, attributes={"exchange.followed": len(steps)}, start_time=_ns(began_s)
        )
        back = [Link(whole.get_span_context())]
        for step, context in zip(steps, contexts, strict=True):
            one = self._batches.start_span(
                name, context, attributes=step.attributes, links=back, start_time=_ns(step.began_s)
            )
            one.end(_ns(ended_s))
        whole.end(_ns(ended_s))

    @contextmanager
    def request(self, name: str, incoming: str | None) -> Iterator[str]:
        """A span over a request, within the caller's trace if it brings one; gives the `traceparent` to go on with."""
        from opentelemetry.trace import SpanKind

        parent = None if incoming is None else _context(incoming)
        with self._requests.start_as_current_span(name, parent, SpanKind.SERVER) as span:
            here = span.get_span_context()
            yield f"00-{here.trace_id:032x}-{here.span_id:016x}-{int(here.trace_flags):02x}"


_current: Spans | None = None


def current() -> Spans | None:
    """What makes this process's spans; None while they are off."""
    return _current


@contextmanager
def request(name: str, traceparent: str | None) -> Iterator[str | None]:
    """Around a request; gives the `traceparent` to go on with: the span's, else the caller's if valid, or None."""
    incoming = valid(traceparent)
    if _current is None:
        yield incoming
        return
    with _current.request(name, incoming) as outgoing:
        yield outgoing


@contextmanager
def exporting(process: str) -> Iterator[None]:
    """Export this process's spans while the block runs, if a collector is set. Raises: Misconfigured."""
    global _current  # noqa: PLW0603  one process, one exporter
    url = os.environ.get(URL_SETTING)
    if not url:
        yield
        return
    share = _share()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
    except ModuleNotFoundError as exc:
        problem = f"{exc.name} is missing: install the extra `otlp` (pip install 'exchange-backbone[otlp]')"
        raise Misconfigured([problem]) from exc
    if not url.startswith(("http://", "https://")):
        raise Misconfigured([f"{URL_SETTING}: no http address: {url[:200]!r}"])
    resource = Resource.create({"service.name": "exchange", "service.instance.id": process})
    processor = BatchSpanProcessor(OTLPSpanExporter(f"{url.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S))

    def tracer(sampler: Sampler) -> Tracer:
        limits = SpanLimits(max_links=FOLLOWED_MAX)
        provider = TracerProvider(sampler, resource, shutdown_on_exit=False, span_limits=limits)
        provider.add_span_processor(processor)
        return provider.get_tracer("exchange")

    chosen = TraceIdRatioBased(share)
    _current = Spans(tracer(ParentBased(chosen, remote_parent_sampled=chosen)), tracer(ALWAYS_ON), share)
    try:
        yield
    finally:
        _current = None
        processor.shutdown()  # type: ignore[no-untyped-call]


def _share() -> float:
    text = os.environ.get(SHARE_SETTING, str(SHARE))
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise Misconfigured([f"{SHARE_SETTING}: a share is from 0 to 1, not {text[:40]!r}"])
    return share


def _context(traceparent: str) -> Context:
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    _, trace_id, span_id, flags = traceparent.split("-")
    there = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(there))


def _span(context: Context) -> Span:
    from opentelemetry.trace import get_current_span

    return get_current_span(context)


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
