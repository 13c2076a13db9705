"""Amending a consent: another one takes its place, by a new act of the signers, in one commit."""

from dataclasses import dataclass
from datetime import datetime

from consent.batch import Batch, Command, Refusal
from consent.consents import GrantConsent, change
from consent.rows import ConsentRow
from schemas.consent import Consent, ConsentState
from schemas.errors import ConsentConflict, ConsentMissing, InvalidValue
from schemas.profile import Assurance


@dataclass(frozen=True, slots=True)
class AmendConsent(Command[Consent]):
    """``grant`` becomes the consent in force and ``consent_id`` is superseded. Sent twice it is one amendment.

    Its uses count from 0; what was used before counts for its frequency. Raises InvalidValue before anything is written
    where the grant could never be honoured, ConsentMissing, ConsentTextMismatch, and ConsentConflict where the consent
    is not active, is another enterprise's or lender's, or nobody agreed anew.

    Hand it to Evidence.change_consent, which answers only when no process can start a call under the old consent.
    """

    consent_id: str
    grant: GrantConsent

    def __post_init__(self) -> None:
        if self.grant.consent_id == self.consent_id:
            raise InvalidValue(what="an id of its own", at="id")

    def needs(self, batch: Batch) -> None:
        batch.consents.want(self.consent_id)
        if frequency := self.grant.grant.frequency:
            batch.consents.want_count(self.consent_id, frequency.days)
        self.grant.needs(batch)

    def decide(self, batch: Batch) -> Consent | Refusal:
        old = batch.consents.get(self.consent_id)
        if old is None:
            return Refusal(ConsentMissing())
        amends = [old.id, *old.terms.grant.amends]
        if batch.consents.get(self.grant.id(batch)) is not None:
            return self.grant.register(batch, amends)
        if old.state is not ConsentState.ACTIVE:
            return Refusal(ConsentConflict(what="state", state=old.state.value))
        if (at := self._not_agreed(batch, old)) is not None:
            return Refusal(ConsentConflict(what="amendment", at=at))
        made = self.grant.register(batch, amends)
        if isinstance(made, Refusal):
            return made
        if frequency := self.grant.grant.frequency:
            row = batch.consents.get(made.id)
            assert row is not None  # noqa: S101 - registered above
            row.recent = batch.consents.count(old.id, frequency.days)
        reason = f"amended by {made.id}"
        change(batch, old, ConsentState.SUPERSEDED, "consent.superseded", self.grant.actor, reason, by=made.id)
        return made

    def _not_agreed(self, batch: Batch, old: ConsentRow) -> str | None:
        """The place that shows that this is not the same parties' newer act, at least as sure as the one before."""
        was, new = old.terms.grant, self.grant.grant
        if new.subject.uscc != was.subject.uscc:
            return "subject"
        if new.grantee != was.grantee:
            return "grantee"
        if new.assurance is Assurance.LENDER_ASSERTED and was.assurance is not Assurance.LENDER_ASSERTED:
            return "assurance"
        if new.evidence.sha256 == was.evidence.sha256:
            return "evidence"
        if datetime.fromisoformat(new.given_at) <= datetime.fromisoformat(was.given_at):
            return "given_at"
        before = {(terms.subject, terms.document): terms.part for terms in was.persons}
        for n, terms in enumerate(self.grant.person_terms(batch.vault)):
            # A part may stay as it is; one that changed needs a document of its own again.
            if before.get((terms.subject, terms.document), terms.part) != terms.part:
                return f"persons[{n}].evidence"
        return None
