"""Handing out the evidence bundle of a profile; every export is an entry of the log, and is in the bundle itself."""

from consent.profiles import RecordEvent, access_refused
from gateway.services import Services
from schemas.base import Json
from schemas.errors import NotFound

OPERATOR = "operator"


async def export_evidence(services: Services, profile_id: str, lender: str | None) -> bytes:
    """``lender`` None is the operator at the command line. Raises NotFound, also for another lender's, LogBroken where
    what is stored is not what the log says, and KeysUnavailable."""
    evidence = services.evidence
    row = await evidence.profile_row(profile_id)
    if row is None or (lender is not None and row.lender != lender):
        if lender is not None:
            about = row.consent_id if row else None
            await evidence.submit(access_refused(lender, NotFound.code, "export evidence", about))
        raise NotFound(what="profile")
    exported: dict[str, Json] = {"profile": profile_id, "revision": row.revision}
    await evidence.submit(RecordEvent("profile.exported", lender or OPERATOR, row.consent_id, row.subject, exported))
    return await evidence.bundle(profile_id, row, services.signer.jwks())
