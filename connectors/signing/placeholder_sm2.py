"""``placeholder-sm2``: a message signed with a placeholder where the signature will stand, all of it under SM4-CBC.

The SM2 user id and the initialisation vector are the user's name, filled up to 16 characters with ``0``. The dialect is
that of one bank's direct link for enterprises; no public specification: [assumed].
"""

from collections.abc import Mapping
from typing import Annotated

import orjson
from pydantic import Field

from connectors.aside import aside
from connectors.json_tree import parse_json
from connectors.signing.base import Explained, Moment, Scheme, TimeForm, heard
from connectors.signing.keys import KeyForm, TextForm, as_bytes, as_text, sm2_private_key, sm2_public_key
from connectors.signing.parameters import parameters_of, texts_of
from connectors.signing.sm4 import sm4_key
from connectors.signing.template import ATTEMPT, Facts, Template, compile_template, secret_names
from connectors.signing.verifying import Claim, Why, Window, lowered, refusal, required, same
from connectors.sm2 import SignatureForm, sm4_decrypt, sm4_encrypt
from connectors.wire import Draft, Send, WireRequest
from schemas.base import Json, Model, ShortText
from schemas.errors import ConfigurationError, InvalidRequest, InvalidValue, UpstreamError

_ID_BYTES = 16


class PlaceholderOptions(Model):
    """The message is the body's members and, under ``member``, an object with the signature as ``sign`` and the time
    ``ts`` as ``time``; compact JSON, keys sorted at every level where ``sorted``. ``placeholder`` stands for the
    signature while it is signed. ``data``: the parameter that takes the whole message; ``add``: those beside it, texts
    with secrets. A reply is the same, or its body is the sealed text alone.
    """

    data: ShortText = "DATA"
    add: Annotated[dict[str, Template], Field(default_factory=lambda: {"UID": "{user}", "ALG": "SM"})]
    member: ShortText = "signature"
    sign: ShortText = "sigdat"
    time: ShortText = "sigtim"
    placeholder: Annotated[ShortText, Field(pattern=r"^[A-Za-z0-9_]{8,}$")] = "__signature_sigdat__"
    sorted: bool = True
    ts: TimeForm = "yyyyMMddHHmmss"
    form: SignatureForm = "raw"
    text: TextForm = "base64"
    key_form: KeyForm = "base64"


def _needs(options: PlaceholderOptions) -> set[str]:
    return {"user", "private_key", "sm4_key"} | secret_names(options.add.values(), ATTEMPT)


def _verify_needs(options: PlaceholderOptions) -> set[str]:
    return (_needs(options) - {"private_key"}) | {"platform_key"}


def padded(secrets: Mapping[str, str]) -> bytes:
    """The user as SM2 user id and as initialisation vector; ConfigurationError for more than 16 bytes."""
    user = secrets["user"].encode()
    if len(user) > _ID_BYTES:
        raise ConfigurationError(at="secrets.user", mend="at most 16 bytes")
    return user.ljust(_ID_BYTES, b"0")


class PlaceholderSigner:
    def __init__(self, options: PlaceholderOptions, secrets: Mapping[str, str]) -> None:
        self._options = options
        self._key, self._sm4 = sm2_private_key(secrets["private_key"], options.key_form), sm4_key(secrets)
        self._id = padded(secrets)
        self._add = [(name, compile_template(text, ATTEMPT, secrets)) for name, text in options.add.items()]
        self._masked = [(name, compile_template(text, ATTEMPT, None)) for name, text in options.add.items()]

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        return await aside(self._sealed, draft, moment)

    def refused(self, request: WireRequest) -> bool:  # noqa: ARG002
        return False

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        facts = self._facts(moment)
        added = {name: render(facts).decode() for name, render in self._masked}
        return Explained(self._text(draft, moment), {}, {**added, self._options.data: f"<{self._options.data}>"})

    def _facts(self, moment: Moment) -> Facts:
        return Facts(moment.text(self._options.ts), moment.nonce)

    def _text(self, draft: Draft, moment: Moment) -> str:
        options = self._options
        if draft.body is None or options.member in draft.body:
            raise InvalidRequest(at="request.body")
        signature: Json = {options.sign: options.placeholder, options.time: moment.text(options.ts)}
        message = {**draft.body, options.member: signature}
        text = orjson.dumps(message, option=orjson.OPT_SORT_KEYS if options.sorted else None).decode()
        if text.count(options.placeholder) != 1:
            raise InvalidRequest(at="request.body")
        return text

    def _sealed(self, draft: Draft, moment: Moment) -> WireRequest:
        options, text, facts = self._options, self._text(draft, moment), self._facts(moment)
        raw = self._key.sign(text.encode(draft.charset), user_id=self._id, form=options.form)
        signature = raw.decode() if options.form == "decimal" else as_text(raw, options.text)
        signed = text.replace(options.placeholder, signature).encode(draft.charset)
        sealed = as_text(sm4_encrypt(self._sm4, signed, "cbc", self._id), options.text)
        added = {name: render(facts).decode() for name, render in self._add}
        return draft.with_body({**added, options.data: sealed}).wire()


class PlaceholderVerifier:
    """Without a nonce of its own a message is told from another by its text."""

    window = Window(300, 300)
    aside = True

    def __init__(self, options: PlaceholderOptions, secrets: Mapping[str, str]) -> None:
        self._options = options
        self._key, self._sm4 = sm2_public_key(secrets, options.key_form), sm4_key(secrets)
        self._id = padded(secrets)
        alone = {text: name for name, text in options.add.items()}
        self._named = {name: value for held, value in secrets.items() if (name := alone.get(f"{{{held}}}"))}

    def read(self, request: WireRequest) -> Claim:
        options = self._options
        sealed, charset, known = self._parts(request)
        raw = as_bytes(sealed, options.text)
        try:
            text = sm4_decrypt(self._sm4, raw or b"", "cbc", self._id).decode(charset)
            tree = parse_json(text)
        except (InvalidValue, ValueError, UpstreamError):
            # Changed on the way, or under another key: which of the two cannot be told.
            raise refusal(Why.FORGED) from None
        inner = tree.get(options.member) if isinstance(tree, dict) else None
        if not isinstance(inner, dict):
            raise refusal(Why.MISSING)
        texts = texts_of(inner)
        signature, ts = required(texts, options.sign), required(texts, options.time)
        if text.count(signature) != 1 or options.placeholder in text:
            raise refusal(Why.MALFORMED)
        signed = text.replace(signature, options.placeholder)
        given = signature.encode("utf-8", "replace") if options.form == "decimal" else as_bytes(signature, options.text)
        why: Why | None = None if known else Why.UNKNOWN_KEY
        if given is None or not self._key.verify(given, signed.encode(charset), user_id=self._id, form=options.form):
            why = Why.FORGED
        return Claim(signed, heard(ts, options.ts, "").unix, signed, why, text.encode(charset))

    def _parts(self, request: WireRequest) -> tuple[str, str, bool]:
        """The sealed text, the charset, and whether what stands beside it is right."""
        kind = lowered(request.headers).get("content-type", "")
        if "json" in kind or "form" in kind:
            members, charset = parameters_of(request)
            texts = texts_of(members)
            known = all(same(texts.get(name, ""), value) for name, value in self._named.items())
            return required(texts, self._options.data), charset, known
        sealed = request.body.decode("ascii", "replace")
        if not sealed:
            raise refusal(Why.MISSING)
        return sealed, kind.partition("charset=")[2].strip(' "') or "utf-8", True


PLACEHOLDER_SM2 = Scheme(PlaceholderOptions, _needs, PlaceholderSigner, _verify_needs, PlaceholderVerifier)
