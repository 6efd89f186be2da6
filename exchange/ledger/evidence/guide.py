"""The parts for whoever has no tool of ours: the signatures as files that ``openssl`` reads, and how to check.

Made from the proving parts alone, so a verifier makes them again and compares.
"""

from __future__ import annotations

from hashlib import sha256

from exchange.ledger.evidence.contents import (
    CERTIFICATE_LABEL,
    CERTIFICATES,
    CHECKPOINT,
    CHECKPOINT_STAMP,
    SIGNATURES,
    SOURCES,
    STATEMENT,
    write_pem,
)
from exchange.ledger.evidence.story import Story
from exchange.ledger.stamps import claim
from exchange.signatures import algorithms
from exchange.signatures.cms import export

MERKLE = """\
import base64, hashlib, json
H = lambda *parts: hashlib.sha256(b"".join(parts)).digest()
origin, size, root = open("checkpoint.txt", encoding="utf-8").read().split("\\n")[:3]
for line in open("events.jsonl", encoding="utf-8"):
    event = json.loads(line)
    at, last = event["index"], int(size) - 1
    h = H(b"\\0", H(base64.b64decode(event["salt"]), base64.b64decode(event["leaf"])))
    for node in map(base64.b64decode, event["path"]):
        if at % 2 or at == last:
            h = H(b"\\1", node, h)
            while at and at % 2 == 0: at, last = at // 2, last // 2
        else:
            h = H(b"\\1", h, node)
        at, last = at // 2, last // 2
    print(event["index"], last == 0 and h == base64.b64decode(root))
"""
"""The Merkle path in 15 lines; run in the unpacked folder. The tests run it."""

_HEAD = """\
EVIDENCE ABOUT ONE DOCUMENT / BẰNG CHỨNG VỀ MỘT VĂN BẢN

{sender} / {id}
SHA-256 of the statement as signed: {digest}

page.html          the same for people (Vietnamese, English)
statement.avro     what the sender signed, byte for byte
record.avro        the statement with its signatures, as the exchange took it in
signatures/        the signatures as files for openssl
certificates.pem   the signers' certificates and their issuers; the root must come from somewhere else
lists.pem          the revocation lists
events.jsonl       what happened, one event a line, each with its salt and its path in the ledger
receipts.jsonl     what recipients (and the sender) signed about the document
checkpoint.txt     the signed root of the ledger
stamps/            time-stamps, if there are any: of the checkpoint, then of everything before each
manifest.json      the list of all parts

Everything at once:
  exchange evidence verify FILE --trust ROOT.pem --ledger-key KEY
Without any tool of the exchange: unpack, get ROOT.pem (the root certificate) from a source that you trust, then
"""

_TAIL = """
The ledger. Each event must lead to the root in checkpoint.txt; these 15 lines of Python print True for each:

{merkle}
Who signed checkpoint.txt is told by its last lines (C2SP signed-note, Ed25519); the exchange publishes its key.
The format is documented with the exchange: docs/evidence-format.md.
"""

_STAMPS = """
The time-stamps (RFC 3161). Get TSA.pem, the root of their authority, from a source that you trust. One whose
certificate has ended since is looked at as of the next one (-attime SECONDS).

{commands}
"""

_VERIFY = {
    algorithms.RSA_PSS_SHA256: (
        "openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 \\\n"
        "    -verify key.pem -signature {sig} {content}"
    ),
    algorithms.ED25519: ("openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in {content} -sigfile {sig}"),
}
_PLAIN = "openssl dgst -sha256 -verify key.pem -signature {sig} {content}"
_CMS = (  # the chain is the first command's business
    "openssl cms -verify -binary -inform DER -in {cms} -content {content} \\\n"
    "    -noverify -nointern -certfile {pem} -out /dev/null"
)
_CHAIN = (
    "openssl verify -CAfile ROOT.pem -untrusted {certificates} -crl_check -CRLfile lists.pem \\\n    -attime {at} {pem}"
)


def signature_parts(story: Story) -> dict[str, bytes]:
    """The signatures of the record as files, numbered from 1 in the record's order."""
    by_digest = _certificates(story)
    parts: dict[str, bytes] = {}
    for number, signature in enumerate(story.record["signatures"], 1):
        stem, batch = f"{SIGNATURES}{number}", signature["batch"]
        der = by_digest.get(signature["certificate"])
        if der is not None:
            parts[f"{stem}.pem"] = write_pem(CERTIFICATE_LABEL, [der])
        content = story.statement.raw
        if batch is not None:
            content = parts[f"{stem}.batch.avro"] = batch["statement"]
        if signature["algorithm"] == algorithms.CMS:
            parts[f"{stem}.cms"] = signature["value"]
            continue
        parts[f"{stem}.sig"] = signature["value"]
        if der is not None and signature["algorithm"] in {algorithms.ECDSA_P256_SHA256, algorithms.RSA_PKCS1_SHA256}:
            parts[f"{stem}.cms"] = export(content, signature["value"], signature["algorithm"], der)
    return parts


def readme(story: Story) -> bytes:
    """How to check the file by hand; the commands are those for its very signatures."""
    about = story.about
    text = _HEAD.format(sender=about["sender"], id=about["id"], digest=about["sha256"])
    at_s = story.accepted.event["append_ms"] // 1000
    for number, signature in enumerate(story.record["signatures"], 1):
        text += "\n" + "\n".join(f"  {command}" for command in commands(number, signature, at_s)) + "\n"
        if signature["batch"] is not None:
            text += "  (one signature over a batch: the statement is leaf {} of it, see the format page)\n".format(
                signature["batch"]["index"]
            )
    if story.stamps:
        text += _STAMPS.format(commands="\n".join(f"  {command}" for command in stamp_commands(story)))
    return (text + _TAIL.format(merkle=MERKLE)).encode()


def stamp_commands(story: Story) -> list[str]:
    """The commands that check the time-stamps, oldest first."""
    found, before = list[str](), list(SOURCES)
    for name, token in story.stamps.items():
        content = CHECKPOINT
        if name != CHECKPOINT_STAMP:
            content = "covered.txt"
            found.append(f"{claim(token).digest}sum {' '.join(before)} > {content}")
        found.append(f"openssl ts -verify -token_in -in {name} -data {content} -CAfile TSA.pem")
        before.append(name)
    return found


def commands(number: int, signature: dict[str, object], at_s: int) -> list[str]:
    """The commands that check one signature; `at_s`: when the exchange took the document in."""
    stem, algorithm = f"{SIGNATURES}{number}", str(signature["algorithm"])
    content = STATEMENT if signature["batch"] is None else f"{stem}.batch.avro"
    found = [_CHAIN.format(certificates=CERTIFICATES, at=at_s, pem=f"{stem}.pem")]
    if algorithm != algorithms.CMS:
        found += (
            f"openssl x509 -in {stem}.pem -noout -pubkey -out key.pem",
            _VERIFY.get(algorithm, _PLAIN).format(sig=f"{stem}.sig", content=content),
        )
    if algorithm not in _VERIFY:
        found.append(_CMS.format(cms=f"{stem}.cms", content=content, pem=f"{stem}.pem"))
    return found


def _certificates(story: Story) -> dict[bytes, bytes]:
    return {sha256(der).digest(): der for der in story.certificates}
