"""A second verifier of evidence files, written from ``docs/evidence-format.md`` alone: it imports nothing of ours.

It shows neither page nor guide to anybody, so step 12 is left out, as that page allows. Raises `Refused` with the
number of the step. Time-stamps are read and verified by the library ``rfc3161-client``, which our own code doesn't use.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fastavro
import rfc3161_client as rfc3161
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SCHEMAS = Path(__file__).parents[2] / "schemas"
SKEW_MS = 300_000
PROVING = ("checkpoint.txt", "statement.avro", "record.avro", "events.jsonl", "receipts.jsonl",
           "promises.jsonl", "certificates.pem", "lists.pem")  # fmt: skip
DIGESTS = {
    f"2.16.840.1.101.3.4.2.{number}": digest
    for number, digest in enumerate((hashlib.sha256, hashlib.sha384, hashlib.sha512), 1)
}
ERRORS = (
    ValueError, KeyError, IndexError, TypeError, EOFError, StopIteration, struct.error, InvalidSignature,
    UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion,
)  # fmt: skip


class Refused(Exception):
    """`step` of the checklist says no."""

    def __init__(self, step: int, why: str) -> None:
        super().__init__(f"step {step}: {why}")
        self.step = step


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def verify(
    data: bytes,
    root: x509.Certificate,
    ledger_key: str,
    now_ms: int,
    *,
    stamp_roots: Sequence[x509.Certificate] = (),
    witnesses: Sequence[str] = (),
) -> str:
    """Go through steps 1 to 11; returns the statement's digest. `stamp_roots`: if not `root`."""
    step = 1
    try:
        parts = dict(archive(data))
        step = 2
        check_manifest(parts)
        step = 3
        at_ms = stamped(parts, stamp_roots or [root], now_ms)
        step = 4
        size, top = checkpoint(parts["checkpoint.txt"], ledger_key)
        step = 5
        for witness in witnesses:
            cosigned(parts["checkpoint.txt"], witness)
        step = 6
        events = {line["index"]: line for line in map(json.loads, parts["events.jsonl"].splitlines())}
        leaves, places = {}, {}
        for index, line in events.items():
            entry = sha(base64.b64decode(line["salt"]), base64.b64decode(line["leaf"]))
            demand(climb(sha(b"\0", entry), index, size, line["path"]) == top, "another root")
            places[index] = avro(base64.b64decode(line["leaf"]), "ledger_leaf")
            leaves[index] = places[index]["event"]
            demand(leaves[index]["append_ms"] <= at_ms + SKEW_MS, "later than its stamp")
        step = 7
        statement, record = parts["statement.avro"], avro(parts["record.avro"], "record")
        digest = sha(statement)
        [accepted] = [e for e in leaves.values() if e["outcome"] == "accepted" and e["sha256"] == digest]
        fields = avro(statement, "document", "report")
        demand(record["statement"] == statement, "another statement")
        demand((fields["sender"], fields["id"]) == (accepted["sender"], accepted["id"]), "other names")
        step = 8
        demand(is_current(root, at_ms), "the root has ended")
        trust = Certificates(parts["certificates.pem"], parts["lists.pem"], root)
        for signature in record["signatures"]:
            trust.check(signature["certificate"], accepted["append_ms"])
        step = 9
        leader = (fields.get("signer") or {}).get("leader")
        check_record(record, fields["sender"], leader, accepted, trust)
        step = 10
        check_receipts(parts["receipts.jsonl"], leaves, accepted, trust)
        step = 11
        [place] = [one for one in places.values() if one["event"] is accepted]
        for line in parts["promises.jsonl"].splitlines():
            check_promised(avro(base64.b64decode(json.loads(line)["record"]), "record"), place, leaves, trust)
    except ERRORS as exc:
        raise Refused(step, repr(exc)) from exc
    return digest.hex()


def demand(holds: object, why: str) -> None:
    if not holds:
        raise ValueError(why)


def archive(data: bytes) -> Iterator[tuple[str, bytes]]:
    at, central, count = 0, b"", 0
    while data[at : at + 4] == b"PK\3\4":
        head = struct.unpack("<5H3L2H", data[at + 4 : at + 30])
        crc, size, full, name_size, extra = head[5:]
        name, start = data[at + 30 : at + 30 + name_size], at + 30 + name_size
        body = data[start : start + size]
        demand(head[:5] == (20, 0, 0, 0, 33) and size == full == len(body) and not extra, "a header")
        demand(crc == zlib.crc32(body), "a checksum")
        central += b"PK\1\2" + struct.pack("<H", 3 << 8 | 20) + data[at + 4 : at + 30]
        central += struct.pack("<3H2L", 0, 0, 0, 0o100644 << 16, at) + name
        at, count = start + size, count + 1
        yield name.decode("ascii"), body
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(central), at, 0)
    demand(data[at:] == central + end, "the directory")


def check_manifest(parts: dict[str, bytes]) -> None:
    found = json.loads(parts["manifest.json"])
    demand((found["format"], found["version"]) == ("exchange-evidence", 1), "version")
    others = [name for name in parts if name != "manifest.json"]
    demand([one["name"] for one in found["parts"]] == others, "other parts")
    for one in found["parts"]:
        body = parts[one["name"]]
        demand((one["bytes"], one["sha256"]) == (len(body), sha(body).hex()), one["name"])


def stamped(parts: dict[str, bytes], roots: Sequence[x509.Certificate], now_ms: int) -> int:
    """The time that counts."""
    names = [name for name in parts if name.startswith("stamps/")]
    first = ["stamps/checkpoint.tst"] if "stamps/checkpoint.tst" in names else []
    count = len(names) - len(first)
    demand(len(names) <= 16 and names == [*first, *(f"stamps/{n + 1}.tst" for n in range(count))], "other stamps")
    found = []
    for number, name in enumerate(names):
        token = rfc3161.decode_timestamp_response(response(parts[name]))
        digest = DIGESTS[token.tst_info.message_imprint.hash_algorithm.dotted_string]
        lines = [f"{digest(parts[one]).hexdigest()}  {one}\n" for one in (*PROVING, *names[:number])]
        content = parts["checkpoint.txt"] if name in first else "".join(lines).encode()
        found.append((one_stamp(token, content, roots), token.tst_info.gen_time.timestamp() * 1000))
    times = [time for _, time in found]
    demand(times == sorted(times) and all(time <= now_ms + SKEW_MS for time in times), "the order of stamps")
    for (path, time), until in zip(found, [*times[1:], max(now_ms, *times, 0)], strict=True) if found else ():
        demand(all(is_current(one, time) and is_current(one, until) for one in path), "a stamp that has ended")
    return int(times[0]) if times else now_ms


def response(token: bytes) -> bytes:
    """A TimeStampResp (status granted) around a token, which is what the library reads."""
    body = b"\x30\x03\x02\x01\x00" + token
    return b"\x30\x82" + len(body).to_bytes(2, "big") + body


def one_stamp(
    token: rfc3161.TimeStampResponse, content: bytes, roots: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    """Verify one; returns the certificates that it rests on."""
    held = [x509.load_der_x509_certificate(der) for der in token.signed_data.certificates]
    [info] = token.signed_data.signer_infos
    demand(token.signed_data.version == 3 and info.version == 1, "versions")
    demand({one.dotted_string for one in token.signed_data.digest_algorithms} <= DIGESTS.keys(), "digests")
    for root in roots:
        try:
            rfc3161.VerifierBuilder().add_root_certificate(root).build().verify_message(token, content)
        except rfc3161.VerificationError:
            continue
        [signer] = [one for one in held if (one.issuer, one.serial_number) == (info.issuer, info.serial_number)]
        path = [signer]
        while path[-1].issuer != root.subject:
            path += [one for one in held if one.subject == path[-1].issuer]
        demand({*path} == {*held} and not is_ca(signer), "surplus certificates")
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        demand(usage.critical and [*usage.value] == [ExtendedKeyUsageOID.TIME_STAMPING], "not for stamps alone")
        return [*path, root]
    raise ValueError("no trusted authority's stamp of this")


def is_current(one: x509.Certificate, at_ms: float) -> bool:
    return one.not_valid_before_utc.timestamp() * 1000 <= at_ms < one.not_valid_after_utc.timestamp() * 1000 + 1000


def cosigned(note: bytes, witness: str) -> None:
    """The witness's line is there and verifies."""
    name, _, rest = witness.partition("+")
    key_id, _, encoded = rest.partition("+")
    public = base64.b64decode(encoded)
    demand(public[0] == 4 and sha(name.encode(), b"\n", public)[:4].hex() == key_id, "the key")
    text, _, lines = note.decode().rpartition("\n\n")
    blobs = [base64.b64decode(line.split(" ")[2]) for line in lines.splitlines() if line.split(" ")[1] == name]
    [blob] = [blob for blob in blobs if blob[:4].hex() == key_id]
    said = f"cosignature/v1\ntime {int.from_bytes(blob[4:12], 'big')}\n{text}\n"
    ed25519.Ed25519PublicKey.from_public_bytes(public[1:]).verify(blob[12:], said.encode())


def checkpoint(note: bytes, key: str) -> tuple[int, bytes]:
    name, _, rest = key.partition("+")
    key_id, _, encoded = rest.partition("+")
    public = base64.b64decode(encoded)
    demand(public[0] == 1 and sha(name.encode(), b"\n", public)[:4].hex() == key_id, "the key")
    text, _, lines = note.decode().rpartition("\n\n")
    text += "\n"
    [blob] = [
        base64.b64decode(line.split(" ")[2])
        for line in lines.splitlines()
        if line.split(" ")[1] == name and base64.b64decode(line.split(" ")[2]).hex().startswith(key_id)
    ]
    ed25519.Ed25519PublicKey.from_public_bytes(public[1:]).verify(blob[4:], text.encode())
    origin, size, top = text.splitlines()
    demand(origin == name, "another log")
    return int(size), base64.b64decode(top)


def climb(node: bytes, index: int, size: int, path: list[str | bytes]) -> bytes:
    at, last = index, size - 1
    demand(0 <= at <= last, "no such leaf")
    for step in path:
        other = base64.b64decode(step) if isinstance(step, str) else step
        demand(last, "too long")
        if at % 2 or at == last:
            node = sha(b"\1", other, node)
            while at and at % 2 == 0:
                at, last = at // 2, last // 2
        else:
            node = sha(b"\1", node, other)
        at, last = at // 2, last // 2
    demand(last == 0, "too short")
    return node


def avro(data: bytes, *names: str) -> dict[str, Any]:
    for path in [path for name in names for path in sorted((SCHEMAS / name).glob("v*.avsc"))]:
        schema = json.loads(path.read_text("utf-8"))
        canonical = fastavro.schema.to_parsing_canonical_form(schema)
        mark = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
        if data[:10] == mark:
            source = io.BytesIO(data[10:])
            found: dict[str, Any] = fastavro.schemaless_reader(source, fastavro.parse_schema(plain(schema)), None)  # type: ignore[assignment]
            demand(source.read() == b"", "trailing bytes")
            return found
    raise ValueError(f"none of {names}")


def plain(node: Any) -> Any:  # noqa: ANN401
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items() if key != "logicalType"}
    return [plain(value) for value in node] if isinstance(node, list) else node


class Certificates:
    """The certificates and lists of the file, below one root."""

    def __init__(self, certificates: bytes, lists: bytes, root: x509.Certificate) -> None:
        self.root = root
        self.all = {sha(der): x509.load_der_x509_certificate(der) for der in blocks(certificates)}
        self.lists = [x509.load_der_x509_crl(der) for der in blocks(lists)]

    def check(self, fingerprint: bytes, at_ms: int) -> x509.Certificate:
        signer = child = self.all[fingerprint]
        usage = signer.extensions.get_extension_for_class(x509.KeyUsage).value
        demand(usage.digital_signature or usage.content_commitment, "not for signing")
        for _ in range(3):
            issuer = next(one for one in (self.root, *self.all.values()) if one.subject == child.issuer and is_ca(one))
            child.verify_directly_issued_by(issuer)
            demand(child.not_valid_before_utc.timestamp() * 1000 <= at_ms, "not yet")
            demand(at_ms < child.not_valid_after_utc.timestamp() * 1000 + 1000, "expired")
            lists = [one for one in self.lists if one.issuer == issuer.subject]
            if lists or child is signer:
                newest = max(lists, key=lambda one: one.last_update_utc)
                demand(newest.is_signature_valid(issuer.public_key()), "a list")  # type: ignore[arg-type]
                demand(newest.next_update_utc and newest.next_update_utc.timestamp() * 1000 >= at_ms, "stale")
                entry = newest.get_revoked_certificate_by_serial_number(child.serial_number)
                demand(entry is None or entry.revocation_date_utc.timestamp() * 1000 > at_ms, "revoked")
            if issuer is self.root:
                return signer
            child = issuer
        raise ValueError("no way to the root")


def is_ca(one: x509.Certificate) -> bool:
    return any(isinstance(e.value, x509.BasicConstraints) and e.value.ca for e in one.extensions)


def blocks(pem: bytes) -> list[bytes]:
    return [base64.b64decode(one) for one in re.findall(rb"-----BEGIN [A-Z0-9 ]+-----\n([^-]*)-----END", pem)]


def named(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str | None:
    values = certificate.subject.get_attributes_for_oid(oid)
    return str(values[0].value) if values else None


def check_record(
    record: dict[str, Any], sender: str, leader: str | None, event: dict[str, Any], trust: Certificates
) -> None:
    seals, leaders = list[str | bytes](), list[str | bytes]()
    for signature in record["signatures"]:
        certificate = trust.check(signature["certificate"], event["append_ms"])
        content, batch = record["statement"], signature["batch"]
        if batch is not None:
            content, fields = batch["statement"], avro(batch["statement"], "batch")
            demand(fields["sender"] == sender and fields["certificate"] == signature["certificate"], "the batch")
            leaf = sha(b"\0", record["statement"])
            demand(climb(leaf, batch["index"], fields["size"], batch["path"]) == fields["root"], "not in the batch")
        check_signature(certificate.public_key(), signature["algorithm"], signature["value"], content)
        demand(named(certificate, NameOID.ORGANIZATION_IDENTIFIER) == sender, "another agency")
        person = named(certificate, NameOID.SERIAL_NUMBER)
        (seals if person is None else leaders).append(person or signature["certificate"])
    demand(seals == [event["certificate"]] and (leader is None or leader in leaders), "the seal, or the leader")


def check_signature(key: Any, algorithm: str, value: bytes, content: bytes) -> None:  # noqa: ANN401
    if algorithm == "ecdsa_p256_sha256":
        key.verify(value, content, ec.ECDSA(SHA256()))
    elif algorithm == "rsa_pkcs1_sha256":
        key.verify(value, content, padding.PKCS1v15(), SHA256())
    elif algorithm == "ed25519":
        key.verify(value, content)
    else:
        raise ValueError(f"{algorithm}: not in these tests")


def check_promised(
    record: dict[str, Any], place: dict[str, Any], leaves: dict[int, dict[str, Any]], trust: Certificates
) -> None:
    event = place["event"]
    [signature] = record["signatures"]
    certificate = trust.check(signature["certificate"], event["append_ms"])
    demand(named(certificate, NameOID.ORGANIZATION_IDENTIFIER) == "G00.AXIS", "not the backbone")
    batch = avro(signature["batch"]["statement"], "batch")
    demand((batch["sender"], batch["certificate"]) == ("G00.AXIS", signature["certificate"]), "the batch")
    top = climb(sha(b"\0", record["statement"]), signature["batch"]["index"], batch["size"], signature["batch"]["path"])
    demand(top == batch["root"], "not in the batch")
    check_signature(
        certificate.public_key(), signature["algorithm"], signature["value"], signature["batch"]["statement"]
    )
    said = avro(record["statement"], "promise", "lapse")
    demand((said["sender"], said["to"]) == ("G00.AXIS", event["sender"]), "others")
    demand((said["topic"], said["partition"]) == (place["topic"], place["partition"]), "another place")
    same = ["id", "sha256", "offset", "append_ms"]
    if "included_ms" in said:
        demand(all(said[name] == place[name] for name in ("trace_offset", "trace_index")), "another place")
        same += ["outcome", "code", "kind", "verified"]
    else:
        same += ["thread"]
        recipients = [copy["recipient"] for copy in event["deliveries"] if copy["partition"] >= 0]
        day_ms, zone_ms = 86_400_000, 25_200_000
        demand(said["deadline_ms"] == (event["summary"]["due"] + 1) * day_ms - zone_ms, "another deadline")
        answered = [
            one for one in leaves.values()
            if one["outcome"] == "accepted" and one["status"] and one["sender"] == said["recipient"]
            and (one["status"]["document_sender"], one["status"]["document_id"]) == (event["sender"], event["id"])
            and one["append_ms"] < said["deadline_ms"]
        ]  # fmt: skip
        demand(said["recipient"] in recipients and not answered, "no lapse")
    demand(all(said[name] == event[name] for name in same), "another document")


def check_receipts(
    data: bytes, leaves: dict[int, dict[str, Any]], accepted: dict[str, Any], trust: Certificates
) -> None:
    about = (accepted["sender"], accepted["id"])
    parties = {accepted["sender"]} | {copy["recipient"] for copy in accepted["deliveries"] if copy["partition"] >= 0}
    said = {line["index"]: base64.b64decode(line["record"]) for line in map(json.loads, data.splitlines())}
    due = {
        index
        for index, event in leaves.items()
        if event["outcome"] == "accepted"
        and event["status"] is not None
        and (event["status"]["document_sender"], event["status"]["document_id"]) == about
    }
    demand(due == set(said), "other receipts")
    for index, value in said.items():
        record, event = avro(value, "record"), leaves[index]
        fields = avro(record["statement"], "status")
        demand(sha(record["statement"]) == event["sha256"], "another statement")
        demand((fields["document"]["sender"], fields["document"]["id"]) == about, "another document")
        demand(fields["sender"] in parties, "a stranger")
        check_record(record, fields["sender"], None, event, trust)
