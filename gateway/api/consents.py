"""``/v1/consents``: register, find, withdraw. A lender sees its own; anyone else's is 404."""

from aiohttp import web
from pydantic import Field

from consent.amendments import AmendConsent
from consent.consents import ChangeConsent, GrantConsent
from consent.profiles import access_refused
from gateway import receipts
from gateway.api.routing import LENDER, Handler, Route, answer, parse_body
from gateway.services import SERVICES
from gateway.signers import grant_command
from schemas.base import Model, ShortText
from schemas.consent import Consent, ConsentGrant, ConsentState, StatusChange
from schemas.errors import ConsentMissing, Forbidden


class Reason(Model):
    """Why the consent is withdrawn or suspended."""

    reason: ShortText


class ConsentList(Model):
    consents: list[Consent]


class ConsentHistory(Model):
    history: list[StatusChange] = Field(description="Oldest first; a status is added, never changed.")


async def register(request: web.Request) -> web.Response:
    """Record a consent that the lender collected; the grantee must be the caller."""
    grant = await parse_body(request, ConsentGrant)
    return _made(await request.app[SERVICES].evidence.submit(await _granted(request, grant)))


async def amend(request: web.Request) -> web.Response:
    """Record another consent in the place of this one."""
    grant = await parse_body(request, ConsentGrant)
    consent = await _own(request)
    command = AmendConsent(consent.id, await _granted(request, grant))
    return _made(await request.app[SERVICES].evidence.change_consent(command))


async def _granted(request: web.Request, grant: ConsentGrant) -> GrantConsent:
    lender = request[LENDER]
    if grant.grantee != lender:
        await _note_refusal(request, Forbidden.code, None)
        raise Forbidden(at="grantee", mend="the grantee is the lender that registers the consent")
    return grant_command(request.app[SERVICES].settings, grant, lender)


def _made(consent: Consent) -> web.Response:
    response = answer(consent, 201)
    response.headers["Location"] = f"/v1/consents/{consent.id}"
    return response


async def find(request: web.Request) -> web.Response:
    consents = await request.app[SERVICES].evidence.consents_of(request[LENDER])
    return answer(ConsentList(consents=consents))


async def _own(request: web.Request) -> Consent:
    consent = await request.app[SERVICES].evidence.consent(request.match_info["id"])
    if consent is None or consent.grantee != request[LENDER]:
        # Noted for an id that does not exist too: the time an answer takes must not tell the two apart.
        await _note_refusal(request, ConsentMissing.code, consent.id if consent else None)
        raise ConsentMissing
    return consent


async def _note_refusal(request: web.Request, code: str, consent_id: str | None) -> None:
    resource = request.match_info.route.resource
    operation = f"{request.method} {resource.canonical if resource else ''}"
    await request.app[SERVICES].evidence.submit(access_refused(request[LENDER], code, operation, consent_id))


async def show(request: web.Request) -> web.Response:
    return answer(await _own(request))


async def history(request: web.Request) -> web.Response:
    consent = await _own(request)
    return answer(ConsentHistory(history=await request.app[SERVICES].evidence.consent_history(consent.id)))


async def receipt(request: web.Request) -> web.Response:
    """What was agreed and where it stands, signed."""
    body = await receipts.receipt(request.app[SERVICES], await _own(request))
    return web.Response(body=body, content_type="application/jose")


def _change(to: ConsentState) -> Handler:
    async def change(request: web.Request) -> web.Response:
        reason = (await parse_body(request, Reason)).reason
        consent = await _own(request)
        command = ChangeConsent(consent.id, to, actor=request[LENDER], reason=reason)
        return answer(await request.app[SERVICES].evidence.change_consent(command))

    return change


_ID_ERRORS = (404, 503)
_TAG = "consents"
ROUTES = [
    Route(
        "POST",
        "/v1/consents",
        register,
        "Register a consent 登记授权",
        _TAG,
        {201: Consent},
        ConsentGrant,
        errors=(403, 409, 422, 503),
    ),
    Route(
        "POST",
        "/v1/consents/{id}/amend",
        amend,
        "Another consent in its place 变更授权",
        _TAG,
        {201: Consent},
        ConsentGrant,
        errors=(403, 404, 409, 422, 503),
    ),
    Route("GET", "/v1/consents", find, "One's own consents 查询授权", _TAG, {200: ConsentList}),
    Route("GET", "/v1/consents/{id}", show, "One consent 授权详情", _TAG, {200: Consent}, errors=_ID_ERRORS),
    Route(
        "GET",
        "/v1/consents/{id}/history",
        history,
        "Its states 状态历史",
        _TAG,
        {200: ConsentHistory},
        errors=_ID_ERRORS,
    ),
    Route(
        "GET",
        "/v1/consents/{id}/receipt",
        receipt,
        "Its signed receipt 授权回执",
        _TAG,
        {200: "application/jose"},
        errors=_ID_ERRORS,
    ),
    *(
        Route(
            "POST",
            f"/v1/consents/{{id}}/{verb}",
            _change(state),
            title,
            _TAG,
            {200: Consent},
            Reason,
            errors=(404, 409, 503),
        )
        for verb, state, title in (
            ("revoke", ConsentState.REVOKED, "Withdraw 撤回授权"),
            ("suspend", ConsentState.SUSPENDED, "Suspend 暂停授权"),
            ("resume", ConsentState.ACTIVE, "Resume 恢复授权"),
        )
    ),
]
