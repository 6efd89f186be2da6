"""One partition knows everything about a document: the topics are cut alike, and all that is said of it has its key."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from exchange.backbone.hop import Hop
from exchange.backbone.topics import layout
from exchange.errors import InvariantBroken
from exchange.pipeline.outputs import CHANGELOG, DEAD_LETTERS
from exchange.pipeline.submission import partition_of
from exchange.statements import KINDS, SUBMISSION_TOPICS, Topic
from exchange.statements.compose import document, follow_up, status

CO_PARTITIONED = (*SUBMISSION_TOPICS, "trace", DEAD_LETTERS, "throughput.deltas", CHANGELOG)


@pytest.mark.parametrize("embedded", [True, False])
def test_the_topics_are_cut_alike(embedded: bool) -> None:
    wanted = layout(embedded=embedded)
    counts = {topic.name: topic.partitions for topic in wanted.topics}
    assert {counts[name] for name in CO_PARTITIONED} == {wanted.keyed}


@pytest.mark.parametrize("urgency", [0, 3])
def test_all_that_is_said_of_a_document_meets_it_in_its_partition(urgency: int) -> None:
    first = document("H26", "d-1", ["H29"], "x", signed_ms=1, issued=date(2022, 11, 1), urgency=urgency)
    said = [
        ("document", first),
        *(("document", follow_up(first, how, how, "x", signed_ms=2)) for how in ("recall", "update", "replacement")),
        ("status", status("H29", "s-1", first, 1, signed_ms=2, document_append_ms=1, thread="H26/d-1")),
    ]
    keys = {KINDS[kind].key(fields) for kind, fields in said}
    assert keys == {"H26/d-1"}
    assert len({partition_of(key.encode(), 48) for key in keys}) == 1
    lanes = {KINDS[kind].topic(fields) for kind, fields in said if kind == "document"}
    assert lanes == {Topic.DOCUMENTS_URGENT if urgency else Topic.DOCUMENTS}, "a recall may not overtake its document"


def test_a_worker_that_is_given_inputs_of_different_partitions_stops() -> None:
    hop = cast("Hop", SimpleNamespace())
    torn = [TopicPartition(topic, 0) for topic in SUBMISSION_TOPICS[:-1]]
    consumer: Any = SimpleNamespace()
    with pytest.raises(InvariantBroken, match="not co-partitioned"):
        Hop._assigned(hop, cast("Consumer", consumer), torn)
