"""Notes, checkpoints and cosignatures: the specification's own example, ours, and whatever else might pass for one."""

from __future__ import annotations

import base64

import pytest

from exchange.errors import Misconfigured, Rejected
from exchange.ledger.checkpoint import Checkpoint, Cosignature, cosign, cosignatures, open_checkpoint, parse_text
from exchange.ledger.notes import COSIGNATURE, NoteKey, VerifierKey, open_note, parse_note, sign_note

SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_BLOB = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
SPEC_NOTE = f"This is an example message.\n\n— example.com/foo {SPEC_BLOB}\n".encode()

LOG = NoteKey.from_seed("log.example.vn/axis", bytes(range(0x20)))
WITNESS = NoteKey.from_seed("witness.example.vn/w1", bytes(range(0x20, 0x40)), COSIGNATURE)
ROOT = bytes.fromhex("6015403706ae97dcea776e594364d037bbafc168547028106301c9ef9742b0e6")
CHECKPOINT = Checkpoint("log.example.vn/axis", 3, ROOT)
NOTE = """log.example.vn/axis
3
YBVANwaul9zqd25ZQ2TQN7uvwWhUcCgQYwHJ75dCsOY=

— log.example.vn/axis PkhPTP+CI0UscOQVPcT7Zb7zwYx0OG5h59uAK+YFiAV/1huwmhsnFji6zETuGAMB8+2LMAGKp3bDGOeZu32Yz0DYCQE=
"""
COSIGNED = (
    "— witness.example.vn/w1 LjwcsQAAAABlU/EApOGTBYgEuVGfsiqZK5FQUL7Mc1ZwubAI1JT0mbPZ/ytyu4MEj39Ay+HQ7+gsHCH3R6Vc"
    "GB6g2fQwlycZSW2NDw==\n"
)


def refused(code: str, data: bytes, key: VerifierKey = LOG.verifier) -> None:
    with pytest.raises(Rejected) as caught:
        open_checkpoint(data, key)
    assert caught.value.code == code


def test_example_of_the_specification() -> None:
    key = VerifierKey.parse(SPEC_KEY)
    assert str(key) == SPEC_KEY
    assert open_note(SPEC_NOTE, [key]) == "This is an example message.\n"


def test_own_example() -> None:
    assert str(LOG.verifier) == "log.example.vn/axis+3e484f4c+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    assert CHECKPOINT.sign(LOG) == NOTE
    assert open_checkpoint(NOTE.encode(), LOG.verifier) == CHECKPOINT


def test_own_cosignature() -> None:
    assert WITNESS.verifier.key_id.hex() == "2e3c1cb1"
    assert cosign(CHECKPOINT.text, WITNESS, 1_700_000_000).encode() == COSIGNED
    cosigned = (NOTE + COSIGNED).encode()
    assert open_checkpoint(cosigned, LOG.verifier) == CHECKPOINT
    assert cosignatures(cosigned, [WITNESS.verifier]) == [Cosignature("witness.example.vn/w1", 1_700_000_000)]
    assert cosignatures(NOTE.encode(), [WITNESS.verifier]) == []
    assert cosignatures(cosigned, []) == []


def test_a_cosignature_over_another_checkpoint_is_refused() -> None:
    other = Checkpoint(CHECKPOINT.origin, 4, ROOT).sign(LOG)
    with pytest.raises(Rejected, match=r"checkpoint\.cosignature"):
        cosignatures((other + COSIGNED).encode(), [WITNESS.verifier])


def test_keys_survive_their_text() -> None:
    for key in (LOG, WITNESS, NoteKey.generate("a.vn")):
        assert NoteKey.parse(key.secret).verifier == key.verifier
        assert VerifierKey.parse(f" {key.verifier}\n") == key.verifier
    assert "seed" not in repr(LOG.verifier)


@pytest.mark.parametrize("text", ["", "x", "a+b", SPEC_KEY.replace("530d", "530e"), SPEC_KEY[:-4], "a b+530d903a+AA=="])
def test_a_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        VerifierKey.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb"])
def test_a_name_that_no_key_may_have(name: str) -> None:
    with pytest.raises(Misconfigured):
        NoteKey.generate(name)


def test_a_known_signer_that_fails_spoils_the_note() -> None:
    second = NoteKey.generate("second.vn")
    note = sign_note("text\n", LOG) + parse_note(sign_note("other\n", second).encode()).lines[0].encode()
    assert open_note(note.encode(), [LOG.verifier]) == "text\n"
    with pytest.raises(Rejected, match=r"note\.signature"):
        open_note(note.encode(), [LOG.verifier, second.verifier])


def test_a_key_of_the_same_name_or_id_only_is_a_strangers() -> None:
    refused("note.unknown_signer", NOTE.encode(), NoteKey.generate(LOG.verifier.name).verifier)
    renamed = NOTE.replace("— log.example.vn/axis", "— log.example.vn/other")
    refused("note.unknown_signer", renamed.encode())


def test_the_origin_must_be_the_keys_name() -> None:
    note = sign_note(Checkpoint("another.vn", 3, ROOT).text, LOG)
    refused("checkpoint.other_origin", note.encode())
    with pytest.raises(Misconfigured):
        Checkpoint("another.vn", 3, ROOT).sign(LOG)


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("note.signature", NOTE.replace("\n3\n", "\n4\n", 1)),
        ("note.malformed", NOTE[:-1]),
        ("note.malformed", NOTE.replace("\n\n", "\n")),
        ("note.malformed", NOTE.replace("—", "-")),
        ("note.malformed", NOTE.replace("CQE=", "CQE")),
        ("note.malformed", NOTE + "— x \n"),
        ("note.malformed", NOTE + "— x AAAAAA==\n"),
        ("note.malformed", NOTE.replace("axis\n3", "axis\t\n3", 1)),
        ("note.too_large", NOTE + 70_000 * "x"),
        ("note.malformed", NOTE + 70 * COSIGNED),
    ],
)
def test_a_damaged_note_is_refused_by_its_code(code: str, changed: str) -> None:
    refused(code, changed.encode())


@pytest.mark.parametrize("size", ["03", "-1", "", "1e3", "٣", "9" * 20])
def test_a_size_has_one_spelling(size: str) -> None:
    with pytest.raises(Rejected, match=r"checkpoint\.malformed"):
        parse_text(f"a.vn\n{size}\n{base64.b64encode(ROOT).decode()}\n")


def test_extension_lines_are_kept_and_signed() -> None:
    extended = Checkpoint(LOG.verifier.name, 3, ROOT, "more\nlines\n")
    assert open_checkpoint(extended.sign(LOG).encode(), LOG.verifier) == extended
    for text in ("a\n1\n", f"a\n1\n{base64.b64encode(ROOT).decode()}\n\nx\n", "a\n1\nAAAA\n"):
        with pytest.raises(Rejected, match=r"checkpoint\.malformed"):
            parse_text(text)


def test_the_text_of_a_note_may_hold_empty_lines() -> None:
    assert open_note(sign_note("a\n\nb\n", LOG).encode(), [LOG.verifier]) == "a\n\nb\n"
