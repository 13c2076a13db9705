"""``/v1/profiles``: ask for a profile, read it again."""

import re

from aiohttp import web

from gateway.api.routing import LENDER, Route, json_response, only_query, parse_body
from gateway.profile.request import ProfileRequest, read_profile, request_profile
from gateway.services import SERVICES
from schemas.base import Count, Model, Text
from schemas.errors import InvalidRequest, NotAcceptable
from schemas.profile import Profile

_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_WAIT = re.compile(r"\s*wait=([0-9]{1,3})\s*")


class LogPlace(Model):
    """Where the profile's entry stands, with an inclusion proof (RFC 9162 §2.1.3, base64) for the checkpoint's size."""

    index: Count
    checkpoint: Text
    proof: list[str]


class ProfileAnswer(Profile):
    """The profile with its place in the evidence log; the JWS covers everything but ``log``."""

    log: LogPlace


async def create(request: web.Request) -> web.Response:
    only_query(request, ())
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest(at="Idempotency-Key", mend="1 to 128 visible ASCII characters")
    ask = await parse_body(request, ProfileRequest)
    body = await request.read()
    services = request.app[SERVICES]
    document = await request_profile(
        services, request[LENDER], ask, body=body, idempotency_key=key, wait=_wait(request.headers.get("Prefer"))
    )
    return json_response(document.json_bytes(), headers={"Location": f"/v1/profiles/{document.id}"})


def _wait(prefer: str | None) -> int | None:
    """RFC 7240 ``wait`` in seconds; other preferences are ignored, as the RFC says."""
    if prefer is None:
        return None
    for part in prefer.split(","):
        if match := _WAIT.fullmatch(part):
            return max(1, int(match[1]))
    return None


async def show(request: web.Request) -> web.Response:
    only_query(request, ())
    accept = request.headers.get("Accept", "*/*")
    document = await read_profile(request.app[SERVICES], request.match_info["id"], request[LENDER])
    if "application/jose" in accept:
        return web.Response(body=document.jws, content_type="application/jose")
    if "application/json" in accept or "*/*" in accept or "application/*" in accept:
        return json_response(document.json_bytes())
    raise NotAcceptable(mend="application/json or application/jose")


_TAG = "profiles"
ROUTES = [
    Route(
        "POST",
        "/v1/profiles",
        create,
        "Request a profile 申请信用画像",
        _TAG,
        {200: ProfileAnswer},
        ProfileRequest,
        headers={
            "Idempotency-Key": "the same key and body give the same profile and count one use (24 h)",
            "Prefer": "wait=N: sources may take N seconds, up to the gateway's own deadline (RFC 7240)",
        },
        errors=(403, 404, 409, 422, 503),
    ),
    Route(
        "GET",
        "/v1/profiles/{id}",
        show,
        "Read a profile again 读取画像",
        _TAG,
        {200: ProfileAnswer},
        headers={"Accept": "application/json, or application/jose for the JWS"},
        errors=(404, 406, 410, 503),
    ),
]
