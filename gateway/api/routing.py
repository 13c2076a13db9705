"""A route is data: path, who may call, what goes in and out. Router, docs and OpenAPI text read the same table."""

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from connectors.json_tree import parse_json
from consent.profiles import access_refused
from gateway.audit.refusals import Refusals
from gateway.auth.tokens import Caller, Tokens
from gateway.services import SERVICES
from gateway.settings import Role
from gateway.telemetry import Metrics
from schemas.base import Model, first_flaw
from schemas.errors import (
    CONSENT_ERRORS,
    Forbidden,
    InternalError,
    InvalidClient,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    StorageUnavailable,
    Unauthenticated,
    UnsupportedMediaType,
    UpstreamError,
    XinqiaoError,
)
from schemas.problems import MEDIA_TYPE, PROBLEMS, problem

log = structlog.get_logger()

METRICS = web.AppKey("metrics", Metrics)
TOKENS = web.AppKey("tokens", Tokens)
REFUSALS = web.AppKey("refusals", Refusals)
CALLER = web.RequestKey("caller", Caller)
LENDER = web.RequestKey("lender", str)
"""The name of the client that calls."""
REQUEST_ID = web.RequestKey("request_id", str)

REFUSED = (403, 404)
"""Statuses of what a client may not have, or has not."""

ANYTHING = "*/*"
"""For a body whose form somebody else decides."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Route:
    """``answers`` maps a status to the model of its body (or a media type for what is not JSON, "" for no body)."""

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    answers: dict[int, type[BaseModel] | str]
    takes: type[BaseModel] | str | None = None
    also: tuple[str, ...] = ()
    """Other media types that the first answer is given in."""
    query: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """The keys of ``query`` that must be there."""
    headers: dict[str, str] = field(default_factory=dict)
    lender: bool = True
    """Whether an access token is needed."""
    roles: tuple[Role, ...] = ("lender",)
    """Whose access token it takes."""
    errors: tuple[int, ...] = ()


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def answer(model: BaseModel | Mapping[str, Any], status: int = 200) -> web.Response:
    content = model.model_dump(mode="json") if isinstance(model, BaseModel) else model
    return json_response(orjson.dumps(content), status)


def problem_response(error: XinqiaoError) -> web.Response:
    """RFC 9457. Retry-After where the error knows it; WWW-Authenticate on 401 (RFC 6750 §3).

    A refused client also gets the ``error`` member of RFC 6749 §5.2, which OAuth libraries look for.
    """
    body = problem(error)
    if isinstance(error, InvalidClient):
        body["error"] = error.code
    headers = {}
    if "retry_after" in error.details:
        headers["Retry-After"] = str(error.details["retry_after"])
    elif isinstance(error, StorageUnavailable | Overloaded):
        headers["Retry-After"] = "5"
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="xinqiao"'
    status = PROBLEMS[error.code].status
    return web.Response(body=orjson.dumps(body), status=status, content_type=MEDIA_TYPE, headers=headers)


async def parse_body(request: web.Request, model: type[M]) -> M:
    """The request body as ``model``: strict JSON (no duplicate keys, no NaN), strict types, closed keys."""
    if request.content_type != "application/json":
        raise UnsupportedMediaType(mend="application/json")
    body = await request.read()
    try:
        parse_json(body.decode("utf-8"))
        return model.model_validate_json(body)
    except ValidationError as err:
        at, mend = first_flaw(err)
        raise InvalidRequest(at=at, mend=mend) from None
    except (UpstreamError, UnicodeDecodeError):
        raise InvalidRequest(at="body", mend="strict JSON in UTF-8") from None


def only_query(request: web.Request, allowed: Iterable[str]) -> None:
    """Each key of the query once and known."""
    if request.query_string and (len(set(request.query)) < len(request.query) or set(request.query) - {*allowed}):
        raise InvalidRequest(at="query", mend="allowed once each: " + (", ".join(allowed) or "none"))


def query_int(query: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = query.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 15:
        raise InvalidRequest(at=name, mend="a whole number")
    return int(text)


class Problem(Model):
    """RFC 9457 with both languages and the stable code."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    title_zh: str
    detail_zh: str
    details: dict[str, str | int]
    error: str | None = None


def add_routes(app: web.Application, routes: Sequence[Route]) -> None:
    for route in routes:
        app.router.add_route(route.method, route.path, _for_clients(route) if route.lender else route.handler)


def _for_clients(route: Route) -> Handler:
    """Authenticate first: a caller without a token learns nothing of the request's other flaws. Whoever is refused too
    often has to wait."""
    operation = f"{route.method} {route.path}"

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = request[CALLER] = request.app[TOKENS].caller(request.headers.get("Authorization"))
        request[LENDER] = caller.name
        refusals = request.app[REFUSALS]
        await refusals.admit(caller.name)
        try:
            if caller.role not in route.roles:
                refused = access_refused(caller.name, Forbidden.code, operation, None)
                await request.app[SERVICES].evidence.submit(refused)
                raise Forbidden(at="role", mend="this takes the token of: " + ", ".join(route.roles))
            if "\x00" in request.path:
                # Nothing has such a name, and PostgreSQL would fail where it is asked for one.
                await request.app[SERVICES].evidence.submit(access_refused(caller.name, NotFound.code, operation, None))
                raise NotFound
            only_query(request, route.query)
            return await route.handler(request)
        except XinqiaoError as error:
            if PROBLEMS[error.code].status in REFUSED:
                refusals.spend(caller.name)
            raise

    return handle


@web.middleware
async def outer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong becomes a problem, never a page or a traceback; one log line and two metrics per request."""
    started = time.perf_counter()
    request_id = secrets.token_hex(8)
    resource = request.match_info.route.resource
    # A path or a method that no route has is the caller's own text: it stays out of metrics and log.
    label = f"{request.method} {resource.canonical}" if resource is not None else "unmatched"
    code = None
    try:
        response = await handler(request)
    except Exception as err:
        error = _translated(err, request)
        code = error.code
        response = problem_response(error)
        if isinstance(err, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(err.allowed_methods))
        if isinstance(error, InternalError):
            log.error("defect", request_id=request_id, route=label, error_type=type(err).__name__, where=place_of(err))
    elapsed = time.perf_counter() - started
    metrics = request.app[METRICS]
    if code in CONSENT_ERRORS:
        metrics.refusals.labels(code).inc()
    metrics.requests.labels(label, response.status).inc()
    metrics.duration.labels(label).observe(elapsed)
    response.headers["X-Request-Id"] = request_id
    log.info(
        "request",
        request_id=request_id,
        route=label,
        status=response.status,
        code=code,
        lender=request.get(LENDER),
        duration_ms=round(elapsed * 1000, 1),
    )
    return response


def _translated(err: Exception, request: web.Request) -> XinqiaoError:
    if isinstance(err, XinqiaoError):
        return err
    if isinstance(err, web.HTTPNotFound):
        return NotFound()
    if isinstance(err, web.HTTPMethodNotAllowed):
        return MethodNotAllowed()
    if isinstance(err, web.HTTPRequestEntityTooLarge):
        return PayloadTooLarge(limit=request.client_max_size)
    return InvalidRequest(status=err.status) if isinstance(err, web.HTTPException) else InternalError()


def place_of(err: BaseException) -> str:
    """Module and line of the innermost frame: enough to find a defect, nothing of the data."""
    where = "?"
    trace = err.__traceback__
    while trace is not None:
        where = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return where
