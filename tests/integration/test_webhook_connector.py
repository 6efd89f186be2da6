"""The webhook connector against a real gateway, a real exchange and a real receiver."""

from __future__ import annotations

import base64
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from connectors.shared.figures import Figures
from connectors.webhook.connector import WebhookConnector
from connectors.webhook.limits import Limits
from connectors.webhook.posting import Target
from connectors.webhook.signing import KEY, LABEL, PUBLIC, Signer, make_key
from exchange import Agency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from exchange.sdk import Published
from tests.support.gateways import Served, serving
from tests.support.http_signatures import verify
from tests.support.killed import killed
from tests.support.receivers import Posted, Receiver, receiving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

SETTLE_S = 60.0
IMPATIENT = Limits(pause_s_min=0.01, pause_s_max=0.02, open_s_min=0.01, open_s_max=0.02)


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def recipient(exchange: Exchange) -> Member:
    return exchange.member(Level.COMMUNE, 15)


@pytest.fixture
def sender(served: Served, exchange: Exchange, tmp_path: Path) -> Iterator[Agency]:
    member = exchange.member(Level.PROVINCE, 15)
    with Agency(member.agency.code, member.key, served.url, folder=tmp_path / "sender") as agency:
        list(agency.inbox())
        yield agency


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def webhook(served: Served, recipient: Member, receiver: Receiver, tmp_path: Path) -> Iterator[WebhookConnector]:
    """The recipient's connector, its inbox read up."""
    make_key(tmp_path)
    with Agency(recipient.agency.code, recipient.key, served.url, folder=tmp_path / "recipient") as agency:
        list(agency.inbox())
        target = Target(receiver.url, (ip_network("127.0.0.0/8"),))
        connector = WebhookConnector(
            agency, tmp_path / "hook", target, Signer(tmp_path / KEY), Figures("webhook"), IMPATIENT
        )
        yield connector
        connector.close()


def about(posts: list[Posted], *published: Published) -> list[tuple[str, str]]:
    """What was posted of these documents: subject and business, in order."""
    ids = {one.id for one in published}
    said = [json.loads(post.parts[0][2])["fields"] for post in posts]
    return [(one["subject"], one["business"]) for one in said if one["id"] in ids]


def comes(connector: WebhookConnector, condition: Callable[[], bool]) -> bool:
    """Whether it holds after some turns."""

    def look() -> bool:
        connector.turn()
        return condition()

    return wait_until(look, SETTLE_S)


def _seen(agency: Agency, ids: set[str]) -> bool:
    """Whether all of these have arrived; those that have are taken out."""
    ids.difference_update({one.fields["id"] for one in agency.inbox()})
    return not ids


def statuses(agency: Agency, published: Published) -> list[int]:
    return [
        one.fields["code"]
        for one in agency.inbox(kinds=["status"])
        if one.fields["document"]["id"] == published.id
    ]  # fmt: skip


def test_a_document_is_posted_signed_and_then_acknowledged(
    sender: Agency, webhook: WebhookConnector, receiver: Receiver, tmp_path: Path
) -> None:
    file = tmp_path / 'kế "hoạch".txt'
    file.write_text("Điều 1", "utf-8")
    receiver.answer = lambda _: (503, {})
    published = sender.publish([file], [webhook.agency.code], "Kế hoạch")
    assert comes(webhook, lambda: bool(about(receiver.posts, published)))
    assert comes(webhook, lambda: len(about(receiver.posts, published)) > 2)
    assert statuses(sender, published) == [], "not before it is taken"
    receiver.answer = lambda _: (200, {})
    assert comes(webhook, lambda: statuses(sender, published) == [1])

    public = load_pem_public_key((tmp_path / PUBLIC).read_bytes())
    assert isinstance(public, ed25519.Ed25519PublicKey)
    ours = [post for post in receiver.posts if published.id.encode() in post.body]
    for post in ours:
        covered = verify(public, LABEL, post.headers, method="POST", url=receiver.url)
        digest = hashlib.sha256(post.body).digest()
        assert covered["content-digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert len({post.body for post in ours}) == len({post.headers["idempotency-key"] for post in ours}) == 1
    [(name, _, _), (kind, file_name, content)] = ours[0].parts
    assert (name, kind, content.decode()) == ("statement", "file", "Điều 1")
    assert file_name.replace("%22", '"') == file.name


def test_of_one_document_nothing_overtakes_and_another_isnt_held_up(
    sender: Agency, webhook: WebhookConnector, receiver: Receiver
) -> None:
    """A refused document is a dead letter that holds its recall; posted again, both come in their order."""
    first = sender.publish([], [webhook.agency.code], "Một")
    receiver.answer = lambda post: (422 if "Một".encode() in post.body else 200, {})
    recall = sender.recall(first, "Một: thu hồi")
    other = sender.publish([], [webhook.agency.code], "Hai")
    assert comes(webhook, lambda: bool(about(receiver.posts, other)))
    assert comes(webhook, lambda: len(webhook.box.queue.listed("waiting")) == 1)
    assert about(receiver.posts, first, recall) == [("Một", "new")]
    [(name, why)] = webhook.box.dead_letters.listed()
    assert why["code"] == "webhook.refused_422"
    receiver.answer = lambda _: (200, {})
    webhook.turn()
    assert about(receiver.posts, first, recall) == [("Một", "new")]
    webhook.box.replay(first.id)
    webhook.turn()
    assert about(receiver.posts, first, recall) == [("Một", "new"), ("Một", "new"), ("Một: thu hồi", "recall")]
    assert not (webhook.box.dead_letters.folder / name).exists()
    assert wait_until(lambda: 1 in statuses(sender, first), SETTLE_S)


def test_the_receiver_away_for_a_while_and_a_restart(
    served: Served, sender: Agency, recipient: Member, webhook: WebhookConnector, receiver: Receiver, tmp_path: Path
) -> None:
    published = [sender.publish([], [webhook.agency.code], f"Số {number}") for number in range(12)]
    receiver.answer = lambda _: (500, {})
    ids = {one.id for one in published}
    assert comes(webhook, lambda: ids <= {row["id"] for row in webhook.box.queue.listed("waiting")})
    assert comes(webhook, lambda: webhook.breaker.is_open)
    webhook.close()
    webhook.agency.close()
    receiver.posts.clear()
    receiver.answer = lambda _: (204, {})
    target = Target(receiver.url, (ip_network("127.0.0.0/8"),))
    with Agency(recipient.agency.code, recipient.key, served.url, folder=tmp_path / "recipient") as agency:
        again = WebhookConnector(
            agency, tmp_path / "hook", target, Signer(tmp_path / KEY), Figures("webhook"), IMPATIENT
        )
        assert comes(again, lambda: not again.box.queue.listed("waiting", "posted"))
        again.close()
    assert sorted(about(receiver.posts, *published)) == sorted((f"Số {number}", "new") for number in range(12))


def test_killed_before_every_step(
    served: Served, exchange: Exchange, sender: Agency, recipient: Member, receiver: Receiver, tmp_path: Path
) -> None:
    """Everything is posted, the same bytes under the same key, and everything is acknowledged."""
    make_key(tmp_path)
    root, code = tmp_path / "killed", recipient.agency.code
    key = exchange.world.home.keys / "agencies" / code
    with killed(
        "tests.support.webhook_turn", code=code, key=str(key), gateway=served.url, root=str(root), url=receiver.url,
        signer=str(tmp_path / KEY),
    ) as hook:  # fmt: skip
        assert hook.turn()
        receiver.posts.clear()
        file = tmp_path / "x.txt"
        file.write_text("x")
        published = sender.publish_batch([([file], [code], f"Bước {number}") for number in range(4)])
        ids = {one.id for one in published}
        with Agency(code, recipient.key, served.url, folder=tmp_path / "peek") as peek:
            assert wait_until(lambda: _seen(peek, ids), SETTLE_S)
        kill_at = 0
        while not hook.turn(kill_at := kill_at + 1):
            pass
        assert hook.turn()
    assert kill_at > 10
    assert {subject for subject, _ in about(receiver.posts, *published)} == {f"Bước {number}" for number in range(4)}
    bodies = {(post.headers["idempotency-key"], post.body) for post in receiver.posts}
    assert len(bodies) == len({name for name, _ in bodies})
    waiting = {one.id for one in published}

    def all_acknowledged() -> bool:
        waiting.difference_update(
            one.fields["document"]["id"] for one in sender.inbox(kinds=["status"]) if one.fields["code"] == 1
        )
        return not waiting

    assert wait_until(all_acknowledged, SETTLE_S)


def test_the_commands(
    served: Served, exchange: Exchange, sender: Agency, recipient: Member, receiver: Receiver, tmp_path: Path
) -> None:
    code, folder = recipient.agency.code, tmp_path / "served"
    key = tmp_path / "keys"
    key.mkdir()
    for path in (exchange.world.home.keys / "agencies" / code).iterdir():
        (key / path.name).write_bytes(path.read_bytes())

    def run(*arguments: str, expect: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "exchange", "webhook", *arguments], capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == expect, (done.stdout, done.stderr)
        return done.stdout + done.stderr

    place = ["--agency", code, "--folder", str(folder)]
    assert PUBLIC in run("key", str(key))
    assert "--allow" in run("serve", receiver.url, *place, "--key", str(key), expect=2)
    command = [
        sys.executable, "-m", "exchange", "webhook", "serve", receiver.url, *place, "--key", str(key), "--gateway",
        served.url, "--allow", "127.0.0.0/8", "--metrics", str(tmp_path / "webhook.prom"),
    ]  # fmt: skip
    receiver.answer = lambda post: (422 if "Lệnh".encode() in post.body else 200, {})
    published = sender.publish([], [code], "Lệnh")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert wait_until(lambda: bool(about(receiver.posts, published)), SETTLE_S)
        assert wait_until(lambda: bool(list((folder / "dead-letters").glob("*/why.json"))), SETTLE_S)
        assert "webhook.refused_422" in run("list", *place)
        receiver.answer = lambda _: (200, {})
        assert "1 to be posted again" in run("replay", published.id, *place)
        assert wait_until(lambda: len(about(receiver.posts, published)) == 2, SETTLE_S)
        assert wait_until(lambda: "waiting 0.0" in (tmp_path / "webhook.prom").read_text("utf-8"), SETTLE_S)
        assert json.loads(run("list", *place, "--json")) == []
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
    assert 'exchange_webhook_dead_letters_total{code="webhook.refused_422"} 1.0' in (
        tmp_path / "webhook.prom"
    ).read_text("utf-8")  # fmt: skip
