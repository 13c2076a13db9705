"""``rfc9421``: HTTP Message Signatures (RFC 9421), the body covered by a Content-Digest (RFC 9530)."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints

from connectors.signing.algorithms import Algorithm, checker, key_name, sign_beside, signer
from connectors.signing.base import Explained, Moment, Scheme, heard, path_of, query_of, with_headers
from connectors.signing.http_fields import byte_sequences, content_digest, digest_holds, inner_list, signature_inputs
from connectors.signing.verifying import Claim, SignedReplies, Why, Window, lowered, refusal, required, same
from connectors.wire import Draft, Send, WireReply, WireRequest
from schemas.base import Model

Component = Annotated[str, StringConstraints(pattern=r"^(@[a-z-]+|[a-z0-9-]+)(;req)?$")]


class Rfc9421Options(Model):
    """``components``: what a request's signature covers, at least. ``reply_components``: what a reply's must; with
    ``;req`` it is that of the request which the reply answers (section 2.4)."""

    algorithm: Algorithm
    components: Annotated[tuple[Component, ...], Field(min_length=1, strict=False)] = (
        "@method", "@target-uri", "content-digest",
    )  # fmt: skip
    reply_components: Annotated[tuple[Component, ...], Field(min_length=1, strict=False)] = (
        "@status", "content-digest", "@method;req", "@target-uri;req", "content-digest;req",
    )  # fmt: skip
    label: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")] = "sig1"


@dataclass(frozen=True, slots=True)
class Message:
    """A request, or with ``status`` a reply to ``request``. Header names are lower-case."""

    headers: Mapping[str, str]
    body: bytes
    request: WireRequest
    status: int | None = None


def request_message(request: WireRequest) -> Message:
    return Message(lowered(request.headers), request.body, request)


def signature_base(message: Message, items: list[str], parameters: str) -> str:
    """Section 2.5. ``items`` as they are written in the list, ``parameters`` the whole list with its parameters.
    UpstreamSignature (missing) for a component that the message does not have."""
    lines = [f"{item}: {_value(message, item)}" for item in items]
    return "\n".join([*lines, f'"@signature-params": {parameters}'])


def _value(message: Message, item: str) -> str:
    name, _, flag = item.partition(";")
    name = name.strip('"')
    of_reply = message.status is not None
    if flag not in ("", "req") or (flag == "req" and not of_reply):
        raise refusal(Why.MALFORMED)
    if name == "@status" and of_reply and not flag:
        return str(message.status)
    if not name.startswith("@"):
        return required(message.headers if not flag else lowered(message.request.headers), name)
    if of_reply and not flag:
        raise refusal(Why.MALFORMED)
    return _derived(message.request, name)


def _derived(request: WireRequest, name: str) -> str:
    """Section 2.2."""
    query = query_of(request)
    if name == "@method":
        return request.method
    if name == "@target-uri":
        return request.url
    if name == "@path":
        return path_of(request)
    if name == "@query":
        return f"?{query}"
    if name == "@request-target":
        return path_of(request) + (f"?{query}" if query else "")
    parts = urlsplit(request.url)
    if name == "@scheme":
        return parts.scheme
    if name == "@authority":
        own = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
        return parts.netloc.lower().removesuffix(own)
    raise refusal(Why.MALFORMED)


class Rfc9421Signer:
    def __init__(self, options: Rfc9421Options, secrets: Mapping[str, str]) -> None:
        self._label, self._algorithm, self._key_id = options.label, options.algorithm, secrets["key_id"]
        self._items = [_item(component) for component in options.components]
        self._sign = signer(options.algorithm, secrets)

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        request, base, parameters = self._parts(draft, moment)
        signature = await sign_beside(self._algorithm, self._sign, base.encode())
        return with_headers(request, self._headers(signature, parameters))

    def refused(self, request: WireRequest) -> bool:  # noqa: ARG002
        return False

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        request, base, parameters = self._parts(draft, moment)
        digest = {"Content-Digest": request.headers["Content-Digest"]}
        return Explained(base, {**digest, **self._headers(self._sign(base.encode()), parameters)})

    def _parts(self, draft: Draft, moment: Moment) -> tuple[WireRequest, str, str]:
        request = draft.wire()
        request = with_headers(request, {"Content-Digest": content_digest(request.body)})
        stated = f';created={moment.text("unix-s")};nonce="{moment.nonce}";keyid="{self._key_id}"'
        parameters = f'({" ".join(self._items)}){stated};alg="{self._algorithm}"'
        return request, signature_base(request_message(request), self._items, parameters), parameters

    def _headers(self, signature: bytes, parameters: str) -> dict[str, str]:
        written = b64encode(signature).decode()
        return {"Signature-Input": f"{self._label}={parameters}", "Signature": f"{self._label}=:{written}:"}


class Rfc9421Verifier:
    """The algorithm and the least that is covered are those agreed on, whatever the message says."""

    window = Window(300, 300)
    aside = False

    def __init__(self, options: Rfc9421Options, secrets: Mapping[str, str]) -> None:
        self._label, self._algorithm = options.label, options.algorithm
        self._least = {_item(component) for component in options.components}
        self._least_of_reply = {_item(component) for component in options.reply_components}
        self._key_id = secrets["platform_key_id"] if "platform_key_id" in secrets else secrets["key_id"]
        self._holds = checker(options.algorithm, secrets)

    def read(self, request: WireRequest) -> Claim:
        return self.read_message(request_message(request))

    def read_message(self, message: Message) -> Claim:
        stated = signature_inputs(required(message.headers, "signature-input")).get(self._label)
        signature = byte_sequences(required(message.headers, "signature")).get(self._label)
        if stated is None or not signature:
            raise refusal(Why.MISSING)
        items, parameters = inner_list(stated)
        least = self._least if message.status is None else self._least_of_reply
        if not least <= set(items):
            raise refusal(Why.MISSING)
        moment = heard(required(parameters, "created"), "unix-s", required(parameters, "nonce"))
        base = signature_base(message, items, stated)
        return Claim(base, moment.unix, moment.nonce, self._against(message, items, parameters, base, signature))

    def _against(
        self, message: Message, items: list[str], parameters: Mapping[str, str], base: str, signature: bytes
    ) -> Why | None:
        if not same(parameters.get("keyid", ""), self._key_id):
            return Why.UNKNOWN_KEY
        if parameters.get("alg", self._algorithm) != self._algorithm:
            return Why.ALGORITHM
        if '"content-digest"' in items and not digest_holds(message.headers, message.body):
            return Why.DIGEST
        return None if self._holds(signature, base.encode("utf-8", "replace")) else Why.FORGED


class Rfc9421Replies(SignedReplies):
    def __init__(self, options: Rfc9421Options, secrets: Mapping[str, str], bound: bool) -> None:
        self._messages = Rfc9421Verifier(options, secrets)
        super().__init__(self._messages, bound=bound)

    async def open(self, reply: WireReply, request: WireRequest, nonce: str, now: float) -> WireReply:
        message = Message(lowered(reply.headers), reply.body, request, reply.status)
        await self.accept(self._messages.read_message(message), nonce, now)
        return reply


def _item(component: str) -> str:
    name, _, flag = component.partition(";")
    return f'"{name}"' + (f";{flag}" if flag else "")


def _own(options: Rfc9421Options) -> tuple[str, str]:
    return ("key_id", key_name(options.algorithm, own=True))


def _theirs(options: Rfc9421Options) -> tuple[str, str]:
    return ("platform_key_id", key_name(options.algorithm, own=False))


RFC9421 = Scheme(Rfc9421Options, _own, Rfc9421Signer, _theirs, Rfc9421Verifier, Rfc9421Replies)
