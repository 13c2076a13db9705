"""``hmac-template``: any platform's own string, as a template, under a keyed or plain digest, into headers."""

import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import md5, sha1, sha256
from typing import Annotated, Literal

from pydantic import Field

from connectors.signing.base import HeaderSigner, Heard, Moment, TimeForm, header_scheme, heard
from connectors.signing.template import SIGNED, WIRE, Facts, Template, compile_template, secret_names
from connectors.signing.verifying import Why, refusal, required
from connectors.sm2 import hmac_sm3, sm3
from connectors.wire import WireRequest
from schemas.base import Model, Name

Mac = Literal["hmac-sha256", "hmac-sha1", "hmac-md5", "hmac-sm3", "sha256", "sha1", "md5", "sm3"]


class HmacTemplateOptions(Model):
    """``key``: name of the secret under an ``hmac-``; a plain digest has its secret inside ``text`` instead.

    ``text`` may name {method} {path} {query} {ts} {nonce} {body} {body_sha256} {body_sm3} {body_md5} and the
    declared secrets; ``headers`` also {mac}.
    """

    text: Annotated[Template, Field(min_length=1)]
    mac: Mac
    encoding: Literal["hex-lower", "hex-upper", "base64"]
    ts: TimeForm
    key: Name = "app_key"
    headers: Annotated[dict[str, Template], Field(min_length=1)]


_PLAIN: Mapping[str, Callable[[bytes], bytes]] = {
    "sha256": lambda data: sha256(data).digest(),
    "sha1": lambda data: sha1(data, usedforsecurity=False).digest(),
    "md5": lambda data: md5(data, usedforsecurity=False).digest(),
    "sm3": sm3,
}


def _digest(mac: Mac, key: bytes) -> Callable[[bytes], bytes]:
    if mac == "hmac-sm3":
        return partial(hmac_sm3, key)
    if mac.startswith("hmac-"):
        return lambda data: hmac.digest(key, data, mac.removeprefix("hmac-"))
    return _PLAIN[mac]


def _needs(options: HmacTemplateOptions) -> set[str]:
    key = {options.key} if options.mac.startswith("hmac-") else set()
    return key | secret_names([options.text], WIRE) | secret_names(options.headers.values(), SIGNED)


class HmacTemplateSigner(HeaderSigner):
    """To be verified, a message must carry ``{ts}``, and ``{nonce}`` where the text names it, each alone in a header,
    and one header with ``{mac}``."""

    def __init__(self, options: HmacTemplateOptions, secrets: Mapping[str, str]) -> None:
        self._ts, self._encoding = options.ts, options.encoding
        self._digest = _digest(options.mac, secrets.get(options.key, "").encode())
        self._text = compile_template(options.text, WIRE, secrets)
        self._masked = compile_template(options.text, WIRE, None)
        self._headers = [(k, compile_template(v, SIGNED, secrets)) for k, v in options.headers.items()]
        self._masked_headers = [(k, compile_template(v, SIGNED, None)) for k, v in options.headers.items()]
        alone = {template: name.lower() for name, template in options.headers.items()}
        self._ts_header, self._nonce_header = alone.get("{ts}", ""), alone.get("{nonce}", "")
        self.signs_nonce = "{nonce}" in options.text
        self.signature_header = next((k.lower() for k, v in options.headers.items() if "{mac}" in v), "")
        self.folds_case = options.encoding != "base64"

    def headers(self, request: WireRequest, moment: Moment) -> dict[str, str]:
        facts = self._facts(request, moment)
        return {name: render(facts).decode() for name, render in self._headers}

    def shown(self, request: WireRequest, moment: Moment) -> dict[str, str]:
        """Masked too: which of the secrets are mere identifiers, only the manifest's author knows."""
        facts = self._facts(request, moment)
        return {name: render(facts).decode() for name, render in self._masked_headers}

    def canonical(self, request: WireRequest, moment: Moment, charset: str = "utf-8") -> str:
        return self._masked(self._facts(request, moment)).decode(charset, "backslashreplace")

    def moment_of(self, headers: Mapping[str, str]) -> Heard:
        if not self.signature_header:
            raise refusal(Why.MISSING)
        nonce = headers.get(self._nonce_header, "")
        if self.signs_nonce and not nonce:
            raise refusal(Why.MISSING)
        return heard(required(headers, self._ts_header), self._ts, nonce)

    def _facts(self, request: WireRequest, moment: Moment) -> Facts:
        facts = Facts(moment.text(self._ts), moment.nonce, request)
        mac = self._digest(self._text(facts))
        if self._encoding == "base64":
            facts.mac = b64encode(mac).decode()
        else:
            facts.mac = mac.hex() if self._encoding == "hex-lower" else mac.hex().upper()
        return facts


HMAC_TEMPLATE = header_scheme(HmacTemplateOptions, _needs, HmacTemplateSigner)
