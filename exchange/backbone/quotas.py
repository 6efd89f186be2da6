"""Kafka's quotas of one principal: set, read, taken back.

Kafka's client library for the hop has no call for them, so the two requests of KIP-546 are spoken here in version 0,
through aiokafka's connection. Guarantees: what `set_quotas` returns after is in the cluster's metadata. Does not: use a
connection with settings of its own (TLS, SASL): an operator runs this where Kafka asks for no name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DescribeClientQuotasRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int16, Int32, Schema, String

from exchange.backbone.clients import Config
from exchange.errors import Misconfigured, Unavailable

TIMEOUT_MS = 30_000

_ENTITY = Array(("entity_type", String("utf-8")), ("entity_name", String("utf-8")))
_EXACT = 0
_USER = "user"


class _AlterResponse(Response):  # type: ignore[misc]
    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("entries", Array(("error_code", Int16), ("error_message", String("utf-8")), ("entity", _ENTITY))),
    )


class _AlterStruct(RequestStruct):  # type: ignore[misc]  # the package has no types
    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _AlterResponse
    SCHEMA = Schema(
        (
            "entries",
            Array(
                ("entity", _ENTITY),
                ("ops", Array(("key", String("utf-8")), ("value", Float64), ("remove", Boolean))),
            ),
        ),
        ("validate_only", Boolean),
    )


class _Alter(Request[_AlterStruct]):  # type: ignore[misc]
    API_KEY = 49

    def __init__(self, principal: str, values: Mapping[str, float | None]) -> None:
        ops = [(name, value or 0.0, value is None) for name, value in values.items()]
        self._entries = [([(_USER, principal)], ops)]

    def build(self, request_struct_class: type[_AlterStruct]) -> _AlterStruct:
        return request_struct_class(self._entries, False)


def set_quotas(base: Config, principal: str, values: Mapping[str, float | None]) -> None:
    """Set quotas by Kafka's names, such as ``producer_byte_rate`` (bytes a second and broker); None takes one back.

    Raises: Unavailable; Misconfigured if `base` has settings of its own for security.
    """

    async def alter(send: _Send) -> None:
        answer = await send(_Alter(principal, values))
        for code, message, _ in answer.entries:
            if code:
                raise Unavailable("kafka.unavailable", f"quotas of {principal}: {message or code}")

    _asked(base, alter)


def quotas_of(base: Config, principal: str) -> dict[str, float]:
    """The quotas of a principal by name; empty if it has none. Raises: as `set_quotas`."""

    async def describe(send: _Send) -> dict[str, float]:
        answer = await send(DescribeClientQuotasRequest([(_USER, _EXACT, principal)], True))
        if answer.error_code:
            raise Unavailable("kafka.unavailable", f"quotas of {principal}: {answer.error_message}")
        return {name: value for _, values in answer.entries or [] for name, value in values}

    return _asked(base, describe)


_Send = Callable[[Request[Any]], Awaitable[Any]]
_Answer = TypeVar("_Answer")


def _asked(base: Config, ask: Callable[[_Send], Awaitable[_Answer]]) -> _Answer:
    if own := sorted(name for name in base if name.startswith(("security.", "sasl.", "ssl."))):
        raise Misconfigured([f"quotas can't be set over a connection with {name}" for name in own])
    try:
        return asyncio.run(_speak(str(base["bootstrap.servers"]), ask))
    except (KafkaError, TimeoutError) as exc:
        raise Unavailable("kafka.unavailable", str(exc) or type(exc).__name__) from exc


async def _speak(servers: str, ask: Callable[[_Send], Awaitable[_Answer]]) -> _Answer:
    client = AIOKafkaClient(bootstrap_servers=servers, client_id="exchange", request_timeout_ms=TIMEOUT_MS)
    try:
        await client.bootstrap()
        node = client.get_random_node()
        if not await client.ready(node):
            raise Unavailable("kafka.unavailable", f"broker {node} doesn't answer")
        return await ask(partial(client.send, node))
    finally:
        await client.close()
