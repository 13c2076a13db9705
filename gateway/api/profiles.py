"""``/v1/profiles``: ask for a profile, read it again."""

import re

from aiohttp import web

from gateway.api.routing import LENDER, Route, json_response, parse_body
from gateway.profile.evidence import export_evidence
from gateway.profile.request import ProfileRequest, read_profile, request_profile
from gateway.services import SERVICES
from schemas.base import Count, Model, Text
from schemas.errors import InvalidRequest, NotAcceptable
from schemas.profile import Profile

_JOSE = "application/jose"
_ZIP = "application/zip"
_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
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
    form = _accepted(request.headers.get("Accept", "*/*"))
    document = await read_profile(request.app[SERVICES], request.match_info["id"], request[LENDER])
    if form == _JOSE:
        return web.Response(body=document.jws, content_type=_JOSE)
    return json_response(document.json_bytes())


async def evidence(request: web.Request) -> web.Response:
    profile_id = request.match_info["id"]
    body = await export_evidence(request.app[SERVICES], profile_id, request[LENDER])
    headers = {"Content-Disposition": 'attachment; filename="evidence.zip"'}
    return web.Response(body=body, content_type=_ZIP, headers=headers)


def _accepted(accept: str) -> str:
    """The offered media type that the header likes best (RFC 9110 §12.5.1); JSON where it likes both the same."""
    liking = {}
    for part in accept.split(","):
        media, *parameters = (p.strip().lower() for p in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        liking[media] = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    offers = {
        offer: next((liking[m] for m in (offer, "application/*", "*/*") if m in liking), 0.0)
        for offer in ("application/json", _JOSE)
    }
    best = max(offers, key=lambda offer: offers[offer])
    if not offers[best]:
        raise NotAcceptable(mend="application/json or application/jose")
    return best


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
        also=(_JOSE,),
        errors=(404, 406, 410, 503),
    ),
    Route(
        "GET",
        "/v1/profiles/{id}/evidence",
        evidence,
        "Evidence of a profile, verifiable offline 导出画像证据",
        _TAG,
        {200: _ZIP},
        errors=(404, 503),
    ),
]
