"""``/v1/webhooks``: where a lender wants to be told, and what became of what it was told."""

import secrets
from typing import Annotated

from aiohttp import web
from pydantic import Field

from consent.profiles import access_refused
from gateway.api.routing import LENDER, Route, answer, parse_body, query_int
from gateway.services import SERVICES
from gateway.webhooks.deliveries import deliveries_of
from gateway.webhooks.endpoints import (
    Endpoint,
    NewSecret,
    RegisterWebhook,
    RemoveWebhook,
    RotateSecret,
    check_url,
    endpoints_of,
)
from gateway.webhooks.messages import WebhookEvent
from gateway.webhooks.signing import secret_text
from schemas.base import Count, Model, Name, ShortText, Time
from schemas.errors import NotFound

_EVERY = 2**31 - 1


class WebhookAsk(Model):
    """Body of ``POST /v1/webhooks``."""

    url: Annotated[str, Field(max_length=2048)]
    events: Annotated[list[WebhookEvent], Field(min_length=1, max_length=len(WebhookEvent))]


class WebhookShown(Model):
    """``state`` is active, or gone after the endpoint answered 410."""

    id: ShortText
    url: str
    events: list[WebhookEvent]
    state: Name
    created_at: Time


class WebhookSecret(WebhookShown):
    """``secret`` is shown this once. ``old_secret_until``: the one before it signs too until then."""

    secret: str
    old_secret_until: Time | None


class WebhookList(Model):
    webhooks: list[WebhookShown]


class WebhookDelivery(Model):
    """``id`` is the message's, ``index`` the log entry it tells of; ``code`` says why the last attempt failed."""

    id: str
    index: Count
    type: WebhookEvent
    state: Name = Field(description="pending, delivered, dead")
    attempts: Count
    code: ShortText | None
    created_at: Time
    attempted_at: Time | None
    next_attempt_at: Time | None


class WebhookDeliveries(Model):
    deliveries: list[WebhookDelivery]


def _shown(endpoint: Endpoint) -> WebhookShown:
    return WebhookShown.model_validate(_members(endpoint))


def _members(endpoint: Endpoint) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "state": endpoint.state,
        "created_at": endpoint.created_at,
    }


def _with_secret(made: NewSecret, status: int) -> web.Response:
    secret = secret_text(made.secret)
    shown = WebhookSecret.model_validate(
        {**_members(made.endpoint), "secret": secret, "old_secret_until": made.old_until}
    )
    response = answer(shown, status)
    response.headers["Cache-Control"] = "no-store"
    return response


async def register(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    ask = await parse_body(request, WebhookAsk)
    check_url(ask.url, services.settings.allow_private_webhooks)
    command = RegisterWebhook("w" + secrets.token_hex(15), request[LENDER], ask.url, ask.events)
    made = await services.evidence.submit(command)
    response = _with_secret(made, 201)
    response.headers["Location"] = f"/v1/webhooks/{made.endpoint.id}/deliveries"
    return response


async def find(request: web.Request) -> web.Response:
    found = await request.app[SERVICES].evidence.read(endpoints_of, request[LENDER])
    return answer(WebhookList(webhooks=[_shown(endpoint) for endpoint in found]))


async def rotate(request: web.Request) -> web.Response:
    command = RotateSecret(request.match_info["id"], request[LENDER])
    try:
        return _with_secret(await request.app[SERVICES].evidence.submit(command), 200)
    except NotFound:
        raise await _refused(request) from None


async def remove(request: web.Request) -> web.Response:
    try:
        await request.app[SERVICES].evidence.submit(RemoveWebhook(request.match_info["id"], request[LENDER]))
    except NotFound:
        raise await _refused(request) from None
    return web.Response(status=204)


async def deliveries(request: web.Request) -> web.Response:
    before = min(query_int(request.query, "before", _EVERY), _EVERY)
    read = request.app[SERVICES].evidence.read
    found = await read(deliveries_of, request.match_info["id"], request[LENDER], before)
    if found is None:
        raise await _refused(request)
    return answer(
        WebhookDeliveries(
            deliveries=[
                WebhookDelivery(
                    id=one.message,
                    index=one.index,
                    type=WebhookEvent(one.type),
                    state=one.state,
                    attempts=one.attempts,
                    code=one.code,
                    created_at=one.created_at,
                    attempted_at=one.attempted_at,
                    next_attempt_at=one.due,
                )
                for one in found
            ]
        )
    )


async def _refused(request: web.Request) -> NotFound:
    """What is not the lender's own is not there, and that it was tried is in the log."""
    resource = request.match_info.route.resource
    operation = f"{request.method} {resource.canonical if resource else ''}"
    refused = access_refused(request[LENDER], NotFound.code, operation, None)
    await request.app[SERVICES].evidence.submit(refused)
    return NotFound(what="webhook")


_TAG = "webhooks"
ROUTES = [
    Route(
        "POST",
        "/v1/webhooks",
        register,
        "Be told 登记回调",
        _TAG,
        {201: WebhookSecret},
        WebhookAsk,
        errors=(503,),
    ),
    Route("GET", "/v1/webhooks", find, "One's own webhooks 查询回调", _TAG, {200: WebhookList}, errors=(503,)),
    Route(
        "DELETE",
        "/v1/webhooks/{id}",
        remove,
        "Be told no more 删除回调",
        _TAG,
        {204: ""},
        errors=(404, 503),
    ),
    Route(
        "POST",
        "/v1/webhooks/{id}/rotate",
        rotate,
        "A new secret 轮换回调密钥",
        _TAG,
        {200: WebhookSecret},
        errors=(404, 503),
    ),
    Route(
        "GET",
        "/v1/webhooks/{id}/deliveries",
        deliveries,
        "What became of the messages 回调投递记录",
        _TAG,
        {200: WebhookDeliveries},
        query={"before": "only messages about entries below this index, for the next page"},
        errors=(404, 503),
    ),
]
