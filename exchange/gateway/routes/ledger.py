"""What the backbone promised about the caller's submissions, and the ledger's proofs that it kept it."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from exchange.gateway.answers import ConsistencyAnswer, InclusionAnswer, LapsesAnswer, WordAnswer
from exchange.gateway.ledger import ledger_of
from exchange.gateway.routes.access import CountedCaller, GatewayHere, problems

router = APIRouter(tags=["ledger"])

Topic = Annotated[
    Literal["documents", "documents.urgent", "statuses", "reports"],
    Path(description="As the broker's receipt says", examples=["documents"]),
]
Partition = Annotated[int, Path(ge=0, le=100_000, examples=[3])]
Offset = Annotated[int, Path(ge=0, le=2**62, examples=[4182])]
Size = Annotated[int, Query(ge=1, le=2**62, examples=[1000])]


@router.get(
    "/v1/promises/{topic}/{partition}/{offset}",
    response_model=WordAnswer,
    responses=problems(404),
    summary="What was decided about a submission",
)
async def promise(
    caller: CountedCaller, gateway: GatewayHere, topic: Topic, partition: Partition, offset: Offset
) -> WordAnswer:
    """Give the backbone's signed word on a submission of the caller's own: accepted or rejected, and by when the
    ledger will hold that. Named by the broker's receipt; there about a second after the decision."""
    ledger = ledger_of(gateway.ledger)
    async with gateway.lookups:
        found = await asyncio.to_thread(ledger.promise, caller.code, topic, partition, offset)
    return WordAnswer.of(found)


@router.get(
    "/v1/lapses/{topic}/{partition}/{offset}",
    response_model=LapsesAnswer,
    responses=problems(404),
    summary="Who had not answered when a document was due",
)
async def lapses(
    caller: CountedCaller, gateway: GatewayHere, topic: Topic, partition: Partition, offset: Offset
) -> LapsesAnswer:
    """Give the backbone's signed word on each recipient that had not acknowledged a document of the caller's own by
    the end of the day on which it was due."""
    ledger = ledger_of(gateway.ledger)
    async with gateway.lookups:
        found = await asyncio.to_thread(ledger.lapses, caller.code, topic, partition, offset)
    return LapsesAnswer(lapses=[WordAnswer.of(one) for one in found])


@router.get(
    "/v1/inclusion/{topic}/{partition}/{offset}",
    response_model=InclusionAnswer,
    responses=problems(404),
    summary="That the ledger holds it",
)
async def inclusion(
    caller: CountedCaller, gateway: GatewayHere, topic: Topic, partition: Partition, offset: Offset
) -> InclusionAnswer:
    """Prove that the event of a submission of the caller's own is in the ledger, under its newest checkpoint.

    Until it is: 404 `ledger.behind`. After the promised time that is a broken promise: keep the promise and say so.
    """
    ledger = ledger_of(gateway.ledger)
    async with gateway.lookups:
        found = await asyncio.to_thread(ledger.inclusion, caller.code, topic, partition, offset)
    return InclusionAnswer.of(found)


@router.get("/v1/ledger/consistency", response_model=ConsistencyAnswer, responses=problems(), summary="That it goes on")
async def consistency(_: CountedCaller, gateway: GatewayHere, before: Size, after: Size) -> ConsistencyAnswer:
    """Prove that the ledger's tree of `after` leaves begins with that of `before` (RFC 9162 §2.1.4)."""
    ledger = ledger_of(gateway.ledger)
    async with gateway.lookups:
        proof = await asyncio.to_thread(ledger.consistency, before, after)
    return ConsistencyAnswer(before=before, after=after, proof=[base64.b64encode(one).decode() for one in proof])
