"""Keys, seals, pseudonyms and commitments: each fails closed when anything is not as it was."""

import hashlib
import hmac
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.vault import RetentionClass, SubjectKey, Vault, hkdf
from schemas.errors import ConfigurationError, KeysUnavailable
from tests.consent_world import KEK, PSEUDONYM_KEY, Keks, uscc

PAYLOAD = RetentionClass.PAYLOAD


def key(subject: str = "s", retention: RetentionClass = PAYLOAD) -> SubjectKey:
    return SubjectKey.of(subject, retention, 1, b"s" * 32)


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=64))
@settings(max_examples=30)
def test_our_hkdf_is_that_of_rfc_5869(secret: bytes, info: bytes) -> None:
    assert hkdf(secret, info) == HKDF(SHA256(), 32, None, info).derive(secret)


def test_hkdf_gives_the_first_32_bytes_of_rfc_5869_test_case_3() -> None:
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert hkdf(b"\x0b" * 22, b"").hex() == expected


def test_a_commitment_is_the_documented_construction() -> None:
    secret, digest = b"s" * 32, hashlib.sha256(b"payload").digest()
    k = hkdf(hkdf(secret, b"commit"), b"entry-1\x00profile")
    expected = hmac.new(k, b"xinqiao/commitment/v1\x00" + digest, "sha256").hexdigest()
    assert key().commitment("entry-1", "profile", digest) == expected


def test_a_commitment_changes_with_entry_name_payload_subject_key_and_class() -> None:
    digest = hashlib.sha256(b"payload").digest()
    made = {
        key().commitment("e1", "n1", digest),
        key().commitment("e2", "n1", digest),
        key().commitment("e1", "n2", digest),
        key().commitment("e1", "n1", hashlib.sha256(b"other").digest()),
        SubjectKey.of("s", PAYLOAD, 1, b"t" * 32).commitment("e1", "n1", digest),
    }
    assert len(made) == 5


@given(st.binary(max_size=200))
@settings(max_examples=20)
def test_what_was_sealed_opens_in_its_place(payload: bytes) -> None:
    sealed = key().seal("sealed", "row", payload)
    assert key().open("sealed", "row", sealed) == payload


def test_a_seal_moved_or_changed_does_not_open() -> None:
    sealed = key().seal("sealed", "row", b"payload")
    flipped = sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1])
    for other, table, row, what in (
        (key(), "other", "row", sealed),
        (key(), "sealed", "other", sealed),
        (key("t"), "sealed", "row", sealed),
        (key(retention=RetentionClass.EVIDENCE), "sealed", "row", sealed),
        (SubjectKey.of("s", PAYLOAD, 2, b"s" * 32), "sealed", "row", sealed),
        (SubjectKey.of("s", PAYLOAD, 1, b"t" * 32), "sealed", "row", sealed),
        (key(), "sealed", "row", replace(sealed, ciphertext=flipped)),
    ):
        with pytest.raises(KeysUnavailable):
            other.open(table, row, what)


def test_the_payload_and_the_secrets_are_in_no_repr() -> None:
    assert "s" * 32 not in repr(key())
    assert "AESGCM" not in repr(key())


def test_a_wrapped_key_opens_only_under_its_own_key_and_place() -> None:
    vault = Vault(Keks(KEK, bytes(range(1, 33))), PSEUDONYM_KEY)
    made, wrapped = vault.new_key("s", PAYLOAD, 1, 1)
    digest = hashlib.sha256(b"p").digest()
    assert vault.unwrap("s", PAYLOAD, 1, 1, wrapped).commitment("e", "n", digest) == made.commitment("e", "n", digest)
    with pytest.raises(KeysUnavailable):
        Vault(Keks(bytes(32)), PSEUDONYM_KEY).unwrap("s", PAYLOAD, 1, 1, wrapped)
    for subject, retention, version, epoch, data in (
        ("t", PAYLOAD, 1, 1, wrapped),
        ("s", RetentionClass.EVIDENCE, 1, 1, wrapped),
        ("s", PAYLOAD, 2, 1, wrapped),
        ("s", PAYLOAD, 1, 2, wrapped),
        ("s", PAYLOAD, 1, 1, wrapped[:20]),
        ("s", PAYLOAD, 1, 1, b""),
    ):
        with pytest.raises(KeysUnavailable):
            vault.unwrap(subject, retention, version, epoch, data)


def test_a_key_that_was_wrapped_anew_opens_under_the_new_epoch_and_is_the_same_key() -> None:
    vault = Vault(Keks(KEK, bytes(range(1, 33))), PSEUDONYM_KEY)
    made, wrapped = vault.new_key("s", PAYLOAD, 1, 1)
    anew = vault.wrap("s", PAYLOAD, 1, 2, vault.secret("s", PAYLOAD, 1, 1, wrapped))
    sealed = made.seal("sealed", "row", b"payload")
    assert vault.unwrap("s", PAYLOAD, 1, 2, anew).open("sealed", "row", sealed) == b"payload"
    vault.forget_epochs(2)
    assert vault.unwrap("s", PAYLOAD, 1, 2, anew).open("sealed", "row", sealed) == b"payload"


def test_the_vault_takes_only_a_pseudonym_key_of_32_bytes() -> None:
    with pytest.raises(ConfigurationError):
        Vault(Keks(KEK), b"short")


def test_a_pseudonym_depends_on_the_code_and_on_the_key() -> None:
    vault = Vault(Keks(KEK), PSEUDONYM_KEY)
    assert vault.pseudonym(uscc(1)) == Vault(Keks(bytes(32)), PSEUDONYM_KEY).pseudonym(uscc(1))
    assert vault.pseudonym(uscc(1)) != vault.pseudonym(uscc(2))
    assert vault.pseudonym(uscc(1)) != Vault(Keks(KEK), KEK).pseudonym(uscc(1))
    assert uscc(1) not in vault.pseudonym(uscc(1))


def test_no_more_unwrapped_keys_are_held_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vault, "CACHED", 2)
    vault = Vault(Keks(KEK), PSEUDONYM_KEY)
    for subject in "abc":
        vault.remember(subject, {PAYLOAD: key(subject)}, 0)
    assert vault.cached("a") is None
    assert vault.cached("b") is not None
    assert vault.cached("c") is not None


def test_what_is_held_is_dropped_when_something_was_shredded_and_an_older_reading_brings_nothing_back() -> None:
    vault = Vault(Keks(KEK), PSEUDONYM_KEY)
    vault.remember("a", {PAYLOAD: key("a")}, 0)
    vault.see(1)
    assert vault.cached("a") is None
    vault.remember("a", {PAYLOAD: key("a")}, 0)
    assert vault.cached("a") is None
    vault.see(0)
    vault.remember("a", {PAYLOAD: key("a")}, 1)
    assert vault.cached("a") is not None


def test_a_document_is_opened_once_and_again_only_where_its_row_is_another() -> None:
    vault = Vault(Keks(KEK), PSEUDONYM_KEY)
    packed = key().seal("consents", "c1", b"document").packed()
    digest = hashlib.sha256(packed).digest()
    asked = []

    def ask() -> SubjectKey:
        asked.append(1)
        return key()

    assert vault.document("c1", digest) is None
    assert [vault.open_document("c1", digest, packed, ask) for _ in range(3)] == [b"document"] * 3
    assert asked == [1]
    assert vault.document("c1", digest) == b"document"
    for other in (b"", packed[:-1], packed + b"x"):
        assert vault.document("c1", hashlib.sha256(other).digest()) is None
        with pytest.raises(KeysUnavailable):
            vault.open_document("c1", hashlib.sha256(other).digest(), other, ask)
    with pytest.raises(KeysUnavailable):
        vault.open_document("c2", digest, packed, ask)


@pytest.mark.parametrize("stored", [None, b"", b"another"])
def test_a_document_that_is_not_the_one_its_row_names_is_not_even_tried(stored: bytes | None) -> None:
    vault = Vault(Keks(KEK), PSEUDONYM_KEY)
    digest = hashlib.sha256(key().seal("consents", "c1", b"document").packed()).digest()
    with pytest.raises(KeysUnavailable):
        vault.open_document("c1", digest, stored, lambda: pytest.fail("the key was asked for"))


def test_a_document_that_was_just_sealed_is_held_open_under_its_digest_until_something_is_shredded() -> None:
    vault = Vault(Keks(KEK), PSEUDONYM_KEY)
    packed, digest = vault.seal_document("c1", b"document", key())
    assert digest == hashlib.sha256(packed).digest()
    assert vault.document("c1", digest) == b"document"
    vault.see(1)
    assert vault.document("c1", digest) is None
    assert vault.open_document("c1", digest, packed, key) == b"document"


def test_no_more_documents_are_held_open_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vault, "DOCUMENTS", 1)
    vault = Vault(Keks(KEK), PSEUDONYM_KEY)
    digests = {name: vault.seal_document(name, b"d", key())[1] for name in ("c1", "c2")}
    assert [vault.document(name, digest) for name, digest in digests.items()] == [None, b"d"]
