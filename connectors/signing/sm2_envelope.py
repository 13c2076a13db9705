"""``sm2-envelope``: the body as one JSON text under a fresh SM4 key, that under the receiver's SM2 key, SM2-signed.

No public specification names the members or what the signature covers: [assumed], so both are switches.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Literal

import orjson
from pydantic import Field

from connectors.aside import aside
from connectors.json_tree import parse_json
from connectors.signing.base import Explained, Moment, Scheme, TimeForm, heard
from connectors.signing.keys import KeyForm, TextForm, as_bytes, as_text, sm2_private_key, sm2_public_key
from connectors.signing.parameters import parameters_of, texts_of
from connectors.signing.sm4 import Sm4Options, iv_needs, sm4_iv, sm4_open, sm4_seal
from connectors.signing.template import ATTEMPT, Facts, Template, compile_template, secret_names
from connectors.signing.verifying import Claim, Why, Window, refusal, required, same
from connectors.sm2 import DEFAULT_ID, CipherForm, SignatureForm
from connectors.wire import Draft, Send, WireRequest
from schemas.base import Json, Name, ShortText
from schemas.errors import InvalidRequest, InvalidValue, UpstreamError

_KEY_BYTES = 16


class EnvelopeOptions(Sm4Options):
    """``inside``: members that join the body before it is sealed, texts with {ts}, {nonce} and secrets; ``beside``:
    members that stand open beside the sealed ones, with secrets (an application id). ``data``, ``key``, ``sign``: the
    members of the sealed text, the sealed key and the signature, all written as ``text`` says.

    ``signs``: the plaintext or the ciphertext, as bytes. ``order``: how the sealed key is written. ``user_id`` names
    the secret that is the SM2 user id of both sides; ``form`` and ``key_form`` as in ``sm2-params``.
    """

    inside: Annotated[dict[str, Template], Field(default_factory=lambda: {"timestamp": "{ts}", "nonce": "{nonce}"})]
    beside: Annotated[dict[str, Template], Field(default_factory=dict)]
    ts: TimeForm = "unix-ms"
    data: ShortText = "data"
    key: ShortText = "key"
    sign: ShortText = "sign"
    signs: Literal["plaintext", "ciphertext"] = "plaintext"
    order: CipherForm = "c1c3c2"
    user_id: Name | None = None
    form: SignatureForm = "raw"
    text: TextForm = "base64"
    key_form: KeyForm = "hex"


def _needs(options: EnvelopeOptions) -> set[str]:
    named = secret_names([*options.inside.values(), *options.beside.values()], ATTEMPT)
    return (
        {"private_key", "platform_key"} | named | iv_needs(options) | ({options.user_id} if options.user_id else set())
    )


class EnvelopeSigner:
    """Seals for ``platform_key`` and signs with ``private_key``."""

    def __init__(self, options: EnvelopeOptions, secrets: Mapping[str, str]) -> None:
        self._options = options
        self._own = sm2_private_key(secrets["private_key"], options.key_form)
        self._theirs = sm2_public_key(secrets, options.key_form)
        self._user_id = secrets[options.user_id].encode() if options.user_id else DEFAULT_ID
        self._iv = sm4_iv(options, secrets)
        self._inside = [(k, compile_template(v, ATTEMPT, secrets)) for k, v in options.inside.items()]
        self._masked = [(k, compile_template(v, ATTEMPT, None)) for k, v in options.inside.items()]
        self._beside = [(k, compile_template(v, ATTEMPT, secrets)) for k, v in options.beside.items()]

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        return await aside(self._enveloped, draft, moment)

    def refused(self, request: WireRequest) -> bool:  # noqa: ARG002
        return False

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        """The plaintext, whichever is signed: the sealed text is another each time."""
        shown = {name: f"<{name}>" for name in (self._options.data, self._options.key, self._options.sign)}
        facts = self._facts(moment)
        masked = {**_body(draft), **{name: render(facts).decode() for name, render in self._masked}}
        return Explained(orjson.dumps(masked).decode(), {}, shown)

    def _facts(self, moment: Moment) -> Facts:
        return Facts(moment.text(self._options.ts), moment.nonce)

    def _enveloped(self, draft: Draft, moment: Moment) -> WireRequest:
        options, facts = self._options, self._facts(moment)
        members = {**_body(draft), **{name: render(facts).decode() for name, render in self._inside}}
        plain = orjson.dumps(members).decode().encode(draft.charset)
        key = os.urandom(_KEY_BYTES)
        sealed = sm4_seal(options, key, self._iv, plain)
        signed = plain if options.signs == "plaintext" else sealed
        signature = self._own.sign(signed, user_id=self._user_id, form=options.form)
        envelope: dict[str, Json] = {name: render(facts).decode() for name, render in self._beside}
        envelope[options.data] = as_text(sealed, options.text)
        envelope[options.key] = as_text(self._theirs.encrypt(key, form=options.order), options.text)
        envelope[options.sign] = signature.decode() if options.form == "decimal" else as_text(signature, options.text)
        return draft.with_body(envelope).wire()


class EnvelopeVerifier:
    """Opens with ``private_key``, verifies with ``platform_key``. ``{ts}`` and ``{nonce}`` must stand alone inside."""

    window = Window(300, 300)
    aside = True

    def __init__(self, options: EnvelopeOptions, secrets: Mapping[str, str]) -> None:
        self._options = options
        self._own = sm2_private_key(secrets["private_key"], options.key_form)
        self._theirs = sm2_public_key(secrets, options.key_form)
        self._user_id = secrets[options.user_id].encode() if options.user_id else DEFAULT_ID
        self._iv = sm4_iv(options, secrets)
        alone = {text: name for name, text in options.inside.items()}
        self._ts, self._nonce = alone.get("{ts}", ""), alone.get("{nonce}", "")
        self._named = {name: value for held, value in secrets.items() if (name := alone.get(f"{{{held}}}"))}

    def read(self, request: WireRequest) -> Claim:
        options = self._options
        members, charset = parameters_of(request)
        texts = texts_of(members)
        data, key, sign = (required(texts, name) for name in (options.data, options.key, options.sign))
        sealed, sealed_key = as_bytes(data, options.text), as_bytes(key, options.text)
        signature = sign.encode("utf-8", "replace") if options.form == "decimal" else as_bytes(sign, options.text)
        if sealed is None or sealed_key is None or signature is None:
            raise refusal(Why.MALFORMED)
        # What cannot be opened was changed on the way or sealed for another: nothing in it can be told from a forgery.
        try:
            plain = sm4_open(options, self._own.decrypt(sealed_key, form=options.order), self._iv, sealed)
        except (InvalidValue, ValueError):
            raise refusal(Why.FORGED) from None
        signed = plain if options.signs == "plaintext" else sealed
        if not self._theirs.verify(signature, signed, user_id=self._user_id, form=options.form):
            raise refusal(Why.FORGED)
        return self._claim(plain, charset)

    def _claim(self, plain: bytes, charset: str) -> Claim:
        try:
            tree = parse_json(plain.decode(charset))
        except (ValueError, UpstreamError):
            tree = None
        if not isinstance(tree, dict):
            raise refusal(Why.MALFORMED)
        texts = texts_of(tree)
        moment = heard(required(texts, self._ts), self._options.ts, required(texts, self._nonce))
        known = all(same(texts.get(name, ""), value) for name, value in self._named.items())
        text = plain.decode(charset)
        for name in self._named:
            text = text.replace(orjson.dumps(texts.get(name, "")).decode(), f'"<{self._options.inside[name][1:-1]}>"')
        return Claim(text, moment.unix, moment.nonce, None if known else Why.UNKNOWN_KEY, plain)


def _body(draft: Draft) -> Mapping[str, Json]:
    if draft.body is None:
        raise InvalidRequest(at="request.body")
    return draft.body


SM2_ENVELOPE = Scheme(EnvelopeOptions, _needs, EnvelopeSigner, _needs, EnvelopeVerifier)
