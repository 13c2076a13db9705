"""SM2, SM3 and SM4 against the published samples, on both backends."""

import gc
from collections.abc import Callable

import gmssl_pyx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import sm2
from connectors.sm2 import backends, curve, encryption, keys, libcrypto
from schemas.errors import ConfigurationError, InvalidValue

# GB/T 32918.5 annex A.
SECRET = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
POINT = bytes.fromhex(
    "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
MESSAGE = b"message digest"
K = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
RAW = R.to_bytes(32) + S.to_bytes(32)
BACKENDS: list[Callable[[], backends.Backend]] = [libcrypto.OpenSsl, backends.Gmssl]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> backends.Backend:
    made: backends.Backend = request.param()
    monkeypatch.setattr(keys, "backend", lambda: made)
    return made


def test_the_published_signature_verifies(backend: backends.Backend) -> None:
    public = sm2.PublicKey(POINT)
    assert public.verify(RAW, MESSAGE)
    assert public.verify(f"{R},{S}".encode(), MESSAGE, form="decimal")
    der = bytes.fromhex("3046022100") + R.to_bytes(32) + bytes.fromhex("022100") + S.to_bytes(32)
    assert public.verify(der, MESSAGE, form="der")
    assert sm2.PublicKey(b"\x04" + POINT).verify(RAW, MESSAGE)


def test_the_public_key_follows_from_the_private_one(backend: backends.Backend) -> None:
    assert sm2.PrivateKey(SECRET).public.point == POINT


@pytest.mark.parametrize("form", ["raw", "der", "decimal"])
def test_what_is_signed_verifies_in_its_form_and_in_no_other(
    backend: backends.Backend, form: sm2.SignatureForm
) -> None:
    key = sm2.PrivateKey(SECRET)
    signature = key.sign(MESSAGE, form=form, user_id=b"an application")
    assert key.public.verify(signature, MESSAGE, form=form, user_id=b"an application")
    assert not key.public.verify(signature, MESSAGE, form=form)
    forms: tuple[sm2.SignatureForm, ...] = ("raw", "der", "decimal")
    assert not any(key.public.verify(signature, MESSAGE, form=f, user_id=b"an application") for f in forms if f != form)


def test_the_other_backend_verifies_what_one_signs() -> None:
    first, second = (make() for make in BACKENDS)
    for signer, verifier in ((first, second), (second, first)):
        der = signer.signer(SECRET, POINT)(b"user", b"text")
        assert verifier.verifier(POINT)(b"user", b"text", der)


@settings(max_examples=40, deadline=None)
@given(bit=st.integers(0, 8 * 64 - 1))
def test_a_flipped_bit_of_the_signature_is_refused(bit: int) -> None:
    flipped = bytearray(RAW)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not sm2.PublicKey(POINT).verify(bytes(flipped), MESSAGE)


@settings(max_examples=20, deadline=None)
@given(bit=st.integers(0, 8 * len(MESSAGE) - 1))
def test_a_flipped_bit_of_the_message_is_refused(bit: int) -> None:
    flipped = bytearray(MESSAGE)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not sm2.PublicKey(POINT).verify(RAW, bytes(flipped))


def test_the_right_shape_under_the_wrong_key_is_refused(backend: backends.Backend) -> None:
    other = sm2.PrivateKey((7).to_bytes(32)).public
    assert not other.verify(RAW, MESSAGE)


def test_the_digest_is_that_of_the_sample() -> None:
    """r = (e + x1) mod n with the sample's k, and s = (k - r d) / (1 + d), as GB/T 32918.2 section 6.1 says."""
    e = int.from_bytes(curve.message_digest(POINT, sm2.DEFAULT_ID, MESSAGE))
    x1 = int.from_bytes(sm2.PrivateKey(K.to_bytes(32)).public.point[:32])
    assert (e + x1) % curve.N == R
    d = int.from_bytes(SECRET)
    assert pow(1 + d, -1, curve.N) * (K - R * d) % curve.N == S


@pytest.mark.parametrize(
    ("signature", "form"),
    [
        (RAW[:-1], "raw"),
        (RAW + b"\0", "raw"),
        (b"\0" * 64, "raw"),
        (curve.N.to_bytes(32) + S.to_bytes(32), "raw"),
        (R.to_bytes(32) + curve.N.to_bytes(32), "raw"),
        (b"", "der"),
        (b"0\x06\x02\x01\x01\x02\x01\x01\0", "der"),
        (b"1", "decimal"),
        (b"1,2,3", "decimal"),
        (b"+1,2", "decimal"),
        (b" 1,2", "decimal"),
        ("１,2".encode(), "decimal"),
        (b"1,-2", "decimal"),
    ],
)
def test_a_signature_without_its_form_is_wrong_and_no_error(signature: bytes, form: sm2.SignatureForm) -> None:
    assert not sm2.PublicKey(POINT).verify(signature, MESSAGE, form=form)


@pytest.mark.parametrize(
    "point", [b"", POINT[:-1], POINT[:-1] + b"\0", b"\x02" + POINT, b"\xff" * 64, POINT + b"\0", b"\0" * 64]
)
def test_a_point_off_the_curve_is_no_public_key(point: bytes) -> None:
    with pytest.raises(InvalidValue):
        sm2.PublicKey(point)


@pytest.mark.parametrize("number", [0, curve.N - 1, curve.N, 2**256 - 1])
def test_a_number_outside_the_range_is_no_private_key(number: int) -> None:
    with pytest.raises(InvalidValue):
        sm2.PrivateKey(number.to_bytes(32))


def test_a_private_key_of_another_length_is_refused_and_none_is_shown() -> None:
    with pytest.raises(InvalidValue):
        sm2.PrivateKey(SECRET[1:])
    assert SECRET.hex() not in repr(sm2.PrivateKey(SECRET)).lower()


@pytest.mark.parametrize("number", [1, 2, 3, curve.N - 2])
def test_keys_at_the_edges_of_the_range_sign(backend: backends.Backend, number: int) -> None:
    key = sm2.PrivateKey(number.to_bytes(32))
    assert key.public.verify(key.sign(MESSAGE), MESSAGE)


@pytest.mark.parametrize("user_id", [b"", b"x" * 8191])
def test_a_user_id_whose_length_does_not_fit_is_refused(user_id: bytes) -> None:
    with pytest.raises(InvalidValue):
        sm2.PublicKey(POINT).verify(RAW, MESSAGE, user_id=user_id)


def test_the_longest_user_id_signs_the_same_on_both_backends() -> None:
    first, second = (make() for make in BACKENDS)
    der = first.signer(SECRET, POINT)(b"x" * 8190, MESSAGE)
    assert second.verifier(POINT)(b"x" * 8190, MESSAGE, der)


def test_keys_of_libcrypto_are_freed_with_their_owner() -> None:
    key = libcrypto._Key(freed := Recorder(), 42)
    assert freed.calls == []
    del key
    gc.collect()
    assert freed.calls == [42]


class Recorder:
    def __init__(self) -> None:
        self.calls: list[int] = []

    def EVP_PKEY_free(self, handle: int) -> None:
        self.calls.append(handle)


class Liar:
    """Says yes to every signature."""

    def signer(self, secret: bytes, point: bytes) -> Callable[[bytes, bytes], bytes]:
        return lambda user_id, message: b""

    def verifier(self, point: bytes) -> Callable[[bytes, bytes, bytes], bool]:
        return lambda user_id, message, der: True

    def sealer(self, point: bytes) -> Callable[[bytes], bytes]:
        return lambda data: data

    def opener(self, secret: bytes, point: bytes) -> Callable[[bytes], bytes | None]:
        return lambda der: der


def missing() -> backends.Backend:
    raise OSError("no such library")


def incomplete() -> backends.Backend:
    raise AttributeError("no such function")


def test_a_backend_that_is_missing_or_fails_the_known_answers_is_passed_over() -> None:
    assert isinstance(backends.choose((missing, incomplete, Liar, backends.Gmssl)), backends.Gmssl)


def test_without_any_backend_the_configuration_is_wrong() -> None:
    with pytest.raises(ConfigurationError):
        backends.choose((missing, Liar))


def test_libcrypto_is_the_first_choice_where_it_is_there() -> None:
    assert isinstance(backends.backend(), (libcrypto.OpenSsl, backends.Gmssl))


def test_a_refusal_of_libcrypto_is_an_error_and_no_empty_signature() -> None:
    with pytest.raises(OSError, match="refused"):
        libcrypto._held(0)
    with pytest.raises(OSError, match="no handle"):
        libcrypto._present(None)


def test_sm3_of_abc_is_the_published_digest() -> None:
    """GB/T 32905 annex A.1."""
    assert sm2.sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


@settings(max_examples=25, deadline=None)
@given(key=st.binary(min_size=1, max_size=100), data=st.binary(max_size=300))
def test_hmac_sm3_is_what_another_implementation_computes(key: bytes, data: bytes) -> None:
    assert sm2.hmac_sm3(key, data) == gmssl_pyx.sm3_hmac(key, data)


def test_sm4_of_the_published_block_is_the_published_ciphertext() -> None:
    """GB/T 32907 annex A.1; the second block is the padding."""
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    sealed = sm2.sm4_encrypt(key, key)
    assert sealed[:16].hex() == "681edf34d206965e86b3e94f536e4246"
    assert len(sealed) == 32
    assert sm2.sm4_decrypt(key, sealed) == key


@settings(max_examples=25, deadline=None)
@given(key=st.binary(min_size=16, max_size=16), data=st.binary(max_size=100))
def test_sm4_goes_all_the_way_round(key: bytes, data: bytes) -> None:
    assert sm2.sm4_decrypt(key, sm2.sm4_encrypt(key, data)) == data


@pytest.mark.parametrize("data", [b"", b"short", b"\0" * 16])
def test_a_ciphertext_of_the_wrong_length_or_padding_is_a_typed_error(data: bytes) -> None:
    with pytest.raises(InvalidValue):
        sm2.sm4_decrypt(b"k" * 16, data)


# --- SM4 in CBC and GCM ------------------------------------------------------------------------------------------

SM4_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")


def test_sm4_in_cbc_is_what_openssl_computes() -> None:
    """printf 'hello, world: SM4-CBC!' | openssl enc -sm4-cbc -K 0123456789abcdeffedcba9876543210
    -iv 000102030405060708090a0b0c0d0e0f | xxd -p -c 99"""
    sealed = sm2.sm4_encrypt(SM4_KEY, b"hello, world: SM4-CBC!", "cbc", bytes(range(16)))
    assert sealed.hex() == "ba76c16e8a8ebb2caab54308d297a76b943fc1694e8964051269866d1a37b1e3"
    assert sm2.sm4_decrypt(SM4_KEY, sealed, "cbc", bytes(range(16))) == b"hello, world: SM4-CBC!"


def test_sm4_in_gcm_is_the_sample_of_rfc_8998() -> None:
    """RFC 8998 appendix A.1."""
    iv = bytes.fromhex("00001234567800000000abcd")
    beside = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    plain = bytes.fromhex(
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
        "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa"
    )
    sealed = sm2.sm4_encrypt(SM4_KEY, plain, "gcm", iv, beside)
    assert sealed.hex() == (
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        "83de3541e4c2b58177e065a9bf7b62ec"
    )
    assert sm2.sm4_decrypt(SM4_KEY, sealed, "gcm", iv, beside) == plain
    for changed in (sealed[:-1] + b"\0", b"\0" + sealed[1:]):
        with pytest.raises(InvalidValue):
            sm2.sm4_decrypt(SM4_KEY, changed, "gcm", iv, beside)
    with pytest.raises(InvalidValue):
        sm2.sm4_decrypt(SM4_KEY, sealed, "gcm", iv, beside + b".")
    with pytest.raises(InvalidValue):
        sm2.sm4_decrypt(SM4_KEY, b"short", "gcm", iv)


# --- encryption --------------------------------------------------------------------------------------------------

# GB/T 32918.5 annex C: what was encrypted for POINT.
C1 = bytes.fromhex(
    "04EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73"
    "E858F9D81E5430A57B36DAAB8F950A3C64E6EE6A63094D99283AFF767E124DF0"
)
C2 = bytes.fromhex("21886CA989CA9C7D58087307CA93092D651EFA")
C3 = bytes.fromhex("59983C18F809E262923C53AEC295D30383B54E39D609D160AFCB1908D0BD8766")
FORMS: dict[sm2.CipherForm, bytes] = {
    "c1c3c2": C1 + C3 + C2,
    "c1c2c3": C1 + C2 + C3,
    "04c1c3c2": b"\x04" + C1 + C3 + C2,
    "04c1c2c3": b"\x04" + C1 + C2 + C3,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_published_ciphertext_opens_in_each_order(backend: backends.Backend, form: sm2.CipherForm) -> None:
    key = sm2.PrivateKey(SECRET)
    assert key.decrypt(FORMS[form], form=form) == b"encryption standard"
    assert encryption.to_der(FORMS[form], form) == encryption.to_der(FORMS["c1c3c2"], "c1c3c2")


@settings(max_examples=30, deadline=None)
@given(data=st.binary(min_size=1, max_size=255), form=st.sampled_from([*FORMS, "der"]))
def test_what_is_encrypted_opens_in_its_form(data: bytes, form: sm2.CipherForm) -> None:
    key = sm2.PrivateKey(SECRET)
    sealed = key.public.encrypt(data, form=form)
    assert key.decrypt(sealed, form=form) == data
    assert form == "der" or len(sealed) == (65 if form.startswith("04") else 64) + 32 + len(data)


def test_the_other_backend_opens_what_one_seals() -> None:
    first, second = (make() for make in BACKENDS)
    for one, other in ((first, second), (second, first)):
        assert other.opener(SECRET, POINT)(one.sealer(POINT)(b"sixteen bytes...")) == b"sixteen bytes..."


def test_a_ciphertext_for_another_or_with_any_bit_changed_stays_closed(backend: backends.Backend) -> None:
    sealed = FORMS["c1c3c2"]
    with pytest.raises(InvalidValue):
        sm2.PrivateKey((7).to_bytes(32)).decrypt(sealed)
    for at in range(0, 8 * len(sealed), 37):
        changed = bytearray(sealed)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(InvalidValue):
            sm2.PrivateKey(SECRET).decrypt(bytes(changed))


@pytest.mark.parametrize(
    ("data", "form"),
    [(b"", "c1c3c2"), (C1 + C3, "c1c3c2"), (C1 + C3 + C2, "04c1c3c2"), (b"", "der"), (b"\x04" * 600, "c1c3c2")],
)
def test_a_ciphertext_without_its_form_is_a_typed_error(data: bytes, form: sm2.CipherForm) -> None:
    with pytest.raises(InvalidValue):
        sm2.PrivateKey(SECRET).decrypt(data, form=form)


@pytest.mark.parametrize("data", [b"", b"x" * 256])
def test_a_plaintext_is_as_long_as_a_key_and_no_document(data: bytes) -> None:
    with pytest.raises(InvalidValue):
        sm2.PublicKey(POINT).encrypt(data)


@pytest.mark.parametrize("der", [b"", b"0", b"0\x05\x02\x01", b"0\x00", b"1\x00", b"0\x81"])
def test_a_sequence_that_is_none_is_a_value_error(der: bytes) -> None:
    with pytest.raises(ValueError, match="DER"):
        encryption.from_der(der, "c1c3c2")


def test_what_stands_behind_a_ciphertext_is_a_value_error() -> None:
    der = encryption.to_der(FORMS["c1c3c2"], "c1c3c2") or b""
    with pytest.raises(ValueError, match="more than one"):
        encryption.from_der(der + b"\0", "c1c3c2")
