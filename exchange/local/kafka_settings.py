"""What the embedded brokers are told: server properties, logging, JVM flags. Pure text, no I/O.

Guarantees: they listen on 127.0.0.1 only. Does not: keep other users of this machine out of Kafka, whose
local listener asks for no password; the signature of each statement is what protects the exchange there.
The outside listener, once it is opened, lets nobody in without a name and a password, and a name may do
nothing that no ACL allows.
Every path is relative to the broker's working directory, ``kafka/`` of the home: an absolute one would have
to be escaped in three syntaxes, and Kafka splits ``log.dirs`` at commas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_MIB = 1024 * 1024
_TEN_YEARS_MIN = 10 * 365 * 24 * 60

HEAP_MIB = 768

BROKER_SESSION_MS = 3_000
"""The controller takes a broker that is silent for so long for dead (9 s by default)."""


@dataclass(frozen=True, slots=True)
class Node:
    """One combined broker and controller. `id` counts from 1; `outside_port`: of the listener for agencies."""

    id: int
    broker_port: int
    controller_port: int
    outside_port: int | None = None

    @property
    def name(self) -> str:
        """The node's name in files, logs and status."""
        return f"kafka-{self.id}"


def server_properties(node: Node, nodes: Sequence[Node], log_dir: str) -> str:
    """Write the ``server.properties`` of `node` in a cluster of `nodes`, its data in `log_dir`.

    The voters are static (KRaft version 0): they are read from here at each start, so a port that had to
    change is followed by all, and no node has to be added to a running quorum.
    """
    replicas = min(3, len(nodes))
    replicas_min = max(1, replicas - 1)
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": _voters(nodes),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "BROKER",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listeners": f"BROKER://127.0.0.1:{node.broker_port},CONTROLLER://127.0.0.1:{node.controller_port}",
        "log.dirs": log_dir,
        # Topics are declared, with their settings; a misspelt name is an error, not a topic.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": replicas_min,
        "message.max.bytes": 8 * _MIB,
        "replica.fetch.max.bytes": 8 * _MIB,
        # Ten years: an idle group must not lose its place, or a restored store has nothing to match.
        "offsets.retention.minutes": _TEN_YEARS_MIN,
        # The first member of a group starts at once; a worker that died is missed after 6 s.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        # A dead worker's open transaction hides what follows it: 2 s on the producer, looked at this often.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
        "transaction.max.timeout.ms": 10_000,
        # A broker that was killed may register again only when its old session is over.
        "broker.session.timeout.ms": BROKER_SESSION_MS,
        "broker.heartbeat.interval.ms": BROKER_SESSION_MS // 6,
    }
    for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        settings[f"{topic}.num.partitions"] = 4
        settings[f"{topic}.replication.factor"] = replicas
    settings["transaction.state.log.min.isr"] = replicas_min
    settings["share.coordinator.state.topic.min.isr"] = replicas_min
    if node.outside_port is not None:
        settings["listeners"] = f"{settings['listeners']},OUTSIDE://127.0.0.1:{node.outside_port}"
        settings["listener.security.protocol.map"] = f"{settings['listener.security.protocol.map']},OUTSIDE:SASL_SSL"
        settings |= OUTSIDE
    return _text(settings)


OUTSIDE_CERTIFICATE = "outside.pem"
"""The outside listener's key and certificate, in the brokers' folder."""

OUTSIDE: dict[str, object] = {
    # Without an ACL nothing is allowed. The exchange's own processes come by the listener that asks for no name.
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "listener.name.outside.sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "listener.name.outside.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    "listener.name.outside.ssl.keystore.type": "PEM",
    "listener.name.outside.ssl.keystore.location": OUTSIDE_CERTIFICATE,
    "listener.name.outside.ssl.enabled.protocols": "TLSv1.3,TLSv1.2",
    # Who was dismissed keeps a connection for so long at most, and may do nothing on it at once.
    "listener.name.outside.connections.max.reauth.ms": 3_600_000,
    "listener.name.outside.max.connections": 200,
    # The most that somebody may send before the broker knows who it is.
    "sasl.server.max.receive.size": 65_536,
}
"""What a broker needs to let agencies in: docs/direct-kafka.md shows the same for a cluster of your own."""


def controller_properties(node: Node, nodes: Sequence[Node], log_dir: str) -> str:
    """The same node as a controller only: it leads the metadata, and serves nobody."""
    return _text(
        {
            "process.roles": "controller",
            "node.id": node.id,
            "controller.quorum.voters": _voters(nodes),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT",
            "listeners": f"CONTROLLER://127.0.0.1:{node.controller_port}",
            "log.dirs": log_dir,
            "broker.session.timeout.ms": BROKER_SESSION_MS,
            "broker.heartbeat.interval.ms": BROKER_SESSION_MS // 6,
        }
    )


def _voters(nodes: Sequence[Node]) -> str:
    return ",".join(f"{node.id}@127.0.0.1:{node.controller_port}" for node in nodes)


def _text(settings: dict[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


FENCING = "Fencing broker"
"""What a controller logs of a broker that it takes for dead."""


def log4j2_xml(log_file: str) -> str:
    """Write the logging of a node into `log_file`, 10 MB, three old ones kept: warnings, errors, and who is fenced."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="ERROR">
  <Appenders>
    <RollingFile name="File" fileName="{log_file}" filePattern="{log_file}.%i">
      <PatternLayout pattern="%d{{ISO8601}} %p %m (%c)%n"/>
      <Policies><SizeBasedTriggeringPolicy size="10 MB"/></Policies>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="File"/></Root>
    <Logger name="org.apache.kafka.clients" level="ERROR"/>
    <Logger name="org.apache.kafka.controller.ReplicationControlManager" level="INFO">
      <RegexFilter regex=".*{FENCING}.*" onMatch="ACCEPT" onMismatch="DENY"/>
    </Logger>
  </Loggers>
</Configuration>
"""


def jvm_flags(heap_mib: int, folder: str, log4j2_file: str) -> list[str]:
    """Give the Java options of a broker; `folder` takes its temporary files and crash reports.

    The serial collector: with 2 KiB records on two cores it moved as many of them as G1 and the parallel
    one within the noise and started as fast (2.2 s), at 390 MiB resident under load instead of 460 and 550,
    and it takes no second thread from the hop. Room for classes from the start: growing into it costs a full
    collection, which stood for 150 ms about a minute and a half after the start.
    """
    return [
        f"-Xms{min(256, heap_mib)}m",
        f"-Xmx{heap_mib}m",
        "-XX:+UseSerialGC",
        "-XX:MetaspaceSize=128m",
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={folder}/jvm-crash-%p.log",
        f"-Djava.io.tmpdir={folder}",
        "-Djava.awt.headless=true",
        # Kafka's own use of both is known; without these Java 24 and later warn at every start.
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        f"-Dlog4j2.configurationFile={log4j2_file}",
    ]
