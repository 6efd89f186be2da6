"""The broker's disk becomes full under load: Kafka gives up its log directory and ends, everybody waits and is told
why, and with room again all goes on. What was acknowledged is there; what wasn't can be sent again, as the same."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from exchange.agencies.levels import Level
from exchange.backbone.reading import read_to_end
from exchange.backbone.submitting import Outgoing, Submitting, Taken
from exchange.cli.output import NO_WORLD
from exchange.errors import Rejected, Unavailable
from exchange.local.founding import now_ms
from exchange.local.home import Home
from exchange.local.services import status, up
from exchange.local.waiting import wait_until
from exchange.pipeline.routing import day_of
from exchange.signatures import sign_record
from exchange.statements import identify, schema
from exchange.statements.compose import document, encode
from tests.fault.conftest import a_world
from tests.support.disks import fill, small_disk
from tests.support.load import Loaded
from tests.support.workers import WITHIN_S, Worker, supervised

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]

DISK_BYTES = 512 * 1024 * 1024
LEFT_BYTES = 1_000_000
"""What the load has filled within a second or two."""
GIVES_UP_MS = 3_000
"""After which the impatient submitter stops trying."""
REFUSED_MAX = 50


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[Loaded]:
    """A world of its own whose broker has a disk of its own."""
    home = Home(tmp_path / "home")
    home.create()
    with small_disk(home.kafka, DISK_BYTES), a_world(place=home.folder) as world:
        yield Loaded(world)


class Impatient:
    """One who submits a document at a time and gives up soon; it knows what was acknowledged, and what was not."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._out = Submitting(loaded.world.base, delivery_timeout_ms=GIVES_UP_MS)
        self.acknowledged: dict[str, Taken] = {}
        self.refused: list[Outgoing] = []

    def submit(self) -> None:
        """Submit a new one. Raises: Unavailable."""
        sender, recipient = self._loaded.nation.cast.by_level[Level.PROVINCE][1:3]
        now = now_ms()
        fields = document(
            sender.agency.code, str(uuid.uuid4()), [recipient.agency.code], "Văn bản", signed_ms=now, issued=day_of(now)
        )
        self._send(Outgoing("document", fields, sign_record(encode("document", fields), [sender.key], [])))

    def again(self) -> None:
        """The same bytes of all that was refused, as `exchange publish` and the SDK's outbox do."""
        refused, self.refused = self.refused, []
        for one in refused:
            self._send(one)

    def _send(self, one: Outgoing) -> None:
        taken: list[Taken] = []
        try:
            self._out.submit([one], taken.append)
        except Unavailable:
            self.refused.append(one)
            raise
        self.acknowledged[one.fields["id"]] = taken[0]

    def expected(self) -> Counter[str]:
        """What must become of its documents, by what the log holds: each accepted once, each further record of it (an
        attempt that was refused may have been kept all the same) a duplicate."""
        found: dict[str, list[int]] = {statement_id: [] for statement_id in self.acknowledged}
        world = self._loaded.world
        for portion in read_to_end(world.base, {("documents", p): None for p in range(world.layout.keyed)}):
            for read in portion:
                statement_id = _id_of(read.value)
                if statement_id in found:
                    found[statement_id].append(read.offset)
        for statement_id, taken in self.acknowledged.items():
            assert taken.offset in found[statement_id], f"{statement_id} was acknowledged and is lost"
        return Counter(accepted=len(found)) + Counter(duplicate=sum(len(offsets) - 1 for offsets in found.values()))


def _id_of(value: bytes) -> str:
    try:
        raw = schema("record").decode(value)["statement"]
        return str(identify(raw).decode(raw)["id"])
    except (Rejected, KeyError):
        return ""


def is_broker_gone(home: Home) -> bool:
    """Whether the broker has ended of itself."""
    return {row.name: row.state for row in status(home)}["kafka-1"] == "crashed"


def test_a_full_disk_under_the_broker_loses_and_doubles_nothing(cramped: Loaded) -> None:
    loaded, world = cramped, cramped.world
    submitter = Impatient(loaded)
    with supervised(world, Worker(world, "hop-1"), Worker(world, "hop-2")):
        with loaded.load():
            loaded.await_progress(200)
            ballast = fill(world.home.kafka, LEFT_BYTES)
            while not is_broker_gone(world.home) or not submitter.refused:
                with suppress(Unavailable):
                    submitter.submit()
                assert len(submitter.refused) < REFUSED_MAX, "the broker lives with a full disk"
            assert submitter.acknowledged
            with pytest.raises(Unavailable, match=r"disk\.full"):
                up(world.home)
            assert_operator_is_told(world.home)
            ballast.unlink()
            up(world.home)
            assert wait_until(lambda: _all_sent_again(submitter), WITHIN_S)
            loaded.await_progress(200)
        loaded.expected += submitter.expected()
        loaded.balanced()


def _all_sent_again(submitter: Impatient) -> bool:
    try:
        submitter.again()
    except Unavailable:
        return False
    return not submitter.refused


def assert_operator_is_told(home: Home) -> None:
    """`exchange status` names the service and what to do, for people and for programs; so does `exchange up`."""
    for command in ("status", "up"):
        said = exchange(home, command)
        assert said.returncode == NO_WORLD
        assert "disk.full" in said.stderr, said.stderr
        assert "kafka-1" in said.stderr
        assert "Make room on that disk" in said.stderr
    rows = {row["name"]: row for row in json.loads(exchange(home, "status", "--json").stdout)["processes"]}
    assert rows["kafka-1"]["state"] == "stopped", "`up` gave up on it"
    assert rows["kafka-1"]["disk_free_bytes"] < LEFT_BYTES


def exchange(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line."""
    command = [sys.executable, "-m", "exchange", "--home", str(home.folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
