"""Faust's Kafka transport, made to see only committed records, to lose none, and to commit how far it is.

Faust builds its consumer with ``isolation_level="read_uncommitted"`` unless it runs its own "exactly once", so it
would count records of aborted transactions. It takes what is read again for read already, if partitions were given
back and taken meanwhile: then records that had been read but not counted are lost. And where transactions leave holes
in the offsets it commits one of them a second, so that a restart reads nearly everything again. None of this is so
here. What is fetched together of one partition of the deltas goes through Faust as one record (`packing`), since a
record costs Faust far more than a delta costs us. This transport is what a broker address ``committed://host:port``
names: registered in the entry-point group ``faust.transports``.

Source: Faust 0.15.3, `faust/transport/drivers/aiokafka.py`; aiokafka 0.14 reads these when it starts.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any, ClassVar

from faust.transport.drivers import aiokafka as driver
from mode.threads import WorkerThread

from exchange.errors import InvariantBroken, Misconfigured
from exchange.views.throughput.packing import Packed, pack

SCHEME = "committed"
CHANGELOG = "-changelog"
"""How Faust ends the name of a table's changelog."""

FETCH_BYTES_MIN, FETCH_WAIT_MS_MAX = 262_144, 600
"""Deltas are fetched some at a time: each fetch wakes two threads, and nobody waits for one delta."""

_SETTINGS = {
    "_isolation_level": "read_committed",
    "_fetch_min_bytes": FETCH_BYTES_MIN,
    "_fetch_max_wait_ms": FETCH_WAIT_MS_MAX,
}
"""The consumer's settings that Faust has no setting for."""


PACKED_MAX = 1_000
"""Deltas in one record at most: they are counted in one go, some ms, in which nothing else is done."""


class _Thread(WorkerThread):
    """A thread that doesn't keep a process alive whose Faust hangs."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self.daemon = True


class CommittedConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that reads."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:  # noqa: ANN401  aiokafka has no types
        consumer = super()._create_worker_consumer(transport)
        for name, value in _SETTINGS.items():
            if not hasattr(consumer, name):
                raise InvariantBroken(f"aiokafka keeps {name} elsewhere now")
            setattr(consumer, name, value)
        return consumer


class _NeverRead(dict[Any, Any]):
    """How far each partition was read: never known, so nothing is taken for read already. Whoever counts knows better.

    What Faust keeps here is set late for a record that was on its way while the partition was sought back.
    """

    def __getitem__(self, _: Any) -> None:  # noqa: ANN401
        return None


class CommittedConsumer(driver.Consumer):
    """The consumer that owns the thread."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        for name in ("_read_offset", "_acked", "_acked_index"):
            if not hasattr(self, name):
                raise InvariantBroken(f"Faust keeps {name} elsewhere now")
        self._read_offset = _NeverRead()

    def _new_offset(self, tp: Any) -> int | None:  # noqa: ANN401
        """Behind the newest record that is acknowledged; ours are, one after the other, and what lies between isn't
        a record but the end of a transaction, or aborted."""
        acked = self._acked[tp]
        if not acked:
            return None
        newest = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return int(newest) + 1

    async def _getmany(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        """What was fetched; of a topic that isn't the table's, packed."""
        records = await super()._getmany(*arguments, **named)
        return {tp: found if tp.topic.endswith(CHANGELOG) else _packed(found) for tp, found in records.items()}

    def _new_consumer_thread(self) -> CommittedConsumerThread:
        return CommittedConsumerThread(self, loop=self.loop, beacon=self.beacon, Worker=_Thread)


def _packed(records: list[Any]) -> list[Any]:
    portions = [records[at : at + PACKED_MAX] for at in range(0, len(records), PACKED_MAX)]
    return [
        replace(portion[-1], value=pack([Packed(one.offset, one.timestamp, one.value or b"") for one in portion]))
        for portion in portions
    ]


class CommittedTransport(driver.Transport):
    """The transport, under `SCHEME`."""

    Consumer: ClassVar[Any] = CommittedConsumer


def broker_urls(bootstrap_servers: str) -> list[str]:
    """The broker addresses as Faust wants them, by this transport.

    Raises: Misconfigured if this transport isn't registered, in which case Faust would know no other.
    """
    if SCHEME not in entry_points(group="faust.transports").names:
        raise Misconfigured([f"no transport {SCHEME}:// for Faust: install the package again"])
    return [f"{SCHEME}://{server}" for server in bootstrap_servers.split(",")]
