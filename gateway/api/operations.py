"""Health, metrics, keys, platforms, and the offline documentation page."""

from html import escape
from importlib.resources import files
from typing import Literal

from aiohttp import web
from prometheus_client import generate_latest
from pydantic import Field

from connectors.base import Connector
from connectors.engine.connector import DeclarativeConnector
from connectors.engine.tuning import AS_STATED
from consent.profiles import access_refused
from gateway.api.routing import LENDER, METRICS, REFUSALS, TOKENS, Route, answer, json_response
from gateway.jobs.standing import Standing, standing
from gateway.services import SERVICES, Services
from schemas.base import Count, Json, Model, Name, Ratio, ShortText, Time
from schemas.errors import InvalidClient, NotFound, StorageUnavailable, UnsupportedMediaType
from schemas.manifest import Duration, Limits
from schemas.problems import PROBLEMS

_STATIC = files("gateway") / "static"
_DOCS_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
}
_DOCS_FILES = {
    "docs.js": ("docs.js", "text/javascript"),
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", "text/css"),
}

OPENAPI = web.AppKey("openapi", bytes)


class Health(Model):
    status: ShortText


class Token(Model):
    access_token: str
    token_type: ShortText
    expires_in: Count


class Jwks(Model):
    keys: list[dict[str, Json]]


class PlatformHealth(Model):
    """Of all processes together, within two seconds."""

    fetches: Count = Field(description="in the last 30 minutes; what was not asked is not counted")
    success_share: Ratio | None = Field(description="of these fetches, those that gave an answer")
    p50_ms: Count | None = Field(description="half of the answers took at most so long (upper bound of a class)")
    breaker: Literal["closed", "open", "half_open"]
    quota_left: Count | None = Field(description="calls of today that are not taken yet; null where none are counted")
    next_attempt_at: Time | None = Field(description="when it is asked again; null where it is asked now")


class PlatformLimits(Model):
    manifest: Limits
    in_force: Limits = Field(description="the manifest's, with what the operator says in place of it")


class PlatformFreshness(Model):
    """How old the data may be, by data set."""

    manifest: dict[Name, Duration]
    in_force: dict[Name, Duration]


class PlatformInfo(Model):
    id: Name
    version: ShortText
    assurance: ShortText = Field(description="published-spec, or assumed: a field map that no public text confirms")
    datasets: dict[Name, list[Name]]
    required: bool = Field(description="whether a profile is incomplete while it does not answer")
    weight: Count = Field(description="of platforms that disagree, the heavier is believed")
    limits: PlatformLimits | None = Field(description="null for a connector without a manifest")
    freshness: PlatformFreshness | None
    health: PlatformHealth


class PlatformList(Model):
    platforms: list[PlatformInfo]


async def token(request: web.Request) -> web.Response:
    if request.content_type != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType(mend="application/x-www-form-urlencoded")
    try:
        form = await request.post()
    except (ValueError, LookupError):  # bytes that are not what the charset says, or a charset that is none
        raise InvalidClient(mend="a form in UTF-8") from None
    plain = {k: v for k, v in form.items() if isinstance(v, str)}
    if len(plain) != len(form):
        raise InvalidClient(mend="each parameter once, as text")
    try:
        response = answer(request.app[TOKENS].exchange(plain))
    except InvalidClient:
        await request.app[REFUSALS].invalid_client("POST /oauth/token")
        raise
    response.headers["Cache-Control"] = "no-store"
    return response


async def jwks(request: web.Request) -> web.Response:
    return answer(request.app[SERVICES].signer.jwks())


async def healthz(_request: web.Request) -> web.Response:
    """The process answers; whether it can work is ``/readyz``."""
    return answer(Health(status="ok"))


async def readyz(request: web.Request) -> web.Response:
    if not request.app[SERVICES].evidence.writable:
        raise StorageUnavailable(where="evidence log")
    return answer(Health(status="ready"))


async def metrics(request: web.Request) -> web.Response:
    held, services = request.app[METRICS], request.app[SERVICES]
    evidence = services.evidence
    for name, end in services.certificate_ends().items():
        held.certificate_days.labels(name).set((end - services.now().timestamp()) / 86400)
    for name, connector in services.connectors.items():
        if isinstance(connector, DeclarativeConnector):
            held.clock_offset.labels(name).set(connector.clock_offset)
    held.log_writable.set(1 if evidence.writable else 0)
    held.log_size.set(evidence.size)
    return web.Response(body=generate_latest(held.registry), content_type="text/plain")


async def platforms(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    of = await standing(services)
    return answer(PlatformList(platforms=[_info(services, c, of(c)) for c in services.connectors.values()]))


async def platform(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    found = services.connectors.get(request.match_info["id"])
    if found is None:
        await services.evidence.submit(access_refused(request[LENDER], NotFound.code, "read platform", None))
        raise NotFound(what="platform")
    return answer(_info(services, found, (await standing(services))(found)))


def _info(services: Services, connector: Connector, stands: Standing) -> PlatformInfo:
    share = stands.summary.share
    limits, freshness = None, None
    if isinstance(connector, DeclarativeConnector):
        limits = PlatformLimits(manifest=connector.manifest.limits, in_force=connector.limits)
        freshness = PlatformFreshness(manifest=AS_STATED.freshness_of(connector.manifest), in_force=connector.freshness)
    return PlatformInfo(
        id=connector.id,
        version=connector.version,
        assurance=connector.assurance,
        datasets={name: sorted(fields) for name, fields in connector.datasets.items()},
        required=connector.id not in services.strategy.optional,
        weight=services.strategy.weights.get(connector.id, 1),
        limits=limits,
        freshness=freshness,
        health=PlatformHealth(
            fetches=stands.summary.fetches,
            success_share=None if share is None else str(share),
            p50_ms=stands.summary.p50,
            breaker=stands.breaker,
            quota_left=stands.quota_left,
            next_attempt_at=stands.next_attempt_at,
        ),
    )


async def openapi_json(request: web.Request) -> web.Response:
    return json_response(request.app[OPENAPI])


async def docs(_request: web.Request) -> web.Response:
    return web.Response(
        body=(_STATIC / "docs.html").read_bytes(), content_type="text/html", charset="utf-8", headers=_DOCS_HEADERS
    )


async def errors_page(_request: web.Request) -> web.Response:
    """Where the ``type`` of a problem leads (RFC 9457 §3.1.1)."""
    rows = "".join(
        f'<tr id="{code}"><td><code>{code}</code><td>{p.status}<td>{escape(p.title)}<br>{p.title_zh}'
        f"<td>{escape(p.detail)}<br>{p.detail_zh}"
        for code, p in PROBLEMS.items()
    )
    page = f'<!doctype html><html lang="zh"><meta charset="utf-8"><title>错误码 Errors</title><table>{rows}</table>'
    return web.Response(text=page, content_type="text/html", charset="utf-8", headers=_DOCS_HEADERS)


async def docs_file(request: web.Request) -> web.Response:
    if request.match_info["name"] not in _DOCS_FILES:
        raise NotFound
    path, kind = _DOCS_FILES[request.match_info["name"]]
    return web.Response(body=_STATIC.joinpath(path).read_bytes(), content_type=kind, charset="utf-8")


_TAG = "operations"
ROUTES = [
    Route(
        "POST",
        "/oauth/token",
        token,
        "Access token for a client 获取访问令牌",
        "lenders",
        {200: Token},
        "application/x-www-form-urlencoded",
        lender=False,
        errors=(401,),
    ),
    Route(
        "GET", "/.well-known/jwks.json", jwks, "Keys that sign profiles 画像公钥", "lenders", {200: Jwks}, lender=False
    ),
    Route(
        "GET",
        "/v1/platforms",
        platforms,
        "Platforms that can be asked 可查平台",
        "platforms",
        {200: PlatformList},
        roles=("lender", "operator", "auditor"),
    ),
    Route(
        "GET",
        "/v1/platforms/{id}",
        platform,
        "One platform, and how it is doing 单个平台及其状况",
        "platforms",
        {200: PlatformInfo},
        roles=("lender", "operator", "auditor"),
        errors=(404, 503),
    ),
    Route("GET", "/healthz", healthz, "The process lives 存活", _TAG, {200: Health}, lender=False),
    Route("GET", "/readyz", readyz, "It can work 就绪", _TAG, {200: Health}, lender=False, errors=(503,)),
    Route("GET", "/metrics", metrics, "Prometheus metrics 指标", _TAG, {200: "text/plain"}, lender=False),
    Route(
        "GET", "/openapi.json", openapi_json, "This description 接口描述", _TAG, {200: "application/json"}, lender=False
    ),
    Route(
        "GET", "/docs/errors", errors_page, "What each error code means 错误码", _TAG, {200: "text/html"}, lender=False
    ),
    Route("GET", "/docs", docs, "For people 文档页面", _TAG, {200: "text/html"}, lender=False),
    Route(
        "GET",
        "/docs/{name}",
        docs_file,
        "Files of the page 页面文件",
        _TAG,
        {200: "text/plain"},
        lender=False,
        errors=(404,),
    ),
]
