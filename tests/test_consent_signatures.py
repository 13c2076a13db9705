"""Signed consents: made by another library, and refused in every way in which a signature can fail to be one."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from consent import evidence as evidence_module
from consent.amendments import AmendConsent
from consent.consents import GrantConsent
from consent.log.signatures import TYPE, signers_shown, thumbprint
from consent.signatures import Proven, content_of, prove
from consent.texts import RegisterText
from gateway.settings import Settings
from gateway.signers import grant_command, trusted
from schemas.consent import ConsentGrant
from schemas.errors import (
    ConfigurationError,
    ConsentConflict,
    ConsentSignatureInvalid,
    ConsentTextMismatch,
    InvalidValue,
)
from tests.consent_world import LENDER, grant, person, uscc, world
from tests.evidence_world import Story, refused

Key = Ed25519PrivateKey | EllipticCurvePrivateKey
ED = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EC = generate_private_key(SECP256R1())
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
DIRECTORS = [{"role": "director", "person_ref": f"d-{n}", "identity_check": "video"} for n in (1, 2)]
TEXT = RegisterText("loan", "1", "zh", "（示例）授权书".encode(), "operator")
SIGNED: dict[str, Any] = {
    "assurance": "signed",
    "signers": DIRECTORS,
    "text_version": TEXT.name,
    "text_sha256": hashlib.sha256(TEXT.content).hexdigest(),
}


def jwk_of(key: Key) -> dict[str, str]:
    to_jwk = OKPAlgorithm.to_jwk if isinstance(key, Ed25519PrivateKey) else ECAlgorithm.to_jwk
    made = json.loads(to_jwk(key.public_key()))  # type: ignore[arg-type]
    return {name: made[name] for name in ("kty", "crv", "x", "y") if name in made}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def rfc7638(jwk: dict[str, str]) -> str:
    members = {name: jwk[name] for name in sorted(jwk) if name in ("crv", "kty", "x", "y")}
    return b64(hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest())


def sign(content: bytes, key: Key, ref: str = "d-1", **changes: Any) -> dict[str, Any]:
    """As PyJWT makes it, its payload taken out."""
    jwk = jwk_of(key)
    algorithm = "EdDSA" if isinstance(key, Ed25519PrivateKey) else "ES256"
    headers = {"typ": TYPE, "kid": rfc7638(jwk), **changes}
    head, _, signature = jwt.api_jws.encode(content, key, algorithm, headers).split(".")
    return {"person_ref": ref, "jws": f"{head}..{signature}", "jwk": jwk}


def signed(*signatures: dict[str, Any], **changes: Any) -> ConsentGrant:
    return grant(**{**SIGNED, "signatures": list(signatures), **changes})


CONTENT = content_of(signed())
TRUSTED = {uscc(): {rfc7638(jwk_of(ED)), rfc7638(jwk_of(EC))}}


@pytest.mark.parametrize("key", [ED, EC], ids=["Ed25519", "ES256"])
async def test_a_consent_that_its_signer_signed_is_registered_as_signed(tmp_path: Path, key: Key) -> None:
    made = signed(sign(CONTENT, key))
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(TEXT)
        consent = await evidence.submit(GrantConsent(made, LENDER, proven=prove(made, TRUSTED)))
        assert consent.assurance.value == "signed"
        assert consent.signatures == made.signatures
        assert await evidence.audit() == []
    added = {"id", "version", "state", "uses", "registered_at"}
    assert signers_shown(consent.model_dump(mode="json", exclude=added))


def test_what_is_signed_is_the_whole_consent_but_the_signatures_and_the_parts_of_persons() -> None:
    document = json.loads(CONTENT)
    assert document == {k: v for k, v in signed().model_dump(mode="json").items() if k not in ("signatures", "persons")}
    assert json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == CONTENT
    assert content_of(signed(sign(CONTENT, ED), persons=[person(0)])) == CONTENT


def test_two_directors_sign_each_with_a_key_of_its_own() -> None:
    both = content_of(signed(signers_required=2))
    one, two = sign(both, ED, "d-1"), sign(both, EC, "d-2")
    assert prove(signed(one, two, signers_required=2), TRUSTED) == Proven(both)
    for missing in ([one], [one, sign(both, ED, "d-2")], [one, {**two, "person_ref": "d-1"}]):
        with pytest.raises(ConsentSignatureInvalid):
            prove(signed(*missing, signers_required=2), TRUSTED)


def none_head() -> dict[str, Any]:
    head = b64(json.dumps({"alg": "none", "typ": TYPE, "kid": rfc7638(jwk_of(ED))}).encode())
    return {**sign(CONTENT, ED), "jws": f"{head}..AA"}


def hmac_head() -> dict[str, Any]:
    public = base64.urlsafe_b64decode(jwk_of(ED)["x"] + "=")
    headers = {"typ": TYPE, "kid": rfc7638(jwk_of(ED))}
    head, _, mac = jwt.api_jws.encode(CONTENT, public, "HS256", headers).split(".")
    return {**sign(CONTENT, ED), "jws": f"{head}..{mac}"}


def changed(one: dict[str, Any], place: int) -> dict[str, Any]:
    text = list(one["jws"])
    text[place] = "A" if text[place] != "A" else "B"
    return {**one, "jws": "".join(text)}


def twice_named() -> dict[str, Any]:
    head = b64(f'{{"alg":"EdDSA","alg":"EdDSA","kid":"{rfc7638(jwk_of(ED))}","typ":"{TYPE}"}}'.encode())
    signature = b64(ED.sign(f"{head}.{b64(CONTENT)}".encode()))
    return {**sign(CONTENT, ED), "jws": f"{head}..{signature}"}


BAD: dict[str, Callable[[], dict[str, Any]]] = {
    "alg none": none_head,
    "HMAC under the public key": hmac_head,
    "another document": lambda: sign(content_of(signed(max_uses=9)), ED),
    "another key beside it": lambda: {**sign(CONTENT, ED), "jwk": jwk_of(STRANGER)},
    "a key that nobody trusts": lambda: sign(CONTENT, STRANGER),
    "the kid of a trusted key": lambda: {**sign(CONTENT, STRANGER, kid=rfc7638(jwk_of(ED)))},
    "no kid": lambda: sign(CONTENT, ED, kid="x"),
    "another type": lambda: sign(CONTENT, ED, typ="JWT"),
    "a critical extension": lambda: sign(CONTENT, ED, crit=["exp"], exp=1),
    "a member named twice": twice_named,
    "a changed header": lambda: changed(sign(CONTENT, ED), 10),
    "a changed signature": lambda: changed(sign(CONTENT, ED), -20),
    "a free bit": lambda: {**(one := sign(CONTENT, ED)), "jws": one["jws"][:-1] + "_"},
    "a short signature": lambda: {
        **(one := sign(CONTENT, EC)),
        "jws": one["jws"].split("..")[0] + ".." + b64(bytes(63)),
    },
    "a key without a coordinate": lambda: {**sign(CONTENT, EC), "jwk": {**jwk_of(EC), "y": None}},
    "a point off the curve": lambda: {**sign(CONTENT, EC), "jwk": {**jwk_of(EC), "y": jwk_of(EC)["x"]}},
    "somebody who does not sign": lambda: sign(CONTENT, ED, "d-3"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_what_is_no_signature_of_a_signer_is_refused_with_its_place(bad: Callable[[], dict[str, Any]]) -> None:
    with pytest.raises(ConsentSignatureInvalid) as caught:
        prove(signed(bad()), TRUSTED)
    assert caught.value.details == {"at": "signatures[0]"}


def test_a_stripped_signature_and_a_key_of_another_enterprise_are_refused() -> None:
    for made, keys in ((signed(), TRUSTED), (signed(sign(CONTENT, ED)), {uscc(1): TRUSTED[uscc()]})):
        with pytest.raises(ConsentSignatureInvalid):
            prove(made, keys)


def test_nothing_is_called_signed_that_was_not_proven() -> None:
    made = signed(sign(CONTENT, ED))
    for proven in (None, Proven(b"{}"), Proven(content_of(signed(max_uses=9)))):
        with pytest.raises(ConsentSignatureInvalid):
            GrantConsent(made, LENDER, proven=proven)
    with pytest.raises(InvalidValue):
        GrantConsent(signed(sign(CONTENT, ED), assurance="lender_asserted"), LENDER)


async def test_a_signed_consent_names_a_registered_text(tmp_path: Path) -> None:
    made = signed(sign(CONTENT, ED))
    async with world(tmp_path / "e.db") as evidence:
        with pytest.raises(ConsentTextMismatch) as caught:
            await evidence.submit(GrantConsent(made, LENDER, proven=prove(made, TRUSTED)))
        assert caught.value.details == {"at": "text_version"}


async def test_a_signed_consent_may_take_the_place_of_a_lenders_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_module, "LEASE_SECONDS", 0.0)
    later: dict[str, Any] = {
        "given_at": "2026-11-01T00:00:00+00:00",
        "evidence": {"sha256": "a" * 64, "media_type": "a/b"},
    }
    made = signed(sign(content_of(signed(**later)), ED), **later)
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(TEXT)
        old = await evidence.submit(GrantConsent(grant(), LENDER))
        new = await evidence.change_consent(
            AmendConsent(old.id, GrantConsent(made, LENDER, proven=prove(made, TRUSTED)))
        )
        assert (new.amends, new.assurance.value) == ([old.id], "signed")


def test_the_settings_say_whose_keys_sign(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, signers={uscc(): {"keys": [jwk_of(ED), jwk_of(EC)]}})
    assert trusted(settings) == TRUSTED
    assert {thumbprint(jwk_of(ED)), thumbprint(jwk_of(EC))} == TRUSTED[uscc()]
    made = signed(sign(CONTENT, ED))
    assert grant_command(settings, made, LENDER).proven == Proven(CONTENT)
    assert grant_command(settings, grant(), LENDER).proven is None
    for keys in ({"keys": [{"kty": "RSA"}]}, {}, {"keys": ["x"]}):
        with pytest.raises(ConfigurationError):
            trusted(settings.model_copy(update={"signers": {uscc(): keys}}))


def test_the_evidence_of_a_profile_holds_only_with_signatures_that_hold() -> None:
    def story(**changes: Any) -> Story:
        made = Story()
        made.consent |= {"assurance": "signed", "signatures": []}
        content = json.loads(json.dumps({k: v for k, v in made.consent.items() if k not in ("signatures", "persons")}))
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        made.consent["signatures"] = [sign(canonical, ED, "p-1")]
        made.consent |= changes
        for step in (made.granted, made.permit):
            step["entry"]["assurance"] = "signed"
        made.profile["consent_assurance"] = "signed"
        return made

    assert refused(story()) == ""
    for changes in ({"signatures": []}, {"signatures": [sign(b"{}", ED, "p-1")]}, {"channel": "web"}):
        assert "the signatures of its signers do not hold" in refused(story(**changes))


def malleated(one: dict[str, Any]) -> dict[str, Any]:
    """The other signature that whoever sees an ES256 signature can make of it: (r, n - s)."""
    head, _, signature = one["jws"].split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return {**one, "jws": f"{head}..{b64(raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32))}"}


async def test_one_act_of_signing_is_one_consent_however_its_signatures_are_dressed_up(tmp_path: Path) -> None:
    content = content_of(signed(max_uses=1))
    ed, ec = sign(content, ED, "d-1"), sign(content, EC, "d-2")
    dressed = [
        signed(ed, malleated(ec), max_uses=1),
        signed(ec, ed, max_uses=1),
        signed(ed, max_uses=1),
        signed(ed, sign(content, EC, "d-2"), max_uses=1),
        signed(ed, ec, max_uses=1, persons=[person(0)]),
    ]
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(TEXT)
        first = signed(ed, ec, max_uses=1)
        consent = await evidence.submit(GrantConsent(first, LENDER, proven=prove(first, TRUSTED)))
        await evidence.submit(GrantConsent(first, LENDER, proven=prove(first, TRUSTED)))
        for again in dressed:
            with pytest.raises(ConsentConflict):
                await evidence.submit(GrantConsent(again, LENDER, proven=prove(again, TRUSTED)))
        assert [one.id for one in await evidence.consents_of(LENDER)] == [consent.id]
