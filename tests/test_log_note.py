"""Signed notes and checkpoints, against published notes and against every way to bend one."""

import base64
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.log.note import (
    COSIGNATURE,
    Checkpoint,
    Note,
    NoteError,
    Vkey,
    cosign,
    open_checkpoint,
    parse_vkeys,
    sign_checkpoint,
    sign_note,
)

# golang.org/x/mod/sumdb/note, note_test.go.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
PETER_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# The example of c2sp.org/tlog-checkpoint.
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)

ORIGIN = "log.example.test/invented"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
VKEY = Vkey.of(ORIGIN, KEY)
HEAD = Checkpoint(ORIGIN, 7, bytes(range(32)))
SIGNED = sign_checkpoint(HEAD, ORIGIN, KEY)
WITNESS = "witness.example.test/w1"
WITNESS_VKEY = Vkey.of(WITNESS, OTHER, COSIGNATURE)
COSIGNED = SIGNED + cosign(HEAD.text(), WITNESS, OTHER, 1_795_500_000)


def test_a_note_without_a_signature_by_a_known_key_is_refused() -> None:
    for keys in ((), (Vkey.of(ORIGIN, OTHER),), (Vkey.of("another.example", KEY),)):
        with pytest.raises(NoteError, match="no known key"):
            open_checkpoint(SIGNED, keys)


def test_the_published_note_verifies_and_is_the_one_its_key_makes() -> None:
    vkey = Vkey.parse(PETER)
    assert vkey.text() == PETER
    note = f"{PETER_TEXT}\n{PETER_LINE}"
    assert Note.parse(note).signers([vkey]) == (vkey,)
    assert Note.parse(note).text == PETER_TEXT
    key = Ed25519PrivateKey.from_private_bytes(PETER_SEED)
    assert Vkey.of("PeterNeumann", key) == vkey
    assert sign_note(PETER_TEXT, "PeterNeumann", key) == note


def test_the_published_checkpoint_reads_into_its_three_parts() -> None:
    note = Note.parse(SOFA)
    head = Checkpoint.parse(note.text)
    assert (head.origin, head.size, head.root.hex()[:8]) == ("example.com/behind-the-sofa", 20852163, "0ac5186a")
    assert head.text() == note.text
    assert note.signatures[0].key_id.hex() == "033de0ae"
    assert SOFA.endswith(note.signatures[0].line())


def test_a_signed_checkpoint_opens_with_its_key() -> None:
    assert open_checkpoint(SIGNED, [Vkey.of("unused.example", OTHER), VKEY]) == (HEAD, (VKEY,))


def test_unknown_signatures_are_skipped_and_a_repeated_one_counts_once() -> None:
    text, line = SIGNED.split("\n\n")
    stranger = sign_checkpoint(HEAD, "witness.example", OTHER).split("\n\n")[1]
    same_name = sign_checkpoint(HEAD, ORIGIN, OTHER).split("\n\n")[1]
    note = f"{text}\n\n{stranger}{same_name}{line}{line}"
    assert open_checkpoint(note, [VKEY]) == (HEAD, (VKEY,))
    both = (Vkey.of("witness.example", OTHER), VKEY)
    assert open_checkpoint(note, both[::-1])[1] == both


def test_one_bad_signature_by_a_known_key_spoils_the_whole_note() -> None:
    text, line = SIGNED.split("\n\n")
    witness = Vkey.of("witness.example", OTHER)
    other = sign_checkpoint(Checkpoint(ORIGIN, 8, HEAD.root), witness.name, OTHER).split("\n\n")[1]
    with pytest.raises(NoteError, match="does not verify"):
        open_checkpoint(f"{text}\n\n{line}{other}", [VKEY, witness])


def test_a_signature_of_the_right_shape_by_the_wrong_key_is_refused() -> None:
    text = HEAD.text()
    forged = base64.b64encode(VKEY.key_id + OTHER.sign(text.encode())).decode()
    with pytest.raises(NoteError, match="does not verify"):
        open_checkpoint(f"{text}\n— {ORIGIN} {forged}\n", [VKEY])


def test_a_signature_of_the_wrong_length_is_refused() -> None:
    short = base64.b64encode(VKEY.key_id + b"x").decode()
    with pytest.raises(NoteError, match="does not verify"):
        open_checkpoint(f"{HEAD.text()}\n— {ORIGIN} {short}\n", [VKEY])


def test_no_flipped_bit_of_a_checkpoint_goes_unseen() -> None:
    data = SIGNED.encode()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            text = changed.decode()
        except UnicodeDecodeError:
            continue
        with pytest.raises(NoteError):
            open_checkpoint(text, [VKEY])


def test_no_part_or_mangling_of_a_verifier_key_is_a_verifier_key() -> None:
    text = VKEY.text()
    assert Vkey.parse(text) == VKEY
    parts = {text[a:b] for a in range(len(text)) for b in range(a, len(text) + 1)} - {text}
    nudged = {text[:at] + chr(ord(text[at]) ^ 1 << bit) + text[at + 1 :] for at in range(len(text)) for bit in range(7)}
    for bad in parts | nudged | {text + "\n", text.upper(), text.replace("+", "++", 1)}:
        with pytest.raises(NoteError):
            Vkey.parse(bad)
    # Adjusted key ids do not help: wrong length, unknown algorithm (note_test.go).
    for bad in (
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ):
        with pytest.raises(NoteError):
            Vkey.parse(bad)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\u3000b", "tab\t"])
def test_key_names_have_no_spaces_and_no_plus(name: str) -> None:
    with pytest.raises(NoteError):
        Vkey.of(name, KEY)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n— a AAAAAAA=\n",
        "text\n\n— a AAAAAAA=",
        "text\n\n- a AAAAAAA=\n",
        "text\n\n—a AAAAAAA=\n",
        "text\n\n— a AAAA\n",
        "text\n\n— a\n",
        "text\n\n—  AAAAAAA=\n",
        "text\n\n— a  AAAAAAA=\n",
        "text\n\n— a AAAAAAA= \n",
        "text\n\n— a AAAAAAB=\n",
        "text\n\n— a AAAAAAA\n",
        "text\n\n— a Ä\n",
        "text\r\n\n— a AAAAAAA=\n",
        "te\x00xt\n\n— a AAAAAAA=\n",
        "text\n\n" + "— a AAAAAAA=\n" * 65,
    ],
)
def test_what_is_not_quite_a_note_is_refused(note: str) -> None:
    with pytest.raises(NoteError):
        Note.parse(note)


def test_a_note_may_hold_empty_lines_and_64_signatures() -> None:
    note = Note.parse("a\n\nb\n\n" + "— a AAAAAAA=\n" * 64)
    assert note.text == "a\n\nb\n"
    assert len(note.signatures) == 64


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"a\n1\n{ROOT}",
        f"\n1\n{ROOT}\n",
        f"a\n01\n{ROOT}\n",
        f"a\n-1\n{ROOT}\n",
        f"a\n１\n{ROOT}\n",
        f"a\n1_0\n{ROOT}\n",
        f"a\n9223372036854775808\n{ROOT}\n",
        f"a\n1\n{ROOT[:-2]}B=\n",
        "a\n1\nAAAA\n",
        "a\n1\n\n",
        f"a\n1\n{ROOT}\nextension\n",
        f"a\x00\n1\n{ROOT}\n",
    ],
)
def test_what_is_not_quite_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "head",
    [
        Checkpoint("", 0, bytes(32)),
        Checkpoint("two\nlines", 0, bytes(32)),
        Checkpoint("a", -1, bytes(32)),
        Checkpoint("a", 2**63, bytes(32)),
        Checkpoint("a", 0, bytes(31)),
        Checkpoint("\ud800", 0, bytes(32)),
    ],
)
def test_a_head_that_cannot_be_read_again_is_never_signed(head: Checkpoint) -> None:
    with pytest.raises(NoteError):
        sign_checkpoint(head, "a", KEY)


def test_text_that_is_not_unicode_is_a_note_error() -> None:
    with pytest.raises(NoteError):
        Note.parse("\ud800\n\n— a AAAAAAA=\n").signers([VKEY])


heads = st.builds(
    Checkpoint,
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20),
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
)


@given(heads)
@settings(max_examples=60, deadline=None)
def test_every_head_comes_back_from_its_signed_note(head: Checkpoint) -> None:
    assert open_checkpoint(sign_checkpoint(head, ORIGIN, KEY), [VKEY]) == (head, (VKEY,))


@given(
    st.text(max_size=60) | st.from_regex(r"[^\n]{1,5}\n[0-9]{1,3}\n[A-Za-z0-9+/=]{0,8}\n\n— a [A-Za-z0-9+/=]{4,12}\n")
)
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_back_exactly_or_refused(text: str) -> None:
    with suppress(NoteError):
        assert Vkey.parse(text).text() == text
    with suppress(NoteError):
        assert Checkpoint.parse(text).text() == text
    with suppress(NoteError):
        note = Note.parse(text)
        assert f"{note.text}\n{''.join(line.line() for line in note.signatures)}" == text


def test_a_witness_signs_header_time_and_text_and_its_line_holds_the_time() -> None:
    # The message and the line are written out here as https://c2sp.org/tlog-cosignature has them.
    message = b"cosignature/v1\ntime 1795500000\n" + HEAD.text().encode()
    signature = WITNESS_VKEY.key_id + (1_795_500_000).to_bytes(8, "big") + OTHER.sign(message)
    assert f"{SIGNED}— {WITNESS} {base64.b64encode(signature).decode()}\n" == COSIGNED
    assert Vkey.parse(WITNESS_VKEY.text()) == WITNESS_VKEY
    assert base64.b64decode(WITNESS_VKEY.text().rpartition("+")[2])[0] == 4
    assert WITNESS_VKEY.key_id != Vkey.of(WITNESS, OTHER).key_id


def test_known_witnesses_are_told_with_their_time_and_none_is_no_error() -> None:
    note = Note.parse(COSIGNED)
    assert note.cosigners([VKEY, WITNESS_VKEY]) == ((WITNESS_VKEY, 1_795_500_000),)
    assert note.cosigners([VKEY]) == ()
    assert note.signers([VKEY, WITNESS_VKEY]) == (VKEY, WITNESS_VKEY)
    with pytest.raises(NoteError, match="no known key"):
        Note.parse(SIGNED).signers([WITNESS_VKEY])


def test_no_flipped_bit_of_a_cosignature_goes_unseen() -> None:
    line = COSIGNED.removeprefix(SIGNED)
    signature = base64.b64decode(line.split(" ")[2])
    for bit in range(32, 8 * len(signature)):
        bad = bytearray(signature)
        bad[bit // 8] ^= 1 << bit % 8
        note = Note.parse(f"{SIGNED}— {WITNESS} {base64.b64encode(bad).decode()}\n")
        with pytest.raises(NoteError):
            note.cosigners([WITNESS_VKEY])
    for short in (signature[:-1], signature[:11], signature[:12]):
        with pytest.raises(NoteError):
            Note.parse(f"{SIGNED}— {WITNESS} {base64.b64encode(short).decode()}\n").cosigners([WITNESS_VKEY])


def test_a_log_signature_is_no_cosignature_nor_the_other_way_round() -> None:
    swapped = Vkey(WITNESS, WITNESS_VKEY.key)
    line = f"— {WITNESS} {base64.b64encode(swapped.key_id + OTHER.sign(HEAD.text().encode())).decode()}\n"
    assert Note.parse(SIGNED + line).signers([swapped]) == (swapped,)
    assert Note.parse(SIGNED + line).cosigners([WITNESS_VKEY]) == ()
    with pytest.raises(NoteError, match="time of a cosignature"):
        cosign(HEAD.text(), WITNESS, OTHER, 2**63)


def test_a_file_of_verifier_keys_has_one_a_line() -> None:
    both = f"{VKEY.text()}\n{WITNESS_VKEY.text()}\n"
    assert parse_vkeys(both.encode()) == (VKEY, WITNESS_VKEY)
    for bad in ("", "\n", both[:-1], both + "\n", both.replace("\n", "\r\n")):
        with pytest.raises(NoteError):
            parse_vkeys(bad.encode())
    with pytest.raises(NoteError, match="UTF-8"):
        parse_vkeys(b"\xff\n")
