"""Large agencies write to Kafka themselves: by SASL_SSL, into the submission topics, and can do nothing else.

A broker of its own with the listener for agencies; what is refused here is done by the local listener first, or by
the same principal where it may, so that nothing fails for another reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from typer.testing import CliRunner

from exchange.agencies.levels import Level
from exchange.backbone import topics
from exchange.backbone.clients import Config, connection, producer, transactional_producer
from exchange.backbone.directory_log import DirectoryLog
from exchange.backbone.outsiders import admit, admitted, dismiss
from exchange.backbone.own_inbox import OwnInbox, topic_of
from exchange.backbone.reading import read_to_end
from exchange.backbone.transaction import Probe
from exchange.cli.app import app
from exchange.errors import Misconfigured
from exchange.gateway import kafka
from exchange.local.authority import Authority
from exchange.local.founding import found
from exchange.local.home import Home
from exchange.local.jars import class_path
from exchange.local.kafka import KafkaCluster, _java
from exchange.local.progress import silent
from exchange.local.services import Services
from exchange.local.waiting import wait_until
from exchange.pipeline.routing import INBOX_TOPICS, inbox_partition
from exchange.statements import SUBMISSION_TOPICS, schema
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

AGENCY, READER = "H26", "H40"
OTHERS = ("trace", "store", "dead-letters", "directory", "audit.accesses", "promises", *INBOX_TOPICS.values())
WAIT_S = 20.0
PAGE = Path(__file__).parents[2] / "docs" / "direct-kafka.md"
BLOCKS = re.findall(r"```properties\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
KCAT = pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat isn't installed (Debian: kcat)")


@dataclass
class Opened:
    """A broker that agencies reach. `base`: by the local listener; `outside`: as `AGENCY`."""

    home: Home
    base: Config
    admin: AdminClient
    outside: Config
    partitions: int

    def run(self, *words: str) -> Any:  # noqa: ANN401
        """A command on this world."""
        return CliRunner().invoke(app, ["--home", str(self.home.folder), *words])


def properties(file: Path) -> Config:
    """What the command wrote, in librdkafka's words; its failures come back to the test, and at once."""
    lines = [line.partition("=") for line in file.read_text().splitlines()]
    return {**{name: value for name, _, value in lines}, "log_level": 0, "allow.auto.create.topics": False}


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    """The broker, its topics, the directory, and one agency that was let in."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-direct-"))
    home = Home(folder / "home")
    home.create()
    home.settle(1)
    cluster = KafkaCluster(home)
    try:
        with home.locked():
            cluster.open_outside()
            cluster.start()
            cluster.wait_ready()
        base = connection(cluster.bootstrap_servers)
        admin = AdminClient(base)
        layout = topics.layout(embedded=True, brokers=1)
        topics.apply(admin, topics.difference(admin, layout))
        found(home, base, silent)
        done = CliRunner().invoke(app, ["--home", str(home.folder), "agency", "admit", AGENCY, "--json"])
        assert done.exit_code == 0, done.output
        file = Path(json.loads(done.stdout)["file"])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        outside = properties(file)
        assert outside["sasl.password"] not in done.output
        yield Opened(home, base, admin, outside, layout.inbox)
    finally:
        with home.locked():
            cluster.stop()
        shutil.rmtree(folder)


def write(config: Config, topic: str, value: bytes = b"x") -> KafkaError | None:
    """Write one record; what the broker said, None if it has it."""
    said: list[KafkaError | None] = []
    one = producer(config, delivery_timeout_ms=10_000)
    one.produce(topic, value, b"key", on_delivery=lambda failure, _: said.append(failure))
    one.flush(WAIT_S)
    assert len(said) == 1, f"no answer about {topic}"
    return said[0]


async def fetched(config: Config, topic: str) -> tuple[set[int], int]:
    """What the broker answers to a plain request for a topic's records, which no client library stands before: the
    codes of its partitions, and how many bytes of records."""
    plain = {name: value for name, value in config.items() if name not in {"log_level", "allow.auto.create.topics"}}
    client = AIOKafkaClient(**kafka.connection(plain))
    try:
        await client.bootstrap()
        node = client.get_random_node()
        assert await client.ready(node)
        wanted = [(topic, [(partition, 0, 1_000_000) for partition in range(4)])]
        answer = await client.send(node, FetchRequest(0, 0, 1_000_000, 0, wanted))
        parts = [part for _, listed in answer.topics for part in listed]
        return {part[1] for part in parts}, sum(len(part[-1] or b"") for part in parts)
    finally:
        await client.close()


def test_an_agency_may_write_to_the_submission_topics(opened: Opened) -> None:
    assert {topic: write(opened.outside, topic) for topic in SUBMISSION_TOPICS} == dict.fromkeys(SUBMISSION_TOPICS)


def test_an_agency_may_write_to_nothing_else(opened: Opened) -> None:
    for topic in OTHERS:
        failure = write(opened.outside, topic)
        assert failure is not None, topic
        assert failure.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, (topic, failure)


async def test_an_agency_reads_no_topic_nor_anothers_inbox(opened: Opened) -> None:
    for topic in (*SUBMISSION_TOPICS, *OTHERS):
        if not (await fetched(opened.base, topic))[1]:  # the directory has records, and may hold no nonsense
            assert write(opened.base, topic) is None
        codes, size = await fetched(opened.base, topic)
        assert 0 in codes, topic
        assert size > 0, f"the positive control: the record is in {topic}"
        assert await fetched(opened.outside, topic) == ({KafkaError.TOPIC_AUTHORIZATION_FAILED}, 0), topic


def test_an_agency_joins_no_group(opened: Opened) -> None:
    one = Consumer({**opened.outside, "group.id": "exchange-hop"})
    one.subscribe(["documents"])
    message = one.poll(WAIT_S)
    one.close()
    assert message is not None
    failure = message.error()
    assert failure is not None
    assert failure.code() == KafkaError.GROUP_AUTHORIZATION_FAILED


def test_an_agency_opens_no_transaction(opened: Opened) -> None:
    """An open one would stall every reader; a member of the house can, for 10 s at most."""
    transactional_producer(opened.base, "of-the-house").init_transactions(WAIT_S)
    with pytest.raises(KafkaException) as refused:
        transactional_producer(opened.outside, "of-an-agency").init_transactions(WAIT_S)
    assert refused.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    with pytest.raises(KafkaException) as too_long:
        producer(
            opened.base, transactional_id="too-long", transaction_timeout_ms=10_001, delivery_timeout_ms=10_000
        ).init_transactions(WAIT_S)
    assert too_long.value.args[0].code() == KafkaError.INVALID_TRANSACTION_TIMEOUT


def test_an_agency_changes_nothing(opened: Opened) -> None:
    outside = AdminClient(opened.outside)
    asked: list[Callable[[], dict[Any, Any]]] = [
        lambda: outside.create_topics([NewTopic("mine", 1, 1)]),
        lambda: outside.delete_topics(["documents"]),
        lambda: outside.delete_records([TopicPartition("documents", 0, 1)]),
        lambda: outside.describe_configs([ConfigResource(ResourceType.TOPIC, "store")]),
    ]
    for ask in asked:
        [future] = ask().values()
        with pytest.raises(KafkaException) as refused:
            future.result(WAIT_S)
        assert refused.value.args[0].code() in {
            KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        }, refused.value  # fmt: skip
    assert set(outside.list_topics(timeout=WAIT_S).topics) == set(SUBMISSION_TOPICS), "it sees no other topic"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"sasl.password": "guessed"}, KafkaError._AUTHENTICATION),
        ({"security.protocol": "SSL"}, KafkaError._ALL_BROKERS_DOWN),
        ({"ssl.ca.location": ""}, KafkaError._SSL),
    ],
)
def test_nobody_comes_in_otherwise(opened: Opened, changed: Config, code: int) -> None:
    """Nor does a client speak with a broker that it can't check."""
    heard: list[int] = []
    settings = {**opened.outside, **changed, "error_cb": lambda failure: heard.append(failure.code())}
    one = Producer({name: value for name, value in settings.items() if value != ""})
    with pytest.raises(KafkaException):
        one.list_topics(timeout=2)
    assert wait_until(lambda: one.poll(0.1) >= 0 and code in heard, WAIT_S), heard


def test_a_flood_is_slowed_down(opened: Opened) -> None:
    slow = 20_000
    assert opened.run("agency", "admit", AGENCY, "--bytes-per-s", str(slow)).exit_code == 0
    assert admitted(opened.admin, opened.base, AGENCY).bytes_per_s == slow
    throttled: list[float] = []
    one = producer({**opened.outside, "throttle_cb": lambda event: throttled.append(event.throttle_time)})
    for _ in range(30):  # of 20 kB each: 600 kB, where the broker looks back 10 s
        one.produce("documents", b"x" * 20_000, b"key")
    for _ in range(200):
        one.poll(0.1)
        if throttled:
            break
    one.purge()
    assert throttled
    assert opened.run("agency", "admit", AGENCY).exit_code == 0


def test_who_is_dismissed_writes_no_more_at_once(opened: Opened) -> None:
    """On the connection that is open, and on a new one."""
    admit(opened.admin, opened.base, "H37", b"a password of the test")
    mine = {**opened.outside, "sasl.username": "agency.H37", "sasl.password": "a password of the test"}
    said: list[KafkaError | None] = []
    one = producer(mine, delivery_timeout_ms=10_000, linger_ms=0)
    one.produce("documents", b"x", b"key", on_delivery=lambda failure, _: said.append(failure))
    one.flush(WAIT_S)
    dismiss(opened.admin, opened.base, "H37")
    one.produce("documents", b"x", b"key", on_delivery=lambda failure, _: said.append(failure))
    one.flush(WAIT_S)
    assert said[0] is None
    assert said[1] is not None
    assert said[1].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    with pytest.raises(KafkaException):
        Producer(mine).list_topics(timeout=3)
    left = admitted(opened.admin, opened.base, "H37")
    assert (left.topics, left.inbox, left.bytes_per_s) == ((), None, None)
    dismiss(opened.admin, opened.base, "H37")


def test_a_new_password_ends_the_old_one(opened: Opened) -> None:
    done = opened.run("agency", "admit", "G22", "--json")
    file = Path(json.loads(done.stdout)["file"])
    old = properties(file)
    assert opened.run("agency", "admit", "G22").exit_code == 0
    assert properties(file) == old, "to admit again changes no password"
    assert opened.run("agency", "admit", "G22", "--renew").exit_code == 0
    assert Producer(properties(file)).list_topics(timeout=WAIT_S).topics
    with pytest.raises(KafkaException):
        Producer(old).list_topics(timeout=3)
    assert opened.run("agency", "dismiss", "G22").exit_code == 0
    assert not file.exists()


def test_only_units_of_the_directory_are_admitted(opened: Opened) -> None:
    done = opened.run("agency", "admit", "NOBODY")
    assert "sender.unknown" in str(done.exception)


def test_a_kafka_that_checks_no_rights_admits_nobody(services: Services) -> None:
    base = connection(services.bootstrap_servers)
    with pytest.raises(Misconfigured, match="checks no rights"):
        admit(AdminClient(base), base, AGENCY, b"a password of the test")


@pytest.fixture(scope="module")
def mine(opened: Opened) -> Config:
    """As an agency whose own inbox it may read."""
    done = opened.run("agency", "admit", READER, "--inbox", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["inbox"] == topic_of(READER)
    return properties(Path(said["file"]))


class TestOwnInbox:
    """An agency that asked for it reads its deliveries from a topic of its own, and nobody else does."""

    def deliver(self, opened: Opened, *recipients: list[str]) -> None:
        """Deliveries to these, in `READER`'s partition of its inbox topic."""
        one = producer(opened.base)
        for number, named in enumerate(recipients):
            fields = {
                "topic": "documents", "partition": 0, "offset": number, "append_ms": 1, "directory_offset": 1,
                "recipients": named, "sha256": b"d" * 32, "record": b"r",
            }  # fmt: skip
            place = inbox_partition(READER, opened.partitions)
            one.produce(INBOX_TOPICS[Level.PROVINCE], schema("delivery").encode(fields), b"key", place)
        assert one.flush(WAIT_S) == 0

    def copy(self, opened: Opened, until: int, probe: Probe = lambda _: None) -> None:
        """Run a copier until its topic holds so many."""
        view = DirectoryLog(opened.base, Authority.open(opened.home.keys).registrar_public_key).directory.latest()
        agency = view.agency(READER)
        assert agency is not None
        copier, stop = OwnInbox(opened.base, agency, opened.partitions, probe), Event()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(copier.run, stop)
            wait_until(lambda: running.done() or len(self.copied(opened)) >= until, WAIT_S)
            stop.set()
            running.result(WAIT_S)

    def copied(self, opened: Opened) -> list[list[str]]:
        """Whom each copy names."""
        portions = read_to_end(opened.base, {(topic_of(READER), 0): None})
        return [schema("delivery").decode(read.value)["recipients"] for portion in portions for read in portion]

    def test_each_delivery_is_copied_once_over_kills(self, opened: Opened, mine: Config) -> None:
        assert mine
        self.deliver(opened, [READER, "H37"], ["H37"], [READER])
        self.copy(opened, 2)
        assert self.copied(opened) == [[READER]] * 2, "and names nobody else"
        self.deliver(opened, [READER], ["H37"], [READER])

        def killed(step: str) -> None:
            if step == "produced":
                raise SystemExit(step)

        with pytest.raises(SystemExit):
            self.copy(opened, 99, killed)
        assert len(self.copied(opened)) == 2, "what it wrote is no copy: its transaction was never committed"
        self.copy(opened, 4)
        assert self.copied(opened) == [[READER]] * 4
        self.deliver(opened, [READER])
        self.copy(opened, 5)
        assert self.copied(opened) == [[READER]] * 5

    async def test_only_its_agency_reads_it(self, opened: Opened, mine: Config) -> None:
        self.deliver(opened, [READER])
        self.copy(opened, len(self.copied(opened)) + 1)
        codes, size = await fetched(mine, topic_of(READER))
        assert 0 in codes
        assert size > 0
        assert await fetched(opened.outside, topic_of(READER)) == ({KafkaError.TOPIC_AUTHORIZATION_FAILED}, 0)
        assert await fetched(mine, INBOX_TOPICS[Level.PROVINCE]) == ({KafkaError.TOPIC_AUTHORIZATION_FAILED}, 0)
        failure = write(mine, topic_of(READER))
        assert failure is not None
        assert failure.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED

    def test_in_groups_of_its_own_names(self, opened: Opened, mine: Config) -> None:
        self.deliver(opened, [READER])
        self.copy(opened, len(self.copied(opened)) + 1)
        heard = {}
        for group in (f"agency.{READER}:archive", "agency.H37:archive", "exchange-hop"):
            one = Consumer({**mine, "group.id": group, "auto.offset.reset": "earliest"})
            one.subscribe([topic_of(READER)])
            message = one.poll(WAIT_S)
            one.close()
            assert message is not None
            failure = message.error()
            heard[group] = None if failure is None else failure.code()
        refused = KafkaError.GROUP_AUTHORIZATION_FAILED
        assert list(heard.values()) == [None, refused, refused]


def test_javas_client_writes_with_the_pages_settings(opened: Opened, tmp_path: Path) -> None:
    """Kafka's own console producer; and it is told what it may not do."""
    [block] = [one for one in BLOCKS if "sasl.jaas.config=org.apache.kafka.common.security.scram" in one and "…" in one]
    settings = tmp_path / "java.properties"
    told = block.replace("bootstrap.servers=…", f"bootstrap.servers={opened.outside['bootstrap.servers']}")
    told = told.replace('password="…"', f'password="{opened.outside["sasl.password"]}"')
    settings.write_text(told.replace("=kafka.crt.pem", f"={opened.outside['ssl.ca.location']}"))
    settings.chmod(0o600)
    said = {}
    for topic in ("reports", "trace"):
        command = [_java(), "org.apache.kafka.tools.ConsoleProducer", "--command-config", str(settings)]
        command += ["--bootstrap-server", opened.outside["bootstrap.servers"], "--topic", topic]
        done = subprocess.run(
            command, input=b"from java\n", env={**os.environ, "CLASSPATH": class_path()}, capture_output=True,
            timeout=60, check=False,
        )  # fmt: skip
        said[topic] = (done.stdout + done.stderr).decode()
    assert "TopicAuthorizationException" in said["trace"]
    assert "Exception" not in said["reports"], said
    portions = read_to_end(opened.base, {("reports", partition): None for partition in range(4)})
    assert b"from java" in [read.value for portion in portions for read in portion]


@KCAT
def test_a_record_made_by_openssl_and_sent_by_kcat_is_accepted(exchange: Exchange, tmp_path: Path) -> None:
    """The page's commands as they stand; the same with a stranger's key is refused."""
    [script] = re.findall(r"<!-- run -->\n```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    sender, stranger = exchange.member(Level.PROVINCE), exchange.member(Level.PROVINCE, 1)
    recipient = exchange.member(Level.CENTRAL).agency.code
    outcomes = []
    for signer in (sender, stranger):
        folder = exchange.world.home.keys / "agencies" / signer.agency.code
        for name in ("seal.key.pem", "seal.crt.pem"):
            shutil.copy(folder / name, tmp_path / name)
        (tmp_path / "kafka.properties").write_text(f"bootstrap.servers={exchange.world.base['bootstrap.servers']}\n")
        made = script.replace("FROM=H26 TO=G22", f"FROM={sender.agency.code} TO={recipient}")
        assert made.count(sender.agency.code) == 1
        done = subprocess.run(
            ["bash", "-c", made], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        exchange.settle()
        statement_id = done.stdout.split()[-1]
        [fate] = [
            fate
            for fate in exchange.all_fates()
            if any(event["sender"] == sender.agency.code and event["id"] == statement_id for event in fate.events)
        ]
        outcomes.append((fate.event["outcome"], fate.event["code"], fate.recipients))
    assert outcomes == [("accepted", "", [recipient]), ("rejected", "signature.not_the_senders", [])]
