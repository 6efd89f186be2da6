"""What the registrar and the backbone say, read so strictly that no byte around the signed ones is free either."""

from __future__ import annotations

from typing import NamedTuple

from exchange.errors import Rejected
from exchange.signatures import PublicKey, encode_record, open_signed
from exchange.signatures.certificates import parse
from exchange.signatures.envelope import OWN_WORD
from exchange.statements import Fields, schema


class Voice(NamedTuple):
    """Who says it. `certificate`: SHA-256 of it, as the record must name it."""

    key: PublicKey
    certificate: bytes

    @classmethod
    def of(cls, certificate: bytes) -> Voice:
        """The voice behind a certificate (DER); Rejected ``certificate.malformed``."""
        parsed = parse(certificate)
        return cls(parsed.public_key, parsed.fingerprint)


def open_word(value: bytes, schema_name: str, voice: Voice) -> Fields:
    """The fields of a statement of this voice. Raises: Rejected."""
    fields = open_signed(value, schema_name, voice.key)
    record = schema("record").decode(value)
    if record["storage"] or record["signatures"][0]["certificate"] != voice.certificate:
        raise Rejected("record.not_canonical", "another certificate, or something beside the statement")
    if encode_record(record["statement"], record["signatures"], limits=OWN_WORD) != value:
        raise Rejected("record.not_canonical", "written otherwise than we write")
    return fields
