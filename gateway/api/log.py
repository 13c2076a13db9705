"""The evidence log over HTTP: its signed checkpoint, its key, and proofs (RFC 9162 §2.1)."""

import base64

from aiohttp import web

from consent.ledger import read_head
from consent.timestamps import newest_timestamp
from gateway.api.routing import Route, answer, query_int
from gateway.services import SERVICES
from gateway.settings import Role
from schemas.base import Count, Model, Time
from schemas.errors import InvalidRequest, NotFound


class InclusionProof(Model):
    index: Count
    size: Count
    proof: list[str]


class ConsistencyProof(Model):
    start: Count
    size: Count
    proof: list[str]


class Timestamp(Model):
    """``head`` is a signed head of ``size`` entries, ``reply`` the authority's answer over its SHA-256 (RFC 3161, DER,
    base64), ``time`` the time in it."""

    size: Count
    time: Time
    head: str
    reply: str


async def checkpoint(request: web.Request) -> web.Response:
    text = await request.app[SERVICES].evidence.checkpoint()
    return web.Response(text=text, content_type="text/plain", charset="utf-8")


async def vkey(request: web.Request) -> web.Response:
    return web.Response(text=request.app[SERVICES].evidence.vkey + "\n", content_type="text/plain", charset="utf-8")


async def inclusion(request: web.Request) -> web.Response:
    query, evidence = request.query, request.app[SERVICES].evidence
    newest = (await evidence.read(read_head)).size
    index, size = query_int(query, "index"), query_int(query, "size", newest)
    if not index < size <= newest:
        raise InvalidRequest(at="index, size", mend="index < size <= the log's size")
    proof = await evidence.inclusion(index, size)
    return answer(InclusionProof(index=index, size=size, proof=[base64.b64encode(h).decode() for h in proof]))


async def consistency(request: web.Request) -> web.Response:
    query, evidence = request.query, request.app[SERVICES].evidence
    newest = (await evidence.read(read_head)).size
    start, size = query_int(query, "from"), query_int(query, "to", newest)
    if not 0 < start <= size <= newest:
        raise InvalidRequest(at="from, to", mend="0 < from <= to <= the log's size")
    proof = await evidence.consistency(start, size)
    return answer(ConsistencyProof(start=start, size=size, proof=[base64.b64encode(h).decode() for h in proof]))


async def timestamp(request: web.Request) -> web.Response:
    held = await request.app[SERVICES].evidence.read(newest_timestamp)
    if held is None:
        raise NotFound(what="timestamp")
    stamp = held.stamp
    reply = base64.b64encode(stamp.reply).decode()
    return answer(Timestamp(size=stamp.size, time=held.time, head=stamp.head, reply=reply))


async def tile(request: web.Request) -> web.Response:
    """Hash tiles only: entry bundles are for auditors, who get them by ``xinqiao log export``."""
    body = await request.app[SERVICES].evidence.tile(request.match_info["path"])
    if body is None:
        raise NotFound(what="tile")
    return web.Response(body=body, content_type="application/octet-stream")


ROLES: tuple[Role, ...] = ("lender", "operator", "auditor")
_TAG = "log"
_TEXT = "text/plain"
ROUTES = [
    Route("GET", "/v1/log/checkpoint", checkpoint, "Signed checkpoint 日志检查点", _TAG, {200: _TEXT}, lender=False),
    Route(
        "GET",
        "/v1/log/timestamp",
        timestamp,
        "Newest time-stamp of a head 时间戳",
        _TAG,
        {200: Timestamp},
        lender=False,
        errors=(404, 503),
    ),
    Route("GET", "/log/checkpoint", checkpoint, "The same, in the C2SP layout", _TAG, {200: _TEXT}, lender=False),
    Route(
        "GET",
        "/log/tile/{path:.+}",
        tile,
        "Hash tile 哈希块",
        _TAG,
        {200: "application/octet-stream"},
        lender=False,
        errors=(404, 503),
    ),
    Route("GET", "/log/vkey", vkey, "Key that signs checkpoints 日志公钥", _TAG, {200: _TEXT}, lender=False),
    Route(
        "GET",
        "/v1/log/proofs/inclusion",
        inclusion,
        "An entry is in the log 包含证明",
        _TAG,
        {200: InclusionProof},
        query={"index": "entry index from 0", "size": "tree size; the current one when not given"},
        needs=("index",),
        roles=ROLES,
    ),
    Route(
        "GET",
        "/v1/log/proofs/consistency",
        consistency,
        "The log only grew 一致性证明",
        _TAG,
        {200: ConsistencyProof},
        query={"from": "the older size", "to": "the newer size; the current one when not given"},
        needs=("from",),
        roles=ROLES,
    ),
]
