"""Every scheme that can verify, with invented keys, as its two sides: who signs and who verifies."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from connectors.signing import SCHEMES
from connectors.signing.base import Moment
from connectors.signing.verifying import Verifier
from connectors.sm2 import PrivateKey
from connectors.wire import Draft, WireReply, WireRequest
from schemas.base import Json

NOW = 1795500000.0
AT = Moment(NOW, "abc123nonce")
DRAFT = Draft(
    "POST",
    "https://xx.example/base",
    "/q/企业",
    (("a", "1 2"), ("b", "")),
    {"uscc": "91990000MA0000015Q", "name": "虚构公司", "n": 5},
    encode="json",
)
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Case:
    """``ours`` are the secrets that sign; ``other`` are those of somebody with keys of the right shape and not right.
    ``covers`` names what else than the scheme's own headers the signature covers, ``members`` which members of the body
    where they are not all."""

    scheme: str
    options: Mapping[str, Json]
    ours: Mapping[str, str]
    other: Mapping[str, str]
    covers: frozenset[str] = frozenset()
    headers: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    theirs: Mapping[str, str] = field(default_factory=dict)

    def signed(
        self, draft: Draft = DRAFT, moment: Moment = AT, secrets: Mapping[str, str] | None = None
    ) -> WireRequest:
        signer = SCHEMES[self.scheme].build(self.options, secrets or self.ours)
        return asyncio.run(signer.sign(draft, moment, replay_secrets))

    def verifier(self) -> Verifier:
        return SCHEMES[self.scheme].verifier(self.options, self.theirs or self.ours)


async def replay_secrets(request: WireRequest) -> WireReply:
    """The refreshing calls of md5-rotating; no other scheme here sends anything."""
    assert request.url.startswith("https://xx.example/base/re")
    name = "refreshSecret" if "/refresh?" in request.url else "requestSecret"
    end = int(NOW * 1000) + 900_000
    return WireReply(200, {}, f'{{"code":"00","datas":{{"{name}":"reqsecret1","{name}EndTime":{end}}}}}'.encode())


@cache
def key(kind: str, number: int) -> Private:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else ed25519.Ed25519PrivateKey.generate()


def pem(private: Private) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(private: Private) -> str:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


SHARED = [b64encode(bytes([number] * 32)).decode() for number in range(2)]
SM2 = [f"{number:02x}" * 32 for number in (0x39, 0x47, 0x58)]
SM4 = "0123456789abcdeffedcba9876543210"
ALL = frozenset({"method", "path", "query", "body"})
TEMPLATE: Mapping[str, Json] = {
    "text": "{method}\n{path}\n{query}\n{app_id}\n{ts}\n{nonce}\n{body_sm3}\n",
    "mac": "hmac-sm3",
    "encoding": "hex-upper",
    "ts": "unix-ms",
    "headers": {"X-App": "{app_id}", "X-Ts": "{ts}", "X-Nonce": "{nonce}", "X-Sign": "v1:{mac}"},
}
ADD: Json = {"app_id": "{app_id}", "timestamp": "{ts}", "nonce": "{nonce}"}


def rfc9421(algorithm: str, kind: str) -> Case:
    def secrets(number: int) -> dict[str, str]:
        held = {"shared_key": SHARED[number]} if kind == "shared" else {"private_key": pem(key(kind, number))}
        return {"key_id": "our-key", **held}

    headers = ("Content-Digest", "Signature-Input", "Signature")
    return Case("rfc9421", {"algorithm": algorithm}, secrets(0), secrets(1), ALL, headers)


def jws(alg: str, kind: str) -> Case:
    def secrets(number: int) -> dict[str, str]:
        held = {"shared_key": SHARED[number]} if kind == "shared" else {"private_key": pem(key(kind, number))}
        return {"key_id": "our-key", **held}

    return Case("jws-detached", {"alg": alg}, secrets(0), secrets(1), frozenset({"body"}), ("X-JWS-Signature",))


def sm2_point(number: int) -> str:
    return PrivateKey(bytes.fromhex(SM2[number])).public.point.hex()


def envelope(**options: Json) -> Case:
    """The second key is the platform's."""
    return Case(
        "sm2-envelope",
        options,
        {"private_key": SM2[0], "platform_key": sm2_point(1), "sm4_iv": SM4},
        {"private_key": SM2[2], "platform_key": sm2_point(1), "sm4_iv": SM4},
        frozenset({"members"}),
        members=("data", "key", "sign"),
        theirs={"private_key": SM2[1], "platform_key": sm2_point(0), "sm4_iv": SM4},
    )


def placeholder(**options: Json) -> Case:
    return Case(
        "placeholder-sm2",
        {"key_form": "hex", **options},
        {"user": "N12345", "private_key": SM2[0], "sm4_key": SM4},
        {"user": "N12345", "private_key": SM2[1], "sm4_key": SM4},
        frozenset({"members"}),
        members=("DATA", "UID"),
    )


def tif(name: str) -> Case:
    headers = tuple(f"x-{name}-{part}" for part in ("paasid", "timestamp", "nonce", "signature"))
    return Case(name, {}, {"paasid": "p", "token": "t"}, {"paasid": "p", "token": "T"}, headers=headers)


def bg(dialect: str, prefix: str, date: str, query: str) -> Case:
    headers = (f"{prefix}-ACCESS-KEY", f"{prefix}-ALGORITHM", f"{prefix}-SIGNATURE", date)
    return Case(
        "bg-hmac",
        {"dialect": dialect, "query": query},
        {"access_key": "ak", "secret_key": "sk"},
        {"access_key": "ak", "secret_key": "Sk"},
        ALL - {"body"},
        headers,
    )


CASES = {
    "tif": tif("tif"),
    "rio": tif("rio"),
    "national": Case(
        "national",
        {"sid": "s_test_001"},
        {"rid": "rid-001", "app_secret": "test-secret"},
        {"rid": "rid-001", "app_secret": "Test-secret"},
        headers=tuple(f"gjzwfwpt_{name}" for name in ("rid", "sid", "rtime", "sign")),
    ),
    "bg-hmac": bg("bg", "X-BG-HMAC", "X-BG-DATE-TIME", "encoded"),
    "bg-hmac old APISIX": bg("apisix", "X-HMAC", "Date", "decoded"),
    "apisix-hmac": Case(
        "apisix-hmac",
        {},
        {"access_key": "ak", "secret_key": "sk"},
        {"access_key": "ak", "secret_key": "Sk"},
        ALL,
        ("Date", "Digest", "Authorization"),
    ),
    "apisix-hmac without digest": Case(
        "apisix-hmac",
        {"digest": False},
        {"access_key": "ak", "secret_key": "sk"},
        {"access_key": "ak", "secret_key": "Sk"},
        ALL - {"body"},
        ("Date", "Authorization"),
    ),
    "md5-rotating": Case(
        "md5-rotating",
        {"refresh_path": "/refresh", "request_path": "/request"},
        {"app_key": "appkey1", "app_secret": "s", "request_secret": "reqsecret1"},
        {"app_key": "appkey2", "app_secret": "s", "request_secret": "reqsecret1"},
        members=("appKey", "requestTime", "sign"),
        theirs={"app_key": "appkey1", "request_secret": "reqsecret1"},
    ),
    "hmac-template": Case(
        "hmac-template",
        TEMPLATE,
        {"app_id": "an-app", "app_key": "a-key"},
        {"app_id": "an-app", "app_key": "A-key"},
        ALL,
        ("X-App", "X-Ts", "X-Nonce", "X-Sign"),
    ),
    "rsa2": Case(
        "rsa2",
        {"add": ADD},
        {"app_id": "a", "private_key": pem(key("rsa", 0))},
        {"app_id": "a", "private_key": pem(key("rsa", 1))},
        frozenset({"members"}),
    ),
    "sm2-params": Case(
        "sm2-params", {"add": ADD}, {"app_id": "a", "private_key": SM2[0]}, {"app_id": "a", "private_key": SM2[1]},
        frozenset({"members"}),
    ),
    "sm2-params decimal": Case(
        "sm2-params",
        {"add": ADD, "form": "decimal", "append_key": "secret", "user_id": "app_id"},
        {"app_id": "a", "private_key": SM2[0], "secret": "s"},
        {"app_id": "a", "private_key": SM2[0], "secret": "S"},
        frozenset({"members"}),
    ),
    "sm2-params sealed by GCM": Case(
        "sm2-params",
        {"add": ADD, "business": {"field": "biz", "mode": "gcm", "text": "base64"}},
        {"app_id": "a", "private_key": SM2[0], "sm4_key": SM4},
        {"app_id": "a", "private_key": SM2[1], "sm4_key": SM4},
        frozenset({"members"}),
    ),
    "sm2-envelope": envelope(),
    "sm2-envelope over the ciphertext": envelope(
        signs="ciphertext", order="04c1c2c3", mode="cbc", form="decimal", text="hex-upper",
        beside={"app": "an-app"},
    ),
    "sm2-envelope CBC with a given iv": envelope(mode="cbc", iv="given", order="der", form="der"),
    "sm2-envelope GCM": envelope(mode="gcm", order="c1c2c3"),
    "placeholder-sm2": placeholder(),
    "placeholder-sm2 decimal": placeholder(form="decimal", text="hex-lower", sorted=False),
    "wechatpay-v3": Case(
        "wechatpay-v3",
        {},
        {"mchid": "m", "serial_no": "1", "private_key": pem(key("rsa", 0))},
        {"mchid": "m", "serial_no": "1", "private_key": pem(key("rsa", 1))},
        ALL,
        ("Authorization",),
    ),
    "rfc9421 ed25519": rfc9421("ed25519", "ed"),
    "rfc9421 ecdsa": rfc9421("ecdsa-p256-sha256", "ec"),
    "rfc9421 rsa-pss": rfc9421("rsa-pss-sha512", "rsa"),
    "rfc9421 hmac": rfc9421("hmac-sha256", "shared"),
    "jws-detached Ed25519": jws("Ed25519", "ed"),
    "jws-detached ES256": jws("ES256", "ec"),
    "jws-detached PS512": jws("PS512", "rsa"),
    "jws-detached RS256": jws("RS256", "rsa"),
    "jws-detached HS256": jws("HS256", "shared"),
}  # fmt: skip
