"""A small world for the consent tests: invented firms, one lender, an evidence store in a temporary folder."""

import atexit
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.consents import document_of
from consent.evidence import Evidence, open_evidence
from consent.permits import OpenPermit
from consent.policy import PermitItem
from consent.safe import Safe
from consent.texts import RegisterText
from schemas.consent import ConsentDocument, ConsentGrant
from schemas.identifiers import uscc_check

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
KEK = bytes(range(32))
PSEUDONYM_KEY = bytes(range(32, 64))
LOG_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))
ORIGIN = "xinqiao.test/log"
NAME = "虚构测试企业（上海）有限公司"
LENDER = "bank-a"


class Clock:
    """A clock that stands until it is told to move."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


def uscc(n: int = 0) -> str:
    """The n-th invented code, with a region part (990000) that no division has."""
    first = f"91990000{n:08}X"
    return first + uscc_check(first)


SCOPES: list[dict[str, Any]] = [
    {"platform": "sh-registry", "dataset": "registration", "fields": ["uscc", "name", "state"]},
    {"platform": "sh-hrss", "dataset": "social_insurance", "fields": ["month", "kind", "persons", "base"]},
]
ITEMS = (
    PermitItem("sh-registry", "registration", frozenset({"uscc", "name"})),
    PermitItem("sh-hrss", "social_insurance", frozenset({"month", "kind", "persons"})),
)


PAGE_TEXT = RegisterText("page", "1", "zh", "虚构的授权页面 {name}".encode(), "enterprise")
CAPTURED = {"assurance": "gateway_captured", "text_version": "page-1-zh"}
"""What makes an invented grant one of our page, once PAGE_TEXT is registered."""


def grant(n: int = 0, **changes: Any) -> ConsentGrant:
    values: dict[str, Any] = {
        "subject": {"uscc": uscc(n), "name": NAME},
        "signers": [{"role": "legal_representative", "person_ref": "p-1", "identity_check": "video"}],
        "grantee": LENDER,
        "purpose": "loan_review",
        "application": "LN-1",
        "text_version": "2026-1",
        "text_sha256": "0" * 64,
        "scopes": SCOPES,
        "lookback_months": 24,
        "valid_from": "2026-01-01T00:00:00+00:00",
        "valid_to": "2027-01-01T00:00:00+00:00",
        "retention_days": 1825,
        "disposal": "destroyed at the end of retention",
        "revocation_effect": "nothing more is queried",
        "channel": "counter",
        "given_at": "2026-01-01T00:00:00+00:00",
        "evidence": {"sha256": "1" * 64, "media_type": "application/pdf"},
    }
    return ConsentGrant.model_validate_json(json.dumps({**values, **changes}))


def document(**changes: Any) -> ConsentDocument:
    """A grant without persons as it is kept."""
    return ConsentDocument.model_validate_json(document_of(grant(**changes)))


def person(n: int = 0, **changes: Any) -> dict[str, Any]:
    """The n-th invented person's own part."""
    return {
        "role": "actual_controller",
        "ref": f"person-{n}",
        "signer": {"role": "actual_controller", "person_ref": f"person-{n}", "identity_check": "video"},
        "scopes": [{"platform": "sh-court", "dataset": "judicial", "fields": ["kind", "case_number"]}],
        "text_version": "person-1",
        "text_sha256": "2" * 64,
        "given_at": "2026-01-01T00:00:00+00:00",
        "evidence": {"sha256": f"{n + 3}" * 64, "media_type": "application/pdf"},
        **changes,
    }


def ask(permit_id: str, consent_id: str, n: int = 0, **changes: Any) -> OpenPermit:
    values: dict[str, Any] = {
        "permit_id": permit_id,
        "lender": LENDER,
        "idempotency_key": None,
        "request_digest": hashlib.sha256(b"request").digest(),
        "consent_id": consent_id,
        "subject_uscc": uscc(n),
        "subject_name": NAME,
        "purpose": "loan_review",
        "items": ITEMS,
        "first": (2025, 12),
        "last": (2026, 11),
    }
    return OpenPermit(**{**values, **changes})


class Keks:
    """Key-encryption keys of the epochs from 1 on, without a folder."""

    def __init__(self, *keks: bytes) -> None:
        self.keks = keks

    def kek(self, epoch: int) -> bytes:
        return self.keks[epoch - 1]


@cache
def _folder(place: str) -> Path:
    """Beside a database that is no file: of this process."""
    folder = mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def safe_of(place: Path | str, kek: bytes = KEK) -> Safe:
    """What lies outside this database; made with this first key-encryption key where it is not there yet."""
    folder = _folder(place) if isinstance(place, str) else place.with_suffix(".safe")
    folder.mkdir(exist_ok=True, parents=True)
    safe = Safe(folder)
    if not safe.epochs():
        (folder / "kek.1").write_text(kek.hex())
    return safe


@asynccontextmanager
async def world(place: Path | str, clock: Clock | None = None, **changes: Any) -> AsyncIterator[Evidence]:
    changes.setdefault("safe", None)
    changes["safe"] = changes["safe"] or safe_of(place)
    keys: dict[str, Any] = {"pseudonym_key": PSEUDONYM_KEY, "log_key": LOG_KEY, "origin": ORIGIN}
    async with open_evidence(place, clock=clock or Clock(), **{**keys, **changes}) as evidence:
        yield evidence
