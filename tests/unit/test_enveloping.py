"""CMS AuthEnvelopedData: what is encrypted opens for its recipients, here and in openssl, and for nobody else."""

from __future__ import annotations

import os
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import Rejected
from exchange.local.authority import Authority
from exchange.local.issuing import KeyKind
from exchange.sdk.enveloping import CHUNK_BYTES, DecryptionKey, ReaderKey, check_reader, decrypted, encrypted

AUTHORITY = Authority.generate(Path("never-written"))


def made(kind: KeyKind = "p256") -> DecryptionKey:
    """A key, certified for being encrypted to."""
    issued = AUTHORITY.issue("H26", "Hà Nội", key=kind, usage="encrypt")
    return DecryptionKey(x509.load_der_x509_certificate(issued.certificate), cast(ReaderKey, issued.private_key))


OURS, RSA, ANOTHER = made(), made("rsa2048"), made()
CONTENT = b"Kh\xc3\xb4ng ai kh\xc3\xa1c \xc4\x91\xe1\xbb\x8dc \xc4\x91\xc6\xb0\xe1\xbb\xa3c" * 50


def sealed(content: bytes = CONTENT, *readers: DecryptionKey) -> bytes:
    """Encrypted to these, by default to one on P-256 and one with RSA."""
    return b"".join(encrypted([content], len(content), [one.certificate for one in readers or (OURS, RSA)]))


def opened(data: bytes, *keys: DecryptionKey) -> bytes:
    return b"".join(decrypted([data], keys or [OURS]))


def attempt(data: bytes) -> bytes | str:
    """The content, or the refusal's code."""
    try:
        return opened(data)
    except Rejected as refused:
        return refused.code


def refusal(data: bytes, *keys: DecryptionKey) -> str:
    with pytest.raises(Rejected) as refused:
        opened(data, *keys)
    return refused.value.code


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_what_was_encrypted_opens_however_it_is_cut(content: bytes, step: int) -> None:
    chunks = [content[at : at + step] for at in range(0, len(content), step)]
    data = b"".join(encrypted(chunks, len(content), [OURS.certificate]))
    assert b"".join(decrypted([data[at : at + step] for at in range(0, len(data), step)], [OURS])) == content


def test_every_recipient_opens_it_by_itself_and_nobody_else_does() -> None:
    data = sealed()
    assert CONTENT[:16] not in data
    assert opened(data, OURS) == opened(data, RSA) == opened(data, ANOTHER, RSA) == CONTENT
    assert refusal(data, ANOTHER) == "encryption.not_for_us"
    assert refusal(data, DecryptionKey(OURS.certificate, ANOTHER.private_key)) == "encryption.damaged"


def test_two_of_one_content_have_nothing_in_common() -> None:
    one, two = sealed(CONTENT, OURS), sealed(CONTENT, OURS)
    assert one[-len(CONTENT) :] != two[-len(CONTENT) :]
    assert len(one) - len(CONTENT) < 500


def test_256_recipients_with_several_keys_each() -> None:
    readers = [made() for _ in range(16)] * 64
    assert opened(sealed(b"x", *readers, RSA), RSA) == b"x"


def pem(folder: Path, key: DecryptionKey) -> tuple[str, str]:
    """Certificate and private key as files."""
    certificate, private = folder / "reader.crt.pem", folder / "reader.key.pem"
    certificate.write_bytes(key.certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(certificate), str(private)


@pytest.mark.parametrize("key", [OURS, RSA], ids=["p256", "rsa"])
class TestOpenssl:
    def test_it_opens_ours(self, tmp_path: Path, key: DecryptionKey) -> None:
        certificate, private = pem(tmp_path, key)
        (tmp_path / "sealed").write_bytes(sealed())
        command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", str(tmp_path / "sealed")]
        command += ["-recip", certificate, "-inkey", private, "-out", str(tmp_path / "opened")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "opened").read_bytes() == CONTENT

    def test_we_open_its(self, tmp_path: Path, key: DecryptionKey) -> None:
        certificate, _ = pem(tmp_path, key)
        (tmp_path / "content").write_bytes(CONTENT)
        options = ["ecdh_kdf_md:sha256"] if key is OURS else ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256"]
        command = ["openssl", "cms", "-encrypt", "-binary", "-aes-256-gcm", "-in", str(tmp_path / "content")]
        command += ["-outform", "DER", "-out", str(tmp_path / "sealed"), "-recip", certificate]
        command += [word for option in options for word in ("-keyopt", option)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        assert opened((tmp_path / "sealed").read_bytes(), key) == CONTENT


class TestHostile:
    def test_no_changed_byte_goes_unseen(self) -> None:
        """Every byte, of a short one: nothing but the content comes out, whole, or a refusal with a code."""
        data = sealed(b"short", OURS)
        became = [attempt(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]) for at in range(len(data))]
        unseen = [at for at, one in enumerate(became) if one == b"short"]
        assert {one for one in became if one != b"short"} <= {
            "encryption.damaged", "encryption.malformed", "encryption.not_for_us", "encryption.profile",
            "encryption.too_large",
        }  # fmt: skip
        # The outer lengths, which a stream doesn't need, and the content's type say nothing about what is read.
        assert len(unseen) < 30, unseen
        assert max(unseen) < len(data) - len(b"short") - 18

    def test_cut_or_extended(self) -> None:
        data = sealed(CONTENT, OURS)
        assert {refusal(data[:at]) for at in (0, 1, 40, len(data) - 17, len(data) - 1)} == {"encryption.damaged"}
        assert refusal(data + b"\0") == "encryption.profile"

    @given(st.binary(max_size=300))
    def test_any_bytes_are_refused_with_a_code(self, data: bytes) -> None:
        assert refusal(data).startswith("encryption.")

    @given(st.binary(max_size=200), st.integers(0, 400))
    def test_any_bytes_in_the_middle_too(self, noise: bytes, at: int) -> None:
        data = sealed(CONTENT, OURS)
        spoilt = data[:at] + noise + data[at + len(noise) :]
        became = attempt(spoilt)
        assert became == CONTENT if isinstance(became, bytes) else became.startswith("encryption.")

    def test_recipients_beyond_the_limit(self) -> None:
        bomb = bytes.fromhex("308206a0") + b"\x06\x0b" + bytes.fromhex("2a864886f70d0109100117")
        assert refusal(bomb + bytes.fromhex("a0843fffffff30843fffffff020100") + b"\x31\x84\x3f\xff\xff\xff")

    def test_sizes_that_arent_the_contents(self) -> None:
        for chunks, size in (([b"abc"], 2), ([b"abc"], 4), ([], 1)):
            with pytest.raises(Rejected, match=r"encryption\.size"):
                list(encrypted(chunks, size, [OURS.certificate]))
        with pytest.raises(Rejected, match=r"encryption\.no_reader"):
            list(encrypted([], 0, []))

    def test_keys_that_cant_be_encrypted_to(self) -> None:
        issued = AUTHORITY.issue("H26", "Hà Nội", key="ed25519")
        with pytest.raises(Rejected, match=r"encryption\.key"):
            check_reader(x509.load_der_x509_certificate(issued.certificate))
        check_reader(RSA.certificate)


def test_memory_doesnt_grow_with_the_content() -> None:
    size = 64 * CHUNK_BYTES

    def zeros() -> Iterator[bytes]:
        for _ in range(64):
            yield os.urandom(CHUNK_BYTES)

    tracemalloc.start()
    try:
        total = sum(len(chunk) for chunk in decrypted(encrypted(zeros(), size, [OURS.certificate]), [OURS]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 8 * CHUNK_BYTES
