"""Witnesses and time-stamps behind the ledger: whoever stalls holds nobody up, and how long it went unseen is said."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread

import pytest
from structlog.testing import capture_logs

from exchange.backbone.folder import Folder
from exchange.errors import InvariantBroken, Misconfigured, Unavailable
from exchange.ledger import cosigning
from exchange.ledger.attesting import Ages, Attesting, AttestorServer, Limits, Stamping, Watcher, ages, kept_stamp
from exchange.ledger.attesting.kept import STAMPED, STATE, StampedCheckpoint, keep_stamp
from exchange.ledger.attesting.serving import AT_ONCE_MAX, BODY_BYTES_MAX
from exchange.ledger.checkpoint import cosignatures, open_checkpoint
from exchange.ledger.notes import COSIGNATURE, NoteKey
from exchange.ledger.order import Order, Taken
from exchange.ledger.stamps import TimeStamper, verify_stamp
from exchange.ledger.store import CHECKPOINT, LedgerStore
from exchange.ledger.witness import Witness
from exchange.local.authority import Authority
from tests.support.signing import NOW_MS
from tests.support.stamping import stamper

LOG = NoteKey.generate("log.test")
KEYS = [NoteKey.generate(f"witness.test/{number}", COSIGNATURE) for number in (1, 2)]


@dataclass
class Attestor:
    """A server with a witness and a time-stamper, that can be away."""

    server: AttestorServer
    key: NoteKey

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def ask(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
        connection = HTTPConnection("127.0.0.1", self.server.server_port, timeout=5)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type(), answer.read()
        finally:
            connection.close()


@dataclass
class Scene:
    """A ledger, those who attest it, and a clock that a test moves."""

    folder: Folder
    store: LedgerStore
    authority: Authority
    attestors: list[Attestor]
    now_s: float = NOW_MS / 1000
    grown: int = 0
    urls: list[str] = field(default_factory=list)

    def grow(self, count: int = 3) -> int:
        entries = [sha256(f"{self.grown + n}".encode()).digest() for n in range(count)]
        order = Order(self.store.size, self.store.root, b"b" * 16, [Taken(0, self.grown, count)], entries)
        self.store.take(order, 0, bytes(16 * count))
        self.grown += count
        self.store.sign()
        self.store.remember()
        return self.store.size

    def attesting(self, *, watchers: int = 2, needed: int = 1, tsa: str | None = None) -> Attesting:
        first = self.attestors[0]
        return Attesting(
            self.folder,
            LOG.verifier,
            Stamping(tsa or f"{first.url}/tsa", (self.authority.root_certificate,)),
            [Watcher(one.url, one.key.verifier) for one in self.attestors[:watchers]],
            witnesses_needed=needed,
            every_s=10.0,
            limits=Limits(30.0, 60.0),
            clock=lambda: self.now_s,
            monotonic=lambda: self.now_s,
        )

    def ages(self) -> Ages:
        return ages(self.folder, LOG.verifier, self.now_s)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    folder = Folder(tmp_path / "ledger")
    authority = Authority.generate(Path("never-written"), now_ms=NOW_MS)
    tsa: TimeStamper = stamper(authority, NOW_MS)
    made, threads = [], []
    for number, key in enumerate(KEYS):
        witness = Witness(tmp_path / f"witness-{number}", key, [LOG.verifier])
        server = AttestorServer(("127.0.0.1", 0), witness, tsa)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        threads.append(thread)
        made.append(Attestor(server, key))
    yield Scene(folder, LedgerStore(folder, LOG), authority, made)
    for one, thread in zip(made, threads, strict=True):
        one.server.shutdown()
        thread.join()
        one.server.server_close()


def test_cosigned_and_stamped_each_time_the_tree_has_grown(scene: Scene) -> None:
    attesting = scene.attesting()
    attesting.round()  # nothing is signed yet
    assert scene.ages() == Ages(0.0, 0.0)
    size = scene.grow()
    assert scene.ages() == Ages(None, None)
    attesting.round()
    cosigned = scene.folder.read(cosigning.COSIGNED)
    assert cosigned is not None
    assert [one.witness for one in cosignatures(cosigned, [key.verifier for key in KEYS])] == [
        key.verifier.name for key in KEYS
    ]
    kept = kept_stamp(scene.folder, size)
    assert kept is not None
    assert kept.note == cosigned
    roots = [scene.authority.root_certificate]
    assert verify_stamp(kept.token, sha256(cosigned).digest(), roots).time_ms == NOW_MS
    assert scene.ages() == Ages(0.0, 0.0)
    # It grows again within the pace: it is noticed, and attested when it is time.
    size = scene.grow()
    scene.now_s += 4
    attesting.round()
    scene.now_s += 5
    assert kept_stamp(scene.folder, size) is None
    assert scene.ages() == Ages(5.0, 5.0)
    scene.now_s += 1
    attesting.round()
    kept = kept_stamp(scene.folder, size)
    assert kept is not None
    assert open_checkpoint(kept.note, LOG.verifier).size == size
    assert scene.ages() == Ages(0.0, 0.0)
    # An older document finds the earliest stamp that covers it.
    assert kept_stamp(scene.folder, 1) != kept
    # Another process goes on.
    size = scene.grow()
    scene.attesting().round()
    assert kept_stamp(scene.folder, size) is not None


def test_one_witness_of_two_is_away(scene: Scene) -> None:
    attesting, size = scene.attesting(needed=1), scene.grow()
    attesting.watchers = [attesting.watchers[0], Watcher("http://127.0.0.1:1", KEYS[1].verifier)]
    attesting.round()
    assert scene.ages() == Ages(0.0, 0.0)
    assert kept_stamp(scene.folder, size) is not None
    attesting.witnesses_needed = 2
    size = scene.grow()
    scene.now_s += 10
    attesting.round()
    scene.now_s += 7
    assert scene.ages().unwitnessed_s == 7.0
    # It comes back, and is asked from what it had seen.
    attesting.watchers = [Watcher(one.url, one.key.verifier) for one in scene.attestors]
    attesting.round()
    assert scene.ages() == Ages(0.0, 0.0)


def test_a_stamping_authority_that_is_away_is_said_once_and_when_it_is_over(scene: Scene) -> None:
    attesting = scene.attesting(tsa="http://127.0.0.1:1/")
    scene.grow()
    with capture_logs() as logs:
        for _ in range(90):
            attesting.round()
            scene.now_s += 1
    tries = sum(entry["event"] == "ledger.attestor_waiting" for entry in logs)
    assert tries == 7  # after 0, 1, 3, 7, 15, 31, 63 s
    [loud] = [entry for entry in logs if entry["log_level"] == "error"]
    assert (loud["event"], loud["age_s"], loud["limit_s"]) == ("ledger.unstamped", 61, 60.0)
    found = scene.ages()
    assert found == Ages(0.0, 90.0)
    assert found.beyond(attesting.limits) == ["ledger.unstamped"]
    assert found.beyond(Limits(unstamped_s=90.0)) == []
    assert Ages(None, None).beyond(Limits()) == ["ledger.unwitnessed", "ledger.unstamped"]
    attesting.stamping = Stamping(f"{scene.attestors[0].url}/tsa", (scene.authority.root_certificate,))
    with capture_logs() as logs:
        attesting.round()
    assert [entry["event"] for entry in logs] == ["ledger.unstamped_no_more"]
    assert scene.ages() == Ages(0.0, 0.0)


def test_a_ledger_that_was_set_back_is_refused_by_its_witness(scene: Scene, tmp_path: Path) -> None:
    scene.grow(10)
    scene.attesting().round()
    back = Folder(tmp_path / "back")
    other = Scene(back, LedgerStore(back, LOG), scene.authority, scene.attestors)
    other.grow(4)
    with capture_logs() as logs:
        other.attesting(watchers=1).round()
    [said] = [entry for entry in logs if entry["event"] == "ledger.attestor_waiting"]
    assert said["code"] == "witness.ahead"
    # As large, but another tree.
    forked = Folder(tmp_path / "forked")
    other = Scene(forked, LedgerStore(forked, LOG), scene.authority, scene.attestors, grown=100)
    other.grow(10)
    with capture_logs() as logs:
        other.attesting(watchers=1).round()
    [said] = [entry for entry in logs if entry["event"] == "ledger.attestor_waiting"]
    assert (said["code"], said["log_level"]) == ("witness.inconsistent", "error")
    assert other.ages().unwitnessed_s == 0.0 or other.folder.read(cosigning.COSIGNED) is None


def test_a_disk_that_fails_is_waited_for_and_a_bug_is_not(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.grow()
    stop, raised = Event(), list[int]()
    attesting = scene.attesting()
    monkeypatch.setattr("exchange.ledger.attesting.loop.POLL_S", 0.001)

    def reading(failure: Exception) -> Callable[[str], bytes]:
        def read(_: str) -> bytes:
            raised.append(1)
            if len(raised) > 2:
                stop.set()
            raise failure

        return read

    monkeypatch.setattr(scene.folder, "read", reading(Unavailable("storage.unavailable", "full")))
    with capture_logs() as logs:
        attesting.run(stop)
    assert [entry["event"] for entry in logs] == ["ledger.not_attested"] * 3
    monkeypatch.setattr(scene.folder, "read", reading(InvariantBroken("a bug")))
    with pytest.raises(InvariantBroken):
        attesting.run(Event())
    monkeypatch.undo()
    scene.folder.replace(STATE, b"{")
    with pytest.raises(InvariantBroken):
        scene.ages()


def test_a_day_of_stamps_is_kept_and_then_one_an_hour(scene: Scene) -> None:
    one = StampedCheckpoint(b"note\n\n\xe2\x80\x94 a AAAAAAAA\n", b"token")
    start = NOW_MS // 1000 // 3600 * 3600
    for minute in range(0, 60 * 30, 10):
        keep_stamp(scene.folder, minute + 1, start + minute * 60, one)
    times = [(int(name.partition("-")[2]) - start) // 60 for name in scene.folder.names(STAMPED)]
    assert times == [*range(0, 350, 60), *range(350, 1800, 10)]
    assert kept_stamp(scene.folder, 2) == one
    assert kept_stamp(scene.folder, 5000) is None


def test_a_stamped_checkpoint_that_is_cosigned_too_goes_first(scene: Scene) -> None:
    line = "— a AAAAAAAA\n"
    alone, both = (StampedCheckpoint(f"note\n\n{line * count}".encode(), b"token") for count in (1, 2))
    keep_stamp(scene.folder, 5, 1, alone)
    assert kept_stamp(scene.folder, 3) == alone
    keep_stamp(scene.folder, 6, 2, both)
    assert kept_stamp(scene.folder, 3) == both
    assert kept_stamp(scene.folder, 6) == both


def trickled(slow: socket.socket) -> int:
    """Send a byte now and then, until the line is cut; how many that were."""
    slow.settimeout(0.02)
    for sent in range(1_000):
        try:
            slow.sendall(b"x")
            with suppress(TimeoutError):
                if not slow.recv(1):
                    return sent
        except OSError:
            return sent
    return 1_000


class TestServer:
    def test_what_strangers_send(self, scene: Scene) -> None:
        [one, _] = scene.attestors
        scene.grow()
        data = scene.folder.read(CHECKPOINT)
        assert data is not None
        asked = cosigning.request(scene.folder, LOG.verifier, 0)
        plain = {"Content-Type": "text/plain"}
        forged = asked.checkpoint.replace("— log.test".encode(), "— log.tesu".encode())
        stranger = asked.checkpoint.replace(b"log.test\n", b"log.other\n")
        assert one.ask("/add-checkpoint", b"nonsense", plain)[0] == 400
        assert one.ask("/add-checkpoint", asked._replace(checkpoint=stranger).encode(), plain)[0] == 404
        assert one.ask("/add-checkpoint", asked._replace(checkpoint=forged).encode(), plain)[0] == 403
        assert one.ask("/add-checkpoint", asked.encode(), plain)[0] == 200
        assert one.ask("/add-checkpoint", asked.encode(), plain) == (409, "text/x.tlog.size", b"3\n")
        assert one.ask("/elsewhere", b"", plain)[0] == 404
        assert one.ask("/tsa", b"x", plain)[0] == 415
        assert one.ask("/tsa", b"x", {"Content-Type": "application/timestamp-query"})[0] == 200
        assert one.ask("/tsa", b"", {"Content-Length": str(BODY_BYTES_MAX + 1)})[0] == 413
        assert one.ask("/tsa", b"", {"Content-Length": "-1"})[0] == 413

    def test_so_many_at_once(self, scene: Scene) -> None:
        [one, _] = scene.attestors
        held = [HTTPConnection("127.0.0.1", one.server.server_port, timeout=5) for _ in range(AT_ONCE_MAX)]
        for connection in held:
            connection.connect()
            connection.putrequest("POST", "/tsa")
        connection = HTTPConnection("127.0.0.1", one.server.server_port, timeout=5)
        connection.request("POST", "/tsa", b"x")
        with pytest.raises(OSError):  # noqa: PT011  the one too many is let go, one way or the other
            connection.getresponse()
        connection.close()
        for other in held:
            other.close()

    def test_who_sends_a_byte_now_and_then_is_cut_off(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("exchange.ledger.attesting.serving._Handler.timeout", 0.3)
        [one, _] = scene.attestors
        with socket.create_connection(("127.0.0.1", one.server.server_port), timeout=10) as slow:
            slow.sendall(b"POST /tsa HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
            assert 0 < trickled(slow) < 1_000

    def test_a_witness_has_no_address_with_a_password(self, scene: Scene) -> None:
        scene.grow()
        attesting = scene.attesting()
        attesting.watchers = [Watcher("http://me:secret@127.0.0.1", KEYS[0].verifier)]
        with pytest.raises(Misconfigured):
            attesting.round()
