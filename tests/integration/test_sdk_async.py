"""`AsyncAgency` against a real gateway: the same way and guarantees as `Agency`, in one event loop without threads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from exchange import AsyncAgency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.errors import Rejected
from exchange.local.simulation.cast import Member
from exchange.sdk import GatewayRefused, Received
from tests.support.gateways import Served, free_port, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def sender(exchange: Exchange) -> Member:
    return exchange.member(Level.PROVINCE, 12)


@pytest.fixture(scope="module")
def recipient(exchange: Exchange) -> Member:
    return exchange.member(Level.COMMUNE, 12)


@pytest.fixture
async def out(served: Served, sender: Member, tmp_path: Path) -> AsyncIterator[AsyncAgency]:
    async with AsyncAgency(sender.agency.code, sender.key, served.url, folder=tmp_path / "out") as agency:
        yield agency


@pytest.fixture
async def into(served: Served, exchange: Exchange, recipient: Member, tmp_path: Path) -> AsyncIterator[AsyncAgency]:
    roots = [exchange.world.authority.root_certificate]
    async with AsyncAgency(
        recipient.agency.code, recipient.key, served.url, folder=tmp_path / "into", roots=roots
    ) as agency:
        async for _ in agency.inbox():
            pass
        yield agency


async def next_of(agency: AsyncAgency, *kinds: str) -> Received:
    async for received in agency.inbox(follow=True, kinds=kinds):
        agency.dealt_with(received)
        return received
    raise AssertionError


async def test_the_whole_way(out: AsyncAgency, into: AsyncAgency, tmp_path: Path) -> None:
    file = tmp_path / "phụ lục.bin"
    file.write_bytes(os.urandom(3 * 1024 * 1024))
    async for _ in out.inbox():
        pass
    async with asyncio.timeout(60):
        arrives = asyncio.create_task(next_of(into, "document"))
        published = await out.publish([file], [into.code], "Kế hoạch")
        assert published.is_sent
        received = await arrives
        assert received.fields["id"] == published.id
        [saved] = await into.save(received, tmp_path / "saved")
        assert saved.read_bytes() == file.read_bytes()
        await into.acknowledge(received)
        receipt = await next_of(out, "status")
        assert (receipt.fields["document"]["id"], receipt.fields["code"]) == (published.id, 1)
        assert (await out.find("H26"))[0]["code"] == "H26"
        assert await out.look_up("H99.NOBODY") is None


async def test_many_tasks_of_one_agency_keep_the_outbox_right(out: AsyncAgency, into: AsyncAgency) -> None:
    async with asyncio.timeout(60):
        sent = await asyncio.gather(*(out.publish([], [into.code], f"Văn bản {number}") for number in range(10)))
        assert all(one.is_sent for one in sent)
        assert out.waiting == 0
        arrived = [(await next_of(into, "document")).fields["id"] for _ in sent]
    assert sorted(arrived) == sorted(one.id for one in sent)


async def test_a_cancelled_poll_loses_nothing_and_waits_for_nobody(out: AsyncAgency, into: AsyncAgency) -> None:
    async with asyncio.timeout(60):
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(next_of(into, "document"), 0.3)
        published = await out.publish([], [into.code], "x")
        assert (await next_of(into, "document")).fields["id"] == published.id


async def test_refusals_are_the_same(served: Served, out: AsyncAgency, sender: Member, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"document\.type_unknown"):
        await out.publish([], ["H26"], "x", type_="??")
    async with AsyncAgency("H26", sender.key, served.url, folder=tmp_path / "impostor") as impostor:
        with pytest.raises(GatewayRefused, match=r"assertion\.claims"):
            await impostor.publish([], ["H26"], "x")


async def test_a_gateway_that_is_down(exchange: Exchange, sender: Member, recipient: Member, tmp_path: Path) -> None:
    port = free_port()
    url, to = f"http://127.0.0.1:{port}", [recipient.agency.code]
    async with AsyncAgency(sender.agency.code, sender.key, url, folder=tmp_path / "out", patience_s=0.2) as agency:
        first = [await agency.publish([], to, f"Văn bản {number}") for number in range(3)]
        assert not any(one.is_sent for one in first)
        assert await agency.flush() == agency.waiting == 3
    with serving(exchange.world, port=port):
        async with AsyncAgency(sender.agency.code, sender.key, url, folder=tmp_path / "out") as agency:
            assert await agency.flush() == 0
    exchange.settle()
    fates = [event["id"] for fate in exchange.all_fates() for event in fate.events if event["outcome"] == "accepted"]
    assert [fates.count(one.id) for one in first] == [1, 1, 1]
