"""Where a process gives its figures: an address of its own for Prometheus, and a file that tells Prometheus of it.

Guarantees: without `EXCHANGE_METRICS_HOST` it is this machine's loopback address. The file, ``targets/<name>.json`` in
the home, is whole or absent (Prometheus' file_sd reads the folder), and goes with an orderly end; a killed process
leaves it, so that Prometheus sees that it is down. `instance` is the process's name, the same over restarts.
Does not: ask who scrapes; whoever opens another address lets a firewall or proxy do so.

Source: Prometheus, "Configuration", file_sd_config.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from exchange.errors import Misconfigured
from exchange.local.home import Home, write_private
from exchange.metrics import Group

HOST_SETTING = "EXCHANGE_METRICS_HOST"
LOOPBACK = "127.0.0.1"


class _Joined(Collector):
    """Several groups as one."""

    def __init__(self, groups: tuple[Group, ...]) -> None:
        self._groups = groups

    def collect(self) -> Iterable[Metric]:
        """Give each group's."""
        for group in self._groups:
            yield from group.collect()


@contextmanager
def endpoint(home: Home, name: str, *groups: Group) -> Iterator[str]:
    """Serve these groups, and the process's own memory, CPU and files, while the block runs; gives the address.

    Raises: Misconfigured when `EXCHANGE_METRICS_HOST` is no address of this machine.
    """
    registry = CollectorRegistry()
    registry.register(_Joined(groups))
    ProcessCollector(registry=registry)
    host = os.environ.get(HOST_SETTING, LOOPBACK)
    try:
        server, thread = start_http_server(0, host, registry)
    except OSError as exc:
        raise Misconfigured([f"{HOST_SETTING}: can't listen at {host[:80]!r}: {exc}"]) from exc
    address = f"{host}:{server.server_port}"
    file = _file(home, name)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = {"targets": [address], "labels": {"instance": name, "machine": socket.gethostname()}}
        write_private(file, json.dumps([target]) + "\n")
        yield address
    finally:
        file.unlink(missing_ok=True)
        server.shutdown()
        server.server_close()
        thread.join()


def address_of(home: Home, name: str) -> str:
    """Where a process gives its figures; empty if it doesn't."""
    try:
        found: str = json.loads(_file(home, name).read_text(encoding="utf-8"))[0]["targets"][0]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return found


def _file(home: Home, name: str) -> Path:
    return home.targets / f"{name}.json"
