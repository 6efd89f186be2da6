"""A world under load for fault tests: the nation sends while things break; then the books must balance.

What was sent is counted here, by what must become of it, and compared with the audit: a record that neither side
had seen would otherwise be missed.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from typer.testing import CliRunner

from exchange.agencies.levels import Level
from exchange.auditor import Balance, audit
from exchange.backbone.clients import reader
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_hop
from exchange.backbone.offsets import committed
from exchange.backbone.reading import read_to_end
from exchange.backbone.submitting import Outgoing, Submitting, Taken
from exchange.cli.app import app
from exchange.cli.simulating import make_nation, sign_receipts
from exchange.cli.world import World
from exchange.local.founding import now_ms
from exchange.local.progress import silent
from exchange.local.waiting import wait_until
from exchange.pipeline.outputs import SET_ASIDE
from exchange.pipeline.routing import day_of
from exchange.signatures import sign_record
from exchange.statements import schema
from exchange.statements.compose import document, encode

SETTLE_S = 90.0
BAD_SHARE = 0.04
RATE = 400.0
PORTION = 50
"""Records sent at a time: what a load may go on with after its block."""


class Loaded:
    """A world, who sends in it, and what has been sent so far. `expected`: outcomes by ``accepted`` or error code."""

    def __init__(self, world: World, seed: int = 11) -> None:
        self.world = world
        self.nation = make_nation(world, seed, silent)
        self.expected: Counter[str] = Counter()

    @contextmanager
    def load(self, rate: float = RATE) -> Iterator[None]:
        """Send at `rate` a second as long as the block lasts."""
        over = Event()

        def send() -> None:
            while not over.is_set():
                self.expected += self.nation.send(PORTION, rate, BAD_SHARE).expected

        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send)
            try:
                yield
            finally:
                over.set()
            sending.result(SETTLE_S)

    def submit(self, subject: str) -> Taken:
        """Submit one good document besides the load; returns where it lies."""
        sender, recipient = self.nation.cast.by_level[Level.PROVINCE][1:3]
        now, taken = now_ms(), list[Taken]()
        fields = document(
            sender.agency.code, str(uuid.uuid4()), [recipient.agency.code], subject, signed_ms=now, issued=day_of(now)
        )
        record = sign_record(encode("document", fields), [sender.key], [])
        Submitting(self.world.base).submit([Outgoing("document", fields, record)], taken.append)
        self.expected["accepted"] += 1
        return taken[0]

    def set_aside(self, taken: Taken) -> None:
        """Let the operator decide, by the command line, that one submission is set aside."""
        home, place = str(self.world.home.folder), f"{taken.topic}/{taken.partition}/{taken.offset}"
        arguments = ["--home", home, "set-aside", place, "--reason", "lỗi của ta", "--by", "Nông Thị An", "--yes"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        self.expected["accepted"] -= 1
        self.expected[SET_ASIDE] += 1

    def receipts(self) -> int:
        """Let the recipients sign for what lies in their inboxes."""
        signed = sign_receipts(self.world, self.nation, silent)
        self.expected["accepted"] += signed
        return signed

    def committed(self) -> int:
        """How many submissions the hop's group has committed so far."""
        return sum(next_offsets(self.world).values())

    def await_progress(self, records: int, within_s: float = SETTLE_S) -> None:
        """Wait until so many more submissions are committed than now."""
        wanted = self.committed() + records
        assert wait_until(lambda: self.committed() >= wanted, within_s), "the hop does not go on"

    def balanced(self) -> Balance:
        """Wait until everything is dealt with, audit, and compare with what was sent."""
        await_hop(self.world.base, GROUP, self.world.layout.keyed, SETTLE_S)
        balance = audit(self.world.base, self.world.authority.registrar_public_key)
        assert balance.finding_counts == {}, (balance.finding_counts, balance.findings[:5])
        assert balance.holds
        records = balance.total.records
        assert records.in_flight == 0
        assert records.set_aside == self.expected[SET_ASIDE]
        assert records.submitted == self.expected.total()
        assert self._outcomes() == self.expected
        return balance

    def _outcomes(self) -> Counter[str]:
        """What became of all submissions, by the trace: ``accepted``, ``duplicate`` or the code of the rejection."""
        found: Counter[str] = Counter()
        for portion in read_to_end(self.world.base, {("trace", p): None for p in range(self.world.layout.keyed)}):
            for read in portion:
                found.update(
                    event["code"] or event["outcome"] for event in schema("trace").decode(read.value)["events"]
                )
        return found


def next_offsets(world: World) -> dict[tuple[str, int], int]:
    """The hop's committed offsets; waits while a transaction over them is open."""
    asking = reader(world.base, group_id=GROUP)
    try:
        return committed(asking, range(world.layout.keyed))
    finally:
        asking.close()
