"""``/v1/inbox``: the caller's own deliveries, by long poll or as server-sent events.

Source: WHATWG HTML, "Server-sent events" (event, id, data, ``Last-Event-ID``).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from exchange import spans
from exchange.gateway.answers import DeliveryAnswer, InboxAnswer
from exchange.gateway.deliveries import fields_of
from exchange.gateway.inboxes import Page
from exchange.gateway.routes.access import Caller, CountedCaller, GatewayHere, problems
from exchange.gateway.state import Gateway

KEEP_ALIVE_S = 15.0
EVENTS_MAX = 100

router = APIRouter(tags=["inbox"])

Kind = Literal["document", "status", "report", "notice"]
Cursor = Annotated[
    str | None,
    Query(max_length=64, description="From the last answer; without it: the oldest kept", examples=["AQIAAwAAAAA…"]),
]
Kinds = Annotated[list[Kind], Query(description="Only these; all without it", examples=[["document"]])]


@router.get("/v1/inbox", response_model=InboxAnswer, responses=problems(410), summary="Read the inbox")
async def inbox(
    caller: CountedCaller,
    gateway: GatewayHere,
    cursor: Cursor = None,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the first", examples=[30])] = 0,
    limit: Annotated[int, Query(ge=1, le=500, examples=[100])] = 100,
    kind: Kinds = [],  # noqa: B006  FastAPI copies defaults
    fields: Annotated[bool, Query(description="Tell in JSON what each says, for who has no Avro library")] = False,
) -> InboxAnswer:
    """Read the caller's deliveries after a cursor; with `wait`, wait for the first of them.

    At least once: keep the cursor once you have dealt with what came, then ask with it.
    """
    wait_s = min(wait, gateway.limits.wait_s)
    with gateway.polls.one(caller.code):
        page = await gateway.inboxes.page(
            caller.agency, cursor, wait_s, min(limit, gateway.limits.page), frozenset(kind)
        )
    _tell(page)
    return InboxAnswer(
        deliveries=_deliveries(gateway, caller, page, is_told=fields),
        cursor=gateway.inboxes.cursor(caller.agency, page.position),
        more=page.more,
    )


@router.get(
    "/v1/inbox/events",
    response_class=StreamingResponse,
    responses=problems(410)
    | {
        200: {
            "description": "One event a delivery; its id is the cursor, its data as in the inbox's answer",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": "event: document\nid: AQIA…\n"}},
        }
    },
    summary="Follow the inbox",
)
async def events(
    caller: CountedCaller,
    gateway: GatewayHere,
    cursor: Cursor = None,
    kind: Kinds = [],  # noqa: B006
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> StreamingResponse:
    """Follow the inbox as server-sent events, until the token is over; then come back with a new one."""
    start = last_event_id or cursor
    with gateway.polls.one(caller.code):
        first = await gateway.inboxes.page(caller.agency, start, 0, EVENTS_MAX, frozenset(kind))
    return StreamingResponse(
        _follow(gateway, caller, first, frozenset(kind)),
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        media_type="text/event-stream",
    )


async def _follow(gateway: Gateway, caller: Caller, page: Page, kinds: frozenset[str]) -> AsyncIterator[str]:
    with gateway.polls.one(caller.code):
        while True:
            _tell(page)
            for one in _deliveries(gateway, caller, page):
                yield f"event: {one.kind}\nid: {one.cursor}\ndata: {one.model_dump_json()}\n\n"
            if not page.found:
                yield ": waiting\n\n"
            left_s = (caller.session.until_ms - gateway.clock()) / 1000
            if left_s <= 0 or gateway.recent.is_closing:
                return
            gateway.directory.trust.signer(caller.session.certificate, gateway.clock())
            wait_s = min(KEEP_ALIVE_S, gateway.limits.wait_s, left_s)
            cursor = gateway.inboxes.cursor(caller.agency, page.position)
            page = await gateway.inboxes.page(caller.agency, cursor, wait_s, EVENTS_MAX, kinds)


def _tell(page: Page) -> None:
    """Make the spans of deliveries that are followed: from the inbox to whoever asked."""
    makes = spans.current()
    if makes is not None:
        now_s = time.time()
        steps = [
            spans.Step(
                one.traceparent,
                one.inbox_ms / 1000,
                {"exchange.place": f"{one.topic}/{one.partition}/{one.source_offset}"},
            )
            for _, one in page.found
            if one.traceparent is not None
        ]
        makes.batch("gateway.deliver", now_s, now_s, steps)


def _deliveries(gateway: Gateway, caller: Caller, page: Page, *, is_told: bool = False) -> list[DeliveryAnswer]:
    return [
        DeliveryAnswer.of(
            kind,
            delivery,
            gateway.inboxes.cursor(caller.agency, delivery.offset + 1),
            fields_of(delivery) if is_told else None,
        )
        for kind, delivery in page.found
    ]
