"""``national``: the government-service platform's headers, with Base64(HMAC-SHA256(app_secret, sid + rid + rtime)).

With ``secret_path`` the HMAC key rotates: the four headers, signed with the application's secret, are posted there,
and the answer holds the key, AES-encrypted under that secret, and its end.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Annotated, Literal

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7
from pydantic import StringConstraints

from connectors.signing.base import HeaderSigner, Heard, Moment, Scheme, heard, with_headers
from connectors.signing.renewal import Issued, Renewal, issued, read_answer, read_lifetime
from connectors.signing.verifying import required
from connectors.wire import Draft, Send, WireReply, WireRequest
from schemas.base import Model, ShortText
from schemas.errors import ConfigurationError, UpstreamDenied, UpstreamMalformed


class NationalOptions(Model):
    """``sid``: the id of this interface; each interface, so each data set, has its own. ``secret_path``: where the
    rotating key is had, under the platform's base URL."""

    sid: ShortText
    prefix: Literal["gjzwfwpt", "gjgxjhpt"] = "gjzwfwpt"
    secret_path: Annotated[str, StringConstraints(pattern=r"^/[^?#\s]*$")] | None = None


class NationalSigner(HeaderSigner):
    def __init__(self, options: NationalOptions, secrets: Mapping[str, str]) -> None:
        self._prefix, self._sid, self._rid = options.prefix, options.sid, secrets["rid"]
        self._key = secrets["app_secret"].encode()
        self.signature_header = f"{self._prefix}_sign"

    def headers(self, request: WireRequest, moment: Moment) -> dict[str, str]:  # noqa: ARG002
        return self._under(self._key, moment.text("unix-ms"))

    def canonical(self, request: WireRequest, moment: Moment, charset: str = "utf-8") -> str:  # noqa: ARG002
        return f"{self._sid}{self._rid}{moment.text('unix-ms')}"

    def moment_of(self, headers: Mapping[str, str]) -> Heard:
        return heard(required(headers, f"{self._prefix}_rtime"), "unix-ms", "")

    def _under(self, key: bytes, rtime: str) -> dict[str, str]:
        mac = hmac.digest(key, (self._sid + self._rid + rtime).encode(), "sha256")
        return {
            f"{self._prefix}_rid": self._rid,
            f"{self._prefix}_sid": self._sid,
            f"{self._prefix}_rtime": rtime,
            f"{self._prefix}_sign": b64encode(mac).decode(),
        }


class RotatingNationalSigner(NationalSigner):
    def __init__(self, options: NationalOptions, secrets: Mapping[str, str], path: str) -> None:
        super().__init__(options, secrets)
        if len(self._key) not in (16, 24, 32):
            raise ConfigurationError(at="secrets.app_secret", mend="16, 24 or 32 bytes, the key of an AES")
        self._path = path
        self._secret = Renewal()

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:
        rtime = moment.text("unix-ms")

        async def fetch() -> Issued:
            asked_at = self._secret.clock()
            headers = {"Accept": "application/json", **self._under(self._key, rtime)}
            reply = await send(WireRequest("POST", draft.base_url + self._path, headers, b""))
            secret, lifetime = self._opened(reply, moment.unix)
            return issued(secret, asked_at, lifetime)

        key = await self._secret.get(fetch)
        return with_headers(draft.wire(), self._under(key.encode(), rtime))

    def refused(self, request: WireRequest) -> bool:
        """Which key was refused is told from the signature: it is the one that makes the same again."""
        rtime = request.headers[f"{self._prefix}_rtime"]
        for key in tuple(self._secret.held()):
            if self._under(key.encode(), rtime)[self.signature_header] == request.headers[self.signature_header]:
                self._secret.refused(key)
        return True

    def _opened(self, reply: WireReply, now: float) -> tuple[str, float]:
        answer = read_answer(reply, "secret")
        if answer.get("code") != "0":
            raise UpstreamDenied(at="secret")
        data = answer.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("secret"), str):
            raise UpstreamMalformed(at="secret.data")
        lifetime = read_lifetime(data.get("secretEndTime"), now, "secret.data.secretEndTime")
        opener, unpadder = Cipher(AES(self._key), ECB()).decryptor(), PKCS7(128).unpadder()  # noqa: S305 - the dialect's
        try:
            padded = opener.update(b64decode(str(data["secret"]), validate=True)) + opener.finalize()
            secret = (unpadder.update(padded) + unpadder.finalize()).decode("ascii")
        except ValueError:
            raise UpstreamMalformed(at="secret.data.secret") from None
        if not secret:
            raise UpstreamMalformed(at="secret.data.secret")
        return secret, lifetime


def _needs(_: NationalOptions) -> tuple[str, str]:
    return ("rid", "app_secret")


def _make(options: NationalOptions, secrets: Mapping[str, str]) -> NationalSigner:
    if options.secret_path:
        return RotatingNationalSigner(options, secrets, options.secret_path)
    return NationalSigner(options, secrets)


NATIONAL = Scheme(NationalOptions, _needs, _make, _needs, NationalSigner)
