"""The signed profile: gateway.profile.sign, held against two independent libraries."""

import base64
import json
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import KeySet, OKPKey
from jwt import PyJWK
from jwt.api_jws import PyJWS

from gateway.profile.sign import ProfileSigner, verify_profile
from schemas.errors import InvalidValue
from tests.profiles import clean, profile_of

# RFC 8037 appendix A.1: a private key, its public key and (A.3) its thumbprint.
RFC8037_D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
RFC8037_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def unb64(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))


SIGNER = ProfileSigner(Ed25519PrivateKey.from_private_bytes(unb64(RFC8037_D)))
PROFILE = profile_of(clean())
SIGNED = SIGNER.sign(PROFILE)
TOKEN = SIGNED.jws.decode()


def test_the_published_key_and_its_id_are_those_of_rfc_8037() -> None:
    assert SIGNER.jwks()["keys"] == [
        {"crv": "Ed25519", "kty": "OKP", "x": RFC8037_X, "kid": RFC8037_THUMBPRINT, "alg": "EdDSA", "use": "sig"}
    ]


def test_the_signature_of_the_rfc_8037_example_is_reproduced() -> None:
    """Appendix A.4, with its own header: the signing step is the same Ed25519."""
    signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    expected = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    assert SIGNER._key.sign(signed) == unb64(expected)


def test_the_header_names_algorithm_key_and_type_and_nothing_else() -> None:
    assert json.loads(unb64(TOKEN.split(".")[0])) == {
        "alg": "EdDSA",
        "kid": RFC8037_THUMBPRINT,
        "typ": "xinqiao-profile+json",
    }


def test_the_payload_is_the_canonical_json_of_the_profile() -> None:
    assert unb64(TOKEN.split(".")[1]) == SIGNED.payload == rfc8785.dumps(PROFILE)


# joserfc warns that RFC 9864 has a newer name; the signature is the same.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_joserfc_verifies_it_with_the_published_key() -> None:
    opened = jws.deserialize_compact(TOKEN, KeySet.import_key_set(SIGNER.jwks()), algorithms=["EdDSA"])  # type: ignore[arg-type]
    assert json.loads(opened.payload) == PROFILE


def test_pyjwt_verifies_it_with_the_published_key() -> None:
    opened = PyJWS().decode_complete(TOKEN, PyJWK(SIGNER.jwk), algorithms=["EdDSA"])
    assert json.loads(opened["payload"]) == PROFILE


def test_our_own_verifier_gives_the_profile_back() -> None:
    assert verify_profile(TOKEN, SIGNER.jwks()) == PROFILE


def test_an_old_key_beside_the_new_one_still_verifies() -> None:
    newer = ProfileSigner(Ed25519PrivateKey.generate())
    assert verify_profile(TOKEN, {"keys": [newer.jwk, SIGNER.jwk]}) == PROFILE


def test_the_right_shape_under_another_key_is_refused() -> None:
    other = ProfileSigner(Ed25519PrivateKey.generate())
    forged = {**other.jwk, "kid": SIGNER.kid}
    for keys in ({"keys": [forged]}, other.jwks(), {"keys": []}, {}, {"keys": [{"kty": "OKP"}]}):
        with pytest.raises(InvalidValue):
            verify_profile(TOKEN, keys)


SMALL = SIGNER.sign({"id": "p-1", "findings": []}).jws.decode()


@given(place=st.integers(0, len(SMALL) - 1), bit=st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_any_changed_bit_is_refused(place: int, bit: int) -> None:
    changed = bytearray(SMALL.encode())
    changed[place] ^= 1 << bit
    text = changed.decode("latin-1")
    with pytest.raises(InvalidValue):
        verify_profile(text, SIGNER.jwks())


def _token(payload: bytes, **header: Any) -> str:
    """A token that our key did sign, with any header and any payload."""
    head = {"alg": "EdDSA", "kid": SIGNER.kid, "typ": "xinqiao-profile+json", **header}
    parts = [json.dumps({k: v for k, v in head.items() if v is not None}).encode(), payload]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(SIGNER._key.sign(signed)).rstrip(b"=")
    return (signed + b"." + signature).decode()


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_a_token_made_by_joserfc_in_our_form_is_accepted() -> None:
    head = {"alg": "EdDSA", "kid": SIGNER.kid, "typ": "xinqiao-profile+json"}
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": RFC8037_X, "d": RFC8037_D})
    token = jws.serialize_compact(head, b'{"id":"p-1"}', key, algorithms=["EdDSA"])
    assert (
        verify_profile(token, SIGNER.jwks()) == {"id": "p-1"} == verify_profile(_token(b'{"id":"p-1"}'), SIGNER.jwks())
    )


@pytest.mark.parametrize(
    "token",
    [
        _token(b'{"id":"p-1"}', typ="JWT"),
        _token(b'{"id":"p-1"}', typ=None),
        _token(b'{"id":"p-1"}', alg="Ed25519"),
        _token(b'{"id": "p-1"}'),
        _token(b"[]"),
        _token(b"not json"),
        _token(b'{"a":1.5}'),
        _token(b"\xff"),
        "",
        "a.b",
        "....",
        "eyJhbGciOiJub25lIn0." + TOKEN.split(".")[1] + ".",
        TOKEN.rpartition(".")[0] + ".",
    ],
    ids=[
        "another type",
        "no type",
        "another algorithm name",
        "not canonical",
        "not an object",
        "not JSON",
        "a float inside",
        "not UTF-8",
        "empty",
        "two parts",
        "five parts",
        "alg none",
        "signature stripped",
    ],
)
def test_a_token_of_another_form_is_refused_even_under_our_key(token: str) -> None:
    with pytest.raises(InvalidValue):
        verify_profile(token, SIGNER.jwks())


def test_a_float_is_never_signed() -> None:
    with pytest.raises(InvalidValue):
        SIGNER.sign({"value": 1.5})
