"""From what the sources gave to a signed profile that stands in the log; with what is pending, to its next revision."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog

from connectors.ports import Guard
from consent.log.origins import Origin
from consent.permits import Permit
from consent.profiles import Issued, IssueProfile, Outcome, SealedSource, profile_entry, reply_name
from gateway.jobs.pending import IssuePending
from gateway.profile.assemble import assemble
from gateway.profile.carried import Carried, packed
from gateway.profile.collect import Gathered
from gateway.services import Services
from schemas.base import Json, utc_text
from schemas.errors import DeadlineExceeded, SubjectMismatch, UpstreamPending

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class IssuedProfile:
    """A profile as it was signed, and its place in the log."""

    id: str
    jws: bytes
    payload: bytes
    place: Mapping[str, Json]

    def json_bytes(self) -> bytes:
        """The payload with ``log`` beside it; the payload's own bytes are not encoded again."""
        return self.payload[:-1] + b',"log":' + orjson.dumps(self.place) + b"}"


async def issue(
    services: Services,
    permit: Permit,
    guard: Guard,
    carried: Carried,
    fresh: Sequence[Gathered],
    read: frozenset[str] = frozenset(),
) -> IssuedProfile:
    """Check, sign and commit one revision; only then may it be released. ``fresh`` is what was not in the one before,
    ``read`` the places whose callbacks it has.

    Raises ConsentError where the consent has ended meanwhile, and StorageUnavailable.
    """
    request = carried.request
    entry = profile_entry(request.profile_id, request.revision)
    kept: dict[tuple[str, str], bytes] = {}

    def commit(one: Gathered) -> str:
        assert one.reply is not None  # noqa: S101 - only what was kept is committed to
        fields, digest = sorted(one.item.fields), one.reply.raw_digest.hex()
        payload = orjson.dumps({"digest": digest, "fields": fields, "records": one.reply.records})
        kept[one.item.platform, one.item.dataset] = payload
        name = reply_name(one.item.platform, one.item.dataset)
        return permit.key.commitment(entry, name, hashlib.sha256(payload).digest())

    carried = _in_time(carried, utc_text(permit.valid_until))
    profile = assemble(request, carried.plan, carried.gathered, services.now(), services.policy, commit)
    signed = services.signer.sign(profile)
    await guard.may_keep()
    command = IssueProfile(
        permit_id=permit.id,
        profile_id=request.profile_id,
        revision=request.revision,
        jws=signed.jws,
        records=tuple(
            SealedSource(s["platform"], s["dataset"], kept[s["platform"], s["dataset"]])
            for s in profile["sources"]
            if s["commitment"] is not None
        ),
        outcomes=tuple(
            Outcome(s["platform"], s["dataset"], s["state"], s["reason"], s["commitment"], _origin(s["origin"]))
            for s in profile["sources"]
        ),
    )
    if carried.pending:
        issued = await services.evidence.submit(IssuePending(command, packed(carried), carried.due, read))
    elif request.revision > 1:
        issued = await services.evidence.submit(IssuePending(command, None, None))
    else:
        issued = await services.evidence.submit(command)
    _count(services, profile["sources"], fresh, request.profile_id)
    return IssuedProfile(request.profile_id, signed.jws, signed.payload, place_of(issued))


def _origin(told: Mapping[str, Any] | None) -> Origin | None:
    return None if told is None else Origin(**told)


def _in_time(carried: Carried, until: str) -> Carried:
    """What would be asked again only when the permit has ended is not pending: nobody may ask for it then."""

    def over(one: Gathered) -> bool:
        return isinstance(one.error, UpstreamPending) and str(one.error.details["next_attempt_at"]) >= until

    if not any(map(over, carried.gathered)):
        return carried
    ended = DeadlineExceeded(waiting_for="ticket")
    return replace(carried, gathered=tuple(replace(g, error=ended) if over(g) else g for g in carried.gathered))


def _count(
    services: Services, sources: Sequence[Mapping[str, Any]], fresh: Sequence[Gathered], profile_id: str
) -> None:
    new = {(one.item.platform, one.item.dataset) for one in fresh}
    for source in sources:
        if (source["platform"], source["dataset"]) in new:
            services.metrics.sources.labels(source["platform"], source["dataset"], source["state"]).inc()
    for one in fresh:
        if one.origin is not None:
            services.metrics.spared.labels(one.item.platform, one.item.dataset, one.origin.how).inc()
            if one.error is None:
                # The platform was not asked, which says nothing about how it is doing.
                continue
        services.health.record(one.item.connector, one.error, one.latency_ms, services.now())
        if one.reply is not None and one.reply.drift:
            services.metrics.drift.labels(one.item.platform, one.item.dataset).inc(sum(one.reply.drift.values()))
        if isinstance(one.error, SubjectMismatch):
            log.warning("subject_mismatch", platform=one.item.platform, dataset=one.item.dataset, profile_id=profile_id)


def place_of(issued: Issued) -> dict[str, Json]:
    """``log`` beside a profile."""
    return {"index": issued.index, "checkpoint": issued.checkpoint, "proof": list(issued.proof)}
