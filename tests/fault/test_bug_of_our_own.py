"""A record that trips a bug of ours: the worker stops loudly, commits nothing of it, and the evidence stays."""

from __future__ import annotations

import uuid
from typing import Literal

import pytest

from exchange.backbone.reading import read_to_end
from exchange.local.crew import BUG
from tests.support.load import Loaded, next_offsets
from tests.support.workers import Worker, await_owners, crew

pytestmark = pytest.mark.fault


@pytest.mark.parametrize("step", ["gate", "decide"])
def test_a_bug_of_our_own_stops_the_worker_before_it_commits(loaded: Loaded, step: Literal["gate", "decide"]) -> None:
    mark = str(uuid.uuid4())
    buggy = Worker(loaded.world, "hop-1", "--bug-in", step, "--marked", mark)
    mended = Worker(loaded.world, "hop-1", label="mended")
    with crew(loaded.world, buggy), loaded.load():
        await_owners(loaded.world, "hop-1")
        loaded.await_progress(100)
        taken = loaded.submit(f"Văn bản {mark}")
        assert buggy.ends() == BUG, buggy.output()
        place = f"{taken.topic}/{taken.partition}/{taken.offset}"
        assert place in buggy.output(), "an operator must find the record"
        assert next_offsets(loaded.world)[taken.topic, taken.partition] <= taken.offset
        buggy.start()
        assert buggy.ends() == BUG, "it can't be stepped over"
        position = (taken.topic, taken.partition)
        kept = [read for portion in read_to_end(loaded.world.base, {position: taken.offset}) for read in portion]
        assert mark.encode() in kept[0].value
        assert next_offsets(loaded.world)[position] <= taken.offset
    with crew(loaded.world, mended):
        loaded.balanced()
