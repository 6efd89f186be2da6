"""Exporting evidence: gather from the topics, the directory and the ledger what proves one document's way.

Guarantees: what is exported has been verified as a stranger would, or it isn't handed out. Reads only; the export
itself needs the ledger to have taken in every event that is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from exchange.agencies import Directory, DirectoryView
from exchange.backbone.clients import Config
from exchange.backbone.following import follow
from exchange.backbone.objects import Objects
from exchange.backbone.reading import SILENCE_TIMEOUT_S, Read
from exchange.errors import InvariantBroken, Misconfigured, Rejected, Unavailable
from exchange.ledger import cosigning, places
from exchange.ledger.attesting import kept_stamp
from exchange.ledger.checkpoint import open_checkpoint
from exchange.ledger.evidence import contents
from exchange.ledger.evidence.assembling import assemble
from exchange.ledger.evidence.contents import Promised, ProvedEvent, Said
from exchange.ledger.leaves import leaves
from exchange.ledger.notes import VerifierKey
from exchange.ledger.places import NO_SALT
from exchange.ledger.promises import PromiseFinder
from exchange.ledger.store import CHECKPOINT, tile_reader
from exchange.ledger.tree import TileTree
from exchange.pipeline.books import TRACE
from exchange.signatures import decode_record
from exchange.signatures.certificates import is_issued_by, parse
from exchange.statements import Fields, identify

GAP_MAX = 2_000
"""Records read past rather than sought over."""


class Submission(NamedTuple):
    """Where a record lies, and the directory offset that the hop decided by."""

    topic: str
    partition: int
    offset: int
    directory_offset: int


class Event(NamedTuple):
    """Where an event lies in the trace; `said`: the accepted status that it is about, if any."""

    partition: int
    offset: int
    event: int
    said: Submission | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What to prove: the accepted document's submission, and every event of its way, that of acceptance included."""

    submission: Submission
    events: tuple[Event, ...]


class Exporter:
    """Exports evidence. `folder`, `key`: the ledger's files, and the key that it signs with.

    `earlier`: what has left the topics, by topic, partition and offset.
    """

    def __init__(
        self,
        base: Config,
        folder: Objects,
        key: VerifierKey,
        directory: Directory,
        earlier: Callable[[str, int, int], bytes | None] = lambda *_: None,
    ) -> None:
        self._base = base
        self._earlier = earlier
        self._folder = folder
        self._key = key
        self._directory = directory

    def export(self, subject: Subject, *, stamped: bool = False) -> bytes:
        """The evidence file, with a time-stamp if there is one; `stamped`: there must be one.

        Raises: Unavailable ``ledger.behind``: an event isn't under a signed checkpoint yet, or (``ledger.unstamped``)
            none that is stamped, try again in a second;
            Rejected ``evidence.gone``: the topics or the ledger don't hold a part any more; ``evidence.erased``.
        """
        attested, found = self._prove(subject, stamped=stamped)
        wanted = [subject.submission, *(event.said for event, _ in found if event.said is not None)]
        records = self._fetch({(one.topic, one.partition, one.offset) for one in wanted})
        record = records[subject.submission[:3]]
        said = [Said(proof.index, records[event.said[:3]]) for event, proof in found if event.said is not None]
        promised = self._promised(subject.submission, found)
        certificates, lists = self._authenticate(
            [(one, records[one[:3]]) for one in wanted] + [(subject.submission, one.record) for one in promised]
        )
        fields = decode_record(record)
        return assemble(
            {
                **attested,
                contents.STATEMENT: fields["statement"],
                contents.RECORD: record,
                contents.EVENTS: contents.write_lines(proof for _, proof in found),
                contents.RECEIPTS: contents.write_lines(said),
                contents.PROMISES: contents.write_lines(promised),
                contents.CERTIFICATES: contents.write_pem(contents.CERTIFICATE_LABEL, certificates),
                contents.LISTS: contents.write_pem(contents.LIST_LABEL, lists),
            }
        )

    def _prove(self, subject: Subject, *, stamped: bool) -> tuple[dict[str, bytes], list[tuple[Event, ProvedEvent]]]:
        """A checkpoint that covers every event, its stamp if any, and each event's proof, in the ledger's order."""
        size = open_checkpoint(self._last(), self._key).size
        located = [(event, places.find(self._folder, size, *event[:3])) for event in subject.events]
        behind = [event for event, place in located if place is None]
        if behind:
            raise Unavailable("ledger.behind", f"{len(behind)} events aren't under a signed checkpoint yet")
        found = sorted(((place[0], place[1], event) for event, place in located if place is not None))
        attested = self._attested(found[-1][0] + 1, stamped=stamped)
        if any(place.salt == NO_SALT for _, place, _ in found):
            raise Rejected("evidence.erased", "the salt of an event is gone, so nothing can show what it said")
        tree = TileTree(open_checkpoint(attested[contents.CHECKPOINT], self._key).size, tile_reader(self._folder))
        held = self._leaves({(event.partition, event.offset) for _, _, event in found})
        return attested, [
            (event, ProvedEvent(at, place.salt, held[event[:3]], tuple(tree.inclusion(at))))
            for at, place, event in found
        ]

    def _attested(self, size: int, *, stamped: bool) -> dict[str, bytes]:
        """The checkpoint to show for `size` leaves: the first one stamped, so that the stamp is near the events."""
        kept = kept_stamp(self._folder, size)
        if kept is not None:
            return {contents.CHECKPOINT: kept.note, contents.CHECKPOINT_STAMP: kept.token}
        if stamped:
            raise Unavailable("ledger.unstamped", "no stamped checkpoint covers the last event yet")
        checkpoint = cosigning.newest(self._folder, self._key, size)
        if checkpoint is None:
            raise Unavailable("ledger.behind", "no checkpoint covers the last event")
        return {contents.CHECKPOINT: checkpoint}

    def _promised(self, submission: Submission, found: Sequence[tuple[Event, ProvedEvent]]) -> list[Promised]:
        """What the backbone has signed by now about the acceptance, and about whoever let its deadline pass."""
        finder = PromiseFinder(self._base)
        where = (submission.topic, submission.offset)
        try:
            for event, proof in found:
                leaf = identify(proof.leaf).decode(proof.leaf)
                told = leaf["event"]
                if (told["outcome"], leaf["topic"], told["offset"]) == ("accepted", *where):
                    promise = finder.promise(event.partition, event.offset, event.event)
                    words = [] if promise is None else [promise]
                    if told["summary"] is not None and told["summary"]["due"] is not None:
                        words += finder.lapses(event.partition, told["summary"]["due"], leaf["topic"], told["offset"])
                    return [Promised(word.record) for word in words]
        finally:
            finder.close()
        return []

    def _last(self) -> bytes:
        """The newest checkpoint that is signed, cosigned or not."""
        data = self._folder.read(CHECKPOINT)
        if data is None:
            raise Unavailable("ledger.behind", "no checkpoint is signed yet")
        return data

    def _leaves(self, wanted: set[tuple[int, int]]) -> dict[tuple[int, int, int], bytes]:
        records = self._fetch({(TRACE, partition, offset) for partition, offset in wanted})
        return {
            (partition, offset, index): leaf
            for (_, partition, offset), value in records.items()
            for index, leaf in enumerate(leaves(partition, offset, value))
        }

    def _fetch(self, wanted: set[tuple[str, int, int]]) -> dict[tuple[str, int, int], bytes]:
        """Read single records by their coordinates; those that lie near each other in one go."""
        found: dict[tuple[str, int, int], bytes] = {}
        for near in _near(sorted(wanted)):
            topic, partition, first = near[0]
            last, names = near[-1][2], set(near)
            with contextlib.suppress(Misconfigured):  # the topic doesn't begin so early any more
                for read in self._read(topic, partition, first, last + 1):
                    if (topic, partition, read.offset) in names:
                        found[topic, partition, read.offset] = read.value
        for place in wanted - found.keys():
            kept = self._earlier(*place)
            if kept is not None:
                found[place] = kept
        missing = wanted - found.keys()
        if missing:
            raise Rejected("evidence.gone", f"{len(missing)} records aren't kept any more, such as {min(missing)}")
        return found

    def _read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Read]:
        with follow(self._base, topic, {partition: start}, {partition: end}) as following:
            while not following.is_at_end:
                reads = following.portion(SILENCE_TIMEOUT_S)
                if not reads and not following.is_at_end:
                    raise Unavailable("kafka.silent", f"{topic}/{partition}")
                yield from reads

    def _authenticate(self, records: Sequence[tuple[Submission, bytes]]) -> tuple[list[bytes], list[bytes]]:
        """The certificates of all signers and their issuers, and the lists: of that time, and the newest."""
        certificates: dict[bytes, bytes] = {}
        views = [self._directory.latest()]
        for place, value in records:
            view = self._directory.at(place.directory_offset)
            views.append(view)
            for signature in decode_record(value)["signatures"]:
                _add_chain(certificates, view, signature)
        lists: dict[bytes, None] = {}
        for view in views:
            for fingerprint in certificates:
                entry = view.revocation_list(fingerprint.hex())
                if entry is not None:
                    lists[entry.crl] = None
        return list(certificates.values()), list(lists)


def _add_chain(certificates: dict[bytes, bytes], view: DirectoryView, signature: Fields) -> None:
    entry = view.certificate(signature["certificate"])
    if entry is None:
        raise InvariantBroken(f"an accepted signature's certificate isn't listed: {signature['certificate'].hex()}")
    child = parse(entry.certificate)
    if child.fingerprint in certificates:
        return
    certificates[child.fingerprint] = entry.certificate
    above = [child]
    while above:
        child = above.pop()
        for authority in view.authorities():
            issuer = parse(authority.certificate)
            if issuer.fingerprint not in certificates and is_issued_by(child, issuer):
                certificates[issuer.fingerprint] = authority.certificate
                above.append(issuer)


def _near(sorted_places: Iterable[tuple[str, int, int]]) -> Iterator[list[tuple[str, int, int]]]:
    """Groups of one partition whose offsets follow within `GAP_MAX`."""
    for _, group in groupby(sorted_places, key=lambda place: place[:2]):
        near: list[tuple[str, int, int]] = []
        for place in group:
            if near and place[2] - near[-1][2] > GAP_MAX:
                yield near
                near = []
            near.append(place)
        yield near
