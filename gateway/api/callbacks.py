"""``/v1/callbacks``: what platforms send by themselves. No token: the platform's signature is what lets it in.

In this order: a ticket that we gave out, the body's size, its signature, its form, and then one commit that keeps it
(gateway.jobs.callbacks). Only after that is it acknowledged.
"""

import structlog
from aiohttp import web

from connectors.engine.callback import Heard, Receiver
from connectors.engine.connector import DeclarativeConnector
from connectors.engine.pending import ticket_key
from connectors.transport import MAX_BODY
from connectors.wire import WireRequest
from gateway.api.routing import ANYTHING, Route
from gateway.jobs.callbacks import RESTS_SECONDS, Awaited, TakeCallback, awaited
from gateway.jobs.late import LATE
from gateway.services import SERVICES, Services
from schemas.errors import (
    CallbackEarly,
    CallbackRefused,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    UpstreamError,
    UpstreamSignature,
    XinqiaoError,
)

log = structlog.get_logger()


async def receive(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    key = ticket_key(request.match_info["ticket"])
    what = await services.evidence.read(awaited, key)
    # Unknown, ended or another platform's: all the same to who asks.
    if what is None or what.connector != request.match_info["connector"]:
        raise NotFound(what="callback")
    connector = services.connectors.get(what.connector)
    receiver = connector.receivers.get(what.dataset) if isinstance(connector, DeclarativeConnector) else None
    if receiver is None or not isinstance(connector, DeclarativeConnector):
        raise NotFound(what="callback")
    try:
        if connector.id in services.connectors.switches.off:
            # Whoever reads what came asks the connector, which gives nothing now.
            raise CallbackEarly(retry_after=RESTS_SECONDS)
        heard = await _heard(request, receiver, services, connector.heard_at())
        new = await services.evidence.submit(TakeCallback(key, what, heard))
    except XinqiaoError as error:
        _count(services, what, error.code)
        if error.code not in _EXPECTED:
            log.warning("callback_refused", platform=what.connector, code=error.code, reason=error.details.get("why"))
        raise
    _count(services, what, "kept" if new else "acknowledged")
    if new:
        request.app[LATE].wake()
    ack = receiver.ack
    return web.Response(body=ack.body.encode(), status=ack.status, content_type=ack.content_type)


_EXPECTED = frozenset({"callback_early", "callback_ended", "storage_unavailable"})
"""Refusals that say nothing against the platform."""


async def _heard(request: web.Request, receiver: Receiver, services: Services, now: float) -> Heard:
    if "Content-Encoding" in request.headers:
        # It was undone on the way here, and what was signed is not at hand any more.
        raise InvalidRequest(at="Content-Encoding", mend="send the body as it was signed")
    try:
        body = await request.clone(client_max_size=MAX_BODY).read()
    except web.HTTPRequestEntityTooLarge:
        raise PayloadTooLarge(limit=MAX_BODY) from None
    # As the platform was told it, which may not be how a proxy before us asks.
    url = f"{services.settings.callbacks}{request.raw_path.removeprefix('/v1/callbacks')}"
    try:
        return await receiver.hear(WireRequest(request.method, url, dict(request.headers), body), now)
    except UpstreamSignature as err:
        raise CallbackRefused(why=str(err.details["why"])) from None
    except UpstreamError as err:
        raise InvalidRequest(at="body", code=err.code, mend="in the form that was agreed on") from None


def _count(services: Services, what: Awaited, outcome: str) -> None:
    services.metrics.callbacks.labels(what.connector, outcome).inc()


ROUTES = [
    Route(
        "POST",
        "/v1/callbacks/{connector}/{ticket}",
        receive,
        "A platform's own answer, under its signature 平台回调",
        "platforms",
        {200: ANYTHING},
        ANYTHING,
        lender=False,
        errors=(401, 404, 409, 410, 503),
    ),
]
