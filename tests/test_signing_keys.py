"""Keys in every form in which platforms hand them out."""

from base64 import b64decode, b64encode
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.signing.keys import KeyForm, rsa_private_key, sm2_private_key
from connectors.signing.sm4 import sm4_key
from connectors.sm2 import PublicKey
from schemas.errors import ConfigurationError

KEYS = Path(__file__).parent / "keys"
RSA_PEM = (KEYS / "rsa2_test_only.pem").read_text().partition("\n")[2]
SM2_PEM = (KEYS / "sm2_test_only.pem").read_text().partition("\n")[2]
# openssl pkey -in tests/keys/sm2_test_only.pem -noout -text
SM2_NUMBER = bytes.fromhex("1bf1edab1b97120f0a7b55984a04ff6209499b586a2fc235282ddc9389e70c66")
SM2_X = bytes.fromhex("52381fad44f2e3eb16eaedd34e25925a02b9dd20efbf13a237cf55d397b4e107")
RSA = cast(rsa.RSAPrivateKey, load_pem_private_key(RSA_PEM.encode(), None))


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_rsa_key_as_pem_or_as_the_base64_of_its_der(form: PrivateFormat) -> None:
    numbers = RSA.private_numbers()
    pem = RSA.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
    der = b64encode(RSA.private_bytes(Encoding.DER, form, NoEncryption())).decode()
    assert rsa_private_key(pem).private_numbers() == numbers
    assert rsa_private_key(der).private_numbers() == numbers


def other_keys() -> list[str]:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    pem, pkcs8 = Encoding.PEM, PrivateFormat.PKCS8
    return [
        "",
        "no key",
        SM2_PEM,
        elliptic.private_bytes(pem, pkcs8, NoEncryption()).decode(),
        RSA.private_bytes(pem, pkcs8, BestAvailableEncryption(b"password")).decode(),
        rsa.generate_private_key(65537, 1024).private_bytes(pem, pkcs8, NoEncryption()).decode(),
    ]


@pytest.mark.parametrize("text", other_keys())
def test_what_is_no_plain_rsa_key_of_2048_bits_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rsa_private_key(text)
    assert caught.value.details["at"] == "secrets.private_key"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("hex", SM2_NUMBER.hex()),
        ("hex", SM2_NUMBER.hex().upper()),
        ("base64", b64encode(SM2_NUMBER).decode()),
        ("pkcs8", SM2_PEM),
        ("pkcs8", "".join(SM2_PEM.splitlines()[1:-1])),
    ],
)
def test_an_sm2_key_in_each_form_is_the_key_that_openssl_made(form: KeyForm, text: str) -> None:
    assert sm2_private_key(text, form).public.point[:32] == SM2_X


def test_a_pkcs8_without_the_public_part_reads_too() -> None:
    ec_key = bytes.fromhex("30250201010420") + SM2_NUMBER
    algorithm = bytes.fromhex("301306072a8648ce3d020106082a811ccf5501822d")
    inner = bytes.fromhex("020100") + algorithm + bytes([4, len(ec_key)]) + ec_key
    text = b64encode(bytes([0x30, len(inner)]) + inner).decode()
    assert isinstance(sm2_private_key(text, "pkcs8").public, PublicKey)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("hex", "zz"),
        ("hex", SM2_NUMBER.hex()[2:]),
        ("hex", "00" * 32),
        ("base64", "!!!!"),
        ("pkcs8", RSA_PEM),
        ("pkcs8", b64encode(SM2_NUMBER).decode()),
        ("pkcs8", ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()),
    ],
)  # fmt: skip
def test_what_is_no_sm2_key_is_refused(form: KeyForm, text: str) -> None:
    with pytest.raises(ConfigurationError):
        sm2_private_key(text, form)


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 137))
def test_a_pkcs8_cut_short_is_a_typed_error(cut: int) -> None:
    der = b64decode("".join(SM2_PEM.splitlines()[1:-1]))
    with pytest.raises(ConfigurationError):
        sm2_private_key(b64encode(der[:cut]).decode(), "pkcs8")


def test_an_sm4_key_is_32_hexadecimal_digits() -> None:
    assert sm4_key({"sm4_key": "0123456789abcdeffedcba9876543210"})[:2] == b"\x01\x23"
    for text in ("", "zz" * 16, "00" * 15):
        with pytest.raises(ConfigurationError) as caught:
            sm4_key({"sm4_key": text})
        assert caught.value.details["at"] == "secrets.sm4_key"
