"""What a deep audit goes into beyond the books, and in which order.

1. The directory and the schemas, which all else is read by. 2. Along with the books, every verdict again (`verdicts`),
with every signature. 3. The promises. 4. The ledger. 5. Who looked, and the trace store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from exchange.agencies import BACKBONE_CODE, Directory
from exchange.auditor.cut import Cut, Source
from exchange.auditor.deep.accesses import AccessAudit
from exchange.auditor.deep.attachments import AttachmentAudit, Fetch
from exchange.auditor.deep.copies import Copies
from exchange.auditor.deep.files import Files
from exchange.auditor.deep.ledger import LedgerAudit
from exchange.auditor.deep.note import log_key
from exchange.auditor.deep.promises import PromiseAudit
from exchange.auditor.deep.registers import check_schemas, read_directory
from exchange.auditor.deep.rows import RowAudit
from exchange.auditor.deep.signed import Signatures
from exchange.auditor.deep.store_log import StoreLog, forgotten
from exchange.auditor.deep.verdicts import Gate, Verdicts
from exchange.auditor.deep.verifying import Verifying
from exchange.auditor.findings import Findings
from exchange.auditor.hop_records import STORE, HopRecords
from exchange.auditor.own_word import Voice
from exchange.auditor.recount import Recount
from exchange.auditor.share import Share
from exchange.errors import InvariantBroken
from exchange.statements import SUBMISSION_TOPICS


@dataclass(slots=True)
class Deep:
    """What to go into. `roots`: DER of the trusted certificates; `backbone`: who signs notices.

    `signatures` False: they and the gate are left out; `threads`: that verify them, None: one a core. `storage_keys`:
    of the object store; None: not known here. `attachments`: where they are read from; None: they aren't. `ledger`: its
    files and its verifier key; `rows`: gives the trace store's connection, its tables in the search path, in a
    transaction that sees one moment. None: there is none.
    """

    registrar: Voice
    backbone: Voice
    roots: Sequence[bytes]
    storage_keys: Sequence[bytes] | None = None
    signatures: bool = True
    threads: int | None = None
    attachments: Fetch | None = None
    ledger: tuple[Files, str] | None = None
    rows: Callable[[], AbstractContextManager[Connection[Any]]] | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """What was compared, once it was."""
    _verifying: Verifying | None = None
    _hashing: AttachmentAudit | None = None
    _gate: Gate | None = None

    def founded(self, source: Source, findings: Findings) -> Directory:
        """Check the schemas, and read the directory. Raises: whatever `source` raises."""
        check_schemas(source, findings)
        return read_directory(source, self.registrar, findings)

    def begin(self, directory: Directory, findings: Findings) -> None:
        """Get ready for `verdicts`."""
        signatures = None
        if self.signatures:
            self._verifying = Verifying(findings, self.threads)
            signatures = Signatures(self.roots, self.storage_keys, self._verifying)
        if self.attachments is not None:
            self._hashing = AttachmentAudit(self.attachments, findings)
        self._gate = Gate(directory, self.roots, self.storage_keys, signatures, self._hashing)

    def verdicts(self, number: int, cut: Cut, records: HopRecords, recount: Recount, findings: Findings) -> Verdicts:
        """The verdicts of one partition number."""
        if self._gate is None:
            raise InvariantBroken("verdicts before the directory was read")
        is_complete = not any(
            cut.opening(topic, number) or cut.erased.get((topic, number)) for topic in SUBMISSION_TOPICS
        )
        gone = forgotten(records.again(STORE, number))
        copies = Copies(recount, cut.partitions, gone, is_complete=is_complete)
        puts = records.again_with_places(STORE, number)
        log = StoreLog(puts, number, cut, findings, is_complete=is_complete)
        return Verdicts(self._gate, recount, copies, log, findings)

    def verified(self) -> None:
        """Wait for the last signatures, and note what was read."""
        if self._verifying is not None:
            self._verifying.finish()
            self.counts["signatures"] = self._verifying.count
        if self._hashing is not None:
            self.counts |= {"attachments": self._hashing.count, "attachment_bytes": self._hashing.bytes}

    def beyond(self, source: Source, cut: Cut, findings: Findings, share: Share) -> None:
        """Go into what lies beyond the hop's topics, as far as it is this share's: the promises, the ledger, the trace
        store.

        Raises: what `source`, the ledger's files and the connection raise.
        """
        numbers = list(filter(share.takes, range(cut.partitions)))
        said = PromiseAudit(source, numbers, self.backbone, BACKBONE_CODE, findings).run()
        self.counts |= said._asdict()
        if self.ledger is not None and share.is_last:
            files, key = self.ledger
            found = LedgerAudit(
                files, log_key(key), source, cut.partitions, findings, lambda at: cut.is_erased(*at)
            ).run()
            self.counts |= {
                "leaves": found.compared.leaves,
                "leaves_without_salt": found.compared.saltless,
                "trace_records_before_the_ledger": found.waiting,
                "trace_records_gone": found.gone,
            }
        if self.rows is None:
            if share.is_first:
                self._looks(None, source, cut, findings)
        else:
            with self.rows() as connection:
                if share.is_first:
                    self._looks(connection, source, cut, findings)
                rows = RowAudit(connection, source, cut, findings, share=share).run()
            self.counts |= {"rows": rows.compared, "trace_records_before_the_trace_store": rows.waiting}

    def _looks(self, connection: Connection[Any] | None, source: Source, cut: Cut, findings: Findings) -> None:
        """Go into who looked."""
        self.counts |= AccessAudit(connection, source, cut, findings).run()._asdict()
