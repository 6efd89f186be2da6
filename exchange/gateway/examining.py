"""What the gateway looks at before a record goes on its way: size, envelope, and who may say it.

Guarantees: the sender that a record claims is the caller's agency, or one whose delegate's certificate the caller holds
and names in the record. Nothing more: whether it is new, signed rightly
and allowed is the gate's and the hop's to decide, and their word reaches the inbox.
"""

from __future__ import annotations

from collections.abc import Sequence

from exchange.backbone.submitting import Outgoing
from exchange.errors import Rejected
from exchange.gateway.problems import ERRORS_MAX, Refused
from exchange.signatures import View, decode_record
from exchange.signatures.certificates import parse
from exchange.statements import KINDS, Fields, identify

KEY_BYTES_MAX = 1024
"""A thread's key: a code, a slash and an id."""


def examine(records: Sequence[bytes], agency: str, view: View) -> list[Outgoing]:
    """Look at each record; all are fit to be sent, or none is.

    Raises: Refused with the first error's code; `more` holds all of them with their indexes.
    """
    fit: list[Outgoing] = []
    errors: list[tuple[int, Rejected | Refused]] = []
    for index, record in enumerate(records):
        try:
            fit.append(_one(record, agency, view))
        except (Rejected, Refused) as exc:
            errors.append((index, exc))
            if len(errors) >= ERRORS_MAX:
                break
    if errors:
        listed = [{"index": index, "code": exc.code} for index, exc in errors]
        raise Refused(errors[0][1].code, str(errors[0][1]), errors=listed)
    return fit


def _one(record: bytes, agency: str, view: View) -> Outgoing:
    envelope = decode_record(record)
    raw: bytes = envelope["statement"]
    found = identify(raw)
    if found.name not in KINDS:
        raise Rejected("statement.kind_not_accepted", found.name)
    fields = found.decode(raw)
    if fields["sender"] != agency and not _is_delegate(envelope, fields["sender"], agency, view):
        raise Refused("sender.not_yours", f"{agency} for {fields['sender'][:40]!r}")
    if len(KINDS[found.name].key(fields).encode()) > KEY_BYTES_MAX:
        raise Rejected("text.identifier", "a key too long")
    return Outgoing(found.name, fields, record)


def _is_delegate(envelope: Fields, sender: str, agency: str, view: View) -> bool:
    """Whether a signature names a certificate by which the agency signs for the sender; the gate verifies it."""
    for signature in envelope["signatures"]:
        entry = view.certificate(signature["certificate"])
        if entry is not None and (entry.role, entry.agency) == ("delegate", sender):
            holder = parse(entry.certificate).delegate
            found = None if holder is None else view.agency(holder)
            if found is not None and found.code == agency:
                return True
    return False
