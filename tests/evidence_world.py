"""Evidence to break: bundles made from a story that a test may change before it is logged, signed and packed.

Everything is invented, the log included: it is signed with a key of the test, so that a story which does not hold
together reaches the checks behind signatures, proofs and commitments.

``python -m tests.evidence_world`` flips every bit of a bundle, and every bit of each of its parts with the archive
written anew around it.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log.archive import pack, unpack
from consent.log.bundle import Item, verify_bundle, write_bundle
from consent.log.chain import Unfit
from consent.log.commitment import commit
from consent.log.jws import canonical_json
from consent.log.merkle import inclusion_proof, leaf_hash, root_of
from consent.log.note import Checkpoint, Vkey, sign_checkpoint
from gateway.profile.sign import ProfileSigner

ORIGIN = "log.example.test/invented"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VKEY = Vkey.of(ORIGIN, KEY)
SIGNER = ProfileSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))

Step = dict[str, Any]


def entry(event: str, **more: Any) -> Step:
    made = {
        "v": 1,
        "id": hashlib.sha256(repr((event, sorted(more.items()))).encode()).hexdigest()[:32],
        "event": event,
        "time": "2026-11-24T06:00:00.000+00:00",
        "actor": "bank-a",
        "consent": "c1",
        "subject": "s1",
    }
    return {"entry": {**made, **more}, "payloads": {}}


CONSENT = {
    "subject": {"uscc": "91990000XQ0000005F", "name": "虚构<测试>企业 & 甲"},
    "grantee": "bank-a",
    "purpose": "loan_review",
    "application": "LN-1",
    "scopes": [{"platform": "sh-hrss", "dataset": "social_insurance", "fields": ["month", "persons"], "via": []}],
    "lookback_months": 24,
    "valid_from": "2026-01-01T00:00:00+00:00",
    "valid_to": "2027-01-01T00:00:00+00:00",
    "max_uses": 1,
    "given_at": "2026-01-01T00:00:00+00:00",
    "channel": "counter",
    "assurance": "lender_asserted",
    "signers": [{"role": "legal_representative", "person_ref": "p-1"}],
    "signers_required": 1,
    "persons": [],
    "signatures": [],
    "evidence": {"sha256": hashlib.sha256(b"a signed record").hexdigest(), "media_type": "application/jose"},
    "text_version": "2026-1",
    "text_sha256": "0" * 64,
}
RECORDS = [{"month": "2026-09", "persons": 12}, {"month": "2026-10", "persons": 13}]


class Story:
    """One consent, one use, one profile and one reading. ``steps`` are entries with their payloads; a payload under
    ``items`` stands in for the list in the entry, as does one for the sources where they are ``large``; ``listed`` is
    what the entry says in place of the profile's own sources."""

    def __init__(self) -> None:
        self.consent: dict[str, Any] = deepcopy(CONSENT)
        self.granted = entry(
            "consent.granted",
            version=1,
            purpose="loan_review",
            assurance="lender_asserted",
            valid_from=CONSENT["valid_from"],
            valid_to=CONSENT["valid_to"],
        )
        self.permit = entry(
            "permit.granted",
            permit="m1",
            version=1,
            use=1,
            purpose="loan_review",
            assurance="lender_asserted",
            valid_until="2026-11-24T06:15:00.000+00:00",
            officer="ab" * 16,
            first="2025-12",
            last="2026-11",
            items=[["sh-hrss", "social_insurance", ["month", "persons"]]],
        )
        self.issued = entry("profile.issued", permit="m1", profile="p1", revision=1)
        self.read = entry("profile.read", profile="p1", revision=1)
        self.steps = [self.granted, self.permit, self.issued, self.read]
        self.reply: dict[str, Any] = {"digest": "ab" * 32, "records": deepcopy(RECORDS)}
        self.sources: list[dict[str, Any]] = [
            self.source("sh-hrss", "social_insurance", 2),
            {**self.source("sh-tax", "tax_returns", 0), "state": "unavailable", "reason": "timeout"},
        ]
        self.permit["entry"]["items"].append(["sh-tax", "tax_returns", ["month"]])
        self.consent["scopes"].append({"platform": "sh-tax", "dataset": "tax_returns", "fields": ["month"], "via": []})
        self.profile: dict[str, Any] = {
            "id": "p1",
            "revision": 1,
            "subject": dict(CONSENT["subject"]),  # type: ignore[call-overload]
            "consent_id": "c1",
            "consent_assurance": "lender_asserted",
            "purpose": "loan_review",
            "period": {"first": "2025-12", "last": "2026-11"},
            "completeness": {"asked": 2, "answered": 1},
            "sections": {
                "social_insurance": {
                    "records": deepcopy(RECORDS),
                    "values": {"persons": {"value": 13, "unit": "人", "sources": ["sh-hrss/social_insurance#1"]}},
                },
                "tax_returns": {"records": [], "values": {}},
            },
            "findings": [{"rule": "r", "outcome": "unknown", "message": {"zh": "未知", "en": "unknown"}}],
        }
        self.large = False
        self.listed: list[Any] | None = None
        self.destroyed: set[str] = set()
        self.key = KEY

    @staticmethod
    def source(platform: str, dataset: str, records: int) -> dict[str, Any]:
        told = {"state": "present", "reason": None, "records": records}
        return {"platform": platform, "dataset": dataset, "via": None, **told}

    def status(self, event: str, version: int, **more: Any) -> Step:
        step = entry(event, version=version, **more)
        step["payloads"] = {"status": canonical_json({"reason": f"reason of {version}"})}
        return step

    def items(self) -> list[Item]:
        """Commit to the payloads and lay the entries out as they would stand in the log."""
        self.granted["payloads"] = {"consent": canonical_json(self.consent)}
        name = "reply/sh-hrss/social_insurance"
        reply = canonical_json(self.reply)
        for source in self.sources:
            source["commitment"] = self._commit(self.issued, name, reply) if source["records"] else None
        keys = ("platform", "dataset", "state", "reason", "commitment")
        listed = [as_listed(source, keys) for source in self.sources]
        jws = SIGNER.sign({**self.profile, "sources": self.sources}).jws
        held = {"profile": jws, name: reply}
        if self.large:
            held = {"sources": canonical_json(listed), **held}
        else:
            self.issued["entry"]["sources"] = listed if self.listed is None else self.listed
        self.issued["payloads"] = held
        for step in self.steps:
            for name, payload in step["payloads"].items():
                member = name if name in ("items", "sources") else "commitment"
                if not name.startswith("reply/"):
                    step["entry"][member] = self._commit(step, name, payload)
        leaves = [leaf_hash(canonical_json(step["entry"])) for step in self.steps]

        def hash_at(level: int, index: int) -> bytes:
            return root_of(leaves[index << level : (index + 1) << level])

        self.checkpoint = sign_checkpoint(Checkpoint(ORIGIN, len(leaves), root_of(leaves)), ORIGIN, self.key)
        return [
            Item(
                index,
                canonical_json(step["entry"]),
                inclusion_proof(index, len(leaves), hash_at),
                {
                    name: None if name in self.destroyed else (payload_key(step, name), payload)
                    for name, payload in step["payloads"].items()
                    if not (name.startswith("reply/") and (self.listed or "sources" in self.destroyed))
                },
            )
            for index, step in enumerate(self.steps)
        ]

    @staticmethod
    def _commit(step: Step, name: str, payload: bytes) -> str:
        return commit(payload_key(step, name), hashlib.sha256(payload).digest())

    def bundle(self) -> bytes:
        items = self.items()
        return write_bundle(self.checkpoint, [Vkey.of(ORIGIN, self.key).text()], SIGNER.jwks(), items)


class Again(Story):
    """The same, but that an earlier profile under another permit brought the answer: ``before`` is what it says,
    ``before_reply`` what was kept of the reply, ``earlier`` its entry."""

    def __init__(self) -> None:
        super().__init__()
        self.earlier = entry("profile.issued", permit="m0", profile="p0", revision=1)
        self.steps.insert(1, self.earlier)
        self.consent["max_uses"] = self.permit["entry"]["use"] = 2
        fetched = {"connector_version": "1.0+ab", "fetched_at": "2026-11-24T05:00:00.000+00:00", "as_of": "2026-11-20"}
        self.sources[0] |= fetched
        self.before: dict[str, Any] = {**deepcopy(self.profile), "id": "p0", "sources": [dict(self.sources[0])]}
        self.before_reply = deepcopy(self.reply)
        self.origin: dict[str, Any] = {"how": "reused", "permit": "m0", "entry": 1}
        self.sources[0]["origin"] = self.origin
        self.told: list[Any] | None = None
        self.hidden = False

    def items(self) -> list[Item]:
        name, reply = "reply/sh-hrss/social_insurance", canonical_json(self.before_reply)
        commitment = self._commit(self.earlier, name, reply)
        self.origin.setdefault("commitment", commitment)
        source = {**self.before["sources"][0], "commitment": commitment}
        listed = [as_listed(source, ("platform", "dataset", "state", "reason", "commitment"))]
        held = {"profile": SIGNER.sign({**self.before, "sources": [source]}).jws, name: reply}
        if self.hidden:
            held = {"sources": canonical_json(listed), **held}
        else:
            self.earlier["entry"]["sources"] = listed if self.told is None else self.told
            held = held if self.told is None else {"profile": held["profile"]}
        self.earlier["payloads"] = held
        return super().items()


def as_listed(source: Mapping[str, Any], keys: tuple[str, ...]) -> list[Any]:
    origin = source.get("origin")
    told = [source[k] for k in keys]
    return told if origin is None else [*told, [origin[k] for k in ("how", "permit", "entry", "commitment")]]


def payload_key(step: Step, name: str) -> bytes:
    return hashlib.sha256(f"{step['entry']['id']}/{name}".encode()).digest()


def refused(story: Story) -> str:
    """Why a bundle of this story is not even written."""
    try:
        story.bundle()
    except Unfit as err:
        return str(err)
    return ""


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def repacked(bundle: bytes, change: Callable[[dict[str, bytes]], object]) -> bytes:
    """The bundle after its files were changed, written anew as an archive."""
    files = unpack(bundle)
    change(files)
    return pack(files)


def log_of(files: Mapping[str, bytes]) -> Any:
    return json.loads(files["log.json"])


def main() -> int:
    bundle = Story().bundle()
    files = unpack(bundle)
    missed = [bit for bit in range(8 * len(bundle)) if verify_bundle(flipped(bundle, bit)).ok]
    print(f"{8 * len(bundle)} flips of the file, {len(missed)} missed")
    for path, data in files.items():
        through = [bit for bit in range(8 * len(data)) if verify_bundle(pack({**files, path: flipped(data, bit)})).ok]
        print(f"{8 * len(data)} flips of {path}, {len(through)} missed")
        missed += through
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
