"""A confidential document's content belongs to it alone; and a certificate is for signing or for encrypting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from exchange.errors import Rejected
from exchange.local.issuing import KeyKind
from exchange.sdk.confidential import CONTENT_NAME, MEDIA_TYPE, Content, is_confidential, read_content, write_content
from exchange.sdk.enveloping import encrypted
from exchange.sdk.fetching import save_encrypted
from exchange.sdk.session import Session
from exchange.statements.compose import attachment
from tests.support.signing import NOW_MS, SENDER, World
from tests.unit.test_enveloping import made as reader_key

KEY = reader_key()
FILE = attachment("dự thảo.docx", "application/msword", 5, b"\1" * 32)
CONTENT = Content("Kính gửi\nÔng", [FILE])


@pytest.fixture
def fields() -> dict[str, Any]:
    """A document of `SENDER` with a content and one file."""
    names = [(CONTENT_NAME, 300), ("1.p7m", 400)]
    return World().document(attachments=[attachment(name, MEDIA_TYPE, size, b"\2" * 32) for name, size in names])


def test_what_is_written_is_read(fields: dict[str, Any]) -> None:
    assert is_confidential(fields)
    assert read_content(write_content(SENDER, fields["id"], CONTENT), fields) == CONTENT
    assert not is_confidential(fields | {"attachments": [FILE]})
    assert not is_confidential(fields | {"attachments": []})


@pytest.mark.parametrize("changed", [{"id": "another"}, {"sender": "H38"}])
def test_a_content_copied_from_another_document(fields: dict[str, Any], changed: dict[str, str]) -> None:
    """Who can't read it may still attach it to a document of its own, and sign that."""
    data = write_content(SENDER, fields["id"], CONTENT)
    with pytest.raises(Rejected, match=r"encryption\.other_document"):
        read_content(data, fields | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2},
        {"files": []},
        {"files": [{"name": "x"}]},
        {"files": None},
        {"text": "\x07"},
        {"files": [{**FILE, "sha256": "00"}]},
        {"files": [{**FILE, "sha256": "00" * 32, "name": "../../etc/passwd"}]},
    ],
)
def test_a_hostile_content(fields: dict[str, Any], changed: dict[str, Any]) -> None:
    """Its sender is known, which makes it no better."""
    said = json.loads(write_content(SENDER, fields["id"], CONTENT)) | changed
    with pytest.raises(Rejected) as refused:
        read_content(json.dumps(said).encode(), fields)
    assert refused.value.code.partition(".")[0] in {"encryption", "attachment", "text"}


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{" * 100_000, b"\xff"])
def test_any_bytes_are_refused(fields: dict[str, Any], data: bytes) -> None:
    with pytest.raises(Rejected, match=r"encryption\.malformed"):
        read_content(data, fields)


class Store:
    """A gateway that gives these bytes for any attachment."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.wire = SimpleNamespace(aside=lambda work, *args: work(*args))

    def stream(self, _path: str) -> Iterator[bytes]:
        """In two pieces."""
        yield self.data[:100]
        yield self.data[100:]


class TestSaving:
    def save(self, folder: Path, data: bytes, told: bytes = b"plain" * 400) -> list[Path]:
        """Save what was stored as one encrypted file, of which the content says that it is `told`."""
        listed = attachment("1.p7m", MEDIA_TYPE, len(data), sha256(data).digest())
        file = attachment("tệp.bin", "application/octet-stream", len(told), sha256(told).digest())
        return save_encrypted(cast(Session, Store(data)), [listed], [file], folder, [KEY])

    def test_it_is_there_alone(self, tmp_path: Path) -> None:
        data = b"".join(encrypted([b"plain" * 400], 2000, [KEY.certificate]))
        [saved] = self.save(tmp_path, data)
        assert saved.read_bytes() == b"plain" * 400
        assert list(tmp_path.iterdir()) == [saved]

    def test_of_what_doesnt_open_nothing_stays(self, tmp_path: Path) -> None:
        """Its plaintext came before the tag that didn't fit."""
        data = b"".join(encrypted([b"plain" * 400], 2000, [KEY.certificate]))
        with pytest.raises(Rejected, match=r"encryption\.damaged"):
            self.save(tmp_path, data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(Rejected, match=r"attachment\.differs"):
            self.save(tmp_path, data, told=b"other")
        assert list(tmp_path.iterdir()) == []


class TestCertificates:
    @pytest.mark.parametrize("key", ["p256", "rsa2048"])
    def test_one_for_encrypting_signs_nothing(self, key: KeyKind) -> None:
        world = World()
        issued = world.issue(SENDER, key=key, usage="encrypt", role="encryption")
        trust = world.renew()
        assert trust.encryption(issued.fingerprint, NOW_MS).agency == SENDER
        with pytest.raises(Rejected, match=r"certificate\.wrong_usage"):
            trust.signer(issued.fingerprint, NOW_MS)

    def test_one_for_signing_is_not_encrypted_to(self) -> None:
        world = World()
        for wrong in (world.seal, world.issue(SENDER, role="encryption"), world.issue(SENDER, usage="encrypt")):
            with pytest.raises(Rejected, match=r"certificate\.wrong_usage"):
                world.renew().encryption(wrong.fingerprint, NOW_MS)

    def test_one_that_may_do_both_does_what_it_is_listed_for(self) -> None:
        """A seal of both usages doesn't sign once it is listed for encrypting."""
        world = World()
        issued = world.issue(SENDER, usage="encrypt", role="encryption")
        world.list_certificate(world.seal.certificate, "encryption", SENDER)
        with pytest.raises(Rejected, match=r"certificate\.wrong_usage"):
            world.renew().signer(world.seal.fingerprint, NOW_MS)
        assert world.trust.encryption(issued.fingerprint, NOW_MS).role == "encryption"

    def test_it_ends_as_others_do(self) -> None:
        world = World()
        over = world.issue(
            SENDER, usage="encrypt", role="encryption", validity_ms=(NOW_MS - 9_000_000, NOW_MS - 1_000_000)
        )
        with pytest.raises(Rejected, match=r"certificate\.expired"):
            world.renew().encryption(over.fingerprint, NOW_MS)
        other = world.issue("H38", usage="encrypt", role="encryption", listed=SENDER)
        with pytest.raises(Rejected, match=r"certificate\.subject_mismatch"):
            world.renew().encryption(other.fingerprint, NOW_MS)
