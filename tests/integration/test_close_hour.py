"""Closing an hour on the real exchange: stated by the backbone's own seal, in the ledger, and audited."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from typing import Any

import pytest

from exchange.agencies import BACKBONE_CODE
from exchange.agencies.levels import Level
from exchange.auditor import HourVerdict, audit_hour
from exchange.backbone.reading import read_one, read_to_end
from exchange.cli.closing import counted, state
from exchange.errors import Rejected, Unavailable
from exchange.local.founding import now_ms
from exchange.statements.compose import attachment
from exchange.statements.hours import BOOKS_REGIME, HOUR_MS, Hour
from exchange.views import closing
from exchange.views.closing import Books
from exchange.views.hours_due import CLOCKS_MS, OpenHours, due
from tests.support.running import Exchange, Place

pytestmark = pytest.mark.integration


def verdict(exchange: Exchange, hour: Hour) -> HourVerdict:
    """The audit of that hour."""
    world = exchange.world
    exchange.settle()

    def fetch(digest: bytes, size: int) -> bytes:
        return b"".join(world.attachments.read(digest, size))

    return audit_hour(world.base, world.authority.registrar_public_key, hour, fetch, world.trust_at)


def run(exchange: Exchange, *arguments: str) -> tuple[int, str, str]:
    """The command line in this world: exit code, standard output and error."""
    command = [sys.executable, "-m", "exchange", "--home", str(exchange.world.home.folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def hour(exchange: Exchange) -> Hour:
    """An hour that ends now, with a document, a receipt and a rejection in it."""
    sender, recipient = exchange.member(Level.PROVINCE, 3), exchange.member(Level.COMMUNE, 3)
    about = exchange.document(sender, [recipient.agency.code, exchange.member(Level.DISTRICT, 3).agency.code])
    exchange.submit("document", about, sender)
    exchange.submit("document", exchange.document(sender, ["000.99.99.H99"]), sender)
    exchange.settle()
    exchange.submit("status", exchange.status(recipient, about, 1), recipient)
    exchange.settle()
    return Hour(now_ms() - HOUR_MS)


def test_an_hour_is_closed_by_the_backbones_own_statement_and_audited(exchange: Exchange, hour: Hour) -> None:
    books = closing.close(exchange.world.base, hour)
    assert books.missing_count == 0
    totals = books.totals()
    assert totals["accepted"] >= 2
    assert totals["rejected"] >= 1
    assert totals["delivered"] >= 3
    taken = state(exchange.world, books)
    found = verdict(exchange, hour)
    assert (found.findings, found.balance.finding_counts) == ([], {})
    assert found.rows == len(books.rows)
    event = exchange.fate((taken.topic, taken.partition, taken.offset)).event
    assert (event["outcome"], event["sender"], event["id"]) == ("accepted", BACKBONE_CODE, hour.books_id)
    again = state(exchange.world, closing.close(exchange.world.base, hour))
    exchange.settle()
    assert exchange.fate((again.topic, again.partition, again.offset)).event["outcome"] == "duplicate"


def test_books_that_were_altered_before_signing_are_found(exchange: Exchange, hour: Hour) -> None:
    quiet = Hour(hour.start_ms - HOUR_MS * 2)  # nothing passed in it
    books = Books(quiet, closing.close(exchange.world.base, quiet).ranges)
    books.rows[closing.Row("H26", 2, 0, "document")] = [1, 0, 0, 0, 0, 0]
    state(exchange.world, books)
    (found,) = verdict(exchange, quiet).findings
    assert (found.code, found.id) == ("audit.books_differ", quiet.books_id)
    assert "H26, level 2, document: stated accepted 1, recounted 0" in found.sentence


def test_a_file_that_was_exchanged_after_signing_is_found(
    exchange: Exchange, hour: Hour, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifted = Hour(hour.start_ms - HOUR_MS * 5)
    books = closing.close(exchange.world.base, shifted)
    state(exchange.world, books)
    assert verdict(exchange, shifted).findings == []
    digest = sha256(books.encode()).digest()
    kept = exchange.world.attachments.read

    def other(wanted: bytes, size: int) -> Any:  # noqa: ANN401
        return [b"x" * size] if wanted == digest else kept(wanted, size)

    monkeypatch.setattr(exchange.world.attachments, "read", other)
    (found,) = verdict(exchange, shifted).findings
    assert (found.code, "attachment.differs" in found.sentence) == ("audit.books_unreadable", True)


def test_no_hour_is_closed_before_its_end_nor_before_the_hop_is_through(exchange: Exchange, hour: Hour) -> None:
    with pytest.raises(Rejected, match=r"hour\.open"):
        counted(exchange.world, Hour.of(now_ms()))
    with pytest.raises(Unavailable, match=r"hour\.undecided"):
        closing.close(exchange.world.base, hour, group="nobody-has-read-anything")


def test_the_commands_say_no_by_their_exit_codes(exchange: Exchange) -> None:
    now = Hour.of(now_ms())
    code, _, said = run(exchange, "close-hour", now.name)
    assert (code, "hour.open" in said) == (1, True)
    code, said, _ = run(exchange, "audit", "--hour", Hour(now.start_ms - 9 * HOUR_MS).name)
    assert (code, "audit.hour_not_closed" in said) == (1, True)
    quiet = Hour(now.start_ms - 7 * HOUR_MS).name
    code, said, _ = run(exchange, "close-hour", quiet, "--json")
    assert (code, json.loads(said)["hour"], json.loads(said)["missing"]) == (0, quiet, 0)
    exchange.settle()
    code, said, _ = run(exchange, "audit", "--hour", quiet, "--json")
    assert (code, json.loads(said)["findings"]) == (0, [])
    assert run(exchange, "audit", "--hour", "yesterday")[0] == 1


def test_following_closes_what_is_over_and_goes_on_where_it_was_killed(exchange: Exchange) -> None:
    """Not from the founding on, which was minutes ago, but from hours in which nothing passed."""
    first = Hour(Hour.of(now_ms()).start_ms - 10 * HOUR_MS)
    expected = open_since(exchange, first)
    forged = forge(exchange, expected[-1])
    assert following(exchange, first, 1, signal.SIGKILL) == [expected[0].books_id]
    left = open_since(exchange, first)
    assert left == expected[-len(left) :]
    assert following(exchange, first, len(left), signal.SIGTERM) == [hour.books_id for hour in left]
    assert open_since(exchange, first) == []
    exchange.settle()
    for hour in expected:
        places = [place for place in reports_of(exchange, hour) if place != forged]
        assert [exchange.fate(place).event["outcome"] for place in places] == ["accepted"]
        assert verdict(exchange, hour).findings == []


def test_an_hour_that_nobody_closes_is_told(exchange: Exchange) -> None:
    """By a clock that is two hours ahead, so that even the present hour should have been closed."""
    world, later_ms = exchange.world, now_ms() + 2 * HOUR_MS
    last = Hour.of(later_ms - CLOCKS_MS).before
    assert due(world.base, lambda: world.trust, later_ms)[-1] == last
    open_hours = OpenHours(world.base, lambda: world.trust)
    assert open_hours.at(later_ms)[-1] == open_hours.at(later_ms)[-1] == last
    assert open_hours.at(later_ms + HOUR_MS)[-1] == Hour(last.end_ms)
    code, said, _ = run(exchange, "status", "--json")
    assert (code, json.loads(said)["hours_overdue"]) == (0, [])


def open_since(exchange: Exchange, first: Hour) -> list[Hour]:
    """The open hours before the founding; the later ones are closed by the crew of this very exchange."""
    world = exchange.world
    world.directory_log.catch_up()
    founding = read_one(world.base, "directory", 0, 0)
    assert founding is not None
    found = due(world.base, lambda: world.trust, now_ms(), first)
    return [hour for hour in found if hour < Hour.of(founding.append_ms)]


def following(exchange: Exchange, first: Hour, lines: int, end_by: int) -> list[str]:
    """What `--follow` says that it closed, until so many lines, when it is ended."""
    command = [sys.executable, "-m", "exchange", "--home", str(exchange.world.home.folder)]
    command += ["close-hour", first.name, "--follow"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().split()[0] for _ in range(lines)]
        process.send_signal(end_by)
        assert process.wait(60) == (0 if end_by == signal.SIGTERM else -end_by)
    return told


def forge(exchange: Exchange, hour: Hour) -> Place:
    """Somebody else closes an hour in the backbone's name, under his own seal; returns where that lies."""
    sender = exchange.member(Level.PROVINCE, 3)
    fields = Books(hour, {}).statement(BACKBONE_CODE, attachment("x.json", "application/json", 1, bytes(32)))
    return exchange.submit("report", fields, sender)


def reports_of(exchange: Exchange, hour: Hour) -> list[Place]:
    key = f"{BACKBONE_CODE}/{BOOKS_REGIME}/{hour.name}".encode()
    starts: dict[tuple[str, int], int | None] = {("reports", p): None for p in range(exchange.world.layout.keyed)}
    portions = read_to_end(exchange.world.base, starts)
    return [read[:3] for portion in portions for read in portion if read.key == key]
