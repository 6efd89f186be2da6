"""Signatures: signing, the gate, certificates and their revocation, batches, storage receipts, CMS."""

from exchange.signatures.algorithms import PrivateKey, PublicKey
from exchange.signatures.certificates import Certificate
from exchange.signatures.envelope import Limits, decode_record, encode_record
from exchange.signatures.gate import Entered, Verified, Word, admit, enter, open_signed, open_word
from exchange.signatures.signer import SigningKey, sign_batch, sign_record, wrap_cms
from exchange.signatures.signers import Signer
from exchange.signatures.trust import Trust, TrustCache, View

__all__ = [
    "Certificate",
    "Entered",
    "Limits",
    "PrivateKey",
    "PublicKey",
    "Signer",
    "SigningKey",
    "Trust",
    "TrustCache",
    "Verified",
    "View",
    "Word",
    "admit",
    "decode_record",
    "encode_record",
    "enter",
    "open_signed",
    "open_word",
    "sign_batch",
    "sign_record",
    "wrap_cms",
]
