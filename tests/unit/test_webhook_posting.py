"""One post: where it may go, how long it may take, what an answer means; the breaker, the pauses, the order."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from connectors.shared.arrivals import FILES, STATEMENT, Arrival
from connectors.shared.book import open_book
from connectors.shared.files import write_json
from connectors.webhook.body import body_of
from connectors.webhook.breaker import Breaker, pause_s
from connectors.webhook.limits import Limits
from connectors.webhook.posting import Later, Poster, Target, is_allowed, retry_after_s
from connectors.webhook.queue import DEAD, DONE, SCHEMA, SKIPPED, Queue
from exchange.errors import ExchangeError, Misconfigured, Rejected, Unavailable
from tests.support.receivers import raw, receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)
QUICK = Limits(silence_s=0.3, post_s=0.6, connect_s=0.5)


def post(url: str, limits: Limits = QUICK, allowed: tuple[Any, ...] = LOOPBACK, body: bytes = b"x") -> None:
    poster = Poster(Target(url, allowed), limits)
    try:
        poster.post({"content-length": str(len(body))}, [body])
    finally:
        poster.close()


def failure_of(url: str, allowed: tuple[Any, ...] = LOOPBACK) -> ExchangeError:
    with pytest.raises(ExchangeError) as failed:
        post(url, allowed=allowed)
    return failed.value


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("192.168.1.1", False), ("172.16.0.1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.1.2.3", False), ("224.0.0.1", False),
        ("255.255.255.255", False), ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fd00::1", False),
        ("::ffff:127.0.0.1", False), ("::ffff:169.254.169.254", False), ("2002:7f00:1::", False), ("ff02::1", False),
    ],
)  # fmt: skip
def test_where_it_may_go(address: str, may: bool) -> None:
    assert is_allowed(address, ()) is may


def test_what_is_allowed_is_allowed_and_no_more() -> None:
    allowed = (ip_network("10.1.0.0/16"),)
    assert is_allowed("10.1.2.3", allowed)
    assert is_allowed("::ffff:10.1.2.3", allowed)
    assert not is_allowed("10.2.0.1", allowed)


def test_a_name_that_resolves_inwards_is_never_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its addresses must be allowed, and the one that was checked is the one that is connected to."""
    with receiving() as receiver:
        answers: list[list[str]] = []

        def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[Any]:
            found = answers.pop(0) if host == "hook.example" else [host]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

        monkeypatch.setattr("connectors.webhook.posting.socket.getaddrinfo", getaddrinfo)
        url = receiver.url.replace("127.0.0.1", "hook.example")
        elsewhere = (ip_network("10.0.0.0/8"),)
        for found in (["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]):
            answers[:] = [found]
            assert failure_of(url, allowed=elsewhere).code == "webhook.address_forbidden"
        assert receiver.posts == []
        answers[:] = [["127.0.0.1"], ["169.254.169.254"]]
        post(url)
        assert answers == [["169.254.169.254"]], "the name was asked for once"
        assert receiver.posts[0].headers["host"] == f"hook.example:{receiver.port}"


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "ftp://example.com/", "https://", "https://u:p@example.com/", "https://example.com/#x",
     "https://exämple.com/", "https://example.com/a b", "/hook"],
)  # fmt: skip
def test_addresses_that_arent_posted_to(url: str) -> None:
    with pytest.raises(Misconfigured):
        Target(url)
    Target("https://example.com/hook?to=H26")


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, Rejected, "webhook.refused_400"), (413, Rejected, "webhook.refused_413"),
        (422, Rejected, "webhook.refused_422"), (401, Unavailable, "webhook.answered_401"),
        (404, Unavailable, "webhook.answered_404"), (302, Unavailable, "webhook.answered_302"),
        (500, Unavailable, "webhook.answered_500"), (503, Unavailable, "webhook.answered_503"),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, kind: type[ExchangeError], code: str) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: (status, {"Location": f"{receiver.url}/elsewhere", "Retry-After": "7"})
        failure = failure_of(receiver.url)
        assert isinstance(failure, kind)
        assert failure.code == code
        assert len(receiver.posts) == 1, "no redirect is followed"
        if isinstance(failure, Unavailable):
            assert isinstance(failure, Later)
            assert failure.after_s == 7
        receiver.answer = lambda _: (200, {})
        post(receiver.url)


def test_nobody_there() -> None:
    with receiving() as receiver:
        url = receiver.url
    assert failure_of(url).code == "webhook.unreachable"


def test_a_receiver_that_is_silent_or_drips_is_let_go() -> None:
    end = threading.Event()

    def silent(connection: socket.socket) -> None:
        connection.recv(1000)
        end.wait(10)

    def drips(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(200):
            if end.wait(0.1):
                return
            try:
                connection.sendall(f"x-{number}: 1\r\n".encode())
            except OSError:
                return

    for behave in (silent, drips):
        end.clear()
        with raw(behave) as url:
            assert failure_of(url).code == "webhook.too_slow"
            end.set()


def test_what_is_no_http_is_the_receivers_state() -> None:
    with raw(lambda connection: connection.sendall(b"SSH-2.0-x\r\n\r\n")) as url:
        assert failure_of(url).code == "webhook.unreachable"


def test_retry_after() -> None:
    assert retry_after_s("120", 0) == 120
    assert retry_after_s("Thu, 01 Jan 1970 00:02:00 GMT", 20) == 100
    assert retry_after_s("Thu, 01 Jan 1970 00:02:00 GMT", 500) == 0
    for text in ("", "soon", "-5", "٣", "9" * 30):
        assert retry_after_s(text, 0) == 0


def test_the_breaker_leaves_a_receiver_alone_and_tries_with_one() -> None:
    limits = Limits(failures=3, open_s_min=10, open_s_max=40)
    breaker = Breaker(limits)
    for _ in range(2):
        breaker.failed(0)
    assert breaker.room(0) == limits.at_once
    breaker.failed(0)
    assert breaker.is_open
    assert breaker.room(4.9) == 0
    assert breaker.room(10) == 1
    breaker.failed(10)
    assert breaker.room(19.9) == 0, "left alone for longer"
    breaker.succeeded()
    breaker.failed(100, asked_s=60)
    assert breaker.room(159) == 0, "as it asked"
    assert breaker.room(161) == limits.at_once


def test_pauses_grow_and_vary_and_heed_the_receiver() -> None:
    limits = Limits(pause_s_min=1, pause_s_max=100)
    drawn = {pause_s(attempts, 0, limits) for attempts in (0, 3, 6, 50) for _ in range(5)}
    assert len(drawn) == 20
    assert 0.5 <= pause_s(0, 0, limits) <= 1
    assert 50 <= pause_s(5000, 0, limits) <= 100
    assert pause_s(0, 500, limits) == 500
    assert pause_s(0, 1e9, limits) == limits.retry_after_s_max


def arrival(name: str, thread: str, kind: str = "document") -> Arrival:
    return Arrival(Path(name), {"kind": kind, "thread": thread, "fields": {"sender": "H26", "id": f"id-{name}"}})


def test_of_each_document_one_at_a_time_in_order(tmp_path: Path) -> None:
    queue = Queue(open_book(tmp_path / "book.sqlite", SCHEMA))
    for name, thread in (("a1", "A"), ("a2", "A"), ("b1", "B"), ("a3", "A")):
        assert queue.add(arrival(name, thread), 0)
    assert not queue.add(arrival("a1", "A"), 0)

    def due(now_ms: int = 0) -> list[str]:
        return [row["name"] for row in queue.due(now_ms, 10)]

    assert due() == ["a1", "b1"]
    queue.later("a1", 50, "webhook.answered_503", 0)
    assert due() == ["b1"], "what comes after doesn't overtake what waits"
    assert due(50) == ["a1", "b1"]
    queue.mark("a1", DONE, 0)
    assert due() == ["a2", "b1"]
    queue.mark("a2", DEAD, 0, code="webhook.refused_400")
    assert due() == ["b1"], "held by what was refused"
    queue.mark("a2", SKIPPED, 0)
    assert due() == ["b1", "a3"]
    queue.again("a2", 0)
    assert due() == ["a2", "b1"], "back in its own place"


def test_a_body_is_the_same_each_time_and_never_in_memory(tmp_path: Path) -> None:
    item = tmp_path / "item"
    (item / FILES).mkdir(parents=True)
    write_json(item / STATEMENT, {"kind": "document"})
    (item / FILES / 'a "quoted" name.txt').write_bytes(b"1\r\n--x")
    (item / FILES / "kế hoạch.pdf").write_bytes(b"2" * 1_000_000)
    first, second = body_of(item), body_of(item)
    assert b"".join(first) == b"".join(first) == b"".join(second)
    assert (first.digest, first.size) == (second.digest, len(b"".join(first)))
    assert max(map(len, first)) <= 256 * 1024
    with receiving() as receiver:
        poster = Poster(Target(receiver.url, LOOPBACK), Limits())
        poster.post({"content-type": first.media_type, "content-length": str(first.size)}, first)
        poster.close()
        parts = receiver.posts[0].parts
    assert [(name, len(content)) for name, _, content in parts] == [("statement", 23), ("file", 6), ("file", 1_000_000)]
