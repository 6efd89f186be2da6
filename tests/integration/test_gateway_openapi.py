"""The gateway's OpenAPI: it describes every address and error, and nothing that it allows or not makes a 5xx."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import SkipTest

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from exchange.agencies.levels import Level
from exchange.cli.running import options_of
from exchange.local.waiting import wait_until
from tests.support.gateways import OPEN_LIMITS, Served, free_port, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

EXAMPLES = 8
SHORT = replace(OPEN_LIMITS, wait_s=0.05, statements_burst=100_000, token_s=3600)


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    with serving(exchange.world, SHORT) as one:
        yield one


@pytest.fixture(scope="module")
def authorization(served: Served, exchange: Exchange) -> str:
    with served.client(exchange.member(Level.PROVINCE, 6)) as client:
        return client.headers["authorization"]


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # schemathesis's own
def test_nothing_makes_a_5xx(served: Served, authorization: str) -> None:
    """Each address with what it describes and, as schemathesis makes it, with what it doesn't."""
    document = httpx.get(f"{served.url}/v1/openapi.json", timeout=30).json()
    del document["paths"]["/v1/inbox/events"]  # it doesn't end by itself; tested in test_gateway.py
    described = schemathesis.openapi.from_dict(document)
    tried: list[str] = []
    for found in described.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _try(operation, mode, served.url, authorization, tried)
    assert len(set(tried)) == sum(len(address) for address in document["paths"].values())


def _try(operation: Any, mode: GenerationMode, url: str, authorization: str, tried: list[str]) -> None:  # noqa: ANN401
    checks: list[Any] = [not_a_server_error, response_schema_conformance, content_type_conformance]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def one(case: Any) -> None:  # noqa: ANN401
        tried.append(operation.label)
        case.call_and_validate(base_url=url, headers={"authorization": authorization}, checks=checks, timeout=30)

    with contextlib.suppress(Unsatisfiable, SkipTest):  # there is nothing that such an address could get wrong
        one()


def test_it_is_complete(served: Served) -> None:
    document = httpx.get(f"{served.url}/v1/openapi.json", timeout=30).json()
    for path, address in document["paths"].items():
        for method, operation in address.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            assert {"401", "422", "429", "500", "503"} <= set(operation["responses"]), where
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"], where
            for parameter in operation.get("parameters", ()):
                has_example = "examples" in parameter["schema"] or "examples" in parameter
                assert has_example or not parameter["required"], f"{where} {parameter['name']}"
            for content in operation.get("requestBody", {}).get("content", {}).values():
                assert "example" in content, where
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("examples"), name


def test_the_command(exchange: Exchange) -> None:
    """It says where it is, answers, and ends in good order by a signal."""
    port = free_port()
    command = [sys.executable, "-m", "exchange", *options_of(exchange.world), "gateway", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert f"http://127.0.0.1:{port}" in process.stderr.readline()
            assert "this machine only" in process.stderr.readline()
            assert wait_until(lambda: _answers(port), 60)
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_the_command_refuses_to_be_open_without_tls(exchange: Exchange, tmp_path: Path) -> None:
    options = options_of(exchange.world)
    for wrong in (["--host", "0.0.0.0"], ["--tls-cert", str(tmp_path)]):  # noqa: S104
        command = [sys.executable, "-m", "exchange", *options, "gateway", *wrong]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2, done.stderr
        assert "TLS" in done.stderr


def test_beside_a_kafka_of_its_own_the_command_needs_tls(tmp_path: Path) -> None:
    options = ["--home", str(tmp_path), "--bootstrap-servers", "127.0.0.1:9"]
    command = [sys.executable, "-m", "exchange", *options, "gateway"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "--tls-cert" in done.stderr


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/openapi.json", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
