"""The network between one worker and the broker is cut for 30 s under load: the other worker takes over, and what the
first one still believes to be its own doesn't count when the network is back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from exchange.cli.output import NO_WORLD
from exchange.local import services
from exchange.local.home import Home
from exchange.local.kafka import KafkaCluster
from exchange.local.kafka_settings import Node
from exchange.local.waiting import wait_until
from tests.fault.conftest import a_world
from tests.support.load import Loaded
from tests.support.proxy import Proxy
from tests.support.workers import WITHIN_S, Worker, await_owners, crew, owners

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

CUT_S = 30.0


def ports(home: Home) -> tuple[int, int]:
    """The broker's second port, and the one that it tells the clients there to use."""
    return home.port("kafka-1-distant", must_be_free=False), home.port("kafka-1-proxy", must_be_free=False)


class DistantKafka(KafkaCluster):
    """A broker with a second listener, whose clients are sent through a proxy."""

    def __init__(self, home: Home, nodes: int = 1, heap_mib: int = 512) -> None:
        super().__init__(home, nodes, heap_mib)
        self._distant_home = home

    def _write_settings(self, node: Node, nodes: list[Node], log_dir: str = "") -> str:
        name = super()._write_settings(node, nodes, log_dir)
        port, proxy = ports(self._distant_home)
        path = self._distant_home.kafka / name
        settings = dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines())
        near = f"BROKER://127.0.0.1:{node.broker_port}"
        settings["listeners"] += f",DISTANT://127.0.0.1:{port}"
        settings["advertised.listeners"] = f"{near},DISTANT://127.0.0.1:{proxy}"
        settings["listener.security.protocol.map"] += ",DISTANT:PLAINTEXT"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        return name


@pytest.fixture
def distant() -> Iterator[tuple[Loaded, Proxy]]:
    """A world of its own, and the network to its broker for those who come from afar."""
    with patch.object(services, "KafkaCluster", DistantKafka), a_world() as world:
        port, through = ports(world.home)
        with Proxy(through, port) as proxy:
            yield Loaded(world), proxy


def test_a_worker_without_network_for_30_s_does_no_harm(distant: tuple[Loaded, Proxy]) -> None:
    loaded, proxy = distant
    world = loaded.world
    afar = Worker(world, "hop-1", "--through", f"127.0.0.1:{proxy.port}")
    near = Worker(world, "hop-2")
    with crew(world, afar, near):
        await_owners(world, "hop-1", "hop-2")
        with loaded.load():
            loaded.await_progress(100)
            proxy.cut()
            began = time.monotonic()
            await_owners(world, "hop-2")
            loaded.await_progress(100)
            assert wait_until(lambda: time.monotonic() - began >= CUT_S, CUT_S + 1)
            proxy.mend()
            back = wait_until(lambda: afar.exit_code is not None or "hop-1" in owners(world), WITHIN_S)
            assert back, afar.output()
            if afar.exit_code is not None:
                assert afar.exit_code in {NO_WORLD, -9}, afar.output()
                afar.start()
            await_owners(world, "hop-1", "hop-2")
            loaded.await_progress(100)
        loaded.balanced()
