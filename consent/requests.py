"""Asking an enterprise for its consent: a link is opened, and then given, declined or expired, once.

What the lender asks and what the enterprise did are sealed under the enterprise's evidence key; the row holds neither
a name nor a code, and of the link's token only its SHA-256. Giving a request registers the consent in the same commit.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from consent.batch import Batch, Command, Refusal
from consent.consents import ENTERPRISE, GrantConsent
from consent.keys import KeySet
from consent.request_rows import OPEN, REQUEST_ROWS, RequestRow, read_row
from consent.sealing import seal
from consent.tables import consent_requests, sealed
from consent.vault import RetentionClass, Sealed, Vault
from schemas.consent import Consent
from schemas.errors import ConsentConflict, NotFound

TRIES = 5
"""How often an answer to the identity check may be given for one request."""
SWEEP = 256
_FAILED = "identity_not_shown"


class RequestState(StrEnum):
    OPEN = "open"
    GIVEN = "given"
    DECLINED = "declined"
    EXPIRED = "expired"


def _shown_state(row: RequestRow, now: str) -> RequestState:
    if row.state == OPEN and row.expires_at <= now:
        return RequestState.EXPIRED
    return RequestState(row.state)


def _open(batch: Batch, request_id: str) -> RequestRow | Refusal:
    """The request, if it still waits for an answer."""
    row = batch.requests.get(request_id)
    if row is None:
        return Refusal(NotFound(what="consent request"))
    state = _shown_state(row, batch.time)
    if state is not RequestState.OPEN:
        return Refusal(ConsentConflict(what="consent request", state=state.value))
    return row


def _close(batch: Batch, row: RequestRow, state: RequestState, actor: str, **data: str) -> None:
    row.state, row.changed = state.value, True
    name = f"request.{state.value}"
    batch.append(name, actor, None, row.subject, {"request": row.id, **data}, id=f"{row.id}.{state.value}")


@dataclass(frozen=True, slots=True)
class OpenRequest(Command[None]):
    """A lender asks. ``document`` is what it asks, ``token_hash`` the SHA-256 of the link's token in hex."""

    request_id: str
    token_hash: str
    lender: str
    subject_uscc: str
    expires_at: str
    document: bytes = field(repr=False)

    def needs(self, batch: Batch) -> None:
        batch.keys.want(batch.vault.pseudonym(self.subject_uscc))

    def decide(self, batch: Batch) -> None:
        subject = batch.vault.pseudonym(self.subject_uscc)
        # Both classes now, so that no later step finds a subject with half its keys.
        batch.keys.get(subject, RetentionClass.PAYLOAD)
        key = batch.keys.get(subject, RetentionClass.EVIDENCE)
        entry_id = f"{self.request_id}.opened"
        index, _ = batch.append(
            "request.opened",
            self.lender,
            None,
            subject,
            {
                "request": self.request_id,
                "expires": self.expires_at,
                "commitment": seal(batch, key, entry_id, "asked", "asked", self.document),
            },
            id=entry_id,
        )
        batch.requests.add(
            RequestRow(self.request_id, self.token_hash, self.lender, subject, OPEN, self.expires_at, 0, None, index)
        )


@dataclass(frozen=True, slots=True)
class CountTry(Command[int]):
    """Count an answer to the identity check before it is looked at, so that parallel guesses are counted too.

    Answers how many tries are left. Raises NotFound, or ConsentConflict where no further try is allowed.
    """

    request_id: str

    def needs(self, batch: Batch) -> None:
        batch.requests.want(self.request_id)

    def decide(self, batch: Batch) -> int | Refusal:
        row = _open(batch, self.request_id)
        if isinstance(row, Refusal):
            return row
        if row.tries >= TRIES:
            return Refusal(ConsentConflict(what="consent request", state=RequestState.EXPIRED.value))
        row.tries, row.changed = row.tries + 1, True
        return TRIES - row.tries


@dataclass(frozen=True, slots=True)
class RefuseIdentity(Command[None]):
    """The answer was wrong; after the last try the request is closed. Raises NotFound or ConsentConflict."""

    request_id: str

    def needs(self, batch: Batch) -> None:
        batch.requests.want(self.request_id)

    def decide(self, batch: Batch) -> Refusal | None:
        row = _open(batch, self.request_id)
        if isinstance(row, Refusal):
            return row
        data = {"request": row.id, "code": _FAILED}
        batch.append("request.refused", ENTERPRISE, None, row.subject, {**data})
        if row.tries >= TRIES:
            _close(batch, row, RequestState.EXPIRED, ENTERPRISE, code=_FAILED)
        return None


@dataclass(frozen=True, slots=True)
class GiveConsent(Command[Consent]):
    """The enterprise agreed: its consent, the signed record of the act, and the request's end in one commit.

    ``act`` is the record whose SHA-256 ``grant.evidence`` names. Raises NotFound or ConsentConflict.
    """

    request_id: str
    grant: GrantConsent
    act: bytes = field(repr=False)

    def needs(self, batch: Batch) -> None:
        batch.requests.want(self.request_id)
        self.grant.needs(batch)

    def decide(self, batch: Batch) -> Consent | Refusal:
        row = _open(batch, self.request_id)
        if isinstance(row, Refusal):
            return row
        terms = self.grant.grant
        if (terms.grantee, batch.vault.pseudonym(terms.subject.uscc)) != (row.lender, row.subject):
            return Refusal(ConsentConflict(what="consent request", at="grant"))
        consent = self.grant.decide(batch)
        if isinstance(consent, Refusal):
            return consent
        row.state, row.changed, row.consent_id = RequestState.GIVEN.value, True, consent.id
        key = batch.keys.get(row.subject, RetentionClass.EVIDENCE)
        entry_id = f"{row.id}.given"
        batch.append(
            "request.given",
            ENTERPRISE,
            consent.id,
            row.subject,
            {"request": row.id, "commitment": seal(batch, key, entry_id, "act", "act", self.act)},
            id=entry_id,
        )
        return consent


@dataclass(frozen=True, slots=True)
class DeclineRequest(Command[None]):
    """The enterprise said no. Raises NotFound or ConsentConflict."""

    request_id: str

    def needs(self, batch: Batch) -> None:
        batch.requests.want(self.request_id)

    def decide(self, batch: Batch) -> Refusal | None:
        row = _open(batch, self.request_id)
        if isinstance(row, Refusal):
            return row
        _close(batch, row, RequestState.DECLINED, ENTERPRISE)
        return None


@dataclass(frozen=True, slots=True)
class ExpireRequests(Command[int]):
    """Close requests that nobody answered in time, at most ``SWEEP``; answers how many."""

    def needs(self, batch: Batch) -> None:
        batch.requests.want_overdue(SWEEP)

    def decide(self, batch: Batch) -> int:
        overdue = [row for row in batch.requests.overdue if row.state == OPEN]
        for row in overdue:
            _close(batch, row, RequestState.EXPIRED, row.lender, code="time")
        return len(overdue)


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request as it stands; ``asked`` is what the lender asked."""

    id: str
    lender: str
    state: RequestState
    expires_at: str
    consent_id: str | None
    asked: bytes = field(repr=False)


_BY_TOKEN = REQUEST_ROWS.where(consent_requests.c.token_hash == bindparam("token_hash"))
_BY_ID = REQUEST_ROWS.where(consent_requests.c.id == bindparam("id"))
_SEALED = select(sealed.c.key_version, sealed.c.nonce, sealed.c.ciphertext).where(sealed.c.id == bindparam("id"))


def _opened(connection: Connection, vault: Vault, subject: str, place: str) -> bytes | None:
    """None where it was destroyed."""
    keys = KeySet(vault)
    keys.want(subject)
    keys.load(connection)
    stored = connection.execute(_SEALED, {"id": place}).one_or_none()
    return stored and keys.existing(subject, RetentionClass.EVIDENCE).open("sealed", place, Sealed(*stored))


def by_token(connection: Connection, token_hash: str, vault: Vault, now: str) -> StoredRequest | None:
    """The request behind a link; None also where it was destroyed. Raises KeysUnavailable."""
    return _stored(connection, connection.execute(_BY_TOKEN, {"token_hash": token_hash}).one_or_none(), vault, now)


def by_id(connection: Connection, request_id: str, vault: Vault, now: str) -> StoredRequest | None:
    """None also where it was destroyed. Raises KeysUnavailable."""
    return _stored(connection, connection.execute(_BY_ID, {"id": request_id}).one_or_none(), vault, now)


def _stored(connection: Connection, found: Row[Any] | None, vault: Vault, now: str) -> StoredRequest | None:
    if found is None:
        return None
    row = read_row(found)
    asked = _opened(connection, vault, row.subject, f"{row.id}.opened/asked")
    if asked is None:
        return None
    return StoredRequest(row.id, row.lender, _shown_state(row, now), row.expires_at, row.consent_id, asked)


def act_of(connection: Connection, request_id: str, vault: Vault) -> bytes | None:
    """The signed record of the act by which a request was given, or None. Raises KeysUnavailable."""
    row = connection.execute(_BY_ID, {"id": request_id}).one_or_none()
    if row is None or row.state != RequestState.GIVEN:
        return None
    return _opened(connection, vault, row.subject, f"{row.id}.given/act")
