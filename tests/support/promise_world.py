"""Topics of a test's own for the promises: a trace to promise, and what was promised, opened as a stranger would.

As a program (``python -m tests.support.promise_world BOOTSTRAP NAME KEYS CLOCK_MS STEP TIMES``) it writes promises and
kills itself with SIGKILL when it reaches that step for the n-th time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from exchange.backbone.clients import Config, connection, producer
from exchange.backbone.reading import read_to_end
from exchange.ledger.promises import Found, PromiseFinder, PromiseWriter, Signing, Topics
from exchange.ledger.promises.saying import decode, taken_out
from exchange.local.authority import Authority
from exchange.local.services import Services
from exchange.signatures import Word, open_word
from exchange.signatures.certificates import parse
from exchange.statements import Topic
from tests.support import traces

PARTITIONS = 3
BACKBONE = "G00.AXIS"
BOTH = ("promise", "lapse")


def topics_of(name: str) -> Topics:
    """The topics of a test."""
    sources = {topic: f"{topic}.{name}" for topic in (Topic.DOCUMENTS_URGENT, Topic.DOCUMENTS, Topic.STATUSES)}
    return Topics(f"trace.{name}", f"promises.{name}", f"lapses.{name}", f"state.{name}", sources)


@dataclass
class PromiseWorld:
    """What one test of the promises works with. `now_ms`: the clock of the writers that it makes."""

    base: Config
    keys: Path
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    now_ms: int = traces._FIRST_MS

    def __post_init__(self) -> None:
        self.authority = Authority.create(self.keys)
        self.topics = topics_of(self.name)
        compacted = {"max.message.bytes": "8388608", "cleanup.policy": "compact"}
        made = [NewTopic(self.topics.state, PARTITIONS, 1, config=compacted)]
        settings = {"max.message.bytes": "8388608", "message.timestamp.type": "CreateTime"}
        names = (*self.topics[:3], *self.topics.sources.values())
        made += [NewTopic(topic, PARTITIONS, 1, config=settings) for topic in names]
        admin = AdminClient(self.base)
        for answer in admin.create_topics(made).values():
            answer.result(20)
        self._producer = producer(self.base)

    def happen(self, partition: int, *events: traces.Event, topic: str = Topic.DOCUMENTS) -> None:
        """Let submissions of a partition be decided, in one transaction of the hop."""
        for value in traces.records(partition, events, topic):
            self._producer.produce(self.topics.trace, value, partition=partition)
        assert self._producer.flush(30) == 0

    def submitted(self, topic: str, partition: int, append_ms: int) -> None:
        """Let something lie in a source partition, decided or not."""
        self._producer.produce(self.topics.sources[topic], b"x", partition=partition, timestamp=append_ms)
        assert self._producer.flush(30) == 0

    def signing(self, probe: Callable[[str], None] = lambda _: None) -> Signing:
        """Who signs here."""
        return Signing(self.authority.backbone.signing_key, BACKBONE, self.topics, lambda: self.now_ms, probe)

    def writer(self, probe: Callable[[str], None] = lambda _: None) -> PromiseWriter:
        """A new writer, as a new process would make it."""
        return PromiseWriter(self.base, self.signing(probe))

    def kill_at(self, step: str, times: int) -> None:
        """Run a writer in a process of its own, until it kills itself there."""
        servers = str(self.base["bootstrap.servers"])
        arguments = [servers, self.name, str(self.keys), str(self.now_ms), step, str(times)]
        command = [sys.executable, "-m", "tests.support.promise_world", *arguments]
        assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL

    def opened(self, record: bytes) -> Word:
        """A promise or lapse, verified by the backbone's certificate alone."""
        return open_word(record, parse(self.authority.backbone.certificate), BOTH)

    def lose_state(self) -> None:
        """Let the writer's state be gone."""
        self.topics = self.topics._replace(state=f"{self.topics.state}.lost")
        admin = AdminClient(self.base)
        admin.create_topics([NewTopic(self.topics.state, PARTITIONS, 1)])[self.topics.state].result(20)

    def find(self, look: Callable[[PromiseFinder], list[Found]]) -> list[Found]:
        """Look something up; what is found verifies and is what it says."""
        finder = PromiseFinder(self.base, self.topics.promises, self.topics.lapses)
        try:
            found = look(finder)
        finally:
            finder.close()
        for one in found:
            word = self.opened(one.record)
            assert (word.name, word.fields) == (one.kind, one.fields)
        return found

    def said(self) -> list[Word]:
        """All that was promised and that lapsed, every one verified."""
        words = []
        for topic in self.topics[1:3]:
            for portion in read_to_end(self.base, {(topic, partition): None for partition in range(PARTITIONS)}):
                for read in portion:
                    batch = decode(read.value)
                    words += [self.opened(taken_out(batch, index)) for index in range(len(batch["statements"]))]
        return words

    def promised(self) -> Counter[tuple[str, int, int]]:
        """How often each submission was promised."""
        promises = [word.fields for word in self.said() if word.name == "promise"]
        return Counter((one["topic"], one["partition"], one["offset"]) for one in promises)

    def lapsed(self) -> Counter[tuple[str, str]]:
        """How often each (document id, recipient) lapsed."""
        lapses = [word.fields for word in self.said() if word.name == "lapse"]
        return Counter((one["id"], one["recipient"]) for one in lapses)


def promise_world(services: Services, folder: Path) -> PromiseWorld:
    """A world of its own on the shared services."""
    return PromiseWorld(connection(services.bootstrap_servers), folder / "keys")


def main() -> None:
    """Write promises; die by SIGKILL at a step."""
    servers, name, keys, clock_ms, step, times = sys.argv[1:]
    left = int(times)

    def probe(reached: str) -> None:
        nonlocal left
        left -= reached == step
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    key = Authority.open(Path(keys)).backbone.signing_key
    signing = Signing(key, BACKBONE, topics_of(name), lambda: int(clock_ms), probe)
    PromiseWriter(connection(servers), signing).catch_up()


if __name__ == "__main__":
    main()
