"""Lenders' tokens: every way in which an assertion or an access token can be wrong is refused with one typed error."""

import base64
import hashlib
import hmac
import json
from functools import partial
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.auth import tokens
from gateway.auth.tokens import ASSERTION_TYPE, Tokens, client_assertion, public_jwk
from gateway.keys import Replaced, Signing
from gateway.settings import Lender
from schemas.errors import ConfigurationError, InvalidClient, Unauthenticated

ISSUER = "https://gateway.invalid"
ENDPOINT = ISSUER + "/oauth/token"
NOW = 1_800_000_000
LENDER_KEY = Ed25519PrivateKey.generate()
GATEWAY_KEY = Ed25519PrivateKey.generate()
HELD = Signing(GATEWAY_KEY)


def held_keys() -> Signing:
    return HELD


class Clock:
    def __init__(self) -> None:
        self.now: float = NOW

    def __call__(self) -> float:
        return self.now


def pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def lender(*jwks: dict[str, Any]) -> Lender:
    return Lender(name="示例银行 (invented)", jwks={"keys": list(jwks)})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def held(clock: Clock) -> Tokens:
    lenders = {"bank-a": lender(public_jwk(LENDER_KEY)), "bank-b": lender(public_jwk(Ed25519PrivateKey.generate()))}
    return Tokens(lenders, held_keys, issuer=ISSUER, seconds=600, clock=clock)


def form(assertion: str, **changes: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
        **changes,
    }


def claims(**changes: Any) -> dict[str, Any]:
    made = {"iss": "bank-a", "sub": "bank-a", "aud": ENDPOINT, "iat": NOW, "exp": NOW + 60, "jti": "one", **changes}
    return {key: value for key, value in made.items() if value is not None}


def signed(payload: dict[str, Any], key: Any = LENDER_KEY, algorithm: str = "EdDSA", **header: Any) -> str:
    """Signed by an independent library, as a lender's own would."""
    return pyjwt.encode(payload, pem(key) if hasattr(key, "private_bytes") else key, algorithm, headers=header or None)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_an_assertion_becomes_an_access_token_that_names_the_lender(held: Tokens) -> None:
    answer = held.exchange(form(client_assertion("bank-a", LENDER_KEY, ENDPOINT, now=NOW)))
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 600)
    assert held.caller(f"Bearer {answer['access_token']}").name == "bank-a"
    # RFC 9068: typ at+jwt and these claims, for whoever checks the token with the public key.
    header = pyjwt.get_unverified_header(str(answer["access_token"]))
    assert (header["alg"], header["typ"]) == ("Ed25519", "at+jwt")
    body = json.loads(base64.urlsafe_b64decode(str(answer["access_token"]).split(".")[1] + "=="))
    assert body.keys() == {"iss", "aud", "sub", "client_id", "iat", "exp", "jti", "roles"}
    assert (body["iss"], body["sub"], body["client_id"], body["exp"] - body["iat"]) == (ISSUER, "bank-a", "bank-a", 600)


def test_an_assertion_made_by_an_independent_library_is_accepted(held: Tokens) -> None:
    assert held.exchange(form(signed(claims())))["token_type"] == "Bearer"


@pytest.mark.parametrize("audience", [ENDPOINT, ISSUER, [ISSUER], ["https://elsewhere.invalid", ENDPOINT]])
def test_the_audience_is_the_token_endpoint_or_the_issuer(held: Tokens, audience: Any) -> None:
    assert held.exchange(form(signed(claims(aud=audience))))


def test_nbf_stands_in_for_iat(held: Tokens) -> None:
    assert held.exchange(form(signed(claims(iat=None, nbf=NOW))))


def test_a_lender_may_have_keys_of_other_kinds_and_several_at_once(clock: Clock) -> None:
    curve, other = ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate()
    public = curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = {**ECKey.import_key(public).as_dict(private=False), "kid": "p256"}
    held = Tokens({"bank-a": lender(public_jwk(other), jwk)}, held_keys, issuer=ISSUER, seconds=60, clock=clock)
    assert held.exchange(form(signed(claims(), curve, "ES256", kid="p256")))
    kid = public_jwk(other)["kid"]
    assert held.exchange(form(signed(claims(jti="two"), other, kid=kid)))
    with pytest.raises(InvalidClient):
        held.exchange(form(signed(claims(jti="three"), curve, "ES256", kid=kid)))


BAD_CLAIMS = {
    "an issuer nobody knows": {"iss": "bank-x", "sub": "bank-x"},
    "an issuer that is no text": {"iss": 7},
    "no issuer": {"iss": None},
    "another subject than issuer": {"sub": "bank-b"},
    "no subject": {"sub": None},
    "another lender's name over one's own key": {"iss": "bank-b", "sub": "bank-b"},
    "another audience": {"aud": "https://elsewhere.invalid/oauth/token"},
    "an audience that only begins alike": {"aud": ENDPOINT + "/"},
    "an audience of no text": {"aud": [7]},
    "no audience": {"aud": None},
    "an expiry in the past": {"iat": NOW - 100, "exp": NOW - 5},
    "an expiry too far ahead": {"exp": NOW + 301},
    "an expiry that is no number": {"exp": "tomorrow"},
    "an expiry that is true": {"exp": True},
    "an expiry beyond all reason": {"exp": 2**40},
    "no expiry": {"exp": None},
    "an issue time in the future": {"iat": NOW + 6, "exp": NOW + 60},
    "an issue time too long ago": {"iat": NOW - 301, "exp": NOW + 1},
    "no issue time": {"iat": None},
    "no jti": {"jti": None},
    "an empty jti": {"jti": ""},
    "a jti that is no text": {"jti": 7},
}


@pytest.mark.parametrize("changes", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
def test_an_assertion_is_refused_for(held: Tokens, changes: dict[str, Any]) -> None:
    # The header and the signature are right in every case: only the claims are not.
    head = f"{part({'alg': 'EdDSA'})}.{part(claims(**changes))}"
    signature = base64.urlsafe_b64encode(LENDER_KEY.sign(head.encode())).rstrip(b"=").decode()
    with pytest.raises(InvalidClient):
        held.exchange(form(f"{head}.{signature}"))


def test_the_same_claims_unchanged_would_pass(held: Tokens) -> None:
    head = f"{part({'alg': 'EdDSA'})}.{part(claims())}"
    signature = base64.urlsafe_b64encode(LENDER_KEY.sign(head.encode())).rstrip(b"=").decode()
    assert held.exchange(form(f"{head}.{signature}"))


def test_a_wrong_key_is_refused(held: Tokens) -> None:
    with pytest.raises(InvalidClient):
        held.exchange(form(signed(claims(), Ed25519PrivateKey.generate())))


def test_alg_none_is_refused(held: Tokens) -> None:
    with pytest.raises(InvalidClient):
        held.exchange(form(f"{part({'alg': 'none'})}.{part(claims())}."))


@pytest.mark.parametrize("form_of_key", ["pem", "raw"])
def test_a_mac_under_the_public_key_is_refused(held: Tokens, form_of_key: str) -> None:
    public = LENDER_KEY.public_key()
    secret = (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        if form_of_key == "pem"
        else public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    )
    head = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims())}"
    mac = base64.urlsafe_b64encode(hmac.digest(secret, head.encode(), hashlib.sha256)).rstrip(b"=").decode()
    with pytest.raises(InvalidClient):
        held.exchange(form(f"{head}.{mac}"))


def test_a_changed_byte_is_refused(held: Tokens) -> None:
    head, _, signature = signed(claims()).split(".")
    with pytest.raises(InvalidClient):
        held.exchange(form(f"{head}.{part(claims(jti='two'))}.{signature}"))


@pytest.mark.parametrize(
    "changes",
    [
        {"grant_type": "password"},
        {"grant_type": ""},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
        {"client_assertion": ""},
        {"client_id": "bank-b"},
    ],
)
def test_another_form_of_asking_is_refused(held: Tokens, changes: dict[str, str]) -> None:
    with pytest.raises(InvalidClient):
        held.exchange(form(signed(claims()), **changes))


def test_a_client_id_that_agrees_is_accepted(held: Tokens) -> None:
    assert held.exchange(form(signed(claims()), client_id="bank-a"))


def test_an_assertion_is_good_once_and_its_jti_again_only_when_it_has_expired(held: Tokens, clock: Clock) -> None:
    assertion = signed(claims())
    assert held.exchange(form(assertion))
    with pytest.raises(InvalidClient):
        held.exchange(form(assertion))
    with pytest.raises(InvalidClient):
        held.exchange(form(signed(claims(exp=NOW + 100))))
    clock.now = NOW + 66
    with pytest.raises(InvalidClient):
        held.exchange(form(assertion))
    assert held.exchange(form(signed(claims(iat=NOW + 66, exp=NOW + 100))))


def test_a_jti_is_each_lenders_own(clock: Clock) -> None:
    second = Ed25519PrivateKey.generate()
    lenders = {"bank-a": lender(public_jwk(LENDER_KEY)), "bank-b": lender(public_jwk(second))}
    held = Tokens(lenders, held_keys, issuer=ISSUER, seconds=600, clock=clock)
    assert held.exchange(form(signed(claims())))
    assert held.exchange(form(signed(claims(iss="bank-b", sub="bank-b"), second)))


def test_when_it_can_remember_no_more_it_refuses_rather_than_forgets(
    held: Tokens, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_REMEMBERED", 0.2)
    assert held.exchange(form(signed(claims(jti="1"))))
    assert held.exchange(form(signed(claims(jti="2"))))
    with pytest.raises(InvalidClient):
        held.exchange(form(signed(claims(jti="3"))))
    clock.now = NOW + 100
    assert held.exchange(form(signed(claims(jti="3", iat=NOW + 100, exp=NOW + 160))))


def test_a_clock_a_few_seconds_off_is_forgiven(held: Tokens) -> None:
    assert held.exchange(form(signed(claims(iat=NOW + 5, exp=NOW + 65))))
    assert held.exchange(form(signed(claims(jti="two", iat=NOW - 60, exp=NOW - 4))))


DEEP = "[" * 5_000


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "a.e30.c", "e30.e30.e30", "é.é.é", "\ud800.e30.x", f"{part({'alg': 'EdDSA'})}.bm8.x"]
    + [f"{part({'alg': 'EdDSA'})}.{part(value)}.x" for value in ([], 7, {"iss": []}, {"iss": {}}, {"iss": "bank-a"})]
    + [f"{base64.urlsafe_b64encode(DEEP.encode()).decode()}.{part({'iss': 'bank-a'})}.x"]
    + [f"{part({'alg': 'EdDSA'})}.{base64.urlsafe_b64encode(DEEP.encode()).decode()}.x"],
)
def test_garbage_is_refused_and_breaks_nothing(held: Tokens, text: str) -> None:
    with pytest.raises(InvalidClient):
        held.exchange(form(text))
    with pytest.raises(Unauthenticated):
        held.caller(f"Bearer {text}")


@given(st.text(max_size=80))
@settings(max_examples=150, deadline=None)
def test_no_text_makes_it_stumble(text: str) -> None:
    held = Tokens({"bank-a": lender(public_jwk(LENDER_KEY))}, held_keys, issuer=ISSUER, seconds=60, clock=Clock())
    with pytest.raises(InvalidClient):
        held.exchange(form(text))
    with pytest.raises(Unauthenticated):
        held.caller(f"Bearer {text}")


def access_token(held: Tokens) -> str:
    return str(held.exchange(form(client_assertion("bank-a", LENDER_KEY, ENDPOINT, now=NOW)))["access_token"])


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "bearer", "Token x"])
def test_without_a_bearer_token_nobody_is_known(held: Tokens, header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        held.caller(header)


def test_an_access_token_expires_also_where_it_was_seen_before(held: Tokens, clock: Clock) -> None:
    token = access_token(held)
    assert held.caller(f"Bearer {token}").name == "bank-a"
    assert held.caller(f"Bearer {token}").name == "bank-a"
    clock.now = NOW + 599
    assert held.caller(f"Bearer {token}").name == "bank-a"
    clock.now = NOW + 600
    with pytest.raises(Unauthenticated):
        held.caller(f"Bearer {token}")


def test_an_access_token_of_another_gateway_is_refused(held: Tokens, clock: Clock) -> None:
    lenders = {"bank-a": lender(public_jwk(LENDER_KEY))}
    elsewhere = Tokens(lenders, held_keys, issuer="https://other.invalid", seconds=600, clock=clock)
    other_endpoint = "https://other.invalid/oauth/token"
    answer = elsewhere.exchange(form(client_assertion("bank-a", LENDER_KEY, other_endpoint, now=NOW)))
    with pytest.raises(Unauthenticated):
        held.caller(f"Bearer {answer['access_token']}")
    stranger = Tokens(lenders, partial(Signing, Ed25519PrivateKey.generate()), issuer=ISSUER, seconds=600, clock=clock)
    with pytest.raises(Unauthenticated):
        held.caller(f"Bearer {access_token(stranger)}")


def test_an_assertion_is_no_access_token_and_a_profiles_signature_neither(held: Tokens) -> None:
    with pytest.raises(Unauthenticated):
        held.caller(f"Bearer {client_assertion('bank-a', LENDER_KEY, ENDPOINT, now=NOW)}")
    # Right key, right claims, another type of token.
    body = {"iss": ISSUER, "sub": "bank-a", "exp": NOW + 60}
    okp = OKPKey.import_key(pem(GATEWAY_KEY))
    token = tokens.jwt.encode({"alg": "Ed25519", "typ": "JWT"}, body, okp, algorithms=["Ed25519"])
    with pytest.raises(Unauthenticated):
        held.caller(f"Bearer {token}")


def test_a_lender_removed_from_the_settings_has_no_access_any_more(held: Tokens, clock: Clock) -> None:
    token = access_token(held)
    restarted = Tokens({}, held_keys, issuer=ISSUER, seconds=600, clock=clock)
    with pytest.raises(Unauthenticated):
        restarted.caller(f"Bearer {token}")


def test_another_process_of_the_same_gateway_knows_the_token(held: Tokens, clock: Clock) -> None:
    lenders = {"bank-a": lender(public_jwk(LENDER_KEY))}
    second = Tokens(lenders, held_keys, issuer=ISSUER, seconds=600, clock=clock)
    assert second.caller(f"Bearer {access_token(held)}").name == "bank-a"


def test_what_is_remembered_of_checked_tokens_is_bounded(held: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_REMEMBERED", 2)
    made = [access_token(held) for _ in range(4)]
    assert [held.caller(f"Bearer {token}").name for token in made] == ["bank-a"] * 4
    assert len(held._checked) == 2
    assert held.caller(f"Bearer {made[0]}").name == "bank-a"


def test_a_token_by_a_key_that_was_replaced_counts_until_it_expires_and_none_that_the_key_signs_later(
    clock: Clock,
) -> None:
    lenders = {"bank-a": lender(public_jwk(LENDER_KEY))}
    signing = [Signing(GATEWAY_KEY)]
    held = Tokens(lenders, lambda: signing[0], issuer=ISSUER, seconds=600, clock=clock)

    def new() -> str:
        clock.now += 1
        sent = client_assertion("bank-a", LENDER_KEY, ENDPOINT, now=clock.now)
        return "Bearer " + str(held.exchange(form(sent))["access_token"])

    before = new()
    old = Replaced(GATEWAY_KEY.public_key().public_bytes_raw(), int(clock.now))
    signing[0] = Signing(Ed25519PrivateKey.generate(), (old,))
    after = new()
    kids = [pyjwt.get_unverified_header(token[7:])["kid"] for token in (before, after)]
    assert kids[0] != kids[1]
    assert {held.caller(token).name for token in (before, after)} == {"bank-a"}
    clock.now += 20
    # Whoever took the old key signs with it after it was replaced.
    signing.append(signing[0])
    signing[0] = Signing(GATEWAY_KEY)
    stolen = new()
    signing[0] = signing[1]
    with pytest.raises(Unauthenticated):
        Tokens(lenders, lambda: signing[0], issuer=ISSUER, seconds=600, clock=clock).caller(stolen)
    again = Tokens(lenders, lambda: signing[0], issuer=ISSUER, seconds=600, clock=clock)
    assert again.caller(before).name == "bank-a"
    clock.now = old.at + 700
    for kept in (before, stolen):
        with pytest.raises(Unauthenticated):
            again.caller(kept)


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": []},
        {"keys": "none"},
        {"keys": [7]},
        {"keys": [{"kty": "OKP"}]},
        {"keys": [OKPKey.import_key(pem(LENDER_KEY)).as_dict(private=True)]},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MDA"}]},
    ],
    ids=["empty", "no key", "no list", "no object", "no point", "a private key", "a shared secret"],
)
def test_keys_of_a_lender_that_are_not_public_keys_are_a_setting_to_mend(jwks: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Tokens({"bank-a": Lender(name="x", jwks=jwks)}, held_keys, issuer=ISSUER, seconds=60)
    assert caught.value.details["at"] == "lenders.bank-a.jwks"
    assert "c2Vjc" not in str(caught.value)


def test_rsa_keys_are_for_pss_only(clock: Clock) -> None:
    key = RSAKey.generate_key(2048)
    public = {**key.as_dict(private=False), "kid": "rsa"}
    held = Tokens({"bank-a": lender(public)}, held_keys, issuer=ISSUER, seconds=60, clock=clock)
    private = key.as_pem(private=True)
    assert held.exchange(form(pyjwt.encode(claims(), private, "PS256", headers={"kid": "rsa"})))
    with pytest.raises(InvalidClient):
        held.exchange(form(pyjwt.encode(claims(jti="two"), private, "RS256", headers={"kid": "rsa"})))


def test_the_published_key_carries_its_thumbprint_and_nothing_private() -> None:
    jwk = public_jwk(LENDER_KEY)
    assert jwk.keys() == {"kty", "crv", "x", "kid", "alg", "use"}
    # RFC 7638 §3: SHA-256 over the required members in lexicographic order.
    text = json.dumps({k: jwk[k] for k in ("crv", "kty", "x")}, separators=(",", ":"), sort_keys=True)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    assert jwk["kid"] == thumbprint
