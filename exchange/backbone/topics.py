"""The topics as data (``deploy/topics.toml``), and the difference to what a cluster has.

Guarantees: making them is idempotent; an existing topic's settings change only after the caller has seen the
difference; partition counts never change (a keyed topic would remap its keys): that is `Misconfigured`.
"""

from __future__ import annotations

import tomllib
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from exchange.errors import Misconfigured, Unavailable

ADMIN_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be. `leaves_after_ms`: when its records leave it for the archive; None: never."""

    name: str
    partitions: int
    replication: int
    config: dict[str, str]
    leaves_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """All topics of a deployment; `keyed` and `inbox` are the partition counts that routing needs."""

    topics: tuple[Topic, ...]
    keyed: int
    inbox: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What `apply` would do: topics to make, and settings to change as (topic, name, now, then)."""

    missing: tuple[Topic, ...]
    changes: tuple[tuple[str, str, str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.changes)


def layout(*, embedded: bool, brokers: int | None = None) -> Layout:
    """Read the layout. `embedded`: with the counts of a single machine. `brokers`: fewer than 3 bound replicas."""
    source = _source()
    counts: dict[str, int] = source["embedded" if embedded else "partitions"]
    factor, min_insync = source["replication"]["factor"], source["replication"]["min_insync"]
    if brokers is not None and brokers < factor:
        factor, min_insync = brokers, max(1, brokers - 1)
    topics = []
    for name, class_name in source["topics"].items():
        settings = dict(source["class"][class_name])
        partitions, leaves_after_ms = settings.pop("partitions"), settings.pop("leaves_after_ms", None)
        config = {key: str(value) for key, value in settings.items()} | {"min.insync.replicas": str(min_insync)}
        count = counts[partitions] if isinstance(partitions, str) else int(partitions)
        topics.append(Topic(name, count, factor, config, leaves_after_ms))
    return Layout(tuple(topics), counts["keyed"], counts["inbox"])


def _source() -> dict[str, Any]:
    packed = Path(str(resources.files("exchange") / "_deploy" / "topics.toml"))
    path = packed if packed.is_file() else Path(__file__).parents[2] / "deploy" / "topics.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def difference(admin: AdminClient, wanted: Layout) -> Difference:
    """Compare the cluster with the layout.

    Raises: Misconfigured if an existing topic has another number of partitions; Unavailable.
    """
    try:
        existing = admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics
    except KafkaException as exc:
        raise Unavailable("kafka.unavailable", str(exc)) from exc
    problems = [
        f"topic {topic.name} has {len(existing[topic.name].partitions)} partitions, not {topic.partitions}; "
        "counts are fixed for a deployment's life: use a new cluster or a new topic generation"
        for topic in wanted.topics
        if topic.name in existing and len(existing[topic.name].partitions) != topic.partitions
    ]
    if problems:
        raise Misconfigured(problems)
    present = [topic for topic in wanted.topics if topic.name in existing]
    resources_ = {topic.name: ConfigResource(ResourceType.TOPIC, topic.name) for topic in present}
    described = _wait(admin.describe_configs(list(resources_.values()))) if present else {}
    now = {resource.name: {k: entry.value for k, entry in config.items()} for resource, config in described.items()}
    changes = tuple(
        (topic.name, key, now[topic.name].get(key, ""), value)
        for topic in present
        for key, value in topic.config.items()
        if now[topic.name].get(key) != value
    )
    return Difference(tuple(t for t in wanted.topics if t.name not in existing), changes)


def apply(admin: AdminClient, found: Difference) -> None:
    """Make the missing topics and change the settings; Unavailable if the cluster doesn't answer."""
    if found.missing:
        new = [
            NewTopic(t.name, num_partitions=t.partitions, replication_factor=t.replication, config=t.config)
            for t in found.missing
        ]
        _wait(admin.create_topics(new, operation_timeout=ADMIN_TIMEOUT_S))
    by_topic: dict[str, list[ConfigEntry]] = {}
    for name, key, _, value in found.changes:
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        by_topic.setdefault(name, []).append(entry)
    if by_topic:
        altered = [
            ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries) for name, entries in by_topic.items()
        ]
        _wait(admin.incremental_alter_configs(altered))


def leave(admin: AdminClient, topic: str, partition: int, offset: int) -> None:
    """Let all records before an offset leave a partition, for good. Raises: Unavailable."""
    _wait(admin.delete_records([TopicPartition(topic, partition, offset)]))


def _wait(futures: dict[Any, Future[Any]]) -> dict[Any, Any]:
    try:
        return {key: future.result(ADMIN_TIMEOUT_S) for key, future in futures.items()}
    except (KafkaException, TimeoutError) as exc:
        raise Unavailable("kafka.unavailable", str(exc)) from exc
