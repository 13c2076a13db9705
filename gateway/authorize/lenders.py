"""``/v1/consent-requests``: a lender asks an enterprise for its consent, and sees what became of it."""

import secrets
from datetime import timedelta

import segno
from aiohttp import web

from consent.consents import ENTERPRISE, GrantConsent
from consent.profiles import access_refused
from consent.requests import OpenRequest, StoredRequest
from gateway.api.routing import LENDER, Route, answer, parse_body
from gateway.authorize.asked import ConsentAsk, check_ask, trial_grant
from gateway.authorize.desk import DESK, token_hash
from gateway.services import SERVICES
from schemas.base import Model, Name, ShortText, Time, utc_text
from schemas.canonical import canonical
from schemas.errors import Forbidden, NotFound


class RequestStatus(Model):
    """``consent_id`` is there once the enterprise has agreed."""

    id: ShortText
    state: Name
    expires_at: Time
    consent_id: ShortText | None


class RequestMade(RequestStatus):
    """``link`` is shown this once; hand it or its QR code (SVG) to the enterprise and to nobody else."""

    link: str
    qr_svg: str


async def ask(request: web.Request) -> web.Response:
    desk, services, lender = request.app[DESK], request.app[SERVICES], request[LENDER]
    if desk.identity is None:
        await services.evidence.submit(access_refused(lender, Forbidden.code, "POST /v1/consent-requests", None))
        raise Forbidden(at="identity_check", mend="this gateway cannot check who agrees")
    asked = await parse_body(request, ConsentAsk)
    check_ask(asked, {name: connector.datasets for name, connector in services.connectors.items()})
    now = services.now()
    # Refused now rather than on the enterprise's page: what could never be honoured as written.
    GrantConsent(trial_grant(asked, lender, now), actor=ENTERPRISE)
    request_id, token = "r" + secrets.token_hex(15), secrets.token_urlsafe(32)
    expires = utc_text(now + timedelta(hours=asked.link_hours))
    document = canonical(asked.model_dump(mode="json"))
    await services.evidence.submit(
        OpenRequest(request_id, token_hash(token), lender, asked.subject.uscc, expires, document)
    )
    link = f"{services.settings.issuer.rstrip('/')}/authorize/{token}"
    qr = segno.make_qr(link, error="m").svg_inline(scale=4)
    made = RequestMade(id=request_id, state="open", expires_at=expires, consent_id=None, link=link, qr_svg=qr)
    response = answer(made, 201)
    response.headers["Location"] = f"/v1/consent-requests/{request_id}"
    response.headers["Cache-Control"] = "no-store"
    return response


async def show(request: web.Request) -> web.Response:
    stored: StoredRequest | None = await request.app[SERVICES].evidence.request(request.match_info["id"])
    if stored is None or stored.lender != request[LENDER]:
        refused = access_refused(request[LENDER], NotFound.code, "GET /v1/consent-requests/{id}", None)
        await request.app[SERVICES].evidence.submit(refused)
        raise NotFound(what="consent request")
    return answer(
        RequestStatus(
            id=stored.id, state=stored.state.value, expires_at=stored.expires_at, consent_id=stored.consent_id
        )
    )


_TAG = "consents"
ROUTES = [
    Route(
        "POST",
        "/v1/consent-requests",
        ask,
        "Ask an enterprise for its consent 发起授权请求",
        _TAG,
        {201: RequestMade},
        ConsentAsk,
        errors=(403, 503),
    ),
    Route(
        "GET",
        "/v1/consent-requests/{id}",
        show,
        "What became of it 授权请求状态",
        _TAG,
        {200: RequestStatus},
        errors=(404, 503),
    ),
]
