"""The way of a profile request: plan, permit, collect, check, assemble, sign, issue, answer (docs/architecture.md)."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Annotated

from pydantic import Field, StringConstraints

from connectors.base import Subject
from consent.permits import CloseFailed, OpenPermit, Permit
from consent.policy import PermitItem
from consent.profiles import RecordEvent, access_refused
from gateway.profile.assemble import Request
from gateway.profile.carried import Carried
from gateway.profile.collect import Spared, collect
from gateway.profile.issue import IssuedProfile, issue, place_of
from gateway.profile.plan import Plan, plan, within
from gateway.profile.reuse import NOTHING, earlier_answers, leave_of, with_older
from gateway.services import Services
from schemas.base import Id, Model, Name, ShortText, StaffReference
from schemas.dates import month_add
from schemas.errors import InvalidRequest, NotFound, Shredded, ShuttingDown, XinqiaoError
from schemas.identifiers import parse_uscc
from schemas.profile import Declared
from schemas.records import CATALOGUE

SHANGHAI = timezone(timedelta(hours=8))


class PersonAsk(Model):
    """A person beside the enterprise, by the role and reference of its own part of the consent."""

    role: Name
    ref: ShortText


class SubjectAsk(Model):
    """Each of ``persons`` needs a part of the consent of its own and something that can be asked about it."""

    uscc: ShortText
    name: ShortText
    persons: list[PersonAsk] = Field(default_factory=list)


class ProfileRequest(Model):
    """Body of ``POST /v1/profiles``."""

    subject: SubjectAsk
    consent_id: Id
    purpose: Name
    datasets: Annotated[list[Name], Field(min_length=1, max_length=len(CATALOGUE))] | None = None
    """Data sets wanted; all that the consent covers when not given."""
    months: Annotated[int, Field(ge=1, le=120)] | None = None
    """Look-back in months, this month included; the consent's own when not given."""
    max_age: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}d$")] | None = None
    """In days. Older values are marked stale (by the policy of each data set when not given), and an answer that an
    earlier profile under the same leave brought is used again while it is no older; when not given, every platform is
    asked."""
    require: list[Name] | None = None
    """Data sets without which the profile is not complete; all that were asked for when not given."""
    declared: Declared | None = None
    """What the enterprise declared in its application: compared, and never taken for a source's word."""
    officer: StaffReference | None = None
    """Who of the lender asks; the log holds a pseudonym, by which an auditor can search."""


async def request_profile(
    services: Services,
    lender: str,
    ask: ProfileRequest,
    *,
    body: bytes,
    idempotency_key: str | None,
    wait: int | None,
    granted: Callable[[Permit], None] | None = None,
    no_cache: bool = False,
) -> IssuedProfile:
    """Give ``lender`` the profile it asks for, or raise ConsentError, Idempotency…, StorageUnavailable, InvalidRequest.

    ``body`` is the request as it came: an idempotency key is bound to its digest. ``wait`` shortens the deadline.
    ``granted`` is told the permit before any platform is called; ``no_cache`` has every platform asked, whatever there
    is already.
    """
    evidence, now = services.evidence, services.now()
    uscc = parse_uscc(ask.subject.uscc).value
    consent = await evidence.consent(ask.consent_id)
    if consent is None or consent.grantee != lender:
        consent = None
    first, last = months_back(now, ask.months or (consent.lookback_months if consent else 1))
    offers = {name: connector.datasets for name, connector in services.connectors.items()}
    strategy, ailing = services.strategy, services.health.ailing
    planned = plan(consent, ask.datasets, offers, first, last, strategy, ailing) if consent else None
    _check_required(ask, planned)
    profile_id = "p" + secrets.token_hex(15)
    permit = await evidence.submit(
        OpenPermit(
            permit_id="m" + secrets.token_hex(15),
            lender=lender,
            idempotency_key=idempotency_key,
            request_digest=hashlib.sha256(body).digest(),
            consent_id=ask.consent_id,
            subject_uscc=uscc,
            subject_name=ask.subject.name,
            purpose=ask.purpose,
            items=_permit_items(planned) if planned else (),
            first=first,
            last=last,
            # No platform can be asked about a person yet, so ``items`` has none for them and the decision is a refusal.
            persons=tuple((person.role, person.ref) for person in ask.subject.persons),
            officer=ask.officer,
        )
    )
    if permit.replay is not None:
        return await read_profile(services, permit.replay, lender)
    assert planned is not None  # noqa: S101 - without a consent the permit was refused
    if granted is not None:
        granted(permit)
    try:
        return await _fetch_and_issue(services, ask, within(planned, permit.items), permit, profile_id, wait, no_cache)
    except BaseException as error:
        # Only a gateway that stops cancels: what a client that went away asked for is made all the same.
        stopped = ShuttingDown.code if isinstance(error, asyncio.CancelledError) else "internal_error"
        await _close(services, permit, error.code if isinstance(error, XinqiaoError) else stopped)
        raise


async def _fetch_and_issue(
    services: Services,
    ask: ProfileRequest,
    planned: Plan,
    permit: Permit,
    profile_id: str,
    wait: int | None,
    no_cache: bool,
) -> IssuedProfile:
    # The name that was agreed: the one in the request may hold blanks and marks that the comparison overlooks.
    subject = Subject(permit.consent.grant.subject.uscc, permit.consent.grant.subject.name)
    seconds = services.settings.limits.deadline_seconds
    deadline = asyncio.get_running_loop().time() + (min(seconds, wait) if wait else seconds)
    guard = services.evidence.guard(permit)
    max_age = int(ask.max_age[:-1]) if ask.max_age else None
    leave, earlier = leave_of(permit, planned, ask.purpose), NOTHING
    if max_age is not None and not no_cache:
        today = services.now().astimezone(SHANGHAI).date()
        earlier = await earlier_answers(services, leave, planned, max_age, today)
    spared = Spared(leave, services.flights, earlier.fresh)
    gathered = await collect(planned, services.connectors, subject, guard, deadline, permit.id, spared)
    if earlier.older:
        await guard.may_keep()
        gathered = with_older(gathered, earlier.older)
    request = Request(
        profile_id=profile_id,
        revision=1,
        subject=subject,
        consent_id=permit.consent.id,
        consent_assurance=permit.consent.grant.assurance.value,
        purpose=ask.purpose,
        requested_at=permit.granted_at,
        declared=ask.declared.model_dump(exclude_none=True) if ask.declared else {},
        max_age=max_age,
        require=frozenset(ask.require) if ask.require is not None else None,
    )
    made = await issue(services, permit, guard, Carried(request, planned, gathered), gathered)
    # A withdrawal may overtake the commit on its way back here. What the log holds is then not handed out.
    await guard.may_keep()
    return made


def _permit_items(planned: Plan) -> tuple[PermitItem, ...]:
    """One for each way to a data set."""
    return tuple(PermitItem(item.platform, item.dataset, item.fields, None, item.outlet) for item in planned.items)


async def _close(services: Services, permit: Permit, code: str) -> None:
    """End the permit of a request that failed; where even that cannot be written, the sweep does it later."""
    with suppress(XinqiaoError):
        await asyncio.shield(services.evidence.submit(CloseFailed(permit.id, code)))


async def read_profile(services: Services, profile_id: str, lender: str | None) -> IssuedProfile:
    """An issued profile, with a proof for the checkpoint of its own commit's time or later. The reading is logged.

    ``lender`` None is the operator at the command line. Raises NotFound, also for another lender's, and Shredded.
    """
    evidence = services.evidence
    held = await evidence.profile(profile_id)
    if held is None or (lender is not None and held.lender != lender):
        if lender is not None:
            about = held.consent_id if held else None
            await evidence.submit(access_refused(lender, NotFound.code, "read profile", about))
        raise NotFound(what="profile")
    if held.shredded is not None:
        await evidence.submit(access_refused(lender or "operator", Shredded.code, "read profile", held.consent_id))
        raise Shredded(what="profile", state=held.shredded)
    await evidence.submit(
        RecordEvent(
            "profile.read",
            lender or "operator",
            held.consent_id,
            held.subject,
            {"profile": held.id, "revision": held.revision},
        )
    )
    where = await evidence.place(held.log_index)
    payload = base64.urlsafe_b64decode((part := held.jws.split(b".")[1]) + b"=" * (-len(part) % 4))
    return IssuedProfile(held.id, held.jws, payload, place_of(where))


def months_back(now: datetime, months: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The last ``months`` months, the present one included, as platforms in Shanghai count them."""
    local = now.astimezone(SHANGHAI)
    last = (local.year, local.month)
    return month_add(last, 1 - months), last


def _check_required(ask: ProfileRequest, planned: Plan | None) -> None:
    if ask.require is not None and planned is not None and not set(ask.require) <= planned.asked:
        raise InvalidRequest(at="require", mend="only data sets that are asked for")
