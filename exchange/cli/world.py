"""Where a command works: the home, the services, the keys; resolved once, with errors that say what to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import typer
from confluent_kafka.admin import AdminClient

from exchange.archive.attachments import SealedAttachments
from exchange.archive.keys import KeyStore, ensure_wrapping_key
from exchange.archive.volumes import Volumes
from exchange.backbone.attachments import Attachments
from exchange.backbone.clients import Config, connection
from exchange.backbone.directory_log import DirectoryLog
from exchange.backbone.inbox import Opener, TrustAt
from exchange.backbone.objects import Objects, open_objects
from exchange.backbone.topics import Layout, layout
from exchange.errors import Misconfigured, Unavailable
from exchange.local.authority import Authority
from exchange.local.home import DEFAULT_HOME, Home
from exchange.local.kafka import KafkaCluster
from exchange.local.postgres import PostgresServer
from exchange.operating.deciding import Registrar
from exchange.signatures import Trust, TrustCache


@dataclass(frozen=True)
class World:
    """The world of one command. Explicit addresses win over the home's embedded services."""

    home: Home
    bootstrap_servers: str | None = None
    database: str | None = None
    object_store: str | None = None

    @property
    def again(self) -> World:
        """The same world with nothing opened yet, as another process may have it."""
        return replace(self)

    @property
    def is_embedded(self) -> bool:
        """Whether Kafka is the home's own."""
        return self.bootstrap_servers is None

    @property
    def cluster(self) -> KafkaCluster | None:
        """The home's own Kafka; None where there is none, or an address of another wins."""
        state = self.home.state()
        return None if state is None or not self.is_embedded else KafkaCluster(self.home, state.nodes)

    @cached_property
    def base(self) -> Config:
        """The settings that all Kafka clients share; Unavailable if the embedded broker is down."""
        if self.bootstrap_servers is not None:
            return connection(self.bootstrap_servers)
        cluster = self.cluster
        if cluster is None:
            raise Unavailable("services.down", f"{self.home.folder} has no services yet; run `exchange up`")
        if not any(process.is_running for process in cluster.processes.values()):
            raise Unavailable("services.down", "Kafka isn't running; run `exchange up`")
        return connection(cluster.bootstrap_servers)

    @cached_property
    def database_url(self) -> str:
        """The trace store's database; Unavailable if the embedded server is down."""
        if self.database is not None:
            return self.database
        if self.home.state() is None:
            raise Unavailable("services.down", f"{self.home.folder} has no services yet; run `exchange up`")
        server = PostgresServer(self.home)
        if not server.is_running:
            raise Unavailable("services.down", "PostgreSQL isn't running; run `exchange up`")
        return server.url

    @cached_property
    def layout(self) -> Layout:
        """The topics as they should be."""
        if not self.is_embedded:
            return layout(embedded=False)
        state = self.home.state()
        return layout(embedded=True, brokers=state.nodes if state else 1)

    @cached_property
    def admin(self) -> AdminClient:
        """An administrative client."""
        return AdminClient(self.base)

    @cached_property
    def authority(self) -> Authority:
        """The demo authority's folder; Misconfigured before `exchange init`."""
        if not Authority.exists(self.home.keys):
            raise Misconfigured([f"no keys in {self.home.keys}; run `exchange init`"])
        return Authority.open(self.home.keys)

    @cached_property
    def directory_log(self) -> DirectoryLog:
        """The directory, read to its end."""
        return DirectoryLog(self.base, self.authority.registrar_public_key)

    @property
    def registrar(self) -> Registrar:
        """Who signs what operators decide."""
        return Registrar(self.base, self.authority.registrar_key, self.directory_log)

    @cached_property
    def trust_at(self) -> TrustAt:
        """Trust by the directory as of an offset."""
        log, roots, cache = self.directory_log, [self.authority.root_certificate], TrustCache()

        @lru_cache(maxsize=64)
        def trust_at(offset: int) -> Trust:
            if log.directory.next_offset < offset:
                log.catch_up()
            return Trust(log.directory.at(offset), roots, cache)

        return trust_at

    @property
    def trust(self) -> Trust:
        """Trust by all that the directory says so far."""
        return self.trust_at(self.directory_log.directory.next_offset)

    @cached_property
    def opener(self) -> Opener:
        """Opens deliveries, by the directory as of the offset that the hop decided by."""
        return Opener(self.trust_at, self.authority.backbone.private_key.public_key())

    @cached_property
    def attachments(self) -> Attachments:
        """The claim-check store."""
        return Attachments(self._place("attachments"), self.authority.storage_key)

    def objects(self, name: str) -> Objects:
        """The part of the object store with that name: ``ledger``, ``archive``."""
        return open_objects(self._place(name))

    @cached_property
    def archive_keys(self) -> KeyStore:
        """The archive's keys, apart from its objects; Misconfigured before `exchange init`."""
        self.authority  # noqa: B018  the folder of keys is there
        return KeyStore(self.home.folder / "archive-keys", ensure_wrapping_key(self.home.keys / "archive.key"))

    @cached_property
    def volumes(self) -> Volumes:
        """The archive's records."""
        return Volumes(self.objects("archive"), self.archive_keys)

    @cached_property
    def sealed_attachments(self) -> SealedAttachments:
        """The archive's attachments."""
        return SealedAttachments(self.objects("archive"), self.archive_keys, self.attachments)

    def _place(self, name: str) -> str | Path:
        return self.home.folder / name if self.object_store is None else f"{self.object_store.rstrip('/')}/{name}"


def of(context: typer.Context) -> World:
    """The world that the global options chose."""
    world = context.obj
    if not isinstance(world, World):
        world = World(Home(DEFAULT_HOME))
    return world


def from_options(
    home: Path, bootstrap_servers: str | None, database_url: str | None, object_store: str | None = None
) -> World:
    """Make a world from the global options."""
    return World(Home(home), bootstrap_servers, database_url, object_store)
