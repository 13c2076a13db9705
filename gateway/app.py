"""The composition root: ``create_app(settings)`` makes the whole gateway; tests call the same function."""

from collections.abc import AsyncIterator
from functools import cache
from importlib.metadata import version

import orjson
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from gateway.api import audit, callbacks, consents, log, operations, profiles, webhooks
from gateway.api.openapi import openapi
from gateway.api.operations import OPENAPI
from gateway.api.routing import METRICS, REFUSALS, TOKENS, add_routes, outer
from gateway.audit.refusals import Refusals
from gateway.auth.tokens import Tokens
from gateway.authorize import lenders, pages
from gateway.authorize.desk import DESK, open_desk
from gateway.authorize.identity import IdentityCheck
from gateway.cosigning import cosigning
from gateway.jobs.late import LATE, late_answers
from gateway.jobs.running import JOBS, running_jobs
from gateway.jobs.sharing import sharing
from gateway.services import SERVICES, Now, open_services, utc_now
from gateway.settings import Settings
from gateway.stamping import stamping
from gateway.telemetry import Metrics
from gateway.watchdog import watchdog
from gateway.watching import watching
from gateway.webhooks.sending import sending
from schemas.errors import ConfigurationError

ROUTES = [
    *consents.ROUTES,
    *lenders.ROUTES,
    *pages.ROUTES,
    *profiles.ROUTES,
    *webhooks.ROUTES,
    *callbacks.ROUTES,
    *log.ROUTES,
    *audit.ROUTES,
    *operations.ROUTES,
]


@cache
def _document() -> bytes:
    """Of the routes, which are a process's own: it is made once."""
    return orjson.dumps(openapi(ROUTES, version("xinqiao")))


def create_app(settings: Settings, *, now: Now = utc_now, identity: IdentityCheck | None = None) -> web.Application:
    """Shape only: nothing is opened before the server starts. ``identity`` checks who agrees for an enterprise."""
    if settings.production and HttpRequestParser is HttpRequestParserPy:
        raise ConfigurationError(at="production", mend="aiohttp must run with its C parser")
    app = web.Application(middlewares=[outer], client_max_size=settings.limits.body_bytes)
    metrics = Metrics()
    app[METRICS] = metrics
    app[OPENAPI] = _document()

    async def services(app: web.Application) -> AsyncIterator[None]:
        async with (
            open_services(settings, now=now, metrics=metrics) as opened,
            cosigning(opened),
            stamping(opened),
            sending(opened),
            watching(opened),
            watchdog(),
            sharing(opened),
            late_answers(opened) as app[LATE],
            running_jobs(settings.limits.shutdown_seconds) as app[JOBS],
        ):
            app[SERVICES] = opened
            app[DESK] = open_desk(opened, identity)
            app[TOKENS] = Tokens(
                settings.clients, opened.keys.token, issuer=settings.issuer, seconds=settings.limits.token_seconds
            )
            limits = settings.limits
            app[REFUSALS] = Refusals(opened.evidence, limits.refused_burst, limits.refused_per_minute)
            yield
            await app[REFUSALS].close()

    app.cleanup_ctx.append(services)
    add_routes(app, ROUTES)
    return app
