"""``apisix-hmac``: the hmac-auth plug-in of newer APISIX, ``Authorization: Signature …`` (not the X-HMAC-* of old)."""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256

from connectors.signing.base import HeaderSigner, Heard, Moment, header_scheme, heard, path_of, query_of
from connectors.signing.http_fields import auth_parameters
from connectors.signing.verifying import Why, refusal, required
from connectors.wire import WireRequest
from schemas.base import Model


class ApisixOptions(Model):
    """``digest``: the body is covered too, by a ``Digest`` header that is itself signed."""

    digest: bool = True


class ApisixSigner(HeaderSigner):
    """The text is a line each, ended: key id, method and request target, ``date: …``, and ``digest: …``."""

    signature_header = "authorization"

    def __init__(self, options: ApisixOptions, secrets: Mapping[str, str]) -> None:
        self._digest = options.digest
        self._access_key, self._secret = secrets["access_key"], secrets["secret_key"].encode()
        self._covered = "@request-target date digest" if options.digest else "@request-target date"

    def headers(self, request: WireRequest, moment: Moment) -> dict[str, str]:
        mac = b64encode(hmac.digest(self._secret, self.canonical(request, moment).encode(), "sha256")).decode()
        fields = {"Date": moment.text("rfc1123")}
        if self._digest:
            fields["Digest"] = _digest(request.body)
        value = f'keyId="{self._access_key}",algorithm="hmac-sha256",headers="{self._covered}",signature="{mac}"'
        return {**fields, "Authorization": f"Signature {value}"}

    def canonical(self, request: WireRequest, moment: Moment, charset: str = "utf-8") -> str:  # noqa: ARG002
        query = query_of(request)
        target = path_of(request) + (f"?{query}" if query else "")
        lines = [self._access_key, f"{request.method} {target}", f"date: {moment.text('rfc1123')}"]
        if self._digest:
            lines.append(f"digest: {_digest(request.body)}")
        return "".join([line + "\n" for line in lines])

    def moment_of(self, headers: Mapping[str, str]) -> Heard:
        return heard(required(headers, "date"), "rfc1123", "")

    def differs(self, given: Mapping[str, str], right: Mapping[str, str]) -> Why | None:
        kind, _, rest = given["authorization"].partition(" ")
        stated, wanted = auth_parameters(rest), auth_parameters(right["authorization"].partition(" ")[2])
        if kind != "Signature" or stated.keys() != wanted.keys():
            raise refusal(Why.MALFORMED)
        if stated["keyId"] != wanted["keyId"]:
            return Why.UNKNOWN_KEY
        if (stated["algorithm"], stated["headers"]) != (wanted["algorithm"], wanted["headers"]):
            return Why.ALGORITHM
        if given.get("digest") != right.get("digest"):
            return Why.DIGEST
        return None if hmac.compare_digest(stated["signature"].encode(), wanted["signature"].encode()) else Why.FORGED


def _digest(body: bytes) -> str:
    return "SHA-256=" + b64encode(sha256(body).digest()).decode()


APISIX_HMAC = header_scheme(ApisixOptions, lambda _: ("access_key", "secret_key"), ApisixSigner)
