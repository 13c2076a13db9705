"""``/v1/profiles``: ask for a profile, read it again."""

import re
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from aiohttp import web

from consent.permits import Permit
from gateway.api.routing import LENDER, Route, answer, json_response, parse_body
from gateway.jobs.running import JOBS, Pending, profile_of
from gateway.profile.evidence import export_evidence
from gateway.profile.issue import IssuedProfile
from gateway.profile.request import ProfileRequest, read_profile, request_profile
from gateway.services import SERVICES
from schemas.base import Count, Model, Text, Time, utc_text
from schemas.errors import InvalidRequest, NotAcceptable
from schemas.profile import Profile

_JOSE = "application/jose"
_ZIP = "application/zip"
_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_PERMIT = re.compile(r"m[0-9a-f]{30}")
_WAIT = re.compile(r"\s*wait=([0-9]{1,3})\s*")


class LogPlace(Model):
    """Where the profile's entry stands, with an inclusion proof (RFC 9162 §2.1.3, base64) for the checkpoint's size."""

    index: Count
    checkpoint: Text
    proof: list[str]


class ProfileAnswer(Profile):
    """The profile with its place in the evidence log; the JWS covers everything but ``log``."""

    log: LogPlace


class ProfilePending(Model):
    """Made while nobody waits. ``id`` stands for the profile until it has one; after ``valid_until`` there is none."""

    id: Text
    state: Literal["pending"]
    valid_until: Time


async def create(request: web.Request) -> web.Response:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest(at="Idempotency-Key", mend="1 to 128 visible ASCII characters")
    ask = await parse_body(request, ProfileRequest)
    body = await request.read()
    services = request.app[SERVICES]
    wait, later = _preferences(request.headers.get("Prefer", ""))
    no_cache = "no-cache" in [part.strip().lower() for part in request.headers.get("Cache-Control", "").split(",")]

    def work(granted: Callable[[Permit], None] | None = None) -> Coroutine[Any, Any, IssuedProfile]:
        patience = None if later else wait
        return request_profile(
            services,
            request[LENDER],
            ask,
            body=body,
            idempotency_key=key,
            wait=patience,
            granted=granted,
            no_cache=no_cache,
        )

    made = await request.app[JOBS].begin(work, wait or 0) if later else await work()
    if isinstance(made, Permit):
        return _pending(made.id, utc_text(made.valid_until))
    return json_response(made.json_bytes(), headers={"Location": f"/v1/profiles/{made.id}"})


def _pending(permit_id: str, valid_until: str) -> web.Response:
    response = answer(ProfilePending(id=permit_id, state="pending", valid_until=valid_until), 202)
    response.headers.update({"Location": f"/v1/profiles/{permit_id}", "Retry-After": "1"})
    return response


def _preferences(prefer: str) -> tuple[int | None, bool]:
    """RFC 7240: ``wait`` in seconds, and whether ``respond-async`` is there; what else there is, is ignored."""
    parts = [part.strip() for part in prefer.split(",")]
    waits = [max(1, int(match[1])) for part in parts if (match := _WAIT.fullmatch(part))]
    return (waits[0] if waits else None), "respond-async" in (part.lower() for part in parts)


async def show(request: web.Request) -> web.Response:
    form = _accepted(request.headers.get("Accept", "*/*"))
    services, profile_id = request.app[SERVICES], request.match_info["id"]
    if _PERMIT.fullmatch(profile_id):
        found = await profile_of(services, profile_id, request[LENDER])
        if isinstance(found, Pending):
            return _pending(found.permit_id, found.valid_until)
        profile_id = found
    document = await read_profile(services, profile_id, request[LENDER])
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
        {200: ProfileAnswer, 202: ProfilePending},
        ProfileRequest,
        headers={
            "Idempotency-Key": "the same key and body give the same profile and count one use (24 h)",
            "Cache-Control": "no-cache: every platform is asked, whatever `max_age` allows to be used again (RFC 9111)",
            "Prefer": "wait=N: sources may take N seconds, up to the gateway's own deadline; respond-async: 202 and "
            "where the profile will be, with wait=N only if it takes longer (RFC 7240)",
        },
        errors=(403, 404, 409, 422, 503),
    ),
    Route(
        "GET",
        "/v1/profiles/{id}",
        show,
        "Read a profile again 读取画像",
        _TAG,
        {200: ProfileAnswer, 202: ProfilePending},
        also=(_JOSE,),
        errors=(404, 406, 409, 410, 503),
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
