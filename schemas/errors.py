"""One tree of errors, grouped by what the caller should do next.

Every class that is raised carries a stable ``code``; schemas.problems turns codes into text. ``details`` holds
names, paths, numbers and codes of ours that are safe to log and to answer with: never a value that came from
a platform, a person or a credential.
"""

from typing import ClassVar


class XinqiaoError(Exception):
    """Base of all. ``details`` is safe to show to anyone who may see the object it is about."""

    code: ClassVar[str]

    def __init__(self, **details: str | int) -> None:
        self.details: dict[str, str | int] = details
        super().__init__(self.code)

    def __str__(self) -> str:
        return " ".join([self.code, *(f"{k}={v}" for k, v in sorted(self.details.items()))])


# --- Fix: the caller sent or configured something wrong ------------------------------------------------


class FixError(XinqiaoError):
    """Asking again unchanged can never succeed."""


class InvalidRequest(FixError):
    code = "invalid_request"


class InvalidValue(FixError):
    """A value does not have the form it must have; ``what`` names the form, never the value."""

    code = "invalid_value"


class InvalidIdentifier(InvalidValue):
    code = "invalid_identifier"


class NotFound(FixError):
    code = "not_found"


class Shredded(FixError):
    """It existed; its content was destroyed on purpose and cannot come back."""

    code = "shredded"


class MethodNotAllowed(FixError):
    code = "method_not_allowed"


class NotAcceptable(FixError):
    code = "not_acceptable"


class UnsupportedMediaType(FixError):
    code = "unsupported_media_type"


class PayloadTooLarge(FixError):
    code = "payload_too_large"


class Unauthenticated(FixError):
    code = "unauthenticated"


class InvalidClient(FixError):
    """RFC 6749 section 5.2: the client assertion was not accepted."""

    code = "invalid_client"


class Forbidden(FixError):
    code = "forbidden"


class CallbackRefused(FixError):
    """A callback's signature does not hold; ``why`` is that of UpstreamSignature."""

    code = "callback_refused"


class CallbackConflict(FixError):
    """Under this ticket another content was kept before, or the platform names another of its ids."""

    code = "callback_conflict"


class CallbackEnded(FixError):
    """Nothing may come under this ticket any more."""

    code = "callback_ended"


class IdempotencyMismatch(FixError):
    """The same Idempotency-Key came with another body."""

    code = "idempotency_mismatch"


class IdempotencyRunning(FixError):
    """The first request with this Idempotency-Key is still at work."""

    code = "idempotency_running"


class ProfileNotMade(FixError):
    """The work of a request ended without a profile; ``why`` is the code of what ended it."""

    code = "profile_not_made"


class ConsentConflict(FixError):
    """The consent exists with other content, or is in a state that this change does not allow."""

    code = "consent_conflict"


class ConsentSignatureInvalid(FixError):
    """A consent that is called signed was not: a signature is missing, does not hold, or is of a key not trusted."""

    code = "consent_signature_invalid"


class ConsentTextMismatch(FixError):
    """A consent names a registered authorisation text and carries another's digest, or may not name this text."""

    code = "consent_text_mismatch"


class ManifestError(FixError):
    """A connector's manifest is wrong: ``file``, ``line``, ``at`` (key path) and ``mend`` say where and what to do."""

    code = "manifest_invalid"


class ConfigurationError(FixError):
    code = "configuration_invalid"


class LogBroken(FixError):
    """The evidence log does not verify; nothing may be signed on top of it."""

    code = "log_broken"


class LogBehind(FixError):
    """The database is older than a head that this gateway signed: it was put back from a backup, or is gone. To sign on
    would make a second history of one log."""

    code = "log_behind"


class UnderHold(FixError):
    """A legal hold stands on a consent of this enterprise; nothing of it is destroyed."""

    code = "under_hold"


# --- Consent: get (another) consent --------------------------------------------------------------------


class ConsentError(XinqiaoError):
    """The enterprise's consent does not cover this; no call was made."""


class ConsentMissing(ConsentError):
    code = "consent_missing"


class ConsentPending(ConsentError):
    code = "consent_pending"


class ConsentNotYetValid(ConsentError):
    code = "consent_not_yet_valid"


class ConsentExpired(ConsentError):
    code = "consent_expired"


class ConsentRevoked(ConsentError):
    code = "consent_revoked"


class ConsentSuspended(ConsentError):
    code = "consent_suspended"


class ConsentSuperseded(ConsentError):
    code = "consent_superseded"


class ConsentExhausted(ConsentError):
    code = "consent_exhausted"


class ConsentFrequencyExceeded(ConsentError):
    code = "consent_frequency_exceeded"


class ConsentSubjectMismatch(ConsentError):
    code = "consent_subject_mismatch"


class ConsentPurposeMismatch(ConsentError):
    code = "consent_purpose_mismatch"


class ConsentOutOfScope(ConsentError):
    code = "consent_out_of_scope"


class ConsentSeparateRequired(ConsentError):
    code = "consent_separate_required"


CONSENT_ERRORS: dict[str, type[ConsentError]] = {
    c.code: c
    for c in (
        ConsentMissing,
        ConsentPending,
        ConsentNotYetValid,
        ConsentExpired,
        ConsentRevoked,
        ConsentSuspended,
        ConsentSuperseded,
        ConsentExhausted,
        ConsentFrequencyExceeded,
        ConsentSubjectMismatch,
        ConsentPurposeMismatch,
        ConsentOutOfScope,
        ConsentSeparateRequired,
    )
}


# --- Later: the same request may succeed after a while -------------------------------------------------


class LaterError(XinqiaoError):
    """Ask again later; ``retry_after`` in ``details`` is seconds where it is known."""


class StorageUnavailable(LaterError):
    """The durable writer could not commit; nothing was released."""

    code = "storage_unavailable"


class KeysUnavailable(LaterError):
    """A key could not be unwrapped, or what it sealed not opened: the key-encryption key is not the right one."""

    code = "keys_unavailable"


class CallbackEarly(LaterError):
    """The reply that brings the platform's id is still on its way, or the consent rests."""

    code = "callback_early"


class Overloaded(LaterError):
    code = "overloaded"


class TooManyRequests(LaterError):
    """One caller, or one link, is used too often."""

    code = "too_many_requests"


class ShuttingDown(LaterError):
    code = "shutting_down"


# --- Upstream: what a platform did. These end in a section's ``reason``, not in an HTTP error -----------


class UpstreamError(XinqiaoError):
    """A source gave no usable answer. ``retryable`` says whether another attempt may help."""

    retryable: ClassVar[bool] = False


class UpstreamConnect(UpstreamError):
    """No connection: refused, unreachable, or no answer within the connect timeout."""

    code = "upstream_connect"
    retryable = True


class UpstreamTimeout(UpstreamError):
    code = "upstream_timeout"
    retryable = True


class UpstreamTruncated(UpstreamError):
    """The reply ended before it was complete; it is never read as if it were."""

    code = "upstream_truncated"
    retryable = True


class UpstreamTls(UpstreamError):
    code = "upstream_tls"


class UpstreamRedirect(UpstreamError):
    """A redirect is never followed: it would carry signatures and data to another origin."""

    code = "upstream_redirect"


class UpstreamAddressRefused(UpstreamError):
    """The address is not a public one, and was not allowed in settings."""

    code = "upstream_address_refused"


class UpstreamOversize(UpstreamError):
    code = "upstream_oversize"


class UpstreamProtocol(UpstreamError):
    """Not HTTP as it should be: bad framing, headers over the cap, wrong content encoding."""

    code = "upstream_protocol"


class UpstreamCharset(UpstreamError):
    code = "upstream_charset"


class UpstreamMalformed(UpstreamError):
    """Not the JSON or XML that was declared."""

    code = "upstream_malformed"


class UpstreamBusy(UpstreamError):
    """The platform said, by status or content, that it wants to be asked again later."""

    code = "upstream_busy"
    retryable = True


class UpstreamStatus(UpstreamError):
    """An HTTP status that no rule of the manifest accepts."""

    code = "upstream_status"


class UpstreamServerError(UpstreamStatus):
    code = "upstream_server_error"
    retryable = True


class UpstreamRejected(UpstreamError):
    """The platform answered in its own words that it failed or will not answer; its code is in ``details``."""

    code = "upstream_rejected"


class UpstreamDenied(UpstreamRejected):
    """The platform refused our signature, token or licence."""

    code = "upstream_denied"


class UpstreamClock(UpstreamDenied):
    """The platform refused us, and its clock is further from ours than can be followed; ``offset_seconds`` says how far
    it is ahead."""

    code = "upstream_clock"


class UpstreamUnrecognised(UpstreamError):
    """A reply to which no outcome rule applies: never taken for «no record»."""

    code = "upstream_unrecognised"


class UpstreamSignature(UpstreamError):
    """The reply's own signature does not hold."""

    code = "upstream_signature"


class SchemaDrift(UpstreamError):
    """A required field is missing or a value has another type or code than declared; ``at`` is the path."""

    code = "schema_drift"


class SubjectMismatch(UpstreamError):
    """The reply is about another enterprise than the one that was asked for. Nothing of it is kept."""

    code = "subject_mismatch"


class PeriodMismatch(UpstreamError):
    """The reply is about another period than the one that was asked for."""

    code = "period_mismatch"


class DeadlineExceeded(UpstreamError):
    """The time of the whole request was used up before this source answered."""

    code = "deadline_exceeded"


class UpstreamPending(UpstreamError):
    """The platform took the question and has not answered yet; ``next_attempt_at`` says when it is asked again."""

    code = "upstream_pending"


class CircuitOpen(UpstreamError):
    code = "circuit_open"


class QuotaExhausted(UpstreamError):
    """All calls that the platform allows in a day have been made; ``next_attempt_at`` is when the next day begins."""

    code = "quota_exhausted"


class Maintenance(UpstreamError):
    """Inside a maintenance window that the manifest declares."""

    code = "maintenance"


class PlatformOff(UpstreamError):
    """The operator switched the platform off."""

    code = "platform_off"


class ConnectorFault(UpstreamError):
    """A defect of the connector's own code, isolated from the others."""

    code = "connector_fault"


# --- Stop: nothing the caller can do ---------------------------------------------------------------------


class InternalError(XinqiaoError):
    """A defect of the gateway's own; its place is in the operator's log under the request id."""

    code = "internal_error"
