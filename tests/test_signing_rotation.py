"""Credentials that change: one refresh for all (fault U24), and a working one never lost before its successor works."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7

from connectors.signing import SCHEMES
from connectors.signing.renewal import Issued, Renewal, read_lifetime
from connectors.wire import Draft, WireReply, WireRequest
from schemas.base import Json
from schemas.errors import ConfigurationError, UpstreamConnect, UpstreamDenied, UpstreamError, UpstreamMalformed
from tests.signing_world import AT, NOW

DRAFT = Draft("POST", "https://xx.example", "/q", body={"a": "b"}, encode="json")
APP_SECRET = "0123456789abcdef"


class Issuer:
    """Hands out numbered credentials, each good for 100 seconds of ``clock``; fails while ``down``."""

    def __init__(self) -> None:
        self.clock, self.asked, self.down = 0.0, 0, False
        self.renewal = Renewal(lambda: self.clock)

    async def fetch(self) -> Issued:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise UpstreamConnect
        return Issued(f"credential {self.asked}", self.clock + 90, self.clock + 100)

    async def get(self) -> str:
        return await self.renewal.get(self.fetch)


async def test_a_thousand_requests_at_expiry_cost_one_refresh() -> None:
    issuer = Issuer()
    assert set(await asyncio.gather(*(issuer.get() for _ in range(1000)))) == {"credential 1"}
    issuer.clock = 100
    assert set(await asyncio.gather(*(issuer.get() for _ in range(1000)))) == {"credential 2"}
    assert issuer.asked == 2


async def test_while_one_renews_early_the_others_go_on_with_the_old_one() -> None:
    issuer = Issuer()
    await issuer.get()
    issuer.clock = 95
    got = await asyncio.gather(*(issuer.get() for _ in range(1000)))
    assert (got.count("credential 2"), got.count("credential 1")) == (1, 999)


async def test_a_refresh_that_fails_loses_nothing_that_still_works() -> None:
    issuer = Issuer()
    await issuer.get()
    issuer.clock, issuer.down = 91, True
    assert await issuer.get() == "credential 1"
    assert await issuer.get() == "credential 1"
    assert issuer.asked == 2
    issuer.clock = 97
    assert await issuer.get() == "credential 1"
    assert issuer.asked == 3
    issuer.clock = 100
    results = await asyncio.gather(*(issuer.get() for _ in range(1000)), return_exceptions=True)
    assert {type(result) for result in results} == {UpstreamConnect}
    assert issuer.asked == 4


async def test_a_new_one_that_is_refused_gives_way_to_the_old_one() -> None:
    issuer = Issuer()
    await issuer.get()
    issuer.clock = 91
    assert await issuer.get() == "credential 2"
    assert list(issuer.renewal.held()) == ["credential 2", "credential 1"]
    issuer.renewal.refused("credential 2")
    assert await issuer.get() == "credential 1"
    issuer.renewal.refused("credential 2")
    assert await issuer.get() == "credential 1"
    issuer.renewal.refused("credential 1")
    assert await issuer.get() == "credential 3"


async def test_a_refused_one_without_another_is_replaced_once() -> None:
    issuer = Issuer()
    await issuer.get()
    for _ in range(100):
        issuer.renewal.refused("credential 1")
    assert await issuer.get() == "credential 2"
    assert issuer.asked == 2


@pytest.mark.parametrize("end", [None, "x", 1.5, True, int(NOW * 1000), int((NOW + 400 * 86400) * 1000), "9" * 16])
def test_an_end_that_is_none_is_refused(end: object) -> None:
    with pytest.raises(UpstreamMalformed):
        read_lifetime(end, NOW, "end")


def test_an_end_is_read_as_number_and_as_text() -> None:
    end = int((NOW + 900) * 1000)
    assert read_lifetime(end, NOW, "end") == read_lifetime(str(end), NOW, "end") == 900


# --- national ----------------------------------------------------------------------------------------------------


def sealed(secret: str, key: str = APP_SECRET) -> str:
    padder, cipher = PKCS7(128).padder(), Cipher(AES(key.encode()), ECB()).encryptor()
    return b64encode(cipher.update(padder.update(secret.encode()) + padder.finalize()) + cipher.finalize()).decode()


class Platform:
    """Answers each refreshing call with the next of ``answers``."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.requests = list(answers), list[WireRequest]()

    async def send(self, request: WireRequest) -> WireReply:
        self.requests.append(request)
        answer = self.answers.pop(0)
        return answer if isinstance(answer, WireReply) else WireReply(200, {}, json.dumps(answer).encode())


def secret_answer(secret: str) -> dict[str, Any]:
    return {"code": "0", "data": {"secret": sealed(secret), "secretEndTime": int((NOW + 900) * 1000)}}


NATIONAL: Mapping[str, Json] = {"sid": "s1", "secret_path": "/secret"}
NATIONAL_SECRETS = {"rid": "rid", "app_secret": APP_SECRET}


async def test_a_rotating_key_of_national_signs_what_comes_after_it() -> None:
    signer = SCHEMES["national"].build(NATIONAL, NATIONAL_SECRETS)
    platform = Platform(secret_answer("key one"), secret_answer("key two"))
    first = await signer.sign(DRAFT, AT, platform.send)
    assert await signer.sign(DRAFT, AT, platform.send) == first
    (asked,) = platform.requests
    assert (asked.method, asked.url, asked.body) == ("POST", "https://xx.example/secret", b"")
    under = {key: SCHEMES["national"].verifier({"sid": "s1"}, {"rid": "rid", "app_secret": key}) for key in
             (APP_SECRET, "key one", "key two")}  # fmt: skip
    assert under[APP_SECRET].read(asked).why is None
    assert under["key one"].read(first).why is None
    assert signer.refused(first)
    second = await signer.sign(DRAFT, AT, platform.send)
    assert under["key two"].read(second).why is None
    assert signer.refused(first)
    assert await signer.sign(DRAFT, AT, platform.send) == second


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"code": "1"}, UpstreamDenied),
        ({"code": "0", "data": {}}, UpstreamMalformed),
        ({"code": "0", "data": {"secret": "AAAA", "secretEndTime": int((NOW + 9) * 1000)}}, UpstreamMalformed),
        ({"code": "0", "data": {"secret": sealed(""), "secretEndTime": int((NOW + 9) * 1000)}}, UpstreamMalformed),
        ([], UpstreamMalformed),
        (WireReply(401, {}, b""), UpstreamDenied),
    ],
)
async def test_an_answer_without_a_key_is_typed(answer: Any, error: type[UpstreamError]) -> None:
    with pytest.raises(error):
        await SCHEMES["national"].build(NATIONAL, NATIONAL_SECRETS).sign(DRAFT, AT, Platform(answer).send)


def test_the_secret_must_fit_the_cipher() -> None:
    with pytest.raises(ConfigurationError):
        SCHEMES["national"].build(NATIONAL, {"rid": "rid", "app_secret": "short"})


# --- md5-rotating ------------------------------------------------------------------------------------------------

MD5: Mapping[str, Json] = {"refresh_path": "/refresh", "request_path": "/request"}


def issues(name: str, value: str) -> dict[str, Any]:
    return {"code": "00", "datas": {name: value, f"{name}EndTime": int((NOW + 900) * 1000)}}


async def test_two_calls_lead_to_the_request_secret() -> None:
    signer = SCHEMES["md5-rotating"].build(MD5, {"app_key": "k", "app_secret": "s"})
    platform = Platform(issues("refreshSecret", "r1"), issues("requestSecret", "q1"), issues("requestSecret", "q2"))
    first = await signer.sign(DRAFT, AT, platform.send)
    assert [request.url.partition("?")[0] for request in platform.requests] == [
        "https://xx.example/refresh",
        "https://xx.example/request",
    ]
    assert holds("q1", first)
    assert signer.refused(first)
    assert holds("q2", await signer.sign(DRAFT, AT, platform.send))
    assert signer.refused(first)
    assert holds("q2", await signer.sign(DRAFT, AT, platform.send))


def holds(secret: str, request: WireRequest) -> bool:
    verifier = SCHEMES["md5-rotating"].verifier(MD5, {"app_key": "k", "request_secret": secret})
    return verifier.read(request).why is None


async def test_a_refresh_secret_that_is_refused_is_had_anew_once() -> None:
    signer = SCHEMES["md5-rotating"].build(MD5, {"app_key": "k", "app_secret": "s"})
    no = {"code": "11"}
    platform = Platform(issues("refreshSecret", "r1"), no, issues("refreshSecret", "r2"), issues("requestSecret", "q"))
    assert holds("q", await signer.sign(DRAFT, AT, platform.send))
    again = SCHEMES["md5-rotating"].build(MD5, {"app_key": "k", "app_secret": "s"})
    platform = Platform(issues("refreshSecret", "r1"), no, issues("refreshSecret", "r2"), no)
    with pytest.raises(UpstreamDenied):
        await again.sign(DRAFT, AT, platform.send)


@pytest.mark.parametrize("answer", [{"code": "00"}, {"code": "00", "datas": {"refreshSecret": ""}}])
async def test_an_answer_without_a_secret_is_malformed(answer: Any) -> None:
    signer = SCHEMES["md5-rotating"].build(MD5, {"app_key": "k", "app_secret": "s"})
    with pytest.raises(UpstreamMalformed):
        await signer.sign(DRAFT, AT, Platform(answer).send)
