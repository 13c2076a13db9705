"""The receipt of a consent: verified by another library, and true to the consent and to the log."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio

from consent.log.merkle import leaf_hash, verify_inclusion
from consent.log.note import Checkpoint, Note, Vkey
from tests.consent_world import person
from tests.gateway_world import World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("receipts")) as made:
        yield made


async def receipt(world: World, consent_id: str) -> tuple[str, dict[str, Any]]:
    """The token and what PyJWT reads in it under the published keys."""
    reply = await world.send("GET", f"/v1/consents/{consent_id}/receipt", lender=world.lender)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/jose")
    token = reply.body.decode()
    published = (await world.send("GET", "/.well-known/jwks.json")).json
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(published).keys}
    head = jwt.get_unverified_header(token)
    return token, jwt.decode(token, keys[head["kid"]].key, algorithms=["EdDSA"])


async def test_a_receipt_says_what_was_agreed_by_whom_for_what_and_how_it_stands(world: World) -> None:
    outlet = {"id": "outlet-a", "name": "示例数据出口 (invented)"}
    outlets = [*world.grant()["intermediaries"], outlet]
    consent = await world.consent(intermediaries=outlets, recipients=["示例担保公司 (invented)"], persons=[person(0)])
    token, held = await receipt(world, consent["id"])
    assert jwt.get_unverified_header(token)["typ"] == "xinqiao-consent-receipt+json"
    assert held["record"]["id"] == consent["id"]
    parties = held["parties"]
    assert parties["subject"] == consent["subject"]
    assert (parties["grantee"]["id"], parties["intermediaries"]) == (consent["grantee"], outlets)
    assert parties["recipients"] == consent["recipients"]
    assert parties["persons"] == [{"role": "actual_controller", "subject": consent["persons"][0]["subject"]}]
    assert person(0)["ref"] not in str(held)
    agreed = [(s["platform"], s["dataset"], s["fields"]) for s in consent["scopes"]]
    data = held["processing"]["data"]
    assert [(s["platform"], s["dataset"], s["fields"]) for s in data] == agreed
    insured = next(s for s in data if s["dataset"] == "social_insurance")
    assert (insured["sensitive"], insured["separate_consent"]) == (["base"], True)
    for name in ("purpose", "application", "retention_days", "disposal", "revocation_effect", "max_uses"):
        assert held["processing"][name] == consent[name]
    assert (held["times"]["given_at"], held["times"]["valid_to"]) == (consent["given_at"], consent["valid_to"])
    assert (held["status"]["state"], [e["state"] for e in held["status"]["events"]]) == ("active", ["active"])


async def test_a_receipt_after_a_withdrawal_says_so_and_is_proven_by_the_log(world: World) -> None:
    consent = await world.consent()
    _, before = await receipt(world, consent["id"])
    path = f"/v1/consents/{consent['id']}/revoke"
    await world.send("POST", path, {"reason": "示例"}, lender=world.lender)
    _, after = await receipt(world, consent["id"])
    assert [e["state"] for e in after["status"]["events"]] == ["active", "revoked"]
    assert (before["status"]["state"], after["status"]["state"]) == ("active", "revoked")
    evidence = world.demo.services.evidence
    for held, event in ((before, b"consent.granted"), (after, b"consent.revoked")):
        place = held["log"]
        (entry,) = await evidence.entries(place["index"], place["index"] + 1)
        assert event in entry.entry
        head = Checkpoint.parse(Note.parse(place["checkpoint"]).text)
        proof = [base64.b64decode(node) for node in place["proof"]]
        verify_inclusion(place["index"], head.size, leaf_hash(entry.entry), proof, head.root)
        assert Vkey.parse(evidence.vkey).name == head.origin


async def test_a_receipt_with_one_changed_character_is_no_receipt(world: World) -> None:
    token, _ = await receipt(world, (await world.consent())["id"])
    published = (await world.send("GET", "/.well-known/jwks.json")).json
    key = jwt.PyJWKSet.from_dict(published).keys[0].key
    head, body, signature = token.split(".")
    changed = body[:40] + ("A" if body[40] != "A" else "B") + body[41:]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(f"{head}.{changed}.{signature}", key, algorithms=["EdDSA"])
