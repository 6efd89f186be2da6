"""The client for participant systems, against a real gateway: publish, receive, recall; and when all fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from exchange import Agency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.errors import InvariantBroken, Rejected, Unavailable
from exchange.gateway import cursors
from exchange.gateway.deliveries import Delivery
from exchange.gateway.inboxes import Inboxes
from exchange.gateway.problems import Refused
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from exchange.pipeline.routing import inbox_partition
from exchange.sdk import GatewayRefused, Received
from exchange.signatures import decode_record, encode_record
from tests.support.gateways import Served, free_port, self_signed, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook.md"

PUBLISHER = """
import sys
from pathlib import Path
from exchange import Agency
code, key, url, folder, to, file = sys.argv[1:]
agency = Agency(code, key, url, folder=folder, patience_s=0)
number = 0
while True:
    published = agency.publish([file], [to], f"Văn bản {number}")
    print(published.id, flush=True)
    number += 1
"""


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def sender(exchange: Exchange) -> Member:
    return exchange.member(Level.PROVINCE, 5)


@pytest.fixture(scope="module")
def recipient(exchange: Exchange) -> Member:
    return exchange.member(Level.COMMUNE, 5)


@pytest.fixture
def out(served: Served, sender: Member, tmp_path: Path) -> Iterator[Agency]:
    with Agency(sender.agency.code, sender.key, served.url, folder=tmp_path / "out") as agency:
        yield agency


@pytest.fixture
def into(served: Served, exchange: Exchange, recipient: Member, tmp_path: Path) -> Iterator[Agency]:
    roots = [exchange.world.authority.root_certificate]
    with Agency(recipient.agency.code, recipient.key, served.url, folder=tmp_path / "into", roots=roots) as agency:
        list(agency.inbox())
        yield agency


def next_of(agency: Agency, *kinds: str) -> Received:
    received = next(agency.inbox(follow=True, kinds=kinds))
    agency.dealt_with(received)
    return received


def test_the_whole_way(out: Agency, into: Agency, tmp_path: Path) -> None:
    files = [tmp_path / "kế hoạch.pdf", tmp_path / "phụ lục.bin"]
    files[0].write_bytes(b"plan")
    files[1].write_bytes(os.urandom(3 * 1024 * 1024))
    steps: set[str] = set()
    list(out.inbox())
    published = out.publish(files, [into.code], "Kế hoạch", told=lambda step, _done, _total: steps.add(step))
    assert published.is_sent
    assert out.waiting == 0
    assert len(steps) == 4
    received = next_of(into, "document")
    assert (received.fields["id"], received.fields["subject"]) == (published.id, "Kế hoạch")
    saved = into.save(received, tmp_path / "saved")
    assert [path.name for path in saved] == [path.name for path in files]
    assert [path.read_bytes() for path in saved] == [path.read_bytes() for path in files]
    into.acknowledge(received)
    receipt = next_of(out, "status")
    assert (receipt.fields["document"]["id"], receipt.fields["code"]) == (published.id, 1)
    recalled = out.recall(published, "Thu hồi văn bản")
    assert recalled.is_sent
    assert next_of(into, "document").fields["business"] == "recall"
    assert wait_until(lambda: _delivered(out, published.id) == [into.code], 60)


def _delivered(agency: Agency, statement_id: str) -> list[str]:
    try:
        return [one["recipient"] for one in agency.trace(statement_id)["document"]["deliveries"]]
    except GatewayRefused as exc:
        return [exc.code]


def test_a_batch_and_a_restart_between_items(out: Agency, into: Agency, served: Served, recipient: Member) -> None:
    many: list[tuple[list[Path], list[str], str]] = [([], [into.code], f"Văn bản {number}") for number in range(5)]
    published = out.publish_batch(many)
    assert all(one.is_sent for one in published)
    follow = into.inbox(follow=True)
    seen = [next(follow).fields["id"] for _ in range(3)]
    follow.close()
    into.close()
    with Agency(recipient.agency.code, recipient.key, served.url, folder=into._folder) as again:
        follow = again.inbox(follow=True)
        while len(set(seen)) < 5:
            seen.append(next(follow).fields["id"])
        follow.close()
    assert seen[2] == seen[3], "the third was not dealt with"
    assert sorted(set(seen)) == sorted(one.id for one in published)


def test_what_breaks_a_rule_is_not_kept(out: Agency, into: Agency) -> None:
    with pytest.raises(Rejected, match=r"document\.type_unknown"):
        out.publish([], [into.code], "x", type_="??")
    assert out.waiting == 0


def test_a_notice_is_the_backbones(out: Agency) -> None:
    list(out.inbox())
    out.publish([], ["H99.NOBODY"], "Gửi nhầm")
    notice = next_of(out, "notice")
    assert notice.fields["code"] == "recipient.unknown"


def test_a_forged_delivery_is_not_handed_out(out: Agency, into: Agency) -> None:
    out.publish([], [into.code], "x")
    page = into._session.call("GET", "/v1/inbox", query={"cursor": into._place.cursor(), "wait": 30})
    import base64

    record = decode_record(base64.b64decode(page["deliveries"][0]["record"]))
    other = bytearray(record["statement"])
    other[-1] ^= 1
    forged = encode_record(bytes(other), record["signatures"])
    with pytest.raises(InvariantBroken, match="doesn't verify"):
        into._verifying.open(forged, page["deliveries"][0]["append_ms"])


def test_another_agency_is_refused(served: Served, sender: Member, recipient: Member, tmp_path: Path) -> None:
    with (
        Agency(recipient.agency.code, sender.key, served.url, folder=tmp_path) as impostor,
        pytest.raises(GatewayRefused, match=r"assertion\.claims"),
    ):
        impostor.publish([], ["H26"], "x")


def test_a_gateway_that_is_down(exchange: Exchange, sender: Member, recipient: Member, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    file = tmp_path / "plan.pdf"
    file.write_bytes(b"as it was signed")
    with Agency(sender.agency.code, sender.key, url, folder=tmp_path / "out", patience_s=0.2) as agency:
        first = [agency.publish([file], [recipient.agency.code], f"Văn bản {n}") for n in range(3)]
        assert not any(one.is_sent for one in first)
        assert agency.waiting == 3
        assert agency.flush() == 3
    file.write_bytes(b"changed since")
    with (
        serving(exchange.world, port=port),
        Agency(sender.agency.code, sender.key, url, folder=tmp_path / "out") as agency,
        Agency(recipient.agency.code, recipient.key, url, folder=tmp_path / "into") as other,
    ):
        list(other.inbox())
        last = agency.publish([], [recipient.agency.code], "Văn bản 3")
        assert last.is_sent
        assert agency.waiting == 0
        wanted = [*(one.id for one in first), last.id]
        arrived: dict[str, Received] = {}
        for received in other.inbox(follow=True):
            arrived[received.fields["id"]] = received
            if all(one in arrived for one in wanted):
                break
        [saved] = other.save(arrived[first[0].id], tmp_path / "saved")
        assert saved.read_bytes() == b"as it was signed"


def test_the_outbox_survives_kill(exchange: Exchange, sender: Member, recipient: Member, tmp_path: Path) -> None:
    """Killed again and again while it publishes into nothing; then every id that it ever told arrives once."""
    port, file = free_port(), tmp_path / "plan.pdf"
    url = f"http://127.0.0.1:{port}"
    file.write_bytes(b"plan")
    key = exchange.world.home.keys / "agencies" / sender.agency.code
    told: list[str] = []
    for _ in range(3):
        arguments = [sender.agency.code, str(key), url, str(tmp_path / "out"), recipient.agency.code, str(file)]
        with subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            told += [process.stdout.readline().strip() for _ in range(5)]
            process.send_signal(signal.SIGKILL)
            told += [line.strip() for line in process.stdout if line.endswith("\n")]
    with (
        serving(exchange.world, port=port),
        Agency(recipient.agency.code, recipient.key, url, folder=tmp_path / "into") as other,
    ):
        list(other.inbox())
        with Agency(sender.agency.code, sender.key, url, folder=tmp_path / "out") as agency:
            assert agency.waiting >= len(told)
            assert agency.flush() == 0
        exchange.settle()
        arrived = [received.fields["id"] for received in other.inbox(kinds=["document"])]
    assert len(arrived) == len(set(arrived))
    assert set(told) <= set(arrived)


def test_the_cookbook(served: Served, exchange: Exchange, tmp_path: Path) -> None:
    """The recipes as they stand in the documentation, with this world's names put in."""
    text = COOKBOOK.read_text(encoding="utf-8")
    recipes = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    assert len(recipes) >= 2
    keys = exchange.world.home.keys / "agencies"
    sender, recipient = exchange.member(Level.PROVINCE, 9), exchange.member(Level.COMMUNE, 9)
    names = {
        '"H26"': repr(sender.agency.code),
        '"G22"': repr(recipient.agency.code),
        "keys/H26": str(keys / sender.agency.code),
        "keys/G22": str(keys / recipient.agency.code),
        "http://127.0.0.1:8480": served.url,
    }
    so_far = """from exchange import Agency
with Agency("G22", "keys/G22", "http://127.0.0.1:8480") as bureau:
    for received in bureau.inbox():
        bureau.dealt_with(received)
"""
    code = "\n".join([so_far, *recipes])  # for the bureau has had what other tests sent
    for name, here in names.items():
        assert name in code
        code = code.replace(name, here)
    (tmp_path / "plan.pdf").write_bytes(b"plan")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "received" / "plan.pdf").read_bytes() == b"plan"


def test_over_tls(exchange: Exchange, sender: Member, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    with (
        serving(exchange.world, certificate=certificate) as served,
        Agency(sender.agency.code, sender.key, served.url, folder=tmp_path / "out", ca=certificate[0]) as agency,
    ):
        assert served.url.startswith("https://")
        assert agency.find("H26")[0]["code"] == "H26"
        with (
            Agency(sender.agency.code, sender.key, served.url, folder=tmp_path / "other", patience_s=0) as other,
            pytest.raises(Unavailable, match=r"gateway\.unavailable"),
        ):
            other.find("H26")


def test_an_inbox_that_was_not_read_for_too_long(
    exchange: Exchange, out: Agency, into: Agency, recipient: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archiver took the oldest, and the cursor points at them: what is kept comes, once, and the gap is told."""
    sent = [out.publish([], [into.code], f"Văn bản {number}").id for number in range(4)]
    exchange.settle()
    follow = into.inbox()
    assert next(follow).fields["id"] == sent[0]
    second = next(follow)  # the first was dealt with; the second is being dealt with
    follow.close()
    oldest = cursors.decode(second.cursor, recipient.agency.level, _partition(exchange, recipient))
    into.close()
    scan = Inboxes._scan

    def trimmed(inboxes: Inboxes, name: tuple[str, int], start: int) -> AsyncGenerator[tuple[Delivery | None, int]]:
        if 0 <= start < oldest:  # the second left, too, before it was dealt with
            raise Refused("cursor.expired")
        return scan(inboxes, name, start if start >= 0 else oldest)

    monkeypatch.setattr(Inboxes, "_scan", trimmed)
    with serving(exchange.world) as served:  # it remembers nothing
        for _ in range(2):
            with Agency(into.code, recipient.key, served.url, folder=into._folder) as again:
                found = [received.fields["id"] for received in again.inbox(kinds=["document"])]
                assert len(again.gaps()) == 1
                assert [one for one in found if one in sent] == sent[2:]
                sent = []


def _partition(exchange: Exchange, member: Member) -> int:
    return inbox_partition(member.agency.code, exchange.world.layout.inbox)
