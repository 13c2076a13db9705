"""Evidence of real profiles of the gateway: who gets it, that getting it is logged, and what it still says when content
was destroyed or changed."""

import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent import bundle as bundle_module
from consent.consents import GrantConsent
from consent.evidence import Evidence
from consent.log.archive import unpack
from consent.log.bundle import BundleReport, verify_bundle
from consent.log.commitment import commit
from consent.log.note import Vkey
from consent.logkeys import RotateLogKey
from consent.permits import Permit
from consent.profiles import IssueProfile, Outcome, RecordEvent, SealedSource, profile_entry, reply_name
from consent.requests import GiveConsent, OpenRequest
from gateway.profile.sign import ProfileSigner
from schemas.errors import KeysUnavailable, LogBroken
from tests.consent_world import CAPTURED, LENDER, NAME, PAGE_TEXT, ask, grant, uscc
from tests.consent_world import world as evidence_world
from tests.gateway_world import World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")
SIGNER = ProfileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("evidence"), deadline_seconds=6) as made:
        yield made


async def verified(world: World, data: bytes) -> BundleReport:
    vkey = Vkey.parse((await world.send("GET", "/log/vkey")).body.decode().strip())
    jwks = (await world.send("GET", "/.well-known/jwks.json")).json
    report = verify_bundle(data, [vkey], jwks)
    assert (report.problem, report.log_trusted, report.profile_trusted) == (None, True, True)
    return report


async def test_the_evidence_of_a_whole_profile_proves_every_step_up_to_its_own_export(world: World) -> None:
    consent = await world.consent()
    profile = await world.lender.profile(world.ask(consent["id"], datasets=None))
    await world.send("GET", f"/v1/profiles/{profile['id']}", lender=world.lender)
    reply = await world.send("GET", f"/v1/profiles/{profile['id']}/evidence", lender=world.lender)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/zip")
    report = await verified(world, reply.body)
    steps = ["consent.granted", "permit.granted", "profile.issued", "profile.read", "profile.exported"]
    assert [event for _, event, _, _ in report.entries] == steps
    assert {actor for *_, actor in report.entries} == {"demo-bank"}
    assert (report.profile, report.destroyed) == (profile["id"], ())
    files = unpack(reply.body)
    answered = {f"{s['platform']}/{s['dataset']}" for s in profile["sources"] if s["commitment"]}
    assert {p.split("/", 3)[3] for p in files if "/reply/" in p} == answered
    assert len(answered) > 8


async def test_readings_and_exports_add_up_and_a_later_withdrawal_is_in_the_evidence(world: World) -> None:
    consent = await world.consent()
    profile = await world.lender.profile(world.ask(consent["id"]))
    await world.lender.profile(world.ask(consent["id"]))
    path = f"/v1/profiles/{profile['id']}/evidence"
    first = (await world.send("GET", path, lender=world.lender)).body
    await world.send("POST", f"/v1/consents/{consent['id']}/revoke", {"reason": "loan repaid"}, lender=world.lender)
    second = (await world.send("GET", path, lender=world.lender)).body
    assert len((await verified(world, first)).entries) == 4
    events = [event for _, event, _, _ in (await verified(world, second)).entries]
    assert events[3:] == ["profile.exported", "consent.revoked", "profile.exported"]
    assert b"loan repaid" in b"".join(unpack(second).values())


async def test_evidence_of_others_is_not_found_and_the_attempt_is_an_entry(world: World) -> None:
    profile = await world.lender.profile(world.ask((await world.consent())["id"]))
    evidence = world.demo.services.evidence
    for wanted, about in ((profile["id"], profile["consent_id"]), ("p" + "0" * 30, None)):
        size = evidence.size
        reply = await world.send("GET", f"/v1/profiles/{wanted}/evidence", lender=world.other)
        assert (reply.status, reply.json["code"]) == (404, "not_found")
        (told,) = [json.loads(one.entry) for one in await evidence.entries(size, evidence.size)]
        assert (told["event"], told["actor"], told["consent"]) == ("access.refused", "other-bank", about)
        assert told["operation"] == "export evidence"
    assert (await world.send("GET", f"/v1/profiles/{profile['id']}/evidence")).status == 401


async def issue(evidence: Evidence, permit: Permit, profile_id: str, persons: int, padding: int = 0) -> None:
    """A profile of one source, and ``padding`` more that did not answer."""
    key, entry = permit.key, profile_entry(profile_id, 1)
    records = [{"month": "2026-10", "kind": "pension", "persons": persons}]
    payload = json.dumps({"digest": "ab" * 32, "records": records}).encode()
    digest = hashlib.sha256(payload).digest()
    commitment = key.commitment(entry, reply_name("sh-hrss", "social_insurance"), digest)
    present = {"state": "present", "reason": None, "records": 1, "commitment": commitment}
    missing = {"state": "unavailable", "reason": "x" * padding, "records": 0, "commitment": None}
    sources: list[dict[str, Any]] = [
        {"platform": "sh-hrss", "dataset": "social_insurance", "via": None, **present},
        {"platform": "sh-registry", "dataset": "registration", "via": None, **missing},
    ]
    profile = {
        "id": profile_id,
        "revision": 1,
        "subject": {"uscc": permit.consent.grant.subject.uscc, "name": permit.consent.grant.subject.name},
        "consent_id": permit.consent.id,
        "consent_assurance": permit.consent.grant.assurance.value,
        "purpose": "loan_review",
        "period": {"first": "2025-12", "last": "2026-11"},
        "completeness": {"asked": 2, "answered": 1},
        "sections": {"social_insurance": {"records": records, "values": {}}},
        "findings": [],
        "sources": sources,
    }
    await evidence.submit(
        IssueProfile(
            permit_id=permit.id,
            profile_id=profile_id,
            revision=1,
            jws=SIGNER.sign(profile).jws,
            records=(SealedSource("sh-hrss", "social_insurance", payload),),
            outcomes=tuple(
                Outcome(s["platform"], s["dataset"], s["state"], s["reason"], s["commitment"]) for s in sources
            ),
        )
    )


async def told(evidence: Evidence, padding: int = 0) -> None:
    """Two enterprises, the first with two profiles."""
    for permit, profile, n, persons in (("m1", "p1", 0, 11), ("m2", "p2", 0, 12), ("m3", "p3", 1, 11)):
        consent = await evidence.submit(GrantConsent(grant(n), LENDER))
        await issue(evidence, await evidence.submit(ask(permit, consent.id, n)), profile, persons, padding)


async def made(evidence: Evidence, profile_id: str) -> bytes:
    row = await evidence.profile_row(profile_id)
    assert row is not None
    return await evidence.bundle(profile_id, row, SIGNER.jwks())


def holds(evidence: Evidence, data: bytes) -> BundleReport:
    report = verify_bundle(data, [Vkey.parse(evidence.vkey)], SIGNER.jwks())
    assert report.problem is None
    return report


def change(path: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


async def test_a_holder_confirms_no_guess_about_any_other_entry(tmp_path: Path) -> None:
    """Not even where the guess is right: the same enterprise, the same platform, a reply that differs by a number."""
    async with evidence_world(tmp_path / "e.db") as evidence:
        await told(evidence)
        bundles = {name: await made(evidence, name) for name in ("p1", "p2", "p3")}
        payloads = {n: {p: d for p, d in unpack(b).items() if p.startswith("payload/")} for n, b in bundles.items()}
        entries = [json.loads(one.entry) for one in await evidence.entries(0, evidence.size)]
        log = json.loads(unpack(bundles["p1"])["log.json"])
    keys = [bytes.fromhex(k) for one in log["entries"] for k in one["keys"].values()]
    own = {one["entry"]["id"] for one in log["entries"]}
    assert len(keys) == 3
    opened = 0
    for entry in entries:
        for content in {data for held in payloads.values() for data in held.values()}:
            for key in keys:
                if commit(key, hashlib.sha256(content).digest()) in json.dumps(entry):
                    assert entry["id"] in own
                    opened += 1
    assert opened == 3
    assert payloads["p1"] != payloads["p3"]


@pytest.mark.parametrize("padding", [0, 3500])
async def test_destroyed_content_is_said_to_be_destroyed_and_the_consent_still_opens(
    tmp_path: Path, padding: int
) -> None:
    path = tmp_path / "e.db"
    async with evidence_world(path) as evidence:
        await told(evidence, padding)
        assert holds(evidence, await made(evidence, "p1")).destroyed == ()
        subject = json.loads((await evidence.entries(0, 1))[0].entry)["subject"]
    change(path, "DELETE FROM subject_keys WHERE subject = ? AND class = 'payload'", subject)
    async with evidence_world(path) as evidence:
        data = await made(evidence, "p1")
        names = {name for _, name in holds(evidence, data).destroyed}
        assert names == {"profile", "sources" if padding else "reply/sh-hrss/social_insurance"}
        assert NAME in unpack(data)["index.html"].decode()
        assert uscc(0).encode() in unpack(data)["payload/0/consent"]
        assert not [p for p in unpack(data) if "profile" in p or "reply" in p]
        assert holds(evidence, await made(evidence, "p3")).destroyed == ()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM sealed WHERE id = 'p1.1/profile'",
        "UPDATE sealed SET key_version = 2 WHERE id = 'p1.1/profile'",
    ],
)
async def test_a_payload_that_no_key_opens_is_gone_and_the_rest_is_proven(tmp_path: Path, statement: str) -> None:
    async with evidence_world(tmp_path / "e.db") as evidence:
        await told(evidence)
        change(tmp_path / "e.db", statement)
        assert holds(evidence, await made(evidence, "p1")).destroyed == ((2, "profile"),)


@pytest.mark.parametrize(
    ("statement", "at"),
    [
        ("UPDATE log_entries SET entry = replace(entry, 'bank-a', 'bank-b') WHERE position = 1", "log.json"),
        ("UPDATE log_head SET checkpoint = replace(checkpoint, 'xinqiao', 'xinqiap')", "checkpoint"),
    ],
)
async def test_evidence_that_its_own_verifier_would_refuse_is_not_handed_out(
    tmp_path: Path, statement: str, at: str
) -> None:
    async with evidence_world(tmp_path / "e.db") as evidence:
        await told(evidence)
        change(tmp_path / "e.db", statement)
        with pytest.raises(LogBroken) as refused:
            await made(evidence, "p1")
        assert refused.value.details["at"] == at


async def test_a_profile_that_does_not_exist_is_nobodys(tmp_path: Path) -> None:
    async with evidence_world(tmp_path / "e.db") as evidence:
        await told(evidence)
        assert await evidence.profile_row("p9") is None


async def test_an_entry_from_after_the_head_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a database whose reads are not one snapshot an entry may be committed between head and entries."""
    async with evidence_world(tmp_path / "e.db") as evidence:
        await told(evidence)
        plain = bundle_module.signed_head
        with evidence._database.readers.begin() as connection:
            before = plain(connection)
        row = await evidence.profile_row("p1")
        assert row is not None
        for name in ("p1", "p2"):
            data = {"profile": name, "revision": 1}
            await evidence.submit(RecordEvent("profile.read", LENDER, row.consent_id, None, data))
        assert len(holds(evidence, await made(evidence, "p1")).entries) == 4
        monkeypatch.setattr(bundle_module, "signed_head", lambda _: before)
        assert len(holds(evidence, await made(evidence, "p1")).entries) == 3


async def test_evidence_follows_a_log_that_went_on_under_another_key(tmp_path: Path) -> None:
    async with evidence_world(tmp_path / "e.db") as evidence:
        await told(evidence)
        old = Vkey.parse(evidence.vkey)
        await evidence.submit(RotateLogKey("operator", Ed25519PrivateKey.from_private_bytes(bytes(32))))
        data = await made(evidence, "p1")
        new = Vkey.parse(evidence.vkey)
        assert old != new
        for trusted in (old, new):
            report = verify_bundle(data, [trusted], SIGNER.jwks())
            assert (report.problem, report.signers) == (None, (new.label(),))
        assert report.entries[-1][1] == "log.rekeyed"


async def test_a_consent_that_was_given_on_our_page_brings_the_record_of_the_act(tmp_path: Path) -> None:
    act = b"the signed record of an act"
    async with evidence_world(tmp_path / "e.db") as evidence:
        until = "2026-12-01T00:00:00.000+00:00"
        await evidence.submit(PAGE_TEXT)
        await evidence.submit(OpenRequest("r1", "0" * 64, LENDER, uscc(), until, b"what is asked"))
        named = {"sha256": hashlib.sha256(act).hexdigest(), "media_type": "application/jose"}
        given = GrantConsent(grant(evidence=named, **CAPTURED), "enterprise")
        consent = await evidence.submit(GiveConsent("r1", given, act))
        await issue(evidence, await evidence.submit(ask("m1", consent.id)), "p1", 11)
        data = await made(evidence, "p1")
        events = [event for _, event, _, _ in holds(evidence, data).entries]
    assert events == ["consent.granted", "request.given", "permit.granted", "profile.issued"]
    assert act in unpack(data).values()


async def test_a_consent_document_that_was_changed_in_the_file_does_not_open_and_nothing_is_handed_out(
    tmp_path: Path,
) -> None:
    async with evidence_world(tmp_path / "e.db") as evidence:
        await told(evidence)
        change(tmp_path / "e.db", "UPDATE consent_documents SET document = zeroblob(40)")
        with pytest.raises(KeysUnavailable):
            await made(evidence, "p1")
