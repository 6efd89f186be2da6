"""The simulated nation at work: good traffic and bad, mixed by seed and sent at a rate."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from exchange.agencies.levels import Level
from exchange.backbone.attachments import Attachments, Stored
from exchange.backbone.clients import Config
from exchange.backbone.directory_log import DirectoryLog
from exchange.backbone.submitting import Outgoing, Submitting
from exchange.local.authority import Authority
from exchange.local.founding import now_ms
from exchange.local.progress import Report, silent
from exchange.local.simulation.cast import Cast, choose, gather
from exchange.local.simulation.hostile import MAKERS, Bad, Material
from exchange.local.simulation.outlaws import outlaw_keys
from exchange.local.simulation.traffic import Traffic

FILES = 200
EARLIER_MAX, EARLIER_SHARE = 500, 0.02
"""How many records are kept to be sent again, and how often a new one takes the place of one of them."""
FILE_BYTES_MEDIAN, FILE_SIGMA, FILE_BYTES_MAX = 60_000, 1.2, 5_000_000


@dataclass(slots=True)
class Sent:
    """What was sent, and what must become of it: outcomes by ``accepted``, ``duplicate`` or error code."""

    records: int = 0
    expected: Counter[str] = field(default_factory=Counter)
    example: tuple[str, str] = ("", "")
    seconds: float = 0.0


class Nation:
    """A simulation in one world. Same seed and run: same units, ids, recipients, sizes and faults."""

    def __init__(
        self,
        base: Config,
        authority: Authority,
        log: DirectoryLog,
        store: Attachments,
        *,
        seed: int,
        run: str,
        partitions: int,
        report: Report = silent,
    ) -> None:
        self._base = base
        self._report = report
        self._partitions = partitions
        self._random = Random(f"{seed}/{run}/faults")  # noqa: S311  a simulation, repeatable by its seed
        self._earlier: list[Outgoing] = []
        view = log.directory.latest()
        self.cast: Cast = gather(authority, base, view, choose(view, seed, now_ms()), report)
        self._outlaw = self.cast.by_level[Level.PROVINCE][0]
        self._keys = outlaw_keys(authority, base, self._outlaw.agency)
        log.catch_up()
        self._traffic = Traffic(self.cast, seed, run, _files(store, seed, report))

    def send(self, count: int, rate: float | None, bad_share: float, again_share: float = 0.0) -> Sent:
        """Send `count` records, at `rate` a second (None: as fast as they can be signed).

        `again_share`: how many of them are earlier ones, the same bytes once more, which must be duplicates.
        """
        sent, out = Sent(), Submitting(self._base)
        began = time.monotonic()
        good = self._traffic.records(count)
        for number in range(count):
            if rate is not None:
                _keep_pace(began, number, rate)
            if self._random.random() < bad_share:
                bad = self._random.choice(MAKERS)(self._material())
                out.send_raw(bad.topic, bad.key, bad.value, bad.partition)
                sent.expected[bad.code] += 1
            elif again_share and self._earlier and self._random.random() < again_share:
                out.send(self._random.choice(self._earlier))
                sent.expected["duplicate"] += 1
            else:
                one = next(good)
                out.send(one)
                self._keep(one, again_share)
                sent.expected["accepted"] += 1
                if one.kind == "document" and one.fields["attachments"] and len(one.fields["to"]) > 1:
                    sent.example = (one.fields["sender"], one.fields["id"])
            if number % 100 == 0:
                self._report("Sending documents", number, count)
        out.flush()
        self._report("Sending documents", count, count)
        sent.records, sent.seconds = count, time.monotonic() - began
        return sent

    def _keep(self, one: Outgoing, again_share: float) -> None:
        """Keep some records of all that were sent, to be sent again."""
        if not again_share:
            return
        if len(self._earlier) < EARLIER_MAX:
            self._earlier.append(one)
        elif self._random.random() < EARLIER_SHARE:
            self._earlier[self._random.randrange(EARLIER_MAX)] = one

    def _material(self) -> Material:
        members = self.cast.by_level[Level.DISTRICT]
        recipient, other = self._random.sample(members, 2)
        return Material(self.cast, self._outlaw, recipient, other, now_ms(), self._random, self._keys, self._partitions)


def every_fault(material: Material) -> Iterator[Bad]:
    """One record of each kind of bad input."""
    for make in MAKERS:
        yield make(material)


def _keep_pace(began: float, number: int, rate: float) -> None:
    ahead = began + number / rate - time.monotonic()
    if ahead > 0:
        time.sleep(ahead)


def _files(store: Attachments, seed: int, report: Report) -> list[Stored]:
    """Attachments of log-normal size, made once and sent again and again."""
    random = Random(f"{seed}/files")  # noqa: S311
    stored: list[Stored] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for number in range(FILES):
            report("Storing attachments", number, FILES)
            size = min(int(random.lognormvariate(0, FILE_SIGMA) * FILE_BYTES_MEDIAN), FILE_BYTES_MAX)
            path.write_bytes(b"%PDF-1.7\n" + random.randbytes(size))
            stored.append(store.put(path))
    report("Storing attachments", FILES, FILES)
    return stored
