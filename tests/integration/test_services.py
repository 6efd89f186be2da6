"""Up, down and status on the real services: data stay, kills are survived, nothing is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from exchange.errors import Misconfigured, Unavailable
from exchange.local.home import Home
from exchange.local.kafka import KafkaCluster
from exchange.local.kafka_settings import FENCING, HEAP_MIB
from exchange.local.services import Services, down, status, up
from exchange.local.waiting import wait_until

pytestmark = pytest.mark.integration

_UP = """
import sys
from exchange.local.home import Home
from exchange.local.services import up
up(Home(sys.argv[1]))
"""


def _processes_of(home: Home) -> list[psutil.Process]:
    """Find every living process that works in the home's folder or names it, whoever started it."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        words = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(home.folder) in word for word in words):
            found.append(process)
    return found


def _start(home: Home, nodes: int = 1, heap_mib: int = HEAP_MIB) -> Services:
    """Start a new home and make the topic that `_write` writes to."""
    services = up(home, nodes=nodes, heap_mib=heap_mib)
    admin = AdminClient({"bootstrap.servers": services.bootstrap_servers})
    admin.create_topics([NewTopic("words", 1)])["words"].result(timeout=20)
    return services


def _write(services: Services, value: str) -> None:
    """Say `value` to both: a transaction on Kafka with the hop's time-out, a row in PostgreSQL."""
    producer = Producer(
        {
            "bootstrap.servers": services.bootstrap_servers,
            "transactional.id": "words",
            "transaction.timeout.ms": 2000,
            "log_level": 0,
        }
    )
    assert wait_until(lambda: _is_initialised(producer), 60), "the killed leader's transaction never ended"
    producer.begin_transaction()
    producer.produce("words", value)
    producer.commit_transaction(20)
    with psycopg.connect(services.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        connection.execute("INSERT INTO words VALUES (%s)", [value])


def _is_initialised(producer: Producer) -> bool:
    try:
        producer.init_transactions(20)
    except KafkaException as exc:
        if not exc.args[0].retriable():
            raise
        return False
    return True


def _read(services: Services) -> tuple[list[str], list[str]]:
    """Read back what Kafka and PostgreSQL hold."""
    consumer = Consumer(
        {
            "bootstrap.servers": services.bootstrap_servers,
            "group.id": "readers",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition("words", 0, 0)])
    kafka: list[str] = []
    while True:
        message = consumer.poll(20)
        assert message is not None, "no answer from Kafka"
        if (error := message.error()) is not None:
            assert error.code() == KafkaError._PARTITION_EOF
            break
        kafka.append((message.value() or b"").decode())
    consumer.close()
    with psycopg.connect(services.database_url) as connection:
        rows = connection.execute("SELECT word FROM words ORDER BY word").fetchall()
    return kafka, [row[0] for row in rows]


def test_data_survive_down_and_up(fresh_home: Home) -> None:
    first = _start(fresh_home)
    _write(first, "a")
    down(fresh_home)
    assert _processes_of(fresh_home) == []
    assert [row.state for row in status(fresh_home)] == ["stopped", "stopped"]

    second = up(fresh_home)
    assert second == first, "a restart keeps the addresses"
    _write(second, "b")
    assert _read(second) == (["a", "b"], ["a", "b"])


def test_up_is_idempotent_and_status_tells(fresh_home: Home) -> None:
    assert status(fresh_home) == []
    first = up(fresh_home)
    before = status(fresh_home)
    assert up(fresh_home) == first
    after = status(fresh_home)
    assert [(row.name, row.state) for row in after] == [("kafka-1", "running"), ("postgres", "running")]
    assert [row.pid for row in before] == [row.pid for row in after]
    assert after[0].address == first.bootstrap_servers
    for row in after:
        assert row.resident_bytes > 10_000_000
        assert row.disk_bytes > 0
        assert row.since is not None
    down(fresh_home)
    down(fresh_home)


@pytest.mark.fault
@pytest.mark.parametrize("victim", ["kafka-1", "postgres"])
def test_up_recovers_from_a_kill(fresh_home: Home, victim: str) -> None:
    services = _start(fresh_home)
    _write(services, "a")
    pids = {row.name: row.pid for row in status(fresh_home)}
    pid = pids[victim]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: "crashed" in {row.state for row in status(fresh_home)}, 10)

    assert up(fresh_home) == services
    again = {row.name: row.pid for row in status(fresh_home)}
    assert {name for name in pids if pids[name] != again[name]} == {victim}, "the other one was left alone"
    _write(services, "b")
    assert _read(services) == (["a", "b"], ["a", "b"])


@pytest.mark.fault
def test_a_killed_broker_does_not_wake_up_as_the_leader_it_was(fresh_home: Home) -> None:
    services = _start(fresh_home)
    KafkaCluster(fresh_home).kill()
    up(fresh_home)
    assert f"{FENCING} 1 " in (fresh_home.run / "controller-1.log.1").read_text(encoding="utf-8")
    _write(services, "a")
    down(fresh_home)
    up(fresh_home)
    assert _read(services) == (["a"], ["a"]), "no controller is needed after an orderly end"


@pytest.mark.fault
def test_a_stale_lock_file_of_postgres_with_a_living_pid_does_not_stop_it(fresh_home: Home) -> None:
    up(fresh_home)
    row = status(fresh_home)[1]
    assert row.pid is not None
    lock_file = fresh_home.postgres / "data" / "postmaster.pid"
    lock = lock_file.read_text(encoding="utf-8")
    os.kill(row.pid, signal.SIGKILL)
    assert wait_until(lambda: not psutil.pid_exists(row.pid or 0) or status(fresh_home)[1].pid is None, 10)
    lock_file.write_text(lock.replace(str(row.pid), str(os.getpid()), 1), encoding="utf-8")
    up(fresh_home)
    assert [row.state for row in status(fresh_home)] == ["running", "running"]


@pytest.mark.fault
@pytest.mark.parametrize("seen", ["kafka/kafka-1.properties", "run/kafka-1.pid", "run/postgres.pid"])
def test_ctrl_c_during_up_leaves_no_process(fresh_home: Home, seen: str) -> None:
    point = fresh_home.folder / seen
    caller = subprocess.Popen(
        [sys.executable, "-c", _UP, str(fresh_home.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert wait_until(lambda: point.exists() or caller.poll() is not None, 60)
    assert caller.poll() is None, "up was over before it could be interrupted"
    caller.send_signal(signal.SIGINT)
    _, errors = caller.communicate(timeout=60)
    assert caller.returncode != 0
    assert b"KeyboardInterrupt" in errors
    assert wait_until(lambda: not _processes_of(fresh_home), 10)
    assert list(fresh_home.run.glob("*.pid")) == []
    up(fresh_home)


def test_services_outlive_the_program_that_started_them(fresh_home: Home) -> None:
    command = [sys.executable, "-W", "error", "-c", _UP, str(fresh_home.folder)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == (b"", b""), "no warning reaches the user"
    assert [row.state for row in status(fresh_home)] == ["running", "running"]
    services = _start(fresh_home)
    _write(services, "a")
    assert _read(services) == (["a"], ["a"])


def test_two_homes_do_not_meet(fresh_home: Home, services: Services) -> None:
    other = _start(fresh_home)
    assert other.bootstrap_servers != services.bootstrap_servers
    _write(other, "a")
    admin = AdminClient({"bootstrap.servers": services.bootstrap_servers})
    assert "words" in AdminClient({"bootstrap.servers": other.bootstrap_servers}).list_topics(timeout=10).topics
    assert "words" not in admin.list_topics(timeout=10).topics


def test_nobody_gets_into_postgres_without_the_password(services: Services, tmp_path: Path) -> None:
    bare = services.database_url.partition("?")[0]
    empty = tmp_path / "empty.pgpass"
    empty.touch(mode=0o600)
    for user in ("exchange", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(f"{bare.replace('exchange@', f'{user}@')}?passfile={empty}")
    with psycopg.connect(services.database_url) as connection:
        row = connection.execute("SELECT usesuper FROM pg_user WHERE usename = current_user").fetchone()
    assert row == (False,)


def test_postgres_has_what_the_trace_store_needs(services: Services) -> None:
    with psycopg.connect(services.database_url) as connection:
        for extension in ("unaccent", "pg_trgm", "ltree"):
            connection.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}".encode())
        query = "SELECT unaccent('Đặng Thị Ước'), lower('ĐẶNG'), array_length(show_trgm('Đặng'), 1)"
        row = connection.execute(query).fetchone()
        connection.rollback()
    assert row == ("Dang Thi Uoc", "đặng", 5)


def test_a_home_keeps_its_number_of_brokers(fresh_home: Home) -> None:
    fresh_home.create()
    fresh_home.settle(1)
    with pytest.raises(Misconfigured, match="made with 1 Kafka brokers, not 3"):
        up(fresh_home, nodes=3)


@pytest.mark.fault
def test_a_broken_broker_is_told_with_its_log(fresh_home: Home) -> None:
    with pytest.raises(Unavailable, match=r"kafka-1 ended; read .*kafka-1\.log"):
        up(fresh_home, heap_mib=1)
    assert _processes_of(fresh_home) == []


@pytest.mark.fault
@pytest.mark.timeout(300)
def test_three_brokers_survive_the_loss_of_one(fresh_home: Home) -> None:
    services = _start(fresh_home, nodes=3, heap_mib=256)
    _write(services, "a")
    pid = status(fresh_home)[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    _write(services, "b")
    assert _read(services) == (["a", "b"], ["a", "b"])
    assert up(fresh_home, nodes=3, heap_mib=256) == services
    assert [row.state for row in status(fresh_home)] == ["running"] * 4
