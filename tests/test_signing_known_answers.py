"""Published or independently made signatures of the schemes that came later; the older ones have theirs beside them."""

import hmac
from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from connectors.signing import SCHEMES
from connectors.signing.algorithms import checker
from connectors.signing.base import Moment
from connectors.signing.http_fields import byte_sequences, digest_holds, inner_list, signature_inputs
from connectors.signing.rfc9421 import Message, signature_base
from connectors.wire import Draft, WireRequest
from schemas.errors import UpstreamSignature
from tests.signing_world import AT, CASES, key
from tests.test_signing_tif import no_send

# RFC 9421, appendix B.2: the test request and response, and keys of B.1.
REQUEST = WireRequest("POST", "https://example.com/foo?param=Value&Pet=dog", {}, b'{"hello": "world"}')
REQUEST_HEADERS = {
    "host": "example.com",
    "date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "content-type": "application/json",
    "content-digest": "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwE"
    "mTHWXvJwew==:",
    "content-length": "18",
}
RESPONSE_HEADERS = {
    "date": "Tue, 20 Apr 2021 02:07:56 GMT",
    "content-type": "application/json",
    "content-digest": "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuah"
    "q4l5aGgfLQ==:",
    "content-length": "23",
}
ED25519 = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="
P256 = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50V"
    "GGdldkkDXZCnTNnoXQ=="
)
SHARED = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="


@pytest.mark.parametrize(
    ("algorithm", "secrets", "stated", "signature", "status"),
    [
        (
            "ecdsa-p256-sha256",
            {"platform_key": P256},
            'sig-b24=("@status" "content-type" "content-digest" "content-length");created=1618884473'
            ';keyid="test-key-ecc-p256"',
            "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
            200,
        ),
        (
            "hmac-sha256",
            {"shared_key": SHARED},
            'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
            "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
            None,
        ),
        (
            "ed25519",
            {"platform_key": ED25519},
            'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"',
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
            None,
        ),
    ],
)
def test_the_signatures_of_rfc_9421_appendix_b2(
    algorithm: str, secrets: dict[str, str], stated: str, signature: str, status: int | None
) -> None:
    message = (
        Message(REQUEST_HEADERS, REQUEST.body, REQUEST)
        if status is None
        else Message(RESPONSE_HEADERS, b'{"message": "good dog"}', REQUEST, status)
    )
    ((label, parameters),) = signature_inputs(stated).items()
    items, members = inner_list(parameters)
    assert members["created"] == "1618884473"
    base = signature_base(message, items, parameters).encode()
    holds = checker(algorithm, secrets)  # type: ignore[arg-type]
    assert holds(byte_sequences(signature)[label], base)
    assert not holds(byte_sequences(signature)[label], base + b"x")


def test_the_content_digests_of_rfc_9421_appendix_b2() -> None:
    assert digest_holds(REQUEST_HEADERS, REQUEST.body)
    assert digest_holds(RESPONSE_HEADERS, b'{"message": "good dog"}')
    assert not digest_holds(REQUEST_HEADERS, REQUEST.body + b" ")
    assert not digest_holds({"content-digest": "sha=:AAAA:"}, b"")


def test_the_example_of_rfc_7797_section_4() -> None:
    """The protected header of the example has no age and no nonce, so only its signature can be held."""
    secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
    shared = b64encode(b64decode(secret + "==", b"-_")).decode()
    signature = b64decode("A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY=", b"-_")
    text = b"eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19." + b"$.02"
    assert checker("hmac-sha256", {"shared_key": shared})(signature, text)


async def test_the_known_answer_of_md5_rotating() -> None:
    case = CASES["md5-rotating"]
    request = case.verifier()
    url = "https://x.example/q?appKey=appkey1&requestTime=1700000000000&sign=656f7e733ad1ccc0397c1e680a3c307a"
    claim = request.read(WireRequest("GET", url, {}, b""))
    assert claim.why is None
    assert claim.canonical == "appkey1<request_secret>1700000000000"


async def test_wechatpay_v3_signs_five_lines() -> None:
    case = CASES["wechatpay-v3"]
    draft = Draft("GET", "https://xx.example/v3", "/certificates", (("limit", "5"),))
    request = await SCHEMES["wechatpay-v3"].build({"prefix": "XX-RSA"}, case.ours).sign(draft, AT, no_send)
    header = request.headers["Authorization"]
    word, _, rest = header.partition(" ")
    fields = dict(part.split("=", 1) for part in rest.split(","))
    assert word == "XX-RSA"
    assert fields["timestamp"] == '"1795500000"'
    text = b"GET\n/v3/certificates?limit=5\n1795500000\nabc123nonce\n\n"
    key("rsa", 0).public_key().verify(b64decode(fields["signature"].strip('"')), text, PKCS1v15(), SHA256())  # type: ignore[call-arg, arg-type]


async def test_apisix_hmac_signs_the_lines_that_its_header_names() -> None:
    draft = Draft("POST", "https://xx.example", "/q", (("a", "1"),), {"a": 1}, encode="json")
    case = CASES["apisix-hmac"]
    request = await SCHEMES["apisix-hmac"].build({}, case.ours).sign(draft, Moment(1700000000, "abc123nonce"), no_send)
    digest = "SHA-256=" + b64encode(sha256(b'{"a":1}').digest()).decode()
    text = f"ak\nPOST /q?a=1\ndate: Tue, 14 Nov 2023 22:13:20 GMT\ndigest: {digest}\n"
    mac = b64encode(hmac.digest(b"sk", text.encode(), "sha256")).decode()
    assert request.headers["Digest"] == digest
    assert request.headers["Authorization"] == (
        f'Signature keyId="ak",algorithm="hmac-sha256",headers="@request-target date digest",signature="{mac}"'
    )


@pytest.mark.parametrize(
    "field",
    [
        "sig1",
        "sig1=:a",
        "sig1=:AAAB:,",
        "sig1=:AAAA:, sig1=:AAAA:",
        "sig1=:AAB=:",
        "sig1=:AAAA: x=:AAAA:",
        "Sig1=:AA==:",
    ],
)
def test_a_dictionary_of_byte_sequences_is_read_strictly(field: str) -> None:
    with pytest.raises(UpstreamSignature):
        byte_sequences(field)
