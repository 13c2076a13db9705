"""Registering and changing consents.

A consent's document never changes; its state has a history to which rows are only added, and ``version`` counts them.
Expired and exhausted are not written: they follow from the document, the uses and the time.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from consent.batch import Batch, Command, Refusal
from consent.policy import check_grant, shown_state
from consent.rows import ConsentRow, terms_of
from consent.sealing import seal, sealed_reason, status_bytes
from consent.signatures import Proven, content_of
from consent.tables import consent_status
from consent.text_rows import is_form
from consent.vault import RetentionClass, Vault
from schemas.base import Json
from schemas.canonical import canonical
from schemas.consent import Consent, ConsentGrant, ConsentState, PersonPart, PersonTerms
from schemas.errors import ConsentConflict, ConsentMissing, ConsentSignatureInvalid, ConsentTextMismatch, InvalidValue
from schemas.profile import Assurance

ENTERPRISE = "enterprise"
"""Who acted, where it was the enterprise itself on its page; no lender may have this name."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# What each change is called in the log, and the states it may start from.
_CHANGES = {
    ConsentState.REVOKED: ("consent.revoked", {ConsentState.REQUESTED, ConsentState.ACTIVE, ConsentState.SUSPENDED}),
    ConsentState.SUSPENDED: ("consent.suspended", {ConsentState.ACTIVE}),
    ConsentState.ACTIVE: ("consent.resumed", {ConsentState.SUSPENDED}),
}


def document_of(grant: ConsentGrant, persons: Sequence[PersonTerms] = (), **ours: Json) -> bytes:
    """The grant as canonical JSON, with the terms of its ``persons`` and what the gateway adds (``ours``): what is
    stored and committed to."""
    terms = [person.model_dump(mode="json") for person in persons]
    return canonical({**grant.model_dump(mode="json", exclude={"persons"}), "persons": terms, **ours})


def _part(person: PersonPart) -> bytes:
    return canonical(person.model_dump(mode="json"))


def shown(row: ConsentRow, batch: Batch) -> Consent:
    return consent_of(row, shown_state(row.terms, row.state, row.uses, batch.now))


def consent_of(row: ConsentRow, state: ConsentState) -> Consent:
    return _consent(row.document, row.id, row.registered_at).model_copy(
        update={"version": row.version, "state": state, "uses": row.uses}
    )


@lru_cache(1024)
def _consent(document: bytes, consent_id: str, registered_at: str) -> Consent:
    # The grant was validated when it came in; building the model again from its parts needs no second pass.
    return Consent.model_construct(
        **dict(terms_of(document).grant),
        id=consent_id,
        version=1,
        state=ConsentState.ACTIVE,
        uses=0,
        registered_at=registered_at,
    )


def _status(batch: Batch, row: ConsentRow, actor: str, reason: str | None, log_index: int) -> None:
    key = batch.keys.get(row.subject, RetentionClass.EVIDENCE)
    batch.insert(
        consent_status,
        {
            "consent_id": row.id,
            "version": row.version,
            "state": row.state.value,
            "at": batch.time,
            "actor": actor,
            "reason": None if reason is None else sealed_reason(key, row.id, row.version, reason),
            "log_index": log_index,
        },
    )


@dataclass(frozen=True, slots=True)
class GrantConsent(Command[Consent]):
    """Register a consent. The same content again is the same consent, whatever became of it meanwhile: nobody gets
    its uses twice, or back after a withdrawal, by sending it twice. Other content under a given id is ConsentConflict.

    Raises InvalidValue before anything is written where the grant could never be honoured.
    """

    grant: ConsentGrant
    actor: str
    consent_id: str | None = None
    """One made from the content where none is given."""
    proven: Proven | None = None
    """That the signers signed it; without it no consent is registered as signed."""

    def __post_init__(self) -> None:
        if self.consent_id is not None and not _ID.fullmatch(self.consent_id):
            raise InvalidValue(what="consent id", at="id")
        if (self.grant.assurance is Assurance.GATEWAY_CAPTURED) != (self.actor == ENTERPRISE):
            # Nobody else can say that the enterprise agreed on its page.
            raise InvalidValue(what="assurance", at="assurance")
        check_grant(self.grant)
        if self.grant.assurance is Assurance.SIGNED:
            if self.proven is None or self.proven.content != content_of(self.grant):
                raise ConsentSignatureInvalid(at="signatures")
        elif self.grant.signatures:
            # Nobody looked at them: kept beside another word they would look as if somebody had.
            raise InvalidValue(what="assurance signed", at="signatures")

    def needs(self, batch: Batch) -> None:
        persons = self.person_terms(batch.vault)
        batch.consents.want(self.id(batch))
        batch.texts.want(self.grant.text_version)
        batch.keys.want(batch.vault.pseudonym(self.grant.subject.uscc))
        for terms, person in zip(persons, self.grant.persons, strict=True):
            batch.keys.want(terms.subject)
            batch.texts.want(person.text_version)

    def person_terms(self, vault: Vault) -> list[PersonTerms]:
        return [
            PersonTerms(
                role=person.role,
                subject=vault.person(self.grant.subject.uscc, person.role, person.ref),
                scopes=person.scopes,
                separate_consents=person.separate_consents,
                part=vault.part(_part(person)),
                document=vault.part(person.evidence.sha256.encode()),
            )
            for person in self.grant.persons
        ]

    def decide(self, batch: Batch) -> Consent | Refusal:
        return self.register(batch, ())

    def register(self, batch: Batch, amends: Sequence[str]) -> Consent | Refusal:
        """``amends``: the consents whose place this one takes, newest first; the caller ends them."""
        persons = self.person_terms(batch.vault)
        consent_id = self.id(batch)
        held = batch.consents.get(consent_id)
        if held is not None:
            ours: dict[str, Json] = {"text_registered": held.terms.grant.text_registered, "amends": [*amends]}
            if held.document != document_of(self.grant, persons, **ours):
                return Refusal(ConsentConflict(what="content"))
            return shown(held, batch)
        if consent_id in batch.consents.destroyed:
            return Refusal(ConsentConflict(what="state", state="shredded"))
        if (at := self._other_text(batch)) is not None:
            return Refusal(ConsentTextMismatch(at=at))
        registered = batch.texts.get(self.grant.text_version) is not None
        document = document_of(self.grant, persons, text_registered=registered, amends=[*amends])
        subject = batch.vault.pseudonym(self.grant.subject.uscc)
        row = ConsentRow(consent_id, subject, document, batch.time, ConsentState.ACTIVE, 1, 0, None, terms_of(document))
        batch.consents.add(row)
        # Both classes now, so that no later step finds a subject with half its keys.
        batch.keys.get(subject, RetentionClass.PAYLOAD)
        key = batch.keys.get(subject, RetentionClass.EVIDENCE)
        entry_id = f"{row.id}.1"
        index, _ = batch.append(
            "consent.granted",
            self.actor,
            row.id,
            subject,
            {
                "version": 1,
                "purpose": self.grant.purpose,
                "assurance": self.grant.assurance.value,
                "valid_from": self.grant.valid_from,
                "valid_to": self.grant.valid_to,
                "text": self.grant.text_version if registered else None,
                "amends": amends[0] if amends else None,
                "commitment": key.commitment(entry_id, "consent", hashlib.sha256(document).digest()),
            },
            id=entry_id,
        )
        _status(batch, row, self.actor, None, index)
        self._keep_parts(batch, row, persons)
        return shown(row, batch)

    def _keep_parts(self, batch: Batch, row: ConsentRow, persons: Sequence[PersonTerms]) -> None:
        """Each person's part under that person's own key: who the person is stands nowhere else."""
        for n, (terms, person) in enumerate(zip(persons, self.grant.persons, strict=True)):
            batch.keys.get(terms.subject, RetentionClass.PAYLOAD)
            key = batch.keys.get(terms.subject, RetentionClass.EVIDENCE)
            entry_id = f"{row.id}.part{n}"
            commitment = seal(batch, key, entry_id, "part", "part", _part(person))
            data: dict[str, Json] = {"role": terms.role, "commitment": commitment}
            batch.append("part.granted", self.actor, row.id, terms.subject, data, id=entry_id)

    def _other_text(self, batch: Batch) -> str | None:
        """The place of a text that is not the registered one of its name. The page's forms differ once filled in, and
        only the page fills them in; a text that is not registered is a lender's word for what was shown."""
        grant, captured = self.grant, self.grant.assurance is Assurance.GATEWAY_CAPTURED
        if captured != is_form(grant.text_version):
            return "text_version"
        known = batch.texts.get(grant.text_version)
        if known is None and grant.assurance is not Assurance.LENDER_ASSERTED:
            return "text_version"
        if known not in (None, grant.text_sha256) and not captured:
            return "text_sha256"
        for n, person in enumerate(grant.persons):
            if batch.texts.get(person.text_version) not in (None, person.text_sha256):
                return f"persons[{n}].text_sha256"
        return None

    def id(self, batch: Batch) -> str:
        if self.consent_id is not None:
            return self.consent_id
        if self.proven is not None and self.grant.assurance is Assurance.SIGNED:
            # One act of signing is one consent: under another signature (ES256 has two for each, and signatures can be
            # made again, left out or put in another order) or beside other parts of persons it is no second one.
            return batch.vault.consent_id(self.proven.content)
        return batch.vault.consent_id(document_of(self.grant, self.person_terms(batch.vault)))


@dataclass(frozen=True, slots=True)
class ChangeConsent(Command[Consent]):
    """Revoke, suspend or resume. Revoking twice is one revocation; what a state does not allow is ConsentConflict.

    Hand it to Evidence.change_consent, which answers only when no process can start a call under the old state.
    """

    consent_id: str
    to: ConsentState
    actor: str
    reason: str

    def needs(self, batch: Batch) -> None:
        batch.consents.want(self.consent_id)

    def decide(self, batch: Batch) -> Consent | Refusal:
        row = batch.consents.get(self.consent_id)
        if row is None:
            return Refusal(ConsentMissing())
        if row.state is self.to is ConsentState.REVOKED:
            return shown(row, batch)
        event, allowed = _CHANGES.get(self.to, ("", set()))
        if row.state not in allowed:
            return Refusal(ConsentConflict(what="state", state=row.state.value))
        change(batch, row, self.to, event, self.actor, self.reason)
        return shown(row, batch)


def change(batch: Batch, row: ConsentRow, to: ConsentState, event: str, actor: str, reason: str, **data: Json) -> None:
    """Give the consent its next status, with an entry that commits to the reason; ``data`` is the event's own."""
    row.state, row.version, row.changed = to, row.version + 1, True
    entry_id = f"{row.id}.{row.version}"
    key = batch.keys.get(row.subject, RetentionClass.EVIDENCE)
    record = status_bytes(to.value, batch.time, actor, reason, row.id)
    commitment = key.commitment(entry_id, "status", hashlib.sha256(record).digest())
    told: dict[str, Json] = {"version": row.version, "commitment": commitment, **data}
    index, _ = batch.append(event, actor, row.id, row.subject, told, id=entry_id)
    _status(batch, row, actor, reason, index)
