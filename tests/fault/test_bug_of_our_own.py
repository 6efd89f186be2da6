"""A record that trips a bug of ours: the worker stops loudly, commits nothing of it, and the evidence stays. An
operator's decision sets exactly that record aside."""

from __future__ import annotations

import json
import uuid
from hashlib import sha256
from typing import Literal

import pytest
from typer.testing import CliRunner

from exchange.agencies import Directory, SettingAside
from exchange.backbone.directory_log import DirectoryLog
from exchange.backbone.reading import read_one, read_to_end
from exchange.backbone.submitting import Taken
from exchange.cli.app import app
from exchange.local.crew import BUG
from exchange.local.waiting import wait_until
from exchange.pipeline.outputs import SET_ASIDE
from exchange.statements import Fields, schema
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_store import TraceStore
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
        assert f"exchange set-aside {place}" in buggy.output(), "and what can be done about it"
        assert next_offsets(loaded.world)[taken.topic, taken.partition] <= taken.offset
        buggy.start()
        assert buggy.ends() == BUG, "it can't be stepped over"
        position = (taken.topic, taken.partition)
        kept = [read for portion in read_to_end(loaded.world.base, {position: taken.offset}) for read in portion]
        assert mark.encode() in kept[0].value
        assert next_offsets(loaded.world)[position] <= taken.offset
    with crew(loaded.world, mended):
        loaded.balanced()


@pytest.mark.parametrize("step", ["gate", "decide"])
def test_an_operators_decision_sets_exactly_that_record_aside(loaded: Loaded, step: Literal["gate", "decide"]) -> None:
    mark = str(uuid.uuid4())
    buggy = Worker(loaded.world, "hop-1", "--bug-in", step, "--marked", mark)
    mended = Worker(loaded.world, "hop-1", label="mended")
    with crew(loaded.world, buggy), loaded.load():
        await_owners(loaded.world, "hop-1")
        poison = loaded.submit(f"Văn bản {mark}")
        assert buggy.ends() == BUG, buggy.output()
        loaded.set_aside(poison)
        buggy.start()
        await_owners(loaded.world, "hop-1")
        loaded.await_progress(100)
        assert wait_until(lambda: next_offsets(loaded.world)[poison.topic, poison.partition] > poison.offset, 30)
        alike = loaded.submit(f"Văn bản {mark}")
        assert buggy.ends() == BUG, "the decision is about one record, not about its like"
        assert f"{alike.topic}/{alike.partition}/{alike.offset}" in buggy.output()
    with crew(loaded.world, mended):
        loaded.balanced()
    event = event_of(loaded, poison)
    assert (event["outcome"], event["code"], event["id"]) == ("set_aside", "record.set_aside", poison.id)
    assert (event["verified"], event["deliveries"]) == (False, [])
    [letter] = dead_letters_of(loaded, poison)
    assert mark.encode() in letter["value"]
    assert sha256(letter["value"]).digest() == decision_about(loaded, poison).sha256
    assert event_of(loaded, alike)["outcome"] == "accepted"
    TraceProjection(loaded.world.base, TraceStore(loaded.world.database_url)).catch_up()
    shown = CliRunner().invoke(app, ["--home", str(loaded.world.home.folder), "trace", poison.id])
    assert shown.exit_code == 0
    assert "set aside" in shown.output
    again = ["--home", str(loaded.world.home.folder), "set-aside", place_of(poison), "--reason", "x", "--yes"]
    refused = CliRunner().invoke(app, again)
    assert refused.exit_code == 1, "it is decided"


def test_a_decision_shows_the_record_asks_and_is_signed_once(loaded: Loaded) -> None:
    """Nobody works meanwhile, so the record waits."""
    taken = loaded.submit("Văn bản không hỏng")
    arguments = ["--home", str(loaded.world.home.folder), "set-aside", place_of(taken), "--reason", "thử"]
    declined = CliRunner().invoke(app, arguments, input="n\n")
    assert declined.exit_code == 1
    original = read_one(loaded.world.base, taken.topic, taken.partition, taken.offset)
    assert original is not None
    for shown in (sha256(original.value).hexdigest(), f"{len(original.value):,} bytes", taken.id, "nobody verified"):
        assert shown in declined.stderr
    offset = directory_of(loaded).next_offset
    assert directory_of(loaded).latest().setting_aside(taken.topic, taken.partition, taken.offset) is None
    agreed = CliRunner().invoke(app, arguments, input="y\n")
    assert agreed.exit_code == 0, agreed.output
    again = CliRunner().invoke(app, [*arguments, "--yes", "--json"])
    assert again.exit_code == 0, again.output
    assert "already" in again.stderr
    signed = json.loads(again.stdout)
    assert (signed["sha256"], signed["id"]) == (sha256(original.value).hexdigest(), taken.id)
    assert (signed["reason"], signed["kind"], signed["directory_offset"]) == ("thử", "document", offset + 1)
    assert directory_of(loaded).next_offset == offset + 1
    loaded.expected["accepted"] -= 1
    loaded.expected[SET_ASIDE] += 1
    with crew(loaded.world, Worker(loaded.world, "hop-1")):
        loaded.balanced()
    assert event_of(loaded, taken)["outcome"] == "set_aside"


def place_of(taken: Taken) -> str:
    return f"{taken.topic}/{taken.partition}/{taken.offset}"


def event_of(loaded: Loaded, taken: Taken) -> Fields:
    """The one event of a submission."""
    [found] = [
        event
        for portion in read_to_end(loaded.world.base, {("trace", taken.partition): None})
        for record in (schema("trace").decode(read.value) for read in portion)
        if record["topic"] == taken.topic
        for event in record["events"]
        if event["offset"] == taken.offset
    ]
    assert isinstance(found, dict)
    return found


def dead_letters_of(loaded: Loaded, taken: Taken) -> list[Fields]:
    letters = [
        schema("dead_letter").decode(read.value)
        for portion in read_to_end(loaded.world.base, {("dead-letters", taken.partition): None})
        for read in portion
    ]
    return [one for one in letters if (one["topic"], one["offset"]) == (taken.topic, taken.offset)]


def decision_about(loaded: Loaded, taken: Taken) -> SettingAside:
    decision = directory_of(loaded).latest().setting_aside(taken.topic, taken.partition, taken.offset)
    assert decision is not None
    return decision


def directory_of(loaded: Loaded) -> Directory:
    """The directory as it stands now."""
    log = DirectoryLog(loaded.world.base, loaded.world.authority.registrar_public_key)
    log.close()
    return log.directory
