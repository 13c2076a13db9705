"""A route is data: path, who may call, what goes in and out. Router, docs and OpenAPI text read the same table."""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from connectors.decoding import parse_json
from gateway.auth.tokens import Tokens
from gateway.telemetry import Metrics
from schemas.base import Model
from schemas.errors import (
    ConsentError,
    InternalError,
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
LENDER = web.RequestKey("lender", str)
REQUEST_ID = web.RequestKey("request_id", str)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Route:
    """``answers`` maps a status to the model of its body (or a media type for what is not JSON)."""

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    answers: dict[int, type[BaseModel] | str]
    takes: type[BaseModel] | str | None = None
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    lender: bool = True
    """Whether an access token is needed."""
    errors: tuple[int, ...] = ()


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def answer(model: BaseModel | dict[str, Any] | list[Any], status: int = 200) -> web.Response:
    content = model.model_dump(mode="json") if isinstance(model, BaseModel) else model
    return json_response(orjson.dumps(content), status)


def problem_response(error: XinqiaoError) -> web.Response:
    """RFC 9457. Retry-After where the error knows it; WWW-Authenticate on 401 (RFC 6750 §3)."""
    body = problem(error)
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
        first = err.errors(include_input=False, include_context=False, include_url=False)[0]
        raise InvalidRequest(
            at=".".join(str(part)[:64] for part in first["loc"]) or "body", mend=first["msg"]
        ) from None
    except (UpstreamError, UnicodeDecodeError):
        raise InvalidRequest(at="body", mend="strict JSON in UTF-8") from None


def only_query(request: web.Request, allowed: Sequence[str]) -> dict[str, str]:
    """The query, each key once and known."""
    for key in request.query:
        if key not in allowed or len(request.query.getall(key)) > 1:
            raise InvalidRequest(at="query", mend="allowed once each: " + (", ".join(allowed) or "none"))
    return dict(request.query)


def query_int(query: dict[str, str], name: str, default: int | None = None) -> int:
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


def add_routes(app: web.Application, routes: Sequence[Route]) -> None:
    for route in routes:
        app.router.add_route(route.method, route.path, _wrapped(route))


def _wrapped(route: Route) -> Handler:
    """Authenticate, call, and turn errors into problems; one log line and two metrics per request."""
    handler, needs_lender, label = route.handler, route.lender, f"{route.method} {route.path}"

    async def handle(request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        request_id = secrets.token_hex(8)
        request[REQUEST_ID] = request_id
        code = None
        lender = None
        try:
            if needs_lender:
                lender = request.app[TOKENS].lender(request.headers.get("Authorization"))
                request[LENDER] = lender
            response = await handler(request)
        except XinqiaoError as err:
            code = err.code
            if isinstance(err, ConsentError):
                request.app[METRICS].refusals.labels(code).inc()
            response = problem_response(err)
        except web.HTTPRequestEntityTooLarge:
            code = PayloadTooLarge.code
            response = problem_response(PayloadTooLarge(limit=request.client_max_size))
        elapsed = time.perf_counter() - started
        metrics = request.app[METRICS]
        metrics.requests.labels(label, response.status).inc()
        metrics.duration.labels(label).observe(elapsed)
        response.headers["X-Request-Id"] = request_id
        log.info(
            "request",
            request_id=request_id,
            route=label,
            status=response.status,
            code=code,
            lender=lender,
            duration_ms=round(elapsed * 1000, 1),
        )
        return response

    return handle


@web.middleware
async def outer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What no route answers, and defects of our own: a problem too, never a page or a traceback."""
    try:
        response = await handler(request)
    except web.HTTPNotFound:
        return problem_response(NotFound())
    except web.HTTPMethodNotAllowed as err:
        response = problem_response(MethodNotAllowed())
        response.headers["Allow"] = err.headers.get("Allow", "")
        return response
    except web.HTTPException as err:
        return problem_response(InvalidRequest(status=err.status))
    except Exception as err:
        log.error("defect", error_type=type(err).__name__, where=_place(err), route=request.method)
        return problem_response(InternalError())
    return response


def _place(err: BaseException) -> str:
    """File and line of the innermost frame of ours: enough to find a defect, nothing of the data."""
    where = "?"
    trace = err.__traceback__
    while trace is not None:
        where = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return where
