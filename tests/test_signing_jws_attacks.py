"""What attackers do to a detached JWS (after the cases of Project Wycheproof): each is refused, and by name.

Only the one agreed algorithm and key ever verify; what the header says can confirm them and nothing else.
"""

import asyncio
import hmac
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA512

from connectors.signing import SCHEMES
from connectors.wire import WireRequest
from schemas.errors import UpstreamSignature
from tests.signing_world import AT, CASES, DRAFT, NOW, key, public_pem
from tests.test_signing_tif import no_send

HEADER = "X-JWS-Signature"
KINDS = {"Ed25519": "ed", "ES256": "ec", "PS512": "rsa", "RS256": "rsa"}
EVERY = pytest.mark.parametrize("alg", KINDS)
GOOD: dict[str, Any] = {"b64": False, "crit": ["b64"], "iat": int(NOW), "jti": "abc123nonce", "kid": "our-key"}


def url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(alg: str) -> WireRequest:
    case = CASES[f"jws-detached {alg}"]
    return asyncio.run(SCHEMES["jws-detached"].build(case.options, case.ours).sign(DRAFT, AT, no_send))


def why(alg: str, value: str, request: WireRequest | None = None) -> str | None:
    """Read with the platform's public key alone, as a message of the platform's is."""
    request = request or DRAFT.wire()
    secrets = {"platform_key_id": "our-key", "platform_key": public_pem(key(KINDS[alg], 0))}
    verifier = SCHEMES["jws-detached"].verifier({"alg": alg}, secrets)
    try:
        return verifier.read(request._replace(headers={**request.headers, HEADER: value})).why
    except UpstreamSignature as err:
        return str(err.details["why"])


def protected(members: Mapping[str, Any]) -> str:
    return url(orjson.dumps(members))


def parts(alg: str) -> tuple[str, str]:
    first, _, last = signed(alg).headers[HEADER].split(".")
    return first, last


@EVERY
def test_what_is_attacked_below_holds_untouched(alg: str) -> None:
    assert why(alg, signed(alg).headers[HEADER]) is None


@EVERY
@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "rs256", None, ["RS256"], 0])
def test_another_algorithm_in_the_header_is_not_followed(alg: str, name: Any) -> None:
    _, signature = parts(alg)
    assert why(alg, f"{protected({**GOOD, 'alg': name})}..{signature}") == "algorithm"
    assert why(alg, f"{protected({**GOOD, 'alg': name})}..") == "missing"


@EVERY
@pytest.mark.parametrize("name", KINDS)
def test_an_algorithm_of_another_key_kind_is_not_followed(alg: str, name: str) -> None:
    if name != alg:
        assert why(alg, signed(name).headers[HEADER]) == "algorithm"


@EVERY
@pytest.mark.parametrize("as_key", ["pem", "der"])
def test_the_public_key_is_no_shared_secret(alg: str, as_key: str) -> None:
    """Key confusion: HS256 under the bytes of the public key, which everybody has."""
    pem = public_pem(key(KINDS[alg], 0))
    secret = pem.encode() if as_key == "pem" else b64decode("".join(pem.splitlines()[1:-1]))
    for name, reason in (("HS256", "algorithm"), (alg, "forged")):
        first = protected({**GOOD, "alg": name})
        mac = hmac.digest(secret, f"{first}.".encode() + DRAFT.wire().body, "sha256")
        assert why(alg, f"{first}..{url(mac)}") == reason


@EVERY
def test_a_signature_that_was_stripped_is_missing(alg: str) -> None:
    first, _ = parts(alg)
    assert why(alg, f"{first}..") == "missing"
    assert why(alg, "") == "missing"
    assert why(alg, first) == "malformed"
    assert why(alg, f"{first}.") == "malformed"


@EVERY
@pytest.mark.parametrize("name", ["other-key", "", "our-key ", "OUR-KEY", None, 1, "../our-key"])
def test_a_key_id_that_was_not_agreed_on_is_unknown(alg: str, name: Any) -> None:
    _, signature = parts(alg)
    assert why(alg, f"{protected({**GOOD, 'alg': alg, 'kid': name})}..{signature}") == "unknown_key"


@EVERY
@pytest.mark.parametrize("member", ["jwk", "jku", "x5c", "x5u"])
def test_a_key_that_the_message_brings_along_is_not_used(alg: str, member: str) -> None:
    brought = protected({**GOOD, "alg": alg, member: public_pem(key(KINDS[alg], 1))})
    text = f"{brought}.".encode() + DRAFT.wire().body
    case = CASES[f"jws-detached {alg}"]
    other = SCHEMES["jws-detached"].build(case.options, case.other)
    foreign = other._sign(text)  # type: ignore[attr-defined]
    assert why(alg, f"{brought}..{url(foreign)}") == "forged"


@EVERY
@pytest.mark.parametrize(
    "change",
    [
        lambda s: s + "=",
        lambda s: s + "==",
        lambda s: s + "A",
        lambda s: s[:-1],
        lambda s: s[:-4],
        lambda s: s + "AAAA",
        lambda s: " " + s,
        lambda s: s + "\n",
        lambda s: s.replace("-", "+").replace("_", "/") + "+",
        lambda s: s[:8] + "." + s[8:],
        lambda s: s[:8] + "*" + s[8:],
        lambda s: s[:-1] + _next(s[-1]),
        lambda s: "A" * len(s),
        lambda s: url(bytes(64)),
        lambda s: url(b"\xff" * 64),
    ],
)
def test_a_signature_written_another_way_does_not_hold(alg: str, change: Callable[[str], str]) -> None:
    first, signature = parts(alg)
    assert why(alg, f"{first}..{change(signature)}") in ("forged", "malformed")


def _next(letter: str) -> str:
    """The same bytes for a lenient reader: another value of the bits that nothing uses."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(letter) ^ 1]


@EVERY
@pytest.mark.parametrize(
    "members",
    [
        {"b64": True}, {"b64": None}, {"b64": "false"}, {"b64": 0}, {"crit": []}, {"crit": ["b64", "exp"]},
        {"crit": "b64"}, {"crit": None}, {"iat": str(int(NOW))}, {"iat": NOW + 0.5}, {"iat": -1}, {"iat": 2**40},
        {"iat": True}, {"iat": None}, {"jti": ""}, {"jti": 5}, {"jti": None},
    ],
)  # fmt: skip
def test_a_header_that_says_other_than_it_must_is_malformed(alg: str, members: dict[str, Any]) -> None:
    _, signature = parts(alg)
    assert why(alg, f"{protected({**GOOD, 'alg': alg, **members})}..{signature}") == "malformed"


@EVERY
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"alg":"none","alg":"RS256"}',
        b"\xff",
        b'{"alg":1e999}',
        b"{}" + b" " * 9 + b"x",
    ],
)
def test_a_header_that_is_no_object_is_malformed(alg: str, raw: bytes) -> None:
    _, signature = parts(alg)
    assert why(alg, f"{url(raw)}..{signature}") == "malformed"


@EVERY
def test_a_body_inside_the_jws_is_not_a_detached_one(alg: str) -> None:
    first, signature = parts(alg)
    assert why(alg, f"{first}.{url(DRAFT.wire().body)}.{signature}") == "malformed"


@EVERY
def test_the_encoded_body_is_not_the_body(alg: str) -> None:
    """b64 is false: a signature over the encoded payload (RFC 7515) is one over another text."""
    case = CASES[f"jws-detached {alg}"]
    sign = SCHEMES["jws-detached"].build(case.options, case.ours)._sign  # type: ignore[attr-defined]
    first = protected({**GOOD, "alg": alg})
    assert why(alg, f"{first}..{url(sign(f'{first}.{url(DRAFT.wire().body)}'.encode()))}") == "forged"


@pytest.mark.parametrize("digest", [SHA1(), SHA512()])
def test_rs256_under_another_digest_does_not_hold(digest: Any) -> None:
    private = key("rsa", 0)
    assert isinstance(private, rsa.RSAPrivateKey)
    first = protected({**GOOD, "alg": "RS256"})
    signature = private.sign(f"{first}.".encode() + DRAFT.wire().body, PKCS1v15(), digest)
    assert why("RS256", f"{first}..{url(signature)}") == "forged"


def numbers() -> rsa.RSAPrivateNumbers:
    private = key("rsa", 0)
    assert isinstance(private, rsa.RSAPrivateKey)
    return private.private_numbers()


@pytest.mark.parametrize(
    "block",
    [
        lambda info, size: b"\x00\x01" + b"\xff" * (size - 3 - len(info) - 8) + b"\x00" + info + bytes(8),
        lambda info, size: b"\x00\x02" + b"\xff" * (size - 3 - len(info)) + b"\x00" + info,
        lambda info, size: b"\x00\x01" + b"\xfe" * (size - 3 - len(info)) + b"\x00" + info,
        lambda info, size: b"\x00\x01" + b"\x00" * (size - 2 - len(info)) + info,
        lambda info, size: b"\x00\x01" + b"\xff" * (size - 2 - len(info)) + info,
        lambda info, size: b"\x00\x01" + b"\xff" * (size - 3 - 32) + b"\x00" + info[-32:],
    ],
)
def test_rs256_with_modified_padding_does_not_hold(block: Callable[[bytes, int], bytes]) -> None:
    """PKCS#1 v1.5 (RFC 8017, 9.2) made by hand with the private key: a lenient reader of the padding would take it."""
    first, held = protected({**GOOD, "alg": "RS256"}), numbers()
    text = f"{first}.".encode() + DRAFT.wire().body
    info = bytes.fromhex("3031300d060960864801650304020105000420") + sha256(text).digest()

    def signature(padded: bytes) -> str:
        return url(pow(int.from_bytes(padded), held.d, held.public_numbers.n).to_bytes(256))

    right = b"\x00\x01" + b"\xff" * (256 - 3 - len(info)) + b"\x00" + info
    assert why("RS256", f"{first}..{signature(right)}") is None
    assert why("RS256", f"{first}..{signature(block(info, 256))}") == "forged"
