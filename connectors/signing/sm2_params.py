"""``sm2-params``: SM2 with SM3 over the sorted parameters, with the business text under SM4 where wanted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import orjson

from connectors.aside import aside
from connectors.signing.base import Explained, Moment, Scheme, TimeForm
from connectors.signing.keys import KeyForm, TextForm, as_bytes, as_text, sm2_private_key, sm2_public_key
from connectors.signing.parameters import (
    ParameterOptions,
    Parameters,
    ParameterVerifier,
    parameters_of,
    with_parameters,
)
from connectors.signing.sm4 import Sm4Options, iv_needs, sm4_iv, sm4_key, sm4_open, sm4_seal
from connectors.signing.verifying import Claim, Why, refusal
from connectors.sm2 import DEFAULT_ID, SignatureForm, sm4_encrypt
from connectors.wire import Draft, Send, WireRequest
from schemas.base import Name, ShortText
from schemas.errors import ConfigurationError, InvalidRequest, InvalidValue


class Business(Sm4Options):
    """The body's members become one JSON text under SM4, in the parameter ``field``.

    ``key``: ``given`` is the secret ``sm4_key`` (32 hex digits); ``derived`` the first 16 characters of the
    upper-case hex of SM4-ECB-PKCS7 of the secret ``app_secret`` under the first 16 bytes of ``app_code``.
    """

    field: ShortText
    text: TextForm = "hex-lower"
    key: Literal["given", "derived"] = "given"


class Sm2Options(ParameterOptions):
    """``user_id``: name of the secret that is the SM2 user id; without it the default id of GM/T 0009.

    ``text`` is how raw and DER signatures are written; decimal ones are text already. ``append_key``: name of
    the secret that stands as ``&key=…`` behind the signed text.
    """

    ts: TimeForm = "unix-ms"
    user_id: Name | None = None
    form: SignatureForm = "raw"
    text: TextForm = "hex-lower"
    key_form: KeyForm = "hex"
    append_key: Name | None = None
    business: Business | None = None


def _needs(options: Sm2Options) -> set[str]:
    names = {"private_key"} | options.named() | {n for n in (options.user_id, options.append_key) if n}
    if options.business:
        names |= {"sm4_key"} if options.business.key == "given" else {"app_code", "app_secret"}
        names |= iv_needs(options.business)
    return names


def _verify_needs(options: Sm2Options) -> set[str]:
    return (_needs(options) - {"private_key"}) | {"platform_key"}


def _differs_each_time(options: Sm2Options) -> tuple[str, ...]:
    """What a random initialisation vector makes another text each time: two sides cannot compare it."""
    business = options.business
    return (business.field,) if business and business.mode != "ecb" and business.iv == "prefix" else ()


def business_key(business: Business | None, secrets: Mapping[str, str]) -> bytes:
    if business is None:
        return b""
    if business.key == "given":
        return sm4_key(secrets)
    return derived_sm4_key(secrets["app_code"], secrets["app_secret"])


def derived_sm4_key(app_code: str, app_secret: str) -> bytes:
    """The health-insurance dialect's rule; ConfigurationError where ``app_code`` is shorter than 16 bytes."""
    code = app_code.encode()[:16]
    if len(code) != 16:
        raise ConfigurationError(at="secrets.app_code", mend="at least 16 bytes")
    return sm4_encrypt(code, app_secret.encode()).hex().upper()[:16].encode()


class Sm2Signer:
    def __init__(self, options: Sm2Options, secrets: Mapping[str, str]) -> None:
        self._options = options
        self._key = sm2_private_key(secrets["private_key"], options.key_form)
        self._user_id = secrets[options.user_id].encode() if options.user_id else DEFAULT_ID
        self._suffix = f"&key={secrets[options.append_key]}" if options.append_key else ""
        self._masked_suffix = f"&key=<{options.append_key}>" if options.append_key else ""
        self._parameters, self._masked = Parameters(options, secrets), Parameters(options, None)
        self._business_key = business_key(options.business, secrets)
        self._iv = sm4_iv(options.business, secrets)

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        return await aside(self._signed, draft, moment)

    def refused(self, request: WireRequest) -> bool:  # noqa: ARG002
        return False

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        sealed = self._sealed(draft)
        complete, _ = self._parameters.complete(sealed, moment)
        masked, added = self._masked.complete(sealed, moment)
        masked = with_parameters(masked, {name: f"<{name}>" for name in _differs_each_time(self._options)})
        text = self._masked.text(masked) + self._masked_suffix
        return Explained(text, {}, {**added, self._options.sign: self._signature(complete)})

    def _signed(self, draft: Draft, moment: Moment) -> WireRequest:
        draft, _ = self._parameters.complete(self._sealed(draft), moment)
        return with_parameters(draft, {self._options.sign: self._signature(draft)}).wire()

    def _sealed(self, draft: Draft) -> Draft:
        business = self._options.business
        if business is None:
            return draft
        if draft.body is None:
            raise InvalidRequest(at="request.body")
        text = orjson.dumps(draft.body).decode().encode(draft.charset)
        sealed = sm4_seal(business, self._business_key, self._iv, text)
        return draft.with_body({business.field: as_text(sealed, business.text)})

    def _signature(self, draft: Draft) -> str:
        text = (self._parameters.text(draft) + self._suffix).encode(draft.charset)
        signature = self._key.sign(text, user_id=self._user_id, form=self._options.form)
        return signature.decode() if self._options.form == "decimal" else as_text(signature, self._options.text)


class Sm2Verifier(ParameterVerifier):
    """Where the options have ``business``, the text under SM4 is replaced by what it holds, once the signature over
    the sealed text was found good."""

    aside = True

    def __init__(self, options: Sm2Options, secrets: Mapping[str, str]) -> None:
        key = sm2_public_key(secrets, options.key_form)
        user_id = secrets[options.user_id].encode() if options.user_id else DEFAULT_ID

        def holds(text: bytes, signature: str) -> bool:
            raw = (
                signature.encode("utf-8", "replace") if options.form == "decimal" else as_bytes(signature, options.text)
            )
            return raw is not None and key.verify(raw, text, user_id=user_id, form=options.form)

        suffix = options.append_key
        super().__init__(
            options,
            secrets,
            holds,
            f"&key={secrets[suffix]}" if suffix else "",
            f"&key=<{suffix}>" if suffix else "",
            _differs_each_time(options),
        )
        self._business = options.business
        self._key, self._iv = business_key(options.business, secrets), sm4_iv(options.business, secrets)

    def read(self, request: WireRequest) -> Claim:
        claim = super().read(request)
        if self._business is None or claim.why is not None:
            return claim
        members, charset = parameters_of(request)
        sealed = as_bytes(str(members.get(self._business.field)), self._business.text)
        try:
            opened = sm4_open(self._business, self._key, self._iv, sealed or b"").decode(charset)
        except (InvalidValue, ValueError):
            raise refusal(Why.MALFORMED) from None
        return replace(claim, opened=orjson.dumps({**members, self._business.field: opened}))


SM2_PARAMS = Scheme(Sm2Options, _needs, Sm2Signer, _verify_needs, Sm2Verifier)
